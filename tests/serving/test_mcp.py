"""`/mcp` of the whole app behind a real port, asked by the protocol's own client; no Ray, no model."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
from mcp import MCPError
from pydantic import ValidationError

from serve_app.comparison.pipeline import Pipeline
from serve_app.core.measured import Examination
from serve_app.schema import ImageComparisonConfig
from serve_app.serving import mcp_server
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import open_door
from serve_app.serving.readiness import AlwaysReady
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import Access, Limits, McpSettings, Settings, agents
from tests.rigs.agent import MODES, call, client, data_url, images, posted, text
from tests.rigs.http_server import served
from tests.serving.page.conftest import pipeline
from tests.serving.test_api import Counted, Entries, Stages
from tests.worlds.samples import card, encoded, noise

A, B = data_url(encoded(card())), data_url(encoded(card("red")))
SQUARE = [120, 60, 30, 30]
KEY = "pl_test"
each_mode = pytest.mark.parametrize("mode", MODES)


class Service:
    """One app: what it counted and logged. `stages`: what compares, where it is not the real ones."""

    def __init__(self, settings: Settings, stages: Stages | None = None) -> None:
        self.counted = Counted()
        self.log = Entries()
        logger = logging.Logger("mcp door")
        logger.addHandler(self.log)
        self.door = open_door(settings, recorder=self.counted)
        self.app = create_app(
            pipeline(settings) if stages is None else Pipeline(stages, stages, settings),
            settings,
            readiness=AlwaysReady(),
            logger=logger,
            door=self.door,
        )
        self.url = ""

    def ended(self, *, at_least: int = 1) -> list[RequestRecord]:
        """The records, of so many requests; an answer is there before its record."""
        for _ in range(1000):
            if len(self.counted.records) >= at_least:
                break
            threading.Event().wait(0.01)
        return self.counted.records


class Faulty(Stages):
    word = "opal"  # what a bug's text may quote

    async def examine(self, *_: object) -> Examination:
        raise ValueError(self.word)


Open = Callable[..., Service]


@pytest.fixture
def open_service() -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(*, stages: Stages | None = None, **settings: Any) -> Service:
            made: list[Service] = []

            def app() -> Any:
                made.append(Service(Settings(**settings), stages))
                return made[0].app

            url = stack.enter_context(served(app))
            made[0].url = url
            return made[0]

        yield opened


@each_mode
async def test_an_agent_finds_the_tool_and_hears_where_two_pictures_differ(open_service: Open, mode: str) -> None:
    service = open_service()
    async with client(service.url, mode) as agent:
        (found,) = (await agent.list_tools()).tools
        different = await agent.call_tool("compare_images", {"reference": A, "candidate": B})
        same = await agent.call_tool("compare_images", {"reference": A.partition(",")[2], "candidate": A})

    assert found.input_schema["required"] == ["reference", "candidate"]
    config = found.input_schema["properties"]["config"]
    fields = found.input_schema["$defs"][config["$ref"].rpartition("/")[2]]["properties"]
    assert fields.keys() == ImageComparisonConfig.model_fields.keys()
    report: Any = different.structured_content
    jsonschema.validate(report, found.output_schema)
    assert not different.is_error
    assert report["differences"][0]["candidate_box"] == SQUARE
    assert f"candidate {SQUARE}" in text(different)
    (overlay,) = images(different)
    assert overlay.getpixel((135, 75)) != overlay.getpixel((60, 75))
    assert (same.is_error, (same.structured_content or {})["verdict"], images(same)) == (False, "match", [])

    compared = [record for record in service.ended(at_least=3) if record.report_id is not None]
    assert [(each.path, each.verdict, each.admitted) for each in compared] == [
        ("/mcp", report["verdict"], True),
        ("/mcp", "match", True),
    ]
    assert service.door.admission.num_pending == 0


@each_mode
async def test_what_an_agent_can_do_better_is_told_as_the_result(open_service: Open, mode: str) -> None:
    service = open_service(limits=Limits(max_side=300))
    by_value = "An image is given as a data: URL or its base64 alone; paths and other URLs are not read here."
    refused: dict[str, dict[str, Any]] = {
        f"malformed_request [reference]: {by_value}": {"reference": __file__},
        f"malformed_request [candidate]: {by_value}": {"candidate": "https://example.org/a.png"},
        "two_images_required: Give two images, reference and candidate: the candidate is missing.": {"candidate": None},
        "malformed_request: compare_images takes reference, candidate, config and nothing else.": {"secret": "opal"},
        "invalid_config [/config]: The config has a field of an unknown name.": {"config": {"opal opal": 1}},
    }
    async with client(service.url, mode) as agent:
        for sentence, arguments in refused.items():
            given = {"reference": A, "candidate": B, **arguments}
            result = await agent.call_tool(
                "compare_images", {name: value for name, value in given.items() if value is not None}
            )
            assert (result.is_error, text(result), len(result.content)) == (True, sentence, 1)
        config = await agent.call_tool(
            "compare_images", {"reference": A, "candidate": B, "config": {"similarity_threshold": 7}}
        )
        assert text(config).startswith("invalid_config [/config/similarity_threshold]: ")
        large = data_url(encoded(card(size=(400, 40))))
        too_large = await agent.call_tool("compare_images", {"reference": A, "candidate": large})
        assert text(too_large).startswith("image_too_large [candidate]: ")
        letter = await agent.call_tool("compare_images", {"reference": data_url(b"a letter"), "candidate": B})
        assert text(letter).startswith("unsupported_image_type [reference]: ")
        with pytest.raises(MCPError, match="There is no such tool here; there is compare_images"):
            await agent.call_tool("compare", {})
    errors = {record.error for record in service.ended(at_least=9)}
    rejected = {"invalid_config", "image_too_large", "unsupported_image_type"}
    assert errors == {None, "malformed_request", "two_images_required", *rejected}
    assert "opal" not in str([vars(record) for record in service.log.records])


async def test_pictures_that_are_asked_for_come_though_nothing_differs(open_service: Open) -> None:
    service = open_service()
    arguments = {"reference": A, "candidate": A, "config": {"visuals": ["side_by_side", "reference"]}}
    async with client(service.url, "auto") as agent:
        shown = images(await agent.call_tool("compare_images", arguments))
    assert len(shown) == 2
    assert shown[1].size == (200, 120)


@each_mode
async def test_any_replica_answers_any_request(open_service: Open, mode: str) -> None:
    """One client, whose requests go to two services in turn."""
    services = open_service(), open_service()
    ports = [httpx2.URL(service.url).port for service in services]

    class Balanced(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            ports.reverse()
            request.url = request.url.copy_with(port=ports[0])
            return await super().handle_async_request(request)

    async with (
        httpx2.AsyncClient(transport=Balanced(), timeout=60) as http,
        client(services[0].url, mode, http) as agent,
    ):
        for _ in range(3):
            assert not (await agent.call_tool("compare_images", {"reference": A, "candidate": B})).is_error
    asked = [[record for record in service.counted.records if record.report_id] for service in services]
    assert sorted(map(len, asked)) == [1, 2]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8000"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "127.0.0.1@evil.example"}, 403),
        ({"host": "["}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "Compare.Example.org:443", "origin": "https://compare.example.org"}, 200),
    ],
)
def test_a_browser_that_was_led_here_by_another_name_is_refused(
    open_service: Open, headers: dict[str, str], status: int
) -> None:
    service = open_service(mcp=McpSettings(allowed_hosts=("compare.EXAMPLE.org",)))
    answer = posted(service.url, call(reference=A, candidate=A), **headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["type"] == "not_allowed"
        assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["http://a", "a:80", "a/b", "*", "", "a b"])
def test_what_is_no_host_alone_is_refused_where_it_is_set(host: str) -> None:
    with pytest.raises(ValidationError, match="names or addresses alone"):
        Settings(mcp=McpSettings(allowed_hosts=(host,)))


def test_a_body_over_the_limit_is_refused_before_it_is_read(open_service: Open) -> None:
    service = open_service(limits=Limits(max_body_bytes=100_000, max_bytes_under_way=100_000))
    large = data_url(encoded(noise(300, 300)))
    answer = posted(service.url, call(reference=large, candidate=large))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "body_too_large")
    assert posted(service.url, call(reference=A, candidate=B)).json()["result"]["isError"] is False


async def test_a_large_message_is_answered(open_service: Open) -> None:
    """Over what the protocol's library takes by itself, 4 MiB, and what it is handed here, 256 KiB."""
    service = open_service()
    large = data_url(encoded(noise(1200, 1200), compress_level=0))
    assert len(large) > 5_000_000
    async with client(service.url, "auto") as agent:
        result = await agent.call_tool("compare_images", {"reference": large, "candidate": large})
    assert text(result).startswith("match: similarity 1.000")


