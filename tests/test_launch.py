"""`pairlens serve`: refusals before anything starts, and a real run that leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from serve_app import launch, serve_file
from serve_app.launch import Launch, LaunchFailed
from serve_app.settings import ModelSettings

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "from serve_app.cli import app; app()", "serve"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def a_launch(*, port: int, dashboard_port: int) -> Launch:
    file = serve_file.load(ROOT / "serve_config.yaml", port=port)
    said: list[str] = []
    return Launch(file, dashboard_port, said.append, threading.Event(), lambda: None)


@pytest.mark.parametrize("option", ["--port", "--dashboard-port"])
def test_port_in_use_is_told_before_anything_starts(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--port": free_port(), "--dashboard-port": free_port(), option: taken.getsockname()[1]}

        with pytest.raises(LaunchFailed, match=f"already in use; free it, or choose another with {option}\\."):
            a_launch(port=ports["--port"], dashboard_port=ports["--dashboard-port"]).run()


def test_model_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    with pytest.raises(LaunchFailed) as refusal:
        launch.check_model(ModelSettings(engine="transformers", name=str(tmp_path)))

    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("", "The service could not start."),
        ("a.py, line 3\nValueError: no such stage.\n", "The service could not start: no such stage (ValueError)."),
        (
            "RuntimeError: Traceback (most recent call last):\nserve_app.vlm.ModelUnavailable: /x is no checkpoint.\n",
            "/x is no checkpoint.",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory.\n",
            "The service could not start: CUDA out of memory (OutOfMemoryError).",
        ),
    ],
)
def test_failed_start_becomes_a_sentence(message: str, sentence: str) -> None:
    assert launch.cause(message) == sentence


class Run:
    """One `pairlens serve` as a person runs it, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def read_until(self, wanted: str) -> list[psutil.Process]:
        """Read its output up to a line with `wanted`; the processes it has then."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if wanted in line:
                children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
                return children
        raise AssertionError(f"ended without {wanted!r}: {''.join(self.lines)}")

    def end(self, kind: signal.Signals) -> str:
        """Send `kind`, wait; all that it said. A terminal sends Ctrl-C to all processes that it started."""
        if kind == signal.SIGINT:
            os.killpg(self.process.pid, kind)
        else:
            self.process.send_signal(kind)
        rest, _ = self.process.communicate(timeout=90)
        return "".join(self.lines) + rest


@contextmanager
def serving(folder: Path, port: int) -> Iterator[Run]:
    command = [*COMMAND, "--port", str(port), "--dashboard-port", str(free_port())]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield Run(process)
        finally:
            process.kill()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for Ray's sockets; a run must leave it empty."""
    folder = Path(tempfile.mkdtemp(prefix="pl", dir="/tmp"))
    yield folder
    left = [path.name for path in folder.iterdir()]
    shutil.rmtree(folder)
    assert left == []


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.cluster
def test_serves_and_leaves_nothing_behind(short_folder: Path) -> None:
    port = free_port()
    with serving(short_folder, port) as run:
        processes = run.read_until("Stop")
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        said = run.end(signal.SIGINT)

    assert run.process.returncode == 0
    assert len(processes) > 10
    assert alive(processes) == []
    assert "Traceback" not in said
    assert len(said.splitlines()) < 20


@pytest.mark.cluster
@pytest.mark.parametrize(("moment", "kind"), [("Starting", signal.SIGTERM), ("Deploying", signal.SIGINT)])
def test_stop_during_the_start_leaves_nothing_behind(short_folder: Path, moment: str, kind: signal.Signals) -> None:
    with serving(short_folder, free_port()) as run:
        processes = run.read_until(moment)
        said = run.end(kind)

    assert run.process.returncode == 0, said
    assert alive(processes) == []
    assert "is ready" not in said
