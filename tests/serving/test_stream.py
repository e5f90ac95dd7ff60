"""`POST /v1/compare/stream`: what is told, when, and that it is refused as any comparison is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from serve_app.comparison.examiner import Examiner
from serve_app.core.assessed import Assessment
from serve_app.core.measured import Examination
from serve_app.core.reading import Reading, TextChange
from serve_app.errors import ModelFailed, Overloaded
from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig
from serve_app.settings import Access, Limits, PreprocessingSettings
from tests.serving.test_api import A, B, Service, keys_file, open_service
from tests.worlds.samples import assessed, examined, measured

__all__ = ["keys_file", "open_service"]  # fixtures
STREAM = "/v1/compare/stream"
STAGES = [f"progress {stage} {state}" for stage in ("examine", "assess") for state in ("waiting", "working", "done")]
ALL = [*STAGES[:3], "measurement", *STAGES[3:], "report"]
Open = Callable[..., Service]


class Event(dict[str, Any]):
    """One server-sent event: its fields as they came, `data` as JSON."""

    @property
    def name(self) -> str:
        data = self["data"]
        return f"progress {data['stage']} {data['state']}" if self["event"] == "progress" else str(self["event"])


def parsed(text: str) -> list[Event]:
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append(Event({**fields, "data": json.loads(fields["data"])}))
    return events


class Caller:
    """Sends one request and takes the answer as it comes: the client in memory waits for all of it."""

    def __init__(self, service: Service, **config: Any) -> None:
        files = [("files", ("a", A)), ("files", ("b", B))]
        request = httpx2.Request("POST", f"http://test{STREAM}", files=files, data={"config": json.dumps(config)})
        self._body = request.read()
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": STREAM, "raw_path": STREAM.encode(), "query_string": b"",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("test", 80), "scheme": "http",
            "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        self.text = ""
        self.left = asyncio.Event()
        self._grown = asyncio.Event()
        self._is_sent = False
        self.task = asyncio.create_task(service.app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.text += message.get("body", b"").decode()
        self._grown.set()

    async def until(self, name: str) -> list[str]:
        """What was told up to the event of this name."""
        async with asyncio.timeout(10):
            while name not in (names := [event.name for event in parsed(self.text)]):
                self._grown.clear()
                await self._grown.wait()
        return names


@pytest.fixture
async def service(open_service: Open) -> AsyncIterator[Service]:
    opened = open_service()
    opened.stages.examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=True)
    yield opened
    opened.stages.examiner.close()


async def streamed(service: Service, **request: Any) -> httpx2.Response:
    files = [("files", ("a", A)), ("files", ("b", B))]
    return await service.client.post(STREAM, files=files, **request)


async def test_the_stages_the_measurement_and_the_report_are_told_in_order(service: Service) -> None:
    answer = await streamed(service)
    events = parsed(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event.name for event in events] == ALL
    told = Envelope[ComparisonReport].model_validate(events[-1]["data"])
    assert told.data is not None
    assert told.request_id == answer.headers["x-request-id"]
    measured = events[3]["data"]
    assert measured["differences"][0]["candidate_box"] == [120, 60, 30, 30]
    assert measured["measurement"] == told.data.measurement.model_dump(mode="json")
    files = [("files", ("a", A)), ("files", ("b", B))]
    again = await service.client.post("/v1/compare", files=files, headers={"cache-control": "no-cache"})
    plain = again.json()["data"]
    assert told.data.model_dump(mode="json", exclude={"timings_ms"}) == {
        name: value for name, value in plain.items() if name != "timings_ms"
    }


async def test_what_was_measured_comes_while_the_model_is_at_work(service: Service) -> None:
    gate = asyncio.Event()

    async def assess(*asked: Any) -> Assessment:
        await gate.wait()
        return assessed()

    service.stages.assess = assess  # type: ignore[assignment, method-assign]
    caller = Caller(service)
    assert await caller.until("progress assess working") == ALL[:6]
    gate.set()
    assert await caller.until("report") == ALL
    await caller.task


async def test_what_was_read_is_told_after_what_was_measured(open_service: Open) -> None:
    service = open_service()
    changed = TextChange("changed", "Now 12.80", "Now 13.80", "12.80", "13.80", 0.9)

    async def examine(asked: Any, other: Any, config: ImageComparisonConfig, deadline: Any) -> Examination:
        pair = examined(measured(0.5), (None,) * len(config.comparison_aspects))
        return replace(pair, reading=Reading("read", ((changed,),), num_lines=2, engine="e", model="m"))

    service.stages.examine = examine  # type: ignore[assignment, method-assign]
    events = parsed((await streamed(service)).text)
    assert [event.name for event in events] == [*ALL[:4], "text", *ALL[4:]]
    told = events[4]["data"]
    assert (told["text"]["status"], told["text"]["lines"]) == ("read", 2)
    assert told["differences"][0]["text"]["candidate_word"] == "13.80"


async def test_who_leaves_ends_the_work(service: Service) -> None:
    ended = asyncio.Event()

    async def assess(*asked: Any) -> Assessment:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return assessed()

    service.stages.assess = assess  # type: ignore[assignment, method-assign]
    caller = Caller(service)
    await caller.until("progress assess working")
    caller.left.set()
    async with asyncio.timeout(5):
        await ended.wait()
        await caller.task
    assert service.door.admission.num_pending == 0


async def test_a_failure_on_the_way_is_the_last_event_in_the_same_envelope(service: Service) -> None:
    service.stages.fault = ModelFailed("The model could not answer.")
    answer = await streamed(service, data={"config": '{"language": "zh"}'})
    events = parsed(answer.text)
    assert [event.name for event in events] == [*ALL[:6], "error"]
    told = events[-1]["data"]
    assert (told["code"], told["msg"], told["data"]) == (500, "处理失败", None)
    assert told["error"]["type"] == "internal"
    assert service.counted.records[-1].error == "internal"


async def test_when_to_try_again_is_told_in_the_stream(service: Service) -> None:
    service.stages.fault = Overloaded("Too much is waiting.", retry_after_s=7)
    last = parsed((await streamed(service)).text)[-1]
    assert (last["event"], last["retry"], last["data"]["code"]) == ("error", "7000", 503)


async def test_a_bug_is_told_without_its_text(service: Service) -> None:
    service.stages.fault = RuntimeError("a secret path")
    answer = await streamed(service)
    last = parsed(answer.text)[-1]
    assert (last.name, last["data"]["error"]["type"]) == ("error", "internal")
    assert "secret" not in answer.text
    assert any("bug: RuntimeError" in record.getMessage() for record in service.log.records)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        ({"files": [("files", ("a", A))]}, 400, "two_images_required"),
        ({"json": {}}, 400, "two_images_required"),
        ({"content": b"x"}, 400, "malformed_request"),
        ({"files": [("files", ("a", A)), ("files", ("b", B))], "data": {"config": '{"x": 1}'}}, 422, "invalid_config"),
    ],
)
async def test_what_is_wrong_from_the_start_has_its_own_status(
    service: Service, sent: dict[str, Any], status: int, kind: str
) -> None:
    answer = await service.client.post(STREAM, **sent)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


async def test_who_may_not_is_refused_as_everywhere(open_service: Open, keys_file: str) -> None:
    service = open_service(access=Access(api_keys_file=keys_file))
    assert (await streamed(service)).status_code == 401
    allowed = await streamed(service, headers={"x-api-key": "the-key"})
    assert parsed(allowed.text)[-1].name == "report"
    assert service.counted.records[-1].key_name == "shop"


async def test_it_counts_for_the_quota_and_gets_429(open_service: Open) -> None:
    service = open_service(Limits(requests_per_minute=1, burst=1))
    assert (await streamed(service)).status_code == 200
    refused = await streamed(service)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0


async def test_what_is_not_promised_is_refused_before_the_stream(service: Service) -> None:
    checked = service.door.admission.check
    calls = iter((checked, refusing))  # let in, and then too late for its own deadline
    service.door.admission.check = lambda *asked, **more: next(calls)(*asked, **more)  # type: ignore[method-assign]
    answer = await streamed(service)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "9"
    assert service.door.admission.num_pending == 0


def refusing(*_: Any, **__: Any) -> None:
    raise Overloaded("Too much is in front of it.", retry_after_s=9)


async def test_a_report_that_is_there_is_told_at_once(service: Service) -> None:
    await service.compare()
    (only,) = parsed((await streamed(service)).text)
    assert (only.name, only["data"]["data"]["cached"]) == ("report", True)
    anew = await streamed(service, headers={"cache-control": "no-cache"})
    assert [event.name for event in parsed(anew.text)] == ALL


async def test_the_record_of_the_request_is_as_of_any_comparison(service: Service) -> None:
    await streamed(service)
    record = service.counted.records[-1]
    assert (record.path, record.status, record.admitted, record.outcome) == (STREAM, 200, True, "answered")
    assert record.report_id is not None
    assert record.measure_ms is not None
