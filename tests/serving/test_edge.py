"""A real nginx with the shipped configuration: what it hides, what it refuses and in which words."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx2
import pytest

from serve_app.schema import Envelope
from serve_app.serving import messages, proxy
from serve_app.settings import Limits
from tests.cluster.waiting import eventually
from tests.rigs import edge
from tests.rigs.nodes import free_port

pytestmark = pytest.mark.skipif(
    edge.program() is None and "CI" not in os.environ, reason="needs nginx (Debian: nginx-light)"
)


class Door(BaseHTTPRequestHandler):
    """Answers with the headers that it got; where `dies`, it drops the connection once the body is there."""

    protocol_version = "HTTP/1.1"
    dies: ClassVar[bool] = False
    asked: ClassVar[list[str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(self.path)
        if self.dies:
            self.close_connection = True
            return
        self._answer({"bytes": len(body), **{name.lower(): value for name, value in self.headers.items()}})

    def do_GET(self) -> None:
        self._answer({})

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _answer(self, told: dict[str, object]) -> None:
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def a_door(*, dies: bool = False, port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the paths that it was asked for by POST."""
    asked: list[str] = []
    handler = type("ADoor", (Door,), {"dies": dies, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


def refusal(response: httpx2.Response) -> str:
    """The type of its error, once the whole of it is as the contract has it."""
    told = Envelope[None].model_validate(response.json())
    assert told.error is not None
    assert told.code == response.status_code
    assert told.msg == messages.message(told.error.type, "en")
    assert response.headers["x-request-id"] == told.request_id
    assert response.headers["content-type"] == "application/json"
    return told.error.type


def test_a_comparison_whose_door_dies_is_asked_of_another() -> None:
    with a_door(dies=True) as (dying, lost), a_door() as (port, answered), edge.in_front_of([dying, port]) as url:
        answers = [httpx2.post(f"{url}/v1/compare", content=b"a" * 300_000) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(answer.json()["bytes"] == 300_000 for answer in answers)
    assert lost, "the dying door was asked too"
    assert len(answered) == 4


def test_what_could_have_an_effect_is_not_sent_twice() -> None:
    with a_door(dies=True) as (dying, lost), a_door() as (port, answered), edge.in_front_of([dying, port]) as url:
        answers = [httpx2.post(f"{url}/v1/jobs", content=b"a") for _ in range(2)]
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert len(lost) == len(answered) == 1


@contextmanager
def a_comparison_that_waits(body: bytes, **changed: str) -> Iterator[tuple[str, int, Future[httpx2.Response]]]:
    """nginx's URL, the port of its one door, which has just died under a comparison, and the answer to that."""
    port = free_port()
    with edge.in_front_of([port, port], auth_delay="1s", **changed) as url, ThreadPoolExecutor() as threads:
        with a_door(dies=True, port=port) as (_, asked):
            waiting = threads.submit(httpx2.post, f"{url}/v1/compare", content=body, timeout=20)
            eventually(lambda: len(asked) == 2, within_s=10)  # nginx has tried both of its lines
        yield url, port, waiting


def test_a_comparison_waits_for_the_door_that_comes_next() -> None:
    with a_comparison_that_waits(b"a" * 300_000) as (url, port, waiting):
        not_there = httpx2.get(f"{url}/readyz")
        assert (not_there.status_code, refusal(not_there)) == (503, "not_ready")
        assert not waiting.done()
        with a_door(port=port) as (_, asked):
            answer = waiting.result(timeout=10)
    assert (answer.status_code, answer.json()["bytes"]) == (200, 300_000)
    assert "www-authenticate" not in answer.headers
    assert asked == ["/v1/compare"]


def test_a_next_door_that_hangs_is_told_in_our_words() -> None:
    with (
        a_comparison_that_waits(b"a", proxy_read_timeout="1s") as (_, port, waiting),
        socket.create_server(("127.0.0.1", port)),  # takes connections, says nothing
    ):
        answer = waiting.result(timeout=15)
    assert (answer.status_code, refusal(answer)) == (503, "not_ready")


def test_no_door_at_all_is_a_503_in_our_words() -> None:
    with edge.in_front_of([free_port()], auth_delay="1s") as url:
        answer = httpx2.post(f"{url}/v1/compare", content=b"a", headers={"x-request-id": "mine"})
        no_id = httpx2.get(f"{url}/readyz", headers={"x-request-id": 'no"id'})
    assert (answer.status_code, refusal(answer)) == (503, "not_ready")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["retry-after"] == "5"
    assert refusal(no_id) == "not_ready"
    assert no_id.headers["x-request-id"] != 'no"id'


def test_a_body_over_the_limit_is_refused_in_our_words() -> None:
    with a_door() as (port, asked), edge.in_front_of([port]) as url:
        answer = httpx2.post(f"{url}/v1/compare", content=bytes(Limits().max_body_bytes + 1))
    assert (answer.status_code, refusal(answer)) == (413, "body_too_large")
    assert asked == []


def test_what_serve_believes_does_not_pass_and_the_caller_is_named() -> None:
    with a_door() as (port, _), edge.in_front_of([port]) as url:
        believed = {name.decode(): "0" for name in proxy.NOT_THE_CALLERS}
        forged = {**believed, "x-forwarded-for": "10.0.0.1", "x-request-id": "mine"}
        got = httpx2.post(f"{url}/v1/compare", content=b"a", headers=forged).json()
    assert not believed.keys() & got.keys()
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-request-id"] == "mine"


@pytest.mark.parametrize("sent", [b"POST /v1/compare HTTP/1.1\r\nHost: a\r\n", None], ids=["headers", "body"])
def test_a_connection_that_drips_is_closed(sent: bytes | None) -> None:
    with (
        a_door() as (port, asked),
        edge.in_front_of([port], client_header_timeout="1s", client_body_timeout="1s") as url,
    ):
        address = ("127.0.0.1", httpx2.URL(url).port or 0)
        with socket.create_connection(address, timeout=10) as slow:
            slow.sendall(sent or b"POST /v1/compare HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            began = time.monotonic()
            answer = slow.recv(4096)
            assert answer == b"" or b" 408 " in answer.splitlines()[0]
            assert time.monotonic() - began < 5
    assert asked == []


def test_slow_bodies_of_one_address_cannot_take_every_connection() -> None:
    with a_door() as (port, _), edge.in_front_of([port], limit_conn="pairlens_callers 2") as url:
        address = ("127.0.0.1", httpx2.URL(url).port or 0)
        with socket.create_connection(address) as one, socket.create_connection(address) as two:
            for held in (one, two):
                held.sendall(b"POST /v1/compare HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            answers = [httpx2.get(f"{url}/readyz") for _ in range(20)]
    assert (answers[-1].status_code, refusal(answers[-1])) == (429, "rate_limited")
    assert answers[-1].headers["retry-after"] == "1"
