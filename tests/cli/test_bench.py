"""`pairlens bench` as a person or a script meets it: against a small service behind a real port."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.schema import ComparisonReport, Envelope, ErrorReport
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port
from tests.worlds.jobs import made_report

EVERY_THIRD = 3


@pytest.fixture
def service() -> Iterator[tuple[str, list[Request]]]:
    """Answers after 5 ms and refuses every third request; with all that it was asked."""
    asked: list[Request] = []

    async def compare(request: Request) -> Response:
        await request.body()
        asked.append(request)
        await asyncio.sleep(0.005)
        refusal = ErrorReport(type="overloaded", detail="Full.") if len(asked) % EVERY_THIRD == 0 else None
        report = made_report() if refusal is None else None
        status = 200 if refusal is None else 503
        envelope = Envelope[ComparisonReport](code=status, msg="told", data=report, error=refusal, request_id="r-1")
        return Response(envelope.model_dump_json(), status, media_type="application/json")

    make: Callable[[], Any] = lambda: Starlette(routes=[Route("/v1/compare", compare, methods=["POST"])])  # noqa: E731
    with served(make) as url:
        yield url, asked


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *(str(each) for each in arguments)])


def test_a_table_has_a_row_a_stage_and_refusals_by_type(service: tuple[str, list[Request]]) -> None:
    ended = bench(service[0], "--seconds", 1, "--callers", 2)
    lines = ended.stdout.splitlines()
    assert ended.exit_code == 0, ended.output
    assert " answers/s: " in lines[0]
    rows = [line.split()[0] for line in lines if re.search(r"( +[\d,]+(\.\d)?){3} *$", line)]
    assert rows == ["in", "queue", "prepare", "measure", "read", "assess", "elsewhere"]
    assert any(line.endswith("refused: overloaded") for line in lines)
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in ended.output


def test_json_and_a_plot_of_two_files_with_a_key(service: tuple[str, list[Request]], tmp_path: Path) -> None:
    url, asked = service
    Image.new("RGB", (40, 30), "white").save(tmp_path / "a.png")
    (tmp_path / "key").write_text("open sesame\n")
    files = ("--reference", tmp_path / "a.png", "--candidate", tmp_path / "a.png", "--key-file", tmp_path / "key")
    ended = bench(url, "--seconds", 0.5, "--callers", 2, "--json", "--plot", tmp_path / "plot.png", *files)
    said = json.loads(ended.stdout)
    assert said["callers"] == 2
    assert said["answers"] + said["refusals"]["overloaded"] == len(asked) - 1
    assert said["latency_ms"]["p50"] >= 5
    assert set(said["stages_ms"]) == {"queue", "prepare", "measure", "read", "assess", "elsewhere"}
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (1200, 480)
    assert {request.headers["authorization"] for request in asked} == {"Bearer open sesame"}


def test_ctrl_c_prints_what_it_has(service: tuple[str, list[Request]]) -> None:
    url, asked = service
    command = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "bench", url, "--seconds", "60"]
    with subprocess.Popen([*command, "--json"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while len(asked) < 10 and process.poll() is None:
                pass_time()
            process.send_signal(signal.SIGINT)
            told, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert 0 < json.loads(told)["answers"] <= len(asked)
    assert errors == ""


def pass_time() -> None:
    asyncio.run(asyncio.sleep(0.02))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("http://example.com",), "example.com is not this machine"),
        (("ftp://127.0.0.1",), "is no URL of http"),
        (("http://127.0.0.1:1", "--reference", "a.png"), "Name both --reference and --candidate"),
        (("http://127.0.0.1:1", "--plot", "/no/folder/a.png"), "/no/folder is no folder"),
        ((f"http://127.0.0.1:{free_port()}", "--i-own-this"), "can't be reached"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    ended = bench(*arguments)
    assert ended.exit_code == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("bound", [("--callers", 65), ("--callers", 0), ("--seconds", 601), ("--seconds", 0)])
def test_a_load_is_bounded(bound: tuple[str, int]) -> None:
    assert bench("http://127.0.0.1:1", *bound).exit_code == 2
