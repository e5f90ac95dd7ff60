"""The HTTP door over a pipeline whose stages are given: every status of the contract, no Ray, no model."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import random
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pydantic_core
import pytest
from starlette.formparsers import MultiPartException

from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline
from serve_app.core.measured import Examination
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, ModelFailed, Overloaded, Unavailable
from serve_app.schema import ImageComparisonConfig
from serve_app.serving.api import data_url as data_url_module
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import open_door
from serve_app.serving.api.form import without_preamble
from serve_app.serving.readiness import AlwaysReady
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import Access, Limits, ModelSettings, PreprocessingSettings, Settings
from tests.worlds.samples import assessed, card, encoded, examined, measured, noise, without_collection

A, B = encoded(card()), encoded(card("red"))


class Stages:
    """Both stages, answering what the test says."""

    def __init__(self) -> None:
        self.examined: list[tuple[Upload, Upload, ImageComparisonConfig, Deadline]] = []
        self.examiner: Examiner | None = None  # a real one, that keeps nothing
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        if self.examiner is not None:
            return await self.examiner.examine(reference, candidate, config, deadline)
        self.examined.append((reference, candidate, config, deadline))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        return examined(measured(0.5), (None,) * len(config.comparison_aspects))

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        if self.fault is not None:
            raise self.fault
        return assessed()


class Entries(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Counted:
    """Keeps the record of each request."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def load(self, pending: int, expected_wait_s: float) -> None:
        pass


class Service:
    """One app over `Stages`, and a client for it."""

    def __init__(self, settings: Settings, readiness: Any = None) -> None:
        self.stages = Stages()
        self.log = Entries()
        logger = logging.Logger("test")
        logger.addHandler(self.log)
        self.counted = Counted()
        self.door = open_door(settings, recorder=self.counted)
        self.app = create_app(
            Pipeline(self.stages, self.stages, settings),
            settings,
            readiness=readiness or AlwaysReady(),
            logger=logger,
            door=self.door,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://test")

    async def compare(self, *, config: Any = None, **request: Any) -> httpx2.Response:
        if not request:
            request = {"files": [("files", ("a", A)), ("files", ("b", B))]}
        if config is not None:
            request["data"] = {"config": config if isinstance(config, str) else json.dumps(config)}
        return await self.client.post("/v1/compare", **request)


@pytest.fixture
async def open_service() -> AsyncIterator[Callable[..., Service]]:
    opened: list[Service] = []

    def open_(limits: Limits | None = None, readiness: Any = None, access: Access | None = None) -> Service:
        settings = Settings(
            limits=limits or Limits(), access=access or Access(), model=ModelSettings(engine="scripted")
        )
        opened.append(Service(settings, readiness))
        return opened[-1]

    yield open_
    for service in opened:
        await service.client.aclose()


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    """One key, `the-key`, named shop."""
    path = tmp_path / "keys"
    path.write_text(f"# keys of the test\n{hashlib.sha256(b'the-key').hexdigest()} shop\n")
    return str(path)


def refusal(response: httpx2.Response) -> tuple[int, str, str | None]:
    """Status, type and field of an error, after checking the envelope around it."""
    answer = response.json()
    assert answer["code"] == response.status_code
    assert answer["data"] is None
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["error"]["detail"].endswith(".")
    return response.status_code, answer["error"]["type"], answer["error"]["field"]


def data_url(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode()


async def test_the_seeds_form_gets_a_report(open_service: Callable[..., Service]) -> None:
    service = open_service()
    response = await service.compare(config={"similarity_threshold": 0.4})
    answer = response.json()
    assert (response.status_code, answer["code"], answer["msg"], answer["error"]) == (200, 200, "ok", None)
    assert answer["data"]["verdict"] == "match"
    assert [upload.data for upload in service.stages.examined[0][:2]] == [A, B]


async def test_named_parts_may_come_in_any_order(open_service: Callable[..., Service]) -> None:
    service = open_service()
    response = await service.compare(files=[("candidate", ("b", B)), ("reference", ("a", A))])
    assert response.status_code == 200
    assert [upload.data for upload in service.stages.examined[0][:2]] == [A, B]


async def test_json_with_data_urls_is_the_same_request(open_service: Callable[..., Service]) -> None:
    service = open_service()
    body = {"reference": data_url(A), "candidate": data_url(B), "config": {"language": "zh"}}
    response = await service.compare(json=body)
    assert response.status_code == 200
    assert [upload.data for upload in service.stages.examined[0][:2]] == [A, B]
    assert service.stages.examined[0][2].language == "zh"


def encoded_in(pieces: int, end: str) -> str:
    text = base64.b64encode(A).decode()
    return end.join(text[at : at + pieces] for at in range(0, len(text), pieces)) + end


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + encoded_in(76, "\n"),
        "data:image/png;base64," + encoded_in(64, "\r\n"),
        "data:image/png;base64, " + encoded_in(1, ""),
        " data:image/png;base64," + encoded_in(3, " \t"),
        "data:image;base64," + encoded_in(76, ""),
        "data:;base64," + encoded_in(76, ""),
        "DATA:IMAGE/PNG;BASE64," + encoded_in(76, ""),
        "data:image/png;charset=utf-8; base64 ," + encoded_in(76, ""),
        "data:image/png;base64," + quote(encoded_in(76, ""), safe=""),
        "data:image/png;base64," + quote(encoded_in(5, "\n"), safe=""),
        "data:image/png;base64," + encoded_in(76, "").rstrip("="),
        "data:image/png," + quote(A, safe=""),
    ],
)
async def test_a_data_url_may_be_written_as_clients_write_it(open_service: Callable[..., Service], url: str) -> None:
    service = open_service()
    response = await service.compare(json={"reference": url, "candidate": data_url(B)})
    assert response.status_code == 200, response.text
    assert [upload.data for upload in service.stages.examined[0][:2]] == [A, B]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 196_607, 262_143, 262_144, 262_145, 600_001])
