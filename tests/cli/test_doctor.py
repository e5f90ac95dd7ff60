"""`pairlens doctor` as a person or a script meets it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.operating import facts
from tests.rigs.nodes import free_port

ROOT = Path(__file__).parents[2]
SECRET = "correct-horse-battery"


def ports() -> tuple[str, ...]:
    return "--port", str(free_port()), "--dashboard-port", str(free_port())


def test_each_finding_is_one_line_without_colour_in_a_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "doctor", "--jobs", str(tmp_path)]
    told = subprocess.run([*command, *ports()], capture_output=True, text=True, env={"PAIRLENS_KEY": SECRET})
    lines = told.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "look", "wrong"}
    assert len(lines) >= 15
    assert "\x1b" not in told.stdout
    assert SECRET not in told.stdout + told.stderr
    assert told.returncode == (1 if any(line.startswith("wrong") for line in lines) else 0)
    assert told.stderr == ""


def test_json_is_all_findings_and_wrong_ones_end_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRLENS_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as another:
        port = str(another.getsockname()[1])
        ended = CliRunner().invoke(app, ["doctor", "--json", "--port", port, "--model", str(tmp_path / "a\x1b[31m")])
    said = json.loads(ended.stdout)
    found = {finding["name"]: finding for finding in said["findings"]}
    assert (ended.exit_code, said["well"]) == (1, False)
    assert found[f"Port {port}"]["verdict"] == "wrong"
    assert found["Model"]["do"].startswith("Name a folder")
    assert SECRET not in ended.stdout


def test_a_name_of_a_folder_steers_no_terminal(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["doctor", *ports(), "--model", str(tmp_path / "a\x1b[31m\nok  all is well")])
    assert ended.exit_code == 1
    assert "\x1b" not in ended.stdout
    assert not any(line.startswith("ok  all") for line in ended.stdout.splitlines())


TORCH = """
import sys
__version__ = "2.9.0+cu128"
class version: cuda = "12.8"
class cuda:
    @staticmethod
    def device_count():
        sys.stderr.write({warning!r})
        return {gpus}
"""
TOO_OLD = "UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."


@pytest.mark.parametrize(
    ("smi", "gpus", "warning", "verdict", "words"),
    [
        (None, 0, "", "ok", "none: models run on the CPU"),
        (
            "echo 'NVIDIA-SMI has failed: could not communicate with the driver.'; exit 9",
            0,
            "",
            "ok",
            "none: models run",
        ),
        (
            "echo 'NVIDIA L4, 470.57, 23034, 22500'",
            0,
            TOO_OLD,
            "wrong",
            "Update the driver to one for CUDA 12.8 or later",
        ),
        ("echo 'NVIDIA L4, 570.86, 23034, 2048'", 1, "", "look", "other programs hold all but 2.0 GiB of 22.4 GiB"),
        ("echo 'NVIDIA L4, 570.86, 23034, 22500'", 1, "", "ok", "driver 570.86; torch 2.9.0+cu128 uses 1"),
    ],
)
def test_a_gpu_is_told_as_the_driver_and_torch_see_it(
    tmp_path: Path, smi: str | None, gpus: int, warning: str, verdict: str, words: str
) -> None:
    """The whole command, with a driver's tool and a torch that are pretended, asked in processes of their own."""
    pytest.importorskip("torch")  # whether it is installed is asked of its package
    (tmp_path / "bin").mkdir()
    if smi is not None:
        (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    (tmp_path / "torch.py").write_text(TORCH.format(gpus=gpus, warning=warning))
    command = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "doctor", "--json", *ports()]
    environment = {"PATH": str(tmp_path / "bin"), "PYTHONPATH": f"{tmp_path}:{ROOT}", "HOME": str(tmp_path)}
    told = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert told.stderr == ""
    found = {finding["name"]: finding for finding in json.loads(told.stdout)["findings"]}["GPU"]
    if words.startswith("none") and facts.nvidia_cards(facts.PCI):  # here the card is real, and its driver hidden
        verdict, words = "look", "no driver that answers"
    assert found["verdict"] == verdict
    assert words in f"{found['says']}. {found['do']}"
    assert told.returncode == int(verdict == "wrong") or any('"wrong"' in line for line in told.stdout.splitlines())
