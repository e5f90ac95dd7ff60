"""Serve's proxy with our last word around it: small apps play the proxy that lost its replica."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app import proxy
from serve_app.proxy import LastWord
from serve_app.settings import Limits

COMPARE = "http://service/v1/compare"
MAX_BODY_BYTES = 1000
Reply = Response | None  # None: nothing is answered, as where a replica has died


class Serve:
    """Reads the whole body, then gives the next of these replies."""

    def __init__(self, *replies: Reply) -> None:
        self.bodies: list[bytes] = []
        self._replies: Iterator[Reply] = iter(replies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(await Request(scope, receive).body())
        reply = next(self._replies)
        if reply is not None:
            await reply(scope, receive, send)


async def post(app: ASGIApp, url: str = COMPARE, content: bytes = b"two images") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(LastWord(app, MAX_BODY_BYTES))) as client:
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
    async with httpx.AsyncClient(transport=httpx.ASGITransport(LastWord(serve, MAX_BODY_BYTES))) as client:
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
    monkeypatch.setattr(proxy, "KEPT_BYTES", 4)
    serve = Serve(None, Response("report"))
    response = await post(serve)

    assert response.status_code == 503
    assert serve.bodies == [b"two images"]


async def test_kept_bodies_are_given_back() -> None:
    app = LastWord(Serve(None, None, None, None), MAX_BODY_BYTES)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        for _ in range(2):
            await client.post(COMPARE, content=b"two images")
    assert app.kept_bytes == 0


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
    await LastWord(serve, MAX_BODY_BYTES)(
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
    await LastWord(serve, MAX_BODY_BYTES)(
        {"type": "http", "method": "POST", "path": "/v1/compare", "headers": []}, endless, send
    )
    assert sum(read) <= MAX_BODY_BYTES + 100
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["error"]["type"] == "body_too_large"


def test_the_operators_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    (usual,) = proxy.middlewares()
    monkeypatch.setenv(proxy.MAX_BODY_VARIABLE, "5")
    (told,) = proxy.middlewares()
    assert usual.kwargs == {"max_body_bytes": Limits().max_body_bytes}
    assert told.kwargs == {"max_body_bytes": 5}


def test_serve_finds_the_middleware_by_its_path() -> None:
    from ray.serve._private.http_util import validate_http_proxy_callback_return
    from ray.serve._private.utils import call_function_from_import_path

    from serve_app import own_ray

    path = own_ray.SERVE_ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
    (found,) = validate_http_proxy_callback_return(call_function_from_import_path(path))
    assert found.cls is LastWord
