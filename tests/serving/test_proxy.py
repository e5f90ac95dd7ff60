"""Serve's proxy with our last word around it: small apps play the proxy that lost its replica."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.serving import proxy
from serve_app.serving.proxy import LastWord
from serve_app.settings import Limits

COMPARE = "http://service/v1/compare"
MAX_BODY_BYTES = 1000
UNDER_WAY_BYTES = 8000
Reply = Response | None  # None: nothing is answered, as where a replica has died


class Serve:
    """Reads the whole body, then gives the next of these replies."""

    def __init__(self, *replies: Reply) -> None:
        self.bodies: list[bytes] = []
        self._replies: Iterator[Reply] = iter(replies)

    async def read(self, scope: Scope, receive: Receive) -> None:
        self.bodies.append(await Request(scope, receive).body())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.read(scope, receive)
        reply = next(self._replies)
        if reply is not None:
            await reply(scope, receive, send)


async def post(app: ASGIApp, url: str = COMPARE, content: bytes = b"two images") -> httpx2.Response:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(LastWord(app, MAX_BODY_BYTES, UNDER_WAY_BYTES))
    ) as client:
        return await client.post(url, content=content)


async def test_an_answer_of_ours_passes_untouched() -> None:
    serve = Serve(Response('{"code": 504}', 504, {"x-ours": "1"}, "application/json"))
    response = await post(serve)

    assert (response.status_code, response.text, response.headers["x-ours"]) == (504, '{"code": 504}', "1")
    assert len(serve.bodies) == 1


async def test_a_lost_replica_is_asked_elsewhere_with_the_same_body() -> None:
    serve = Serve(None, Response("report", media_type="application/json"))
    response = await post(serve)

    assert (response.status_code, response.text) == (200, "report")
    assert serve.bodies == [b"two images", b"two images"]


async def test_a_question_whose_replica_is_lost_is_asked_elsewhere() -> None:
    serve = Serve(None, Response("ready", media_type="application/json"))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES))
    ) as client:
        response = await client.get("http://service/readyz")

    assert (response.status_code, response.text) == (200, "ready")


async def test_two_losses_are_a_503_that_says_when_to_come_again() -> None:
    response = await post(Serve(None, None))

    answer = response.json()
    assert (response.status_code, answer["code"], answer["error"]["type"]) == (503, 503, "not_ready")
    assert (answer["data"], answer["msg"]) == (None, "The service is not ready")
    assert response.headers["retry-after"] == "2"
    assert response.headers["x-request-id"] == answer["request_id"]


async def test_what_may_change_something_is_not_repeated() -> None:
    serve = Serve(None, Response("a second job"))
    response = await post(serve, "http://service/v1/jobs")

    assert response.status_code == 503
    assert len(serve.bodies) == 1


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [(503, 503, "not_ready"), (429, 503, "not_ready"), (404, 503, "not_ready"), (408, 504, "deadline_exceeded")],
)
async def test_plain_text_of_serve_becomes_the_contracts_envelope(status: int, told: int, kind: str) -> None:
    text = "Request dropped due to backpressure (num_queued_requests=2, pid=17)"
    response = await post(Serve(PlainTextResponse(text, status)))

    assert (response.status_code, response.json()["error"]["type"]) == (told, kind)
    assert "pid" not in response.text
    assert ("retry-after" in response.headers) == (told == 503)


async def test_serves_own_routes_stay_as_they_are() -> None:
    response = await post(Serve(PlainTextResponse("unhealthy", 503)), "http://service/-/healthz")
    assert (response.status_code, response.text) == (503, "unhealthy")


async def test_bodies_that_are_too_many_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "KEPT_SHARE", 4 / UNDER_WAY_BYTES)
    serve = Serve(None, Response("report"))
    response = await post(serve)

    assert response.status_code == 503
    assert serve.bodies == [b"two images"]


async def test_kept_bodies_are_given_back() -> None:
    app = LastWord(Serve(None, None, None, None), MAX_BODY_BYTES, UNDER_WAY_BYTES)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client:
        for _ in range(2):
            await client.post(COMPARE, content=b"two images")
    assert (app.kept_bytes, app.under_way.num_bytes) == (0, 0)


async def test_a_caller_who_left_is_neither_repeated_nor_answered() -> None:
    sent: list[object] = []

    async def gone() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        tried.append(scope["path"])

    tried: list[str] = []
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(
        {"type": "http", "method": "POST", "path": "/v1/compare", "headers": []}, gone, send
    )
    assert (tried, sent) == (["/v1/compare"], [])


async def test_a_body_over_the_limit_is_read_no_further() -> None:
    """A stream that never ends: who reads on never answers."""

    async def endless() -> dict[str, object]:
        read.append(100)
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    read: list[int] = []
    sent: list[MutableMapping[str, Any]] = []
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(
        {"type": "http", "method": "POST", "path": "/v1/compare", "headers": []}, endless, send
    )
    assert sum(read) <= MAX_BODY_BYTES + 100
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["error"]["type"] == "body_too_large"


def asking(path: str = "/v1/compare", *headers: tuple[bytes, bytes]) -> MutableMapping[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers)}


class Caller:
    """Sends pieces of a body as it is told to, and keeps what comes back."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.sent: list[MutableMapping[str, Any]] = []

    def send(self, num_bytes: int, *, more: bool = True) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": bytes(num_bytes), "more_body": more})

    async def receive(self) -> MutableMapping[str, Any]:
        return await self.pieces.get()

    async def hear(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("not within 5 s")


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "http.disconnect" and message["more_body"]:
        pass
    await Response("report", media_type="application/json")(scope, receive, send)


@pytest.mark.parametrize("headers", [((b"content-length", b"1000"),), ()], ids=["of a length", "in chunks"])
async def test_bodies_under_way_have_a_bound_together(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    largest, together = (1000, 1500) if headers else (1500, 8000)
    app = LastWord(read_all, largest, together)
    early, late = Caller(), Caller()
    tasks = [asyncio.create_task(app(asking("/v1/compare", *headers), c.receive, c.hear)) for c in (early, late)]
    early.send(900)
    await until(lambda: app.under_way.num_bytes == 900)
    late.send(600)
    await until(lambda: app.under_way.num_bytes == 1500)
    late.send(1)
    await tasks[1]
    error = json.loads(late.sent[1]["body"])["error"]
    assert (late.status, error["type"]) == (503, "overloaded")
    assert (b"retry-after", b"2") in late.sent[0]["headers"]
    assert app.under_way.num_bytes == 900
    early.send(100, more=False)
    await tasks[0]
    assert early.status == 200
    assert (app.under_way.num_bytes, app.undeclared.num_bytes, app.kept_bytes) == (0, 0, 0)


async def test_a_body_that_is_refused_makes_room_at_once() -> None:
    """Else all of them would be refused: each meets the bound while those refused before it are still ending."""

    async def lingering(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await released.wait()

    released = asyncio.Event()
    app = LastWord(lingering, MAX_BODY_BYTES, 1500)
    early, late = Caller(), Caller()
    length = (b"content-length", b"900")
    tasks = [asyncio.create_task(app(asking("/v1/compare", length), c.receive, c.hear)) for c in (early, late)]
    early.send(900)
    late.send(700)
    await until(lambda: app.under_way.num_bytes in (700, 900))
    released.set()
    for caller in (early, late):
        caller.pieces.put_nowait({"type": "http.disconnect"})
    await asyncio.gather(*tasks)
    assert (app.under_way.num_bytes, app.kept_bytes) == (0, 0)


async def test_bodies_in_chunks_take_nothing_from_those_of_a_length() -> None:
    app = LastWord(read_all, 1000, 2000)
    chunked, declared = Caller(), Caller()
    first = asyncio.create_task(app(asking(), chunked.receive, chunked.hear))
    chunked.send(1000)
    await until(lambda: app.undeclared.num_bytes == 1000)
    declared.send(1000, more=False)
    await app(asking("/v1/compare", (b"content-length", b"1000")), declared.receive, declared.hear)
    assert declared.status == 200
    chunked.send(0, more=False)
    await first
    assert chunked.status == 200


async def test_no_more_is_read_of_a_body_than_a_replica_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "QUEUED_BYTES", 250)
    queue: list[Any] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def read() -> None:
            while True:
                queue.append(await receive())

        reading = asyncio.create_task(read())
        await until(lambda: len(queue) == 3)
        await asyncio.sleep(0.01)
        assert len(queue) == 3  # 300 bytes are over the 250
        fetched = pickle.loads(pickle.dumps(queue))
        assert [type(message) for message in fetched] == [dict] * 3
        assert fetched[0] == {"type": "http.request", "body": bytes(100), "more_body": True}
        queue.clear()
        await until(lambda: len(queue) == 3)
        queue.clear()
        reading.cancel()
        await Response("report", media_type="application/json")(scope, receive, send)

    caller = Caller()
    for _ in range(6):
        caller.send(100)
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(asking(), caller.receive, caller.hear)
    assert caller.status == 200


async def test_a_body_in_chunks_is_not_kept_for_a_second_try() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"two images"

    serve = Serve(None, Response("report"))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES))
    ) as client:
        response = await client.post(COMPARE, content=pieces())
    assert (response.status_code, serve.bodies) == (503, [b"two images"])