def test_keys_and_quotas_are_those_of_the_service(open_service: Open, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} shop\n")
    service = open_service(access=Access(api_keys_file=str(keys)), limits=Limits(requests_per_minute=1, burst=2))
    message = call(reference=A, candidate=A)
    told = [posted(service.url, message), posted(service.url, message, authorization="Bearer pl_other")]
    told += [posted(service.url, message, authorization=f"Bearer {KEY}") for _ in range(3)]
    assert [answer.status_code for answer in told] == [401, 403, 200, 200, 429]
    assert [answer.json()["error"]["type"] for answer in told if answer.status_code >= 400] == [
        "api_key_required",
        "not_allowed",
        "rate_limited",
    ]
    assert told[0].headers["www-authenticate"] == "Bearer"
    assert int(told[-1].headers["retry-after"]) > 0
    assert {record.key_name for record in service.ended(at_least=5)} == {None, "shop"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "The body is not JSON."),
        (b"[]", "The body is not a JSON object."),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7, "secret": "opal"}', "The body is not one message of JSON-RPC 2.0."),
        (
            b'{"jsonrpc": "2.0", "method": "a", "params": {"b": "' + b"x" * 300_000 + b'"}}',
            "The message is over 262144",
        ),
        (b"[" * 30_000, "The JSON body has more than 20000 values."),
        (b"[" * 10_000, "The body is not JSON."),
    ],
)
@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
def test_what_is_no_message_is_an_error_of_the_protocol(
    open_service: Open, body: bytes, told: str, version: str
) -> None:
    service = open_service()
    answer = posted(service.url, body, **{"mcp-protocol-version": version})
    assert answer.status_code == 400
    said = answer.json()
    assert (said["jsonrpc"], said["id"], said["error"]["code"]) == ("2.0", None, -32600)
    assert said["error"]["message"].startswith(told)
    assert "opal" not in answer.text
    assert service.ended()[-1].error == "malformed_request"