@pytest.mark.parametrize("end", ["", "\n", "%0A"])
def test_a_data_url_of_any_length_is_decoded(length: int, end: str) -> None:
    data = random.Random(length).randbytes(length)
    text = base64.b64encode(data).decode()
    broken = end.join(text[at : at + 76] for at in range(0, len(text), 76))
    assert data_url_module.decoded("data:;base64," + broken) == data
    assert data_url_module.decoded("data:;base64," + quote(broken, safe="%" if end == "%0A" else "")) == data
    assert data_url_module.decoded("data:," + quote(data, safe="")) == data
    if length == 196_607:  # the padding ends a piece
        with pytest.raises(ValueError, match="padding"):
            data_url_module.decoded("data:;base64," + text + "AAAA")


def form(*parts: tuple[str, bytes], before: bytes = b"", after: bytes = b"") -> dict[str, Any]:
    body = before + b"".join(
        b"--XX\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return {"content": body + b"--XX--\r\n" + after, "headers": {"content-type": "multipart/form-data; boundary=XX"}}


@pytest.mark.parametrize(
    "request_",
    [
        form(("name=\"files\"; filename*=utf-8''%E4%B8%AD.png", A), ("name=files; filename*=utf-8''b", B)),
        form(("filename*=utf-8''%E4%B8%AD.png; name=\"files\"", A), ('name="files"; filename="b"', B)),
        form(('name="reference"', A), ("name=candidate", B), ('name="config"', b"{}")),
        form(('name="files"; filename=""', A), ('name="files"; filename=""', B)),
        form(
            ("name=files; filename=a", A),
            ("name=files; filename=b", B),
            before=b"An --XX in it\r\n--X\r\n",
        ),
        form(("name=files; filename=a", A), ("name=files; filename=b", B), before=b"\r\n", after=b"an epilogue"),
        form(("name=files; filename=a", A), ("name=files; filename=b", B), before=b"x" * 60_000 + b"\n"),
    ],
)
async def test_a_form_may_be_written_as_clients_write_it(
    open_service: Callable[..., Service], request_: dict[str, Any]
) -> None:
    service = open_service()
    response = await service.compare(**request_)
    assert response.status_code == 200, response.text
    assert [upload.data for upload in service.stages.examined[0][:2]] == [A, B]


async def test_a_preamble_without_an_end_is_not_gathered() -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    with pytest.raises(MultiPartException):
        await anext(without_preamble(endless(), b"XX"))
    assert sent < 100


async def test_a_form_in_pieces_is_found_behind_its_preamble(open_service: Callable[..., Service]) -> None:
    whole = form(("name=files", A), ("name=files", B), before=b"A preamble.\r\n")

    async def bytewise() -> AsyncIterator[bytes]:
        for at in range(0, len(whole["content"]), 7):
            yield whole["content"][at : at + 7]

    response = await open_service().compare(content=bytewise(), headers=whole["headers"])
    assert response.status_code == 200, response.text


ONE = [("files", ("a", A))]
BOTH = [("files", ("a", A)), ("files", ("b", B))]


@pytest.mark.parametrize(
    "files",
    [
        ONE,
        ONE * 3,
        [*ONE, ("reference", ("b", B))],
        [("reference", ("a", A))],
        [("reference", ("a", A)), ("reference", ("b", B))],
    ],
)
async def test_anything_but_two_images_is_refused(open_service: Callable[..., Service], files: Any) -> None:
    assert refusal(await open_service().compare(files=files)) == (400, "two_images_required", None)


async def test_the_seeds_sentence_comes_back_in_chinese(open_service: Callable[..., Service]) -> None:
    response = await open_service().compare(files=ONE, config={"language": "zh"})
    assert response.json()["msg"] == "请提供两个文件进行对比"


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"hello", "headers": {"content-type": "text/plain"}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"content": b"[1]", "headers": {"content-type": "application/json"}},
        {"content": b"no boundary at all", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
        {"json": {"reference": "data:image/png;base64", "candidate": data_url(B)}},
        {"json": {"reference": "image/png;base64," + data_url(A)[22:], "candidate": data_url(B)}},
        {"json": {"reference": data_url(A)[:-9] + "=" + data_url(A)[-8:], "candidate": data_url(B)}},
        {"content": b"x" * 400_000 + b"--x\r\n\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"json": {"reference": "data:image/png;base64,%%%", "candidate": data_url(B)}},
        {"json": {"reference": 5, "candidate": data_url(B)}},
        {"json": {"reference": "https://example.com/a.png", "candidate": data_url(B)}},
        {"json": {"reference": data_url(A), "candidate": data_url(B), "extra": 1}},
        {"files": [*ONE, *ONE, ("surprise", ("c", B))]},
        {"json": {"reference": data_url(A), "candidate": data_url(B), "config": {"focus_elements": ["x" * 300_000]}}},
        {"json": {"reference": data_url(A), "candidate": data_url(B), "config": [[]] * 20_001}},
        {"json": {"reference": data_url(A) + "====", "candidate": data_url(B)}},
        {"json": {"reference": "data:" + "x" * 5000 + ";base64,AAAA", "candidate": data_url(B)}},
        {"content": b"--x--", "headers": {"content-type": 'multipart/form-data; boundary="a\\"b"'}},
    ],
)
async def test_what_is_not_parsable_is_refused_by_name(open_service: Callable[..., Service], request_: Any) -> None:
    status, kind, _ = refusal(await open_service().compare(**request_))
    assert (status, kind) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"similarity_threshold": 1.5}, "/config/similarity_threshold"),
        ({"similarity_threshold": "0.5"}, "/config/similarity_threshold"),
        ({"comparison_aspects": []}, "/config/comparison_aspects"),
        ({"focus_elements": ["x" * 201]}, "/config/focus_elements/0"),
        ({"focus_elements": ["  "]}, "/config/focus_elements/0"),
        ({"max_image_size": [1024, 63]}, "/config/max_image_size/1"),
        ({"image_quality": 0}, "/config/image_quality"),
        ({"processing_timeout": 0}, "/config/processing_timeout"),
        ({"ignore_regions": [[0, 0, 0, 5]]}, "/config/ignore_regions/0/2"),
        ({"ignore_regions": [[2**31, 0, 1, 1]]}, "/config/ignore_regions/0/0"),
        ({"ignore_regions": [[0, 0, 1, 10**309]]}, "/config/ignore_regions/0/3"),
        ({"language": "fr"}, "/config/language"),
        ({"visuals": ["secret-value"]}, "/config/visuals/0"),
        ({"treshold": 0.5}, "/config/treshold"),
        ({"<script>": 1}, "/config"),
    ],
)
async def test_a_config_field_out_of_range_is_pointed_at_and_not_echoed(
    open_service: Callable[..., Service], config: dict[str, Any], field: str
) -> None:
    response = await open_service().compare(config=config)
    assert refusal(response) == (422, "invalid_config", field)
    assert "secret-value" not in response.text
    assert "<script>" not in response.text


