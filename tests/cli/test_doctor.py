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
from tests.rigs.nodes import free_port

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