async def test_what_is_kept_for_a_second_try_is_kept_only_while_there_can_be_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy, "REPEAT_WITHIN_S", 0.01)
    serve = Serve()
    kept: list[int] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await serve.read(scope, receive)
        await until(lambda: app.kept_bytes == 0)
        kept.append(app.under_way.num_bytes)

    app = LastWord(slow, MAX_BODY_BYTES, UNDER_WAY_BYTES)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client:
        response = await client.post(COMPARE, content=b"two images")
    assert (response.status_code, serve.bodies, kept) == (503, [b"two images"], [10])


@pytest.mark.parametrize(("ends", "status", "closed"), [(False, 504, True), (True, 504, False), (False, 413, False)])
async def test_a_body_that_came_too_slowly_loses_its_connection(ends: bool, status: int, closed: bool) -> None:
    """Not one that is too large: its caller still sends, and would miss what it is told."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await Response("{}", status, media_type="application/json")(scope, receive, send)

    caller = Caller()
    caller.send(10, more=not ends)
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(asking(), caller.receive, caller.hear)
    assert caller.status == status
    assert ((b"connection", b"close") in caller.sent[0]["headers"]) == closed


HEADERS_THAT_SERVE_BELIEVES = [
    b"x-request-timeout-seconds",
    b"X-Request-Disconnect-Disabled",
    b"serve-multiplexed-model-id",
    b"serve_multiplexed_model_id",
    b"x-session-id",
    b"x_session_id",
]


@pytest.mark.parametrize("name", HEADERS_THAT_SERVE_BELIEVES)
@pytest.mark.parametrize("path", ["/v1/compare", "/-/healthz"])
async def test_what_serve_believes_no_caller_decides(name: bytes, path: str) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["headers"])
        await Response("fine", media_type="application/json")(scope, receive, send)

    caller = Caller()
    scope = asking(path, (name, b"\xff"), (b"host", b"here"), (b"x-request-id", b"mine"))
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(scope, caller.receive, caller.hear)
    assert sorted(seen[0]) == [(b"host", b"here"), (b"x-request-id", b"mine")]


@pytest.mark.parametrize("given", [b'evil"<script>', b"x" * 200, b"", b"\xff", b"two\nlines", None])
async def test_serve_never_reads_an_id_that_is_not_plain(given: bytes | None) -> None:
    seen: list[bytes] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(value for name, value in scope["headers"] if name.lower() == b"x-request-id")

    caller = Caller()
    scope = asking("/livez", *([(b"X-Request-ID", given)] if given is not None else []))
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(scope, caller.receive, caller.hear)
    (read,) = seen
    assert re.fullmatch(rb"[0-9a-f]{32}", read)


async def test_a_target_that_is_no_path_is_not_found() -> None:
    caller = Caller()
    serve = Serve(PlainTextResponse("Path '*' not found.", 404))
    caller.send(0, more=False)
    scope = {**asking("*"), "method": "OPTIONS"}
    await LastWord(serve, MAX_BODY_BYTES, UNDER_WAY_BYTES)(scope, caller.receive, caller.hear)
    assert (caller.status, json.loads(caller.sent[1]["body"])["error"]["type"]) == (404, "not_found")


def test_the_operators_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    (usual,) = proxy.middlewares()
    limits = Limits(max_body_bytes=5, max_bytes_under_way=70)
    for name, value in proxy.environment(limits).items():
        monkeypatch.setenv(name, value)
    (told,) = proxy.middlewares()
    defaults = Limits()
    assert usual.kwargs == {
        "max_body_bytes": defaults.max_body_bytes,
        "max_bytes_under_way": defaults.max_bytes_under_way,
    }
    assert told.kwargs == {"max_body_bytes": 5, "max_bytes_under_way": 70}


def test_serve_finds_the_middleware_by_its_path() -> None:
    from ray.serve._private.http_util import validate_http_proxy_callback_return
    from ray.serve._private.utils import call_function_from_import_path

    from serve_app.operating import own_ray

    path = own_ray.SERVE_ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
    (found,) = validate_http_proxy_callback_return(call_function_from_import_path(path))
    assert found.cls is LastWord