async def test_a_config_that_is_no_json_is_malformed(open_service: Callable[..., Service]) -> None:
    assert refusal(await open_service().compare(config="{nope")) == (400, "malformed_request", "/config")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_refused_while_it_comes(
    open_service: Callable[..., Service], declared: bool
) -> None:
    service = open_service(Limits(max_body_bytes=10_000))
    sent = 0

    async def drip() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(1000):
            sent += 1000
            yield bytes(1000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    if declared:
        headers["content-length"] = "1000000"
    response = await service.compare(content=drip(), headers=headers)
    assert refusal(response) == (413, "body_too_large", None)
    assert sent <= 20_000


async def test_json_of_very_many_values_is_refused_while_it_comes(open_service: Callable[..., Service]) -> None:
    """Each value takes 60 to 90 times its size once it is parsed: 60 MB took 3.7 GiB."""
    sent = 0

    async def many() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"config":['
        for _ in range(1000):
            sent += 1000
            yield b"[]," * 1000

    response = await open_service().compare(content=many(), headers={"content-type": "application/json"})
    assert refusal(response) == (400, "malformed_request", None)
    assert sent <= 20_000


async def test_large_json_is_the_same_request_and_is_parsed_beside_the_event_loop(
    open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def named(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse(*args, **options)

    parse = pydantic_core.from_json
    monkeypatch.setattr(pydantic_core, "from_json", named)
    service = open_service()
    large = encoded(noise(700, 700), compress_level=0)
    for picture in (A, large, large[:-1], large[:-2]):  # with no padding, and with one and two signs of it
        asked = {"reference": data_url(picture), "candidate": data_url(B), "config": {"language": "zh"}}
        assert (await service.compare(json=asked)).json()["code"] == 200
        assert service.stages.examined[-1][0].data == picture
        assert service.stages.examined[-1][2].language == "zh"
    assert [name == "MainThread" for name in threads] == [True, False, False, False]


async def test_large_json_is_parsed_one_at_a_time(
    open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = most = 0
    lock = threading.Lock()

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        parsed = parse(*args, **options)
        with lock:
            at_work -= 1
        return parsed

    parse = pydantic_core.from_json
    monkeypatch.setattr(pydantic_core, "from_json", counted)
    service = open_service()
    asked = {"reference": data_url(encoded(noise(1500, 1500), compress_level=0)), "candidate": data_url(B)}
    answers = await asyncio.gather(*(service.compare(json=asked) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert most == 1


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "utf-16", "no-such", "\xff"])
async def test_the_charset_of_a_form_is_ours(open_service: Callable[..., Service], charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n--b--\r\n'
    kind = f"multipart/form-data; boundary=b; charset={charset}".encode("latin-1")
    response = await open_service().client.post("/v1/compare", content=body, headers=[(b"content-type", kind)])
    assert refusal(response)[:2] == (400, "malformed_request")


async def test_bodies_under_way_have_a_bound_together(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_body_bytes=10_000, max_bytes_under_way=15_000))
    service.stages.gate = asyncio.Event()
    first = asyncio.create_task(service.compare())
    await service.stages.entered.wait()

    async def large() -> AsyncIterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(9):
            yield bytes(1000)
        counted.set()
        await answered.wait()
        yield b"\r\n--x--\r\n"

    async def small() -> AsyncIterator[bytes]:
        yield bytes(8000)

    counted, answered = asyncio.Event(), asyncio.Event()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    second = asyncio.create_task(service.compare(content=large(), headers=headers))
    await counted.wait()
    third = await service.compare(content=small(), headers=headers)
    assert refusal(third)[:2] == (503, "overloaded")
    assert third.headers["retry-after"]
    answered.set()
    assert (await second).status_code == 400
    service.stages.gate.set()
    assert (await first).status_code == 200
    fourth = await service.compare(content=small(), headers=headers)
    assert refusal(fourth)[:2] == (400, "malformed_request")  # it was read: the bytes of the others were given back


async def test_a_body_that_drips_is_given_up_with_its_place(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_body_timeout_s=0.05))

    async def drip() -> AsyncIterator[bytes]:
        yield b"--x"
        await asyncio.Event().wait()

    response = await service.compare(content=drip(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert refusal(response)[:2] == (504, "deadline_exceeded")
    assert service.door.admission.num_pending == 0


async def test_a_timeout_over_the_ceiling_is_clamped_and_said_so(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_processing_timeout_s=7))
    response = await service.compare(config={"processing_timeout": 1000})
    assert service.stages.examined[0][3].timeout_s == 7
    assert any("ceiling" in warning for warning in response.json()["data"]["warnings"])


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (Deadline.after(3).exceeded(), 504, "deadline_exceeded"),
        (ModelFailed("The model could not assess this pair."), 500, "internal"),
        (Unavailable("A worker was lost."), 503, "not_ready"),
        (RuntimeError("secret of ours /root/x"), 500, "internal"),
    ],
)
async def test_each_failure_has_its_status(
    open_service: Callable[..., Service], fault: Exception, status: int, kind: str
) -> None:
    service = open_service()
    service.stages.fault = fault
    response = await service.compare()
    assert refusal(response)[:2] == (status, kind)
    assert "secret" not in response.text
    assert ("retry-after" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("fault", "status"), [(Deadline.after(3).exceeded(), "timed_out"), (ModelFailed("It broke."), "failed")]
)
async def test_the_measurement_alone_answers_where_the_caller_prefers_it(
    open_service: Callable[..., Service], fault: ComparisonError, status: str
) -> None:
    service = open_service()
    service.stages.fault = fault
    response = await service.compare(config={"on_model_failure": "measurement"})
    assert response.status_code == 200
    assert response.json()["data"]["model"]["status"] == status


async def test_more_than_the_pending_limit_is_refused_before_its_body(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_pending_requests=1))
    service.stages.gate = asyncio.Event()
    first = asyncio.create_task(service.compare())
    await service.stages.entered.wait()
    response = await service.compare()
    assert refusal(response)[:2] == (503, Overloaded.type)
    assert int(response.headers["retry-after"]) >= 1
    service.stages.gate.set()
    assert (await first).status_code == 200
    assert (await service.compare()).status_code == 200


async def test_what_can_not_end_in_time_is_refused_with_the_wait(open_service: Callable[..., Service]) -> None:
    service = open_service()
    service.stages.gate = asyncio.Event()
    first = asyncio.create_task(service.compare())
    await service.stages.entered.wait()
    files = [("files", ("b", B)), ("files", ("a", A))]  # else it would wait for the same report
    response = await service.compare(files=files, config={"processing_timeout": 2})
    assert refusal(response)[:2] == (503, "overloaded")
    assert int(response.headers["retry-after"]) == 2, "one job of the model, guessed at 2 s, is in front"
    assert (await asyncio.wait_for(service.compare(files=ONE), 5)).status_code == 400
    service.stages.gate.set()
    assert (await first).status_code == 200
    assert service.door.admission.num_pending == 0
    assert [record.admitted for record in service.counted.records] == [False, False, True]


async def test_who_can_do_without_a_busy_model_gets_the_measurement(open_service: Callable[..., Service]) -> None:
    service = open_service()
    service.door.admission.enter("other", Deadline.after(60)).promise(Deadline.after(60))
    config = {"processing_timeout": 3, "on_model_failure": "measurement"}
    response = await service.compare(config=config)
    assert response.status_code == 200
    assert response.json()["data"]["model"]["status"] == "failed"
    assert refusal(await service.compare(config={"processing_timeout": 3}))[:2] == (503, "overloaded")


async def test_who_can_do_without_a_lost_model_gets_the_measurement(open_service: Callable[..., Service]) -> None:
    service = open_service()
    service.door.admission.resize("assess", 0, entrances=1, sent_to_each=2)
    config = {"processing_timeout": 3, "on_model_failure": "measurement"}
    assert (await service.compare(config=config)).json()["data"]["model"]["status"] == "failed"
    assert refusal(await service.compare(config={"processing_timeout": 3}))[:2] == (503, "not_ready")


@pytest.mark.parametrize("sent", ["form", "JSON", "large JSON"])
@pytest.mark.parametrize("refused", [b"no picture", B[:200]], ids=["another kind", "cut off"])
async def test_a_refused_upload_is_not_kept(open_service: Callable[..., Service], sent: str, refused: bytes) -> None:
    """What only Python's cyclic collection would free stays for minutes."""
    service = open_service()
    service.stages.examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=False)
    first = encoded(noise(700, 700), compress_level=0) if sent == "large JSON" else A
    request: dict[str, Any] = {"json": {"reference": data_url(first), "candidate": data_url(refused)}}
    if sent == "form":
        request = {"files": [("files", ("a", first)), ("files", ("b", refused))]}
    with without_collection(Upload) as kept:
        for _ in range(3):
            assert (await service.compare(**request)).status_code in (415, 422)
        assert await kept.settle() == []


async def test_a_client_that_leaves_gives_its_place_up(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_pending_requests=1))
    service.stages.gate = asyncio.Event()
    leaving = asyncio.create_task(service.compare())
    await service.stages.entered.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    service.stages.gate.set()
    assert (await service.compare()).status_code == 200
    assert [record.outcome for record in service.counted.records] == ["client_left", "answered"]


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_bug(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_pending_requests=1))
    for kind in (b"multipart/form-data; boundary=x", b"application/json"):
        messages = iter([{"type": "http.request", "body": b"--x", "more_body": True}, {"type": "http.disconnect"}])
        sent: list[Any] = []

        async def receive(messages: Any = messages) -> Any:
            return next(messages)

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/compare",
            "raw_path": b"/v1/compare",
            "query_string": b"",
            "headers": [(b"content-type", kind)],
        }
        await service.app(scope, receive, send)
        assert sent == []
    assert [record.outcome for record in service.counted.records] == ["client_left"] * 2
    assert [record.levelname for record in service.log.records] == ["INFO"] * 2
    assert service.door.admission.num_pending == 0


