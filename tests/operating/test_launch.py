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
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml

from serve_app.operating import launch, own_ray, serve_file
from serve_app.operating.launch import Launch, LaunchFailed
from serve_app.serving.exposure import is_loopback
from serve_app.settings import Access, CacheSettings, JobSettings, ModelSettings, WebhookSettings, agents
from tests.rigs.nodes import free_port
from tests.worlds.samples import card, encoded

ROOT = Path(__file__).parents[2]
JOB_S = 3.0
COMMAND = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "serve"]


def a_launch(*, port: int, dashboard_port: int, metrics_port: int | None = None) -> Launch:
    file = serve_file.load(ROOT / "serve_config.yaml", port=port)
    said: list[str] = []
    return Launch(file, dashboard_port, said.append, threading.Event(), lambda: None, metrics_port)


@pytest.mark.parametrize("option", ["--port", "--dashboard-port", "--metrics-port"])
def test_port_in_use_is_told_before_anything_starts(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {name: free_port() for name in ("--port", "--dashboard-port", "--metrics-port")}
        ports[option] = taken.getsockname()[1]

        with pytest.raises(LaunchFailed, match=f"already in use; free it, or choose another with {option}\\."):
            a_launch(
                port=ports["--port"], dashboard_port=ports["--dashboard-port"], metrics_port=ports["--metrics-port"]
            ).run()


@pytest.mark.parametrize("is_installed", [True, False])
def test_whoever_starts_it_is_told_of_the_door_for_agents_where_there_is_one(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agents, "find_spec", lambda name: name if is_installed else None)
    session = own_ray.Session(tmp_path, "token")

    told = a_launch(port=8123, dashboard_port=8124)._welcome(session, 3)

    assert "http://127.0.0.1:8123/v1/compare\n" in told
    assert ("http://127.0.0.1:8123/mcp\n" in told) == is_installed


def claimed(named: int | None = None, **more: Any) -> AbstractContextManager[int]:
    return launch.claimed_dashboard_port(named, **{"service_port": 8000, "say": print, **more})


def test_the_dashboard_takes_the_next_free_port_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()[1]
        said: list[str] = []
        with claimed(service_port=usual + 1, say=said.append, usual=usual) as port:
            assert port >= usual + 2  # the service will listen on the one between
            assert own_ray.port_is_free("127.0.0.1", port)
        assert said == [f"Port {usual} is taken: Ray's dashboard listens on {port}."]


def test_a_usual_dashboard_port_that_is_free_is_taken_without_a_word() -> None:
    usual, said = free_port(), list[str]()
    with claimed(say=said.append, usual=usual) as port:
        assert (port, said) == (usual, [])


@pytest.mark.skipif(sys.platform != "linux", reason="ports are claimed by a name that only Linux has")
def test_services_that_start_in_the_same_second_take_different_ports() -> None:
    """The port of the first is free still: its Ray takes seconds until it listens there."""
    usual = free_port()
    program = (
        "import sys; from serve_app.operating import own_ray\n"
        f"with own_ray.claimed(own_ray.dashboard_ports({usual}, but=0)) as port:\n"
        "  print(port, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        ports = [int(each.stdout.readline()) for each in (first, second) if each.stdout is not None]
        assert len(set(ports)) == 2
        assert usual in ports
        assert own_ray.port_is_free("127.0.0.1", usual)
        with pytest.raises(LaunchFailed, match="already in use"), claimed(usual):
            pass
        first.kill()  # however it ends
        first.wait()
        with claimed(ports[0]) as port:
            assert port == ports[0]
        second.communicate()


def test_no_free_port_for_the_dashboard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_ray, "port_is_free", lambda host, port: False)
    with pytest.raises(LaunchFailed, match=r"No port from 8265 to 8364 is free .* --dashboard-port"), claimed():
        pass


def test_model_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    with pytest.raises(LaunchFailed) as refusal:
        launch.check_model(ModelSettings(engine="transformers", name=str(tmp_path)))

    assert "Traceback" not in str(refusal.value)


def test_a_folder_for_jobs_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    launch.check_jobs(JobSettings(folder=str(tmp_path / "file/below")))  # off
    launch.check_jobs(JobSettings(folder="s3://bucket", database_url="postgresql://u@h/d", enabled=True))
    launch.check_jobs(JobSettings(folder=str(tmp_path / "new/one"), enabled=True))
    assert list((tmp_path / "new/one").iterdir()) == []

    with pytest.raises(LaunchFailed, match=r"args\.jobs\.folder"):
        launch.check_jobs(JobSettings(folder=str(tmp_path / "file/below"), enabled=True))


def test_a_secret_of_webhooks_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    hooks = WebhookSettings(secret_file=str(tmp_path / "none"))
    with pytest.raises(LaunchFailed, match=r"secret in .* can't be read: FileNotFoundError"):
        launch.check_jobs(JobSettings(folder=str(tmp_path), enabled=True, webhooks=hooks))
    launch.check_jobs(JobSettings(folder=str(tmp_path), webhooks=hooks))  # off
    (tmp_path / "none").write_text("whsec_" + "A" * 40)
    launch.check_jobs(JobSettings(folder=str(tmp_path), enabled=True, webhooks=hooks))


def test_keys_that_are_none_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="can't be read: FileNotFoundError"):
        launch.check_keys(Access(api_keys_file=str(tmp_path / "none")))
    launch.check_keys(Access())


