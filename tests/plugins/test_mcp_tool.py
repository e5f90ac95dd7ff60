"""`pairlens mcp`: a process that an agent has started, by the protocol's own client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp import Client, MCPError, StdioServerParameters
from typer.testing import CliRunner

from serve_app import __version__
from serve_app.cli import main, tool
from serve_app.errors import ImageRejected
from serve_app.plugins import mcp_tool
from serve_app.schema import ComparisonReport
from serve_app.schema.tool import output_schema
from serve_app.settings import Limits, Settings
from tests.rigs.agent import MODES, data_url, images, text
from tests.rigs.http_server import served
from tests.serving.page.conftest import app_of
from tests.worlds.samples import card, encoded, noise

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from serve_app.cli.main import app; app()", "mcp"]
A, B = encoded(card()), encoded(card("red"))
SQUARE = [120, 60, 30, 30]


def agent(*options: str, mode: str = "auto", cwd: Path = ROOT) -> Client:
    """Starts the command, and ends it by closing its stdin."""
    started = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], *options], env={"PYTHONPATH": str(ROOT)}, cwd=cwd
    )
    return Client(started, mode=mode, read_timeout_seconds=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(A)
    (tmp_path / "b ü.png").write_bytes(B)
    return tmp_path


@pytest.mark.parametrize("mode", MODES)
async def test_an_agent_finds_the_tool_and_hears_where_two_files_differ(folder: Path, mode: str) -> None:
    async with agent(mode=mode, cwd=folder) as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("pairlens", __version__)
        (found,) = (await client.list_tools()).tools
        assert found.name == "compare_images"
        different = await client.call_tool(
            found.name, {"reference": "a.png", "candidate": (folder / "b ü.png").as_uri(), "config": {}}
        )
        same = await client.call_tool(found.name, {"reference": str(folder / "a.png"), "candidate": data_url(A)})

    report: Any = different.structured_content
    jsonschema.validate(report, found.output_schema)
    assert not different.is_error
    assert report["differences"][0]["candidate_box"] == SQUARE
    assert "visuals" not in report
    assert text(different).startswith(f"{report['verdict']}: similarity {report['similarity']:.3f} ")
    assert report["summary"] in text(different)
    assert f"candidate {SQUARE}" in text(different)
    (overlay,) = images(different)
    assert overlay.size == (200, 120)
    marked = overlay.getpixel((135, 75))
    assert marked != overlay.getpixel((60, 75))

    assert (same.structured_content or {})["verdict"] == "match"
    assert images(same) == []


async def test_what_cannot_be_compared_is_told_in_one_sentence_and_the_next_call_is_answered(folder: Path) -> None:
    (folder / "letter.txt").write_text("no picture")
    refused: dict[str, dict[str, Any]] = {
        "image_unreadable [reference]: There is no file of the name that the reference has.": {"reference": "c.png"},
        "image_unreadable [reference]: The reference is no file.": {"reference": str(folder)},
        "malformed_request [reference]: The data: URL of the reference is not valid base64.": {
            "reference": "data:image/png;base64,abc!"
        },
        "malformed_request [reference]: The reference is a text: a path or a data: URL.": {"reference": 3},
        "two_images_required: Give two images, reference and candidate: the reference is missing.": {
            "candidate": "a.png"
        },
        "malformed_request: compare_images takes reference, candidate, config and nothing else.": {
            "reference": "a.png",
            "threshold": 0.5,
        },
    }
    async with agent(cwd=folder) as client:
        for sentence, arguments in refused.items():
            result = await client.call_tool("compare_images", {"candidate": "a.png", **arguments})
            assert (result.is_error, text(result), len(result.content)) == (True, sentence, 1)
        letter = await client.call_tool("compare_images", {"reference": "a.png", "candidate": "letter.txt"})
        assert text(letter).startswith("unsupported_image_type [candidate]: ")
        config = await client.call_tool(
            "compare_images", {"reference": "a.png", "candidate": "a.png", "config": {"similarity_threshold": 7}}
        )
        assert text(config).startswith("invalid_config [/config/similarity_threshold]: ")
        with pytest.raises(MCPError, match="There is no such tool here; there is compare_images"):
            await client.call_tool("compare", {})
        answered = await client.call_tool("compare_images", {"reference": "a.png", "candidate": "a.png"})
        assert not answered.is_error


async def test_pictures_outside_the_folder_are_not_read(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (inside / "a.png").write_bytes(A)
    (inside / "link.png").symlink_to(folder / "a.png")
    async with agent("--folder", str(inside), cwd=inside) as client:
        for outside in (str(folder / "a.png"), "../a.png", "link.png"):
            result = await client.call_tool("compare_images", {"reference": outside, "candidate": "a.png"})
            told = "image_unreadable [reference]: The reference is outside the folder that may be read."
            assert text(result) == told
        assert not (await client.call_tool("compare_images", {"reference": "a.png", "candidate": "a.png"})).is_error


async def test_a_server_compares_instead(folder: Path) -> None:
    with served(lambda: app_of(Settings(limits=Limits(max_side=100)))) as url:
        async with agent("--server", url, cwd=folder) as client:
            result = await client.call_tool("compare_images", {"reference": "a.png", "candidate": "b ü.png"})
    assert text(result).startswith("image_too_large [reference]: ")


async def test_a_server_that_is_not_there_is_told_of(folder: Path) -> None:
    async with agent("--server", "http://127.0.0.1:1", cwd=folder) as client:
        result = await client.call_tool("compare_images", {"reference": "a.png", "candidate": "a.png"})
    assert result.is_error
    assert text(result).startswith("http://127.0.0.1:1 can't be reached")


def started(cwd: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(COMMAND, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)


PING = b'{"jsonrpc": "2.0", "id": 7, "method": "ping"}\n'
INITIALIZE = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", '
    b'"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}\n'
)


def test_it_ends_with_its_stdin_and_says_nothing_but_the_protocol(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(INITIALIZE + b"no JSON\n" + PING)
        process.stdin.flush()
        said = [process.stdout.readline(), process.stdout.readline()]
        out, err = process.communicate(timeout=60)
    assert b'"protocolVersion":"2025-06-18"' in said[0]
    assert said[1] == b'{"jsonrpc":"2.0","id":7,"result":{}}\n'
    assert (process.returncode, out, err) == (0, b"", b"")


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(INITIALIZE)
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == tool.INTERRUPTED
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_message_without_end_is_not_kept() -> None:
    reading, writing = os.pipe()

    async def lines() -> list[str]:
        return [line async for line in mcp_tool.Lines(reading, 100_000)]

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write("first ü\nsecond\n".encode() + b"x" * 150_000 + b"\nafter it\n")

    thread = threading.Thread(target=write)
    thread.start()
    assert asyncio.run(lines()) == ["first ü", "second"]
    thread.join()
    os.close(reading)


@pytest.mark.parametrize("name", ["pipe", "large.png"])
def test_only_files_of_the_size_of_a_picture_are_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.png").write_bytes(encoded(noise(50, 50)))
    files = mcp_tool.Files(Limits(max_image_bytes=1000))
    with pytest.raises(ImageRejected, match=r"is no file|has \d+ bytes; at most 1000 are read"):
        files.read({"reference": str(tmp_path / name)}, "reference")


def test_the_command_says_what_is_wrong_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    both = run(main.app, ["mcp", "--server", "http://x", "--model", "y"])
    assert (both.exit_code, "--model is for comparing here" in both.stderr) == (1, True)
    nowhere = run(main.app, ["mcp", "--folder", str(tmp_path / "nowhere")])
    assert (nowhere.exit_code, "is no folder" in nowhere.stderr) == (1, True)
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    missing = run(main.app, ["mcp"])
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "pip install 'pairlens[mcp]'" in missing.stderr


def test_the_report_that_is_told_is_the_contract_without_its_pictures() -> None:
    schema = output_schema()
    assert schema["properties"].keys() == ComparisonReport.model_fields.keys() - {"visuals"}
    assert schema["type"] == "object"
    jsonschema.Draft202012Validator.check_schema(schema)