async def test_a_draining_service_finishes_what_it_has_begun_and_takes_nothing_new(
    open_service: Callable[..., Service],
) -> None:
    service = open_service()
    service.stages.gate = asyncio.Event()
    first = asyncio.create_task(service.compare())
    await service.stages.entered.wait()
    assert service.door.admission.drain() == 1
    for response in (await service.compare(), await service.client.get("/readyz")):
        assert refusal(response)[:2] == (503, "draining")
        assert int(response.headers["retry-after"]) >= 1
    assert (await service.client.get("/livez")).status_code == 200
    service.stages.gate.set()
    assert (await first).status_code == 200
    assert service.door.admission.drain() == 0


async def test_a_caller_over_its_quota_is_told_when_to_come_back(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(requests_per_minute=6, burst=2))
    assert [(await service.compare()).status_code for _ in range(2)] == [200, 200]
    response = await service.compare()
    assert refusal(response)[:2] == (429, "rate_limited")
    assert 9 <= int(response.headers["retry-after"]) <= 10
    assert (await service.client.get("/v1/limits")).status_code == 200, "only what makes work is counted"


async def test_one_caller_has_so_many_pending_and_another_still_gets_in(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_pending_per_caller=1), access=Access(trusted_proxies=1))
    service.stages.gate = asyncio.Event()
    first = asyncio.create_task(service.compare(headers={"x-forwarded-for": "spoofed, 10.0.0.1"}, files=BOTH))
    await service.stages.entered.wait()
    again = await service.compare(headers={"x-forwarded-for": "10.0.0.1"}, files=BOTH)
    assert refusal(again)[:2] == (429, "rate_limited")
    assert int(again.headers["retry-after"]) >= 1
    other = asyncio.create_task(service.compare(headers={"x-forwarded-for": "10.0.0.1, 10.0.0.2"}, files=BOTH))
    service.stages.gate.set()
    assert ((await first).status_code, (await other).status_code) == (200, 200)


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 401, "api_key_required"),
        ({"authorization": "Basic c2VjcmV0"}, 401, "api_key_required"),
        ({"x-api-key": "wrong-key"}, 403, "not_allowed"),
        ({"authorization": "Bearer wrong-key"}, 403, "not_allowed"),
    ],
)
async def test_where_keys_are_set_none_gets_in_without(
    open_service: Callable[..., Service], keys_file: str, headers: dict[str, str], status: int, kind: str
) -> None:
    service = open_service(access=Access(api_keys_file=keys_file))
    response = await service.compare(headers=headers, files=BOTH)
    assert refusal(response)[:2] == (status, kind)
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert (await service.client.get("/v1/limits", headers=headers)).status_code == status
    for path in ("/livez", "/readyz", "/version", "/docs"):
        assert (await service.client.get(path)).status_code == 200


