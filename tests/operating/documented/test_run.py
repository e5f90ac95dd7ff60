"""Every command, request, answer, setting and program in README and docs is run, sent or held against a real service.
Found by itself: a page that gains one needs nothing here."""

from __future__ import annotations

import asyncio
import base64
import csv
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
import yaml
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from serve_app import ocr
from serve_app.jobs.deliveries import EndedAttempt
from serve_app.operating import serve_file
from serve_app.schema import ImageComparisonConfig
from serve_app.serving.api.chat.refusals import OpenAiRefusal
from serve_app.serving.api.chat.shapes import ChatRequest
from serve_app.settings import Settings
from tests.operating.documented.code import ROOT, Block, Line, blocks, holds, lines, lines_in_sentences, shows
from tests.operating.documented.left_out import LEFT_OUT
from tests.operating.documented.surroundings import URL, Ran, Surroundings, surroundings

BLOCKS = list(blocks())
LINES = [line for line in (*lines(BLOCKS), *lines_in_sentences()) if " ".join(line.words) not in LEFT_OUT]
LINES = list({" ".join(line.words): line for line in reversed(LINES)}.values())[::-1]
JOB = "0f9d1c7e5a"  # of nobody: a real one takes its place
WAIT_S = 120.0  # of a busy machine
VERDICTS = {"match": 0, "mismatch": 22, "uncertain": 23}
# What a command is given besides, so that its answer can be read or comes soon; it changes nothing that is documented.
BESIDES = {
    "curl": r" -sS -w '%{stderr}\n%{http_code} %{method} %{url_effective}'",
    "bench": " --seconds 1",
    "make": " -o .venv/.core",  # the environment is there already
}

pytestmark = pytest.mark.skipif(ocr.installed() is None, reason="needs the extra [text]")


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surroundings(tmp_path_factory.mktemp("docs") / "each") as made:
        yield made


@pytest.fixture(scope="module")
def api(around: Surroundings) -> Any:
    return httpx2.get(f"{around.url}/openapi.json", timeout=WAIT_S).json()