def test_a_form_of_another_page_is_not_read(open_service: Open) -> None:
    service = open_service()
    answer = posted(service.url, call(reference=A, candidate=A), **{"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Send application/json.")


def test_nothing_is_told_that_was_not_asked_for(open_service: Open) -> None:
    service = open_service()
    for answer in (httpx2.get(f"{service.url}/mcp"), httpx2.delete(f"{service.url}/mcp")):
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_where_it_is_off_or_not_installed_there_is_nothing(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    off = open_service(mcp=McpSettings(enabled=False))
    monkeypatch.setattr(agents, "find_spec", lambda name: None)
    missing = open_service()
    for service in (off, missing):
        answer = posted(service.url, call(reference=A, candidate=A))
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


@each_mode
async def test_a_bug_is_logged_without_its_text_and_nothing_of_it_is_told(open_service: Open, mode: str) -> None:
    service = open_service(stages=Faulty())
    async with client(service.url, mode) as agent:
        result = await agent.call_tool("compare_images", {"reference": A, "candidate": B})
    assert (result.is_error, text(result)) == (True, f"internal: {mcp_server.BUG}")
    (bug,) = [record.getMessage() for record in service.log.records if record.levelno >= logging.ERROR]
    assert bug.startswith("bug: ValueError\n")
    assert "opal" not in bug


@each_mode
async def test_a_comparison_is_given_up_where_the_agent_leaves(mode: str) -> None:
    stages = Stages()
    stages.gate = asyncio.Event()
    service = Service(Settings(limits=Limits(max_pending_requests=1)), stages)
    async with service.app.router.lifespan_context(service.app):
        transport = httpx2.ASGITransport(service.app)
        async with httpx2.AsyncClient(transport=transport) as http, client("http://localhost", mode, http) as agent:
            asking = asyncio.create_task(agent.call_tool("compare_images", {"reference": A, "candidate": B}))
            await stages.entered.wait()
            assert service.door.admission.num_pending == 1
            asking.cancel()
            await asyncio.wait({asking})
        assert service.door.admission.num_pending == 0
        assert "client_left" in [record.outcome for record in service.counted.records]
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if "pipeline" in repr(task.get_coro())]
        assert left == []