@pytest.mark.parametrize("headers", [{"x-api-key": "the-key"}, {"authorization": "bearer the-key"}])
async def test_a_known_key_gets_in_and_only_its_name_is_logged(
    open_service: Callable[..., Service], keys_file: str, headers: dict[str, str]
) -> None:
    service = open_service(access=Access(api_keys_file=keys_file))
    assert (await service.compare(headers=headers, files=BOTH)).status_code == 200
    (line,) = (record.__dict__ for record in service.log.records)
    assert line["key_name"] == "shop"
    assert "the-key" not in str(line)


async def test_each_request_leaves_one_log_line_without_its_content(open_service: Callable[..., Service]) -> None:
    service = open_service()
    await service.compare(config={"focus_elements": ["the secret logo"]})
    await service.compare(files=ONE)
    answered, refused = (record.__dict__ for record in service.log.records)
    assert (answered["path"], answered["status"], answered["outcome"]) == ("/v1/compare", 200, "answered")
    assert answered["total_ms"] > 0
    assert answered["body_bytes"] > len(A) + len(B)
    assert (refused["status"], refused["outcome"], refused["error"]) == (400, "refused", "two_images_required")
    assert "secret logo" not in str(answered)


async def test_a_request_id_is_taken_over_only_if_it_is_plain(open_service: Callable[..., Service]) -> None:
    service = open_service()
    plain = await service.client.get("/livez", headers={"x-request-id": "abc-123"})
    evil = await service.client.get("/livez", headers={"x-request-id": 'e"<script>'})
    assert plain.json()["request_id"] == plain.headers["x-request-id"] == "abc-123"
    assert "<" not in evil.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/v1/limits", "/docs", "/openapi.json"])