def of(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


# Commands.


@pytest.mark.parametrize("line", LINES, ids=str)
def test_commands_do_what_the_page_says(line: Line, around: Surroundings, api: Any) -> None:
    text = around.told(re.sub(r"\s+# .*$", "", line.text))
    if JOB in text:
        text = text.replace(JOB, around.job_for(line.words))
    try:
        ran = around.run(with_besides(text))
    finally:
        around.held.clear()
    assert ran.code in codes(line), (ran.code, ran.out[-500:], ran.err[-1000:])
    assert "Traceback" not in ran.err
    assert not re.search(r"^wrong +Model", ran.out, re.MULTILINE)  # of `doctor`: that of the page is one
    if line.shown is not None:
        assert shows(line.shown, ran.out), ran.out
    for name in written(line.words):
        assert (ran.folder / name.removeprefix("/")).exists(), name
    if line.words[0] == "curl":
        check_answer(ran, line, api, around.url)
    elif "--json" in line.words:
        json.loads(ran.out or (ran.folder / line.words[-1]).read_text())


def with_besides(text: str) -> str:
    """Before what is done with the output."""
    words = shlex.split(text)
    besides = "".join(more for word, more in BESIDES.items() if word in words[:2])
    head, mark, tail = text.partition(" > ")
    return f"{head}{besides}{mark}{tail}"


def codes(line: Line) -> set[int]:
    """Exit codes that the page lets people expect."""
    words = line.words[1:]
    if words[:1] in (["compare"], ["batch"]) or words[:2] == ["jobs", "wait"]:
        return {22} if "mismatch" in line.text else set(VERDICTS.values())
    return {0, 1} if words[:1] == ["doctor"] else {0}  # 1: what holds a port here, say


def written(words: list[str]) -> list[str]:
    """Files and folders that the command is to write."""
    named = [
        after
        for option, after in itertools.pairwise(words)
        if option in ("--html", "--out", "--plot", "--plots", "--visual", ">")
    ]
    return [name.rpartition("=")[2] for name in named]


def check_answer(ran: Ran, line: Line, api: Any, url: str) -> None:
    """By the service's own description of itself."""
    status, method, where = ran.err.strip().splitlines()[-1].split()
    body = ran.out or (ran.folder / line.words[-1]).read_text(encoding="utf-8")
    path = "/" + where.removeprefix(url).strip("/").partition("?")[0]
    if "html" in line.text.lower():
        assert body.startswith("<!doctype html>")
    elif path.endswith("/stream"):
        assert re.findall(r"^event: (\w+)$", body, re.MULTILINE)[-1] == "report"
    else:
        conforms(json.loads(body), api["paths"][path][method.lower()]["responses"][status], api)
    assert status[0] == "2", body


def conforms(document: Any, answer: Any, api: Any) -> None:
    schema = {**answer["content"]["application/json"]["schema"], "components": api["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)


# JSON.

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_what_is_sent_or_comes(block: Block, around: Surroundings) -> None:
    shown = json.loads(block.text)
    if "code" in shown:
        assert any(holds(shown, real) for real in answers(block, shown, around))
    elif "timestamp" in shown:
        assert holds(shown, told_of_a_job(shown["type"]))
    elif "messages" in shown:
        sent = block.text.replace("data:image/png;base64,…", data_url(around.like / "a.png"))
        ChatRequest.model_validate_json(sent)
        refused = httpx2.post(f"{around.url}/v1/chat/completions", content=sent.encode(), headers=JSON)
        assert refused.status_code == httpx2.codes.NOT_FOUND, refused.text  # no model is there, all else is right
    elif "error" in shown:
        OpenAiRefusal.model_validate_json(block.text)
    elif "mcpServers" in shown:
        assert asyncio.run(agent_told(shown["mcpServers"]["pairlens"], around)).startswith("mismatch: ")
    elif "reference" in shown:
        picture = {
            side: data_url(around.like / f"{name}.png") for side, name in (("reference", "a"), ("candidate", "b"))
        }
        assert {shown[side].split("…")[0] for side in picture} == {"data:image/png;base64,"}
        assert (
            httpx2.post(f"{around.url}/v1/compare", json={**shown, **picture}, timeout=WAIT_S).status_code
            == httpx2.codes.OK
        )
    else:
        ImageComparisonConfig.model_validate_json(block.text)
        assert (answer := compared(around, shown))["code"] == httpx2.codes.OK, answer["error"]


def answers(block: Block, shown: Any, around: Surroundings) -> Iterator[Any]:
    """What comes of the requests on that page, of one without a config, or of one with a wrong field."""
    if shown["error"] is not None:
        yield compared(around, {shown["error"]["field"].removeprefix("/config/"): "wrong"})
        return
    yield compared(around, {})
    for each in BLOCKS:
        if each.page == block.page and each.kind == "shell":
            for text in re.findall(r"'config=(\{.*?\})' ", each.text):
                yield compared(around, json.loads(text))


def compared(around: Surroundings, config: Any) -> Any:
    pictures = {
        side: (around.like / f"{name}.png").read_bytes() for side, name in (("reference", "a"), ("candidate", "b"))
    }
    return httpx2.post(
        f"{around.url}/v1/compare", files=pictures, data={"config": json.dumps(config)}, timeout=WAIT_S
    ).json()


async def agent_told(server: Any, around: Surroundings) -> str:
    """What a client of the Model Context Protocol hears that was set up so."""
    if "url" in server:
        pair = {side: data_url(around.like / f"{name}.png") for side, name in (("reference", "a"), ("candidate", "b"))}
        at: Any = around.told(server["url"])
    else:
        pair = {"reference": "a.png", "candidate": "b.png"}
        command = str(around.like / ".venv" / "bin" / server["command"])
        env = {"PYTHONPATH": str(ROOT)}
        at = StdioServerParameters(command=command, args=server["args"], env=env, cwd=around.like)
    async with Client(at, read_timeout_seconds=WAIT_S) as agent:
        config = {"max_differences": 0}
        result = await agent.call_tool("compare_images", {**pair, "config": config})
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def data_url(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def told_of_a_job(kind: str) -> Any:
    """A webhook's message, as it is sent at the moment that the page has."""
    ended = EndedAttempt("id", 1, "alice", "https://x", kind.removeprefix("job."), 1.0, 2.0, 1795766400.5, None)  # type: ignore[arg-type]
    return json.loads(ended.message.body)


# Settings, programs and the rest.


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_settings_are_taken(block: Block) -> None:
    values = yaml.safe_load(block.text)
    if set(values) <= set(Settings.model_fields):
        Settings.model_validate(values)
    else:
        serve_file.check(values)


def programs() -> dict[str, str]:
    """The Python of each page from its top to its end: what a block has made, the next ones use."""
    found: dict[str, str] = {}
    for block in of("python"):
        found[block.page] = f"{found.get(block.page, '')}{block.text}\n"
    return {text: page for page, text in reversed(found.items())}


@pytest.mark.parametrize("program", list(programs()), ids=list(programs().values()))
def test_python_runs(program: str, around: Surroundings) -> None:
    ran = around.run_python(program)
    assert ran.code == 0, ran.out + ran.err


# What pytest shows of a failure is held by tests/plugins/test_outcomes.py, backups by tests/storage/test_backup.py.
ELSEWHERE = ("docs/pytest.md", "docs/operations.md")


@pytest.mark.parametrize("block", [each for each in of("text") if each.page not in ELSEWHERE], ids=str)
def test_other_text_is_what_the_program_has(block: Block, around: Surroundings) -> None:
    if block.page == "docs/calibration.md":
        columns, *rows = csv.reader(block.text.splitlines())
        assert {"reference", "candidate", "label"} <= {*columns}
        assert {row[columns.index("label")] for row in rows} == {"match", "mismatch"}
    elif block.page == "docs/architecture.md":
        contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        told = [line.strip() for line in block.text.splitlines()]
        arrows = re.search(r"layers = \[(.*?)\]", contract, re.DOTALL)
        assert arrows is not None
        real = [line.replace("serve_app.", "") for line in re.findall(r'"(.*?)"', arrows[1])]
        assert told == [line.replace(" | ocr ", " ") for line in real] or told == real
    else:
        policy = httpx2.get(f"{around.url}/").headers["content-security-policy"]
        assert shows(" ".join(block.text.split()), policy)


def test_a_page_names_this_machine_as_it_is_served() -> None:
    """What stands for the service here is what the docs call it."""
    assert URL in (ROOT / "README.md").read_text(encoding="utf-8")