def test_a_redis_that_can_not_be_named_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchFailed, match="can't be read: FileNotFoundError"):
        launch.check_cache(CacheSettings(redis_file=str(tmp_path / "none")))
    monkeypatch.setenv("A_REDIS", "redis://:secret@nobody.invalid")
    launch.check_cache(CacheSettings(redis_env="A_REDIS"))
    launch.check_cache(CacheSettings())
    said = launch.cause("Traceback ...\nserve_app.storage.reports.CacheUnavailable: There is no Redis URL in X.")
    assert said == "There is no Redis URL in X."


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
def serving(folder: Path, port: int, *options: str) -> Iterator[Run]:
    command = [*COMMAND, "--port", str(port), "--dashboard-port", str(free_port()), *options]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    # HOME: jobs are kept below it, as shipped.
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "HOME": home},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        run = Run(process)
        try:
            yield run
        finally:
            if process.poll() is None:  # a test that failed: killed at once it would leave its Ray behind
                run.end(signal.SIGTERM)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for Ray's sockets; a run must leave it empty."""
    folder = Path(tempfile.mkdtemp(prefix="pl", dir="/tmp"))
    yield folder
    left = [path.name for path in folder.iterdir()]
    shutil.rmtree(folder)
    assert left == []


def listening(processes: list[psutil.Process]) -> Iterator[tuple[str, str]]:
    """Kind of process and address of each port that they listen on."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for socket in process.net_connections("tcp"):
                if socket.status == psutil.CONN_LISTEN:
                    yield process.cmdline()[0].split(":pairlens")[0], socket.laddr.ip.removeprefix("::ffff:")


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.cluster
def test_serves_and_leaves_nothing_behind(short_folder: Path) -> None:
    port = free_port()
    with serving(short_folder, port) as run:
        processes = run.read_until("Stop")
        # Serve's proxy asks either of the two ingress replicas: each is ready, not only the one that was asked before.
        assert {httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code for _ in range(20)} == {200}
        # Replicas serve each other over gRPC and ask for the session's token; the metrics port asks for nothing.
        assert {title for title, host in listening(processes) if not is_loopback(host)} <= {"ray::ServeReplica"}
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


@pytest.mark.cluster
def test_sigterm_lets_a_request_under_way_finish(short_folder: Path, tmp_path: Path) -> None:
    port, dashboard_port = free_port(), free_port()
    options = ("--config", str(slow_model(tmp_path)), "--dashboard-port", str(dashboard_port))
    with serving(short_folder, port, *options) as run, ThreadPoolExecutor() as threads:
        processes = run.read_until("Stop")
        assert shown_deployments(short_folder, dashboard_port) == {"Ingress", "Preprocessor", "VLModel", "Jobs"}
        under_way = threads.submit(compare, port)
        with pytest.raises(FutureTimeout):
            under_way.result(timeout=JOB_S / 3)  # long enough for it to have come in
        run.process.send_signal(signal.SIGTERM)
        refused = [answer for answer in until_it_ends(port) if answer is not None]
        assert under_way.result(timeout=30).status_code == 200
        assert refused, "new requests came while the old one was still at work"
        assert {answer.json()["error"]["type"] for answer in refused} == {"draining"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        said, _ = run.process.communicate(timeout=90)

    assert run.process.returncode == 0, said
    assert alive(processes) == []


def slow_model(folder: Path) -> Path:
    """The product's own config file with a model that works for `JOB_S` on a pair."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    args = config["applications"][0]["args"]
    args["model"] = {"engine": "scripted", "scripted": {"delay_s": JOB_S}}
    args["jobs"]["folder"] = str(folder / "kept")
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def compare(port: int) -> httpx2.Response:
    pair = [("files", ("a", encoded(card()))), ("files", ("b", encoded(card("red"))))]
    return httpx2.post(f"http://127.0.0.1:{port}/v1/compare", files=pair, timeout=30)


def shown_deployments(folder: Path, dashboard_port: int) -> set[str]:
    """What the dashboard's Serve page lists, by the API that it asks."""
    (token_file,) = folder.glob("pairlens-*/auth_token")
    answer = httpx2.get(
        f"http://127.0.0.1:{dashboard_port}/api/serve/applications/",
        headers={"Authorization": f"Bearer {token_file.read_text()}"},
        timeout=30,
    )
    return set(answer.json()["applications"]["pairlens"]["deployments"])


def until_it_ends(port: int) -> Iterator[httpx2.Response | None]:
    """Readiness over and over, None while it still says ready, until nobody listens any more."""
    for _ in range(600):
        try:
            answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
        except httpx2.TransportError:
            return
        yield None if answer.status_code == 200 else answer
        threading.Event().wait(0.1)
    raise AssertionError("it never stopped")