async def test_the_other_routes_answer(open_service: Callable[..., Service], path: str) -> None:
    assert (await open_service().client.get(path)).status_code == 200


async def test_limits_are_the_operators(open_service: Callable[..., Service]) -> None:
    service = open_service(Limits(max_pixels=12345))
    assert (await service.client.get("/v1/limits")).json()["data"]["max_pixels"] == 12345


async def test_a_service_that_is_not_ready_says_why(open_service: Callable[..., Service]) -> None:
    class Lost(AlwaysReady):
        async def check(self) -> None:
            raise Unavailable("No worker runs for: VLModel.")

    response = await open_service(readiness=Lost()).client.get("/readyz")
    assert refusal(response)[:2] == (503, "not_ready")
    assert "retry-after" in response.headers


async def test_unknown_routes_and_methods_come_in_the_envelope(open_service: Callable[..., Service]) -> None:
    client = open_service().client
    assert refusal(await client.get("/nope"))[:2] == (404, "not_found")
    wrong = await client.get("/v1/compare")
    assert (refusal(wrong)[:2], wrong.headers["allow"]) == ((405, "method_not_allowed"), "POST")


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez/"), ("POST", "/v1/compare/"), ("GET", "//livez")])
async def test_nobody_is_sent_elsewhere(open_service: Callable[..., Service], method: str, path: str) -> None:
    response = await open_service().client.request(method, f"http://test{path}", headers={"host": "evil.example"})
    assert refusal(response)[:2] == (404, "not_found")
    assert "evil" not in str(response.headers)


