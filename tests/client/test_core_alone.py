"""`pip install pairlens` without extras: the client, the measurement and the command line, nothing of the service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve_app.cli import files
from tests.rigs import core_alone

ROOT = Path(__file__).parents[2]
INSTALL = "pip install 'pairlens[serve]'"
# What a person does there, one thing after the other; what came of it is the last line, as JSON.
PROGRAM = """
import asyncio, json, os, sys, tempfile
from pathlib import Path
import pairlens
from typer.testing import CliRunner
from serve_app.cli.main import app
from tests.worlds.samples import card

told = {"missing": MISSING}
folder = Path(tempfile.mkdtemp())
os.chdir(folder)
card().save("a.png")
card("red").save("b.png")
Path("pairs.csv").write_text("reference,candidate\\na.png,b.png\\n")

report = pairlens.compare("a.png", "b.png")
told["differences"] = len(report.differences)
told["in a notebook"] = report._repr_html_()[:7]
told["page"] = report.save_html("report.html").stat().st_size

nobody = "http://127.0.0.1:9"
try:
    pairlens.Client(nobody, max_retries=0).compare("a.png", card())
except pairlens.Unreachable as exc:
    told["client"] = exc.type

async def asked():
    async with pairlens.AsyncClient(nobody, max_retries=0) as client:
        await client.compare("a.png", card())
try:
    asyncio.run(asked())
except pairlens.Unreachable as exc:
    told["async client"] = exc.type

for line in COMMANDS:
    result = CliRunner().invoke(app, line.split())
    told[line] = [result.exit_code, result.output, repr(result.exception)]
told["modules"] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(told))
"""
COMMANDS = {
    "compare a.png b.png --strict --html r.html": (22, "MISMATCH"),
    "batch --manifest pairs.csv --out out": (22, "1 pairs: 1 mismatch"),
    "version": (0, "pairlens "),
    "serve": (1, INSTALL),
    "jobs secret shop --secret-file a.png": (1, INSTALL),
    "jobs list --server http://127.0.0.1:9": (1, "can't be reached"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("core") / "program.py"
    path.write_text(PROGRAM.replace("COMMANDS", repr(list(COMMANDS))))
    command = [sys.executable, "-W", "ignore", "-m", "tests.rigs.core_alone", str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_what_the_service_needs_is_missing_there(told: dict[str, Any]) -> None:
    missing = set(told["missing"])
    assert set(files.OF_SERVE) | {"starlette", "uvicorn", "torch", "aiohttp"} <= missing
    assert not missing & {"numpy", "cv2", "PIL", "pydantic", "httpx2", "jinja2", "typer", "rich", "psutil", "yaml"}
    assert not missing & set(told["modules"])


def test_a_pair_is_compared_and_looked_at(told: dict[str, Any]) -> None:
    assert (told["differences"], told["in a notebook"]) == (1, "<iframe")
    assert told["page"] > 40_000


def test_both_clients_ask(told: dict[str, Any]) -> None:
    assert (told["client"], told["async client"]) == ("unreachable", "unreachable")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_works_or_says_what_to_install(line: str, told: dict[str, Any]) -> None:
    code, output, exception = told[line]
    assert (code, COMMANDS[line][1] in output) == (COMMANDS[line][0], True), (output, exception)
    assert exception in ("None", f"SystemExit({code})")


def test_every_dependency_of_a_distribution_is_found() -> None:
    found = core_alone.closure(["httpx2"])
    assert {"httpx2", "httpcore2", "h11", "anyio", "idna"} <= found
    assert "ray" not in found