async def test_every_answer_of_a_route_is_described_in_openapi(open_service: Callable[..., Service]) -> None:
    spec = (await open_service().client.get("/openapi.json")).json()
    described = {
        path: {int(status) for status in operation["responses"]}
        for path, operations in spec["paths"].items()
        for operation in operations.values()
    }
    anywhere = {200, 404, 405, 500, 503, 504}
    of_jobs_only = {409, 410, 507}
    assert described == {
        "/livez": anywhere,
        "/readyz": anywhere,
        "/version": anywhere,
        "/v1/limits": anywhere | {401, 403},
        "/v1/models": anywhere | {401, 403},
        "/v1/models/{model}": anywhere | {401, 403},
        "/v1/chat/completions": anywhere | {400, 401, 403, 413, 429},
        "/v1/compare": {200, *(kind.status for kind in every_kind(ComparisonError))} - of_jobs_only,
        "/v1/compare/stream": {200, *(kind.status for kind in every_kind(ComparisonError))} - of_jobs_only,
    }


def every_kind(kind: type[ComparisonError]) -> Iterator[type[ComparisonError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from every_kind(each)


@pytest.mark.parametrize("source", ["", "data:image/png;base64,", "https://example.com/a.png", "data:image/png,AAAA"])
async def test_openapi_says_what_an_image_in_json_is(open_service: Callable[..., Service], source: str) -> None:
    spec = (await open_service().client.get("/openapi.json")).json()
    content = spec["paths"]["/v1/compare"]["post"]["requestBody"]["content"]
    described = content["application/json"]["schema"]["properties"]["reference"]
    assert re.search(described["pattern"], data_url(A))
    assert not re.search(described["pattern"], source)


async def test_every_config_field_is_described_in_openapi(open_service: Callable[..., Service]) -> None:
    spec = (await open_service().client.get("/openapi.json")).json()
    content = spec["paths"]["/v1/compare"]["post"]["requestBody"]["content"]
    described = content["application/json"]["schema"]["properties"]["config"]["properties"]
    assert described.keys() == ImageComparisonConfig.model_fields.keys()
    assert content["multipart/form-data"]["schema"]["properties"].keys() >= {"files", "config"}
