"""A real nginx with the shipped configuration under strangers: slow ones, huge ones, and streams that must not wait.
What they cost is counted: requests that reach the service, nginx's memory, its files."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from serve_app.settings import MIB
from tests.cluster.waiting import eventually
from tests.rigs import edge
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port
from tests.serving.test_edge import a_door

pytestmark = pytest.mark.skipif(
    edge.program() is None and "CI" not in os.environ, reason="needs nginx (Debian: nginx-light)"
)
STRANGERS = [f"127.0.0.{number}" for number in range(11, 19)]  # so that the limit of one address is not what helps
HALF_A_HEADER = b"POST /v1/compare HTTP/1.1\r\nHost: a\r\n"
HALF_A_BODY = b"POST /v1/compare HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc"


def nginx_of(url: str) -> list[psutil.Process]:
    """The processes behind this URL."""
    port = httpx2.URL(url).port
    (parent,) = (
        each
        for each in psutil.Process().children()
        if any(one.laddr.port == port for one in each.net_connections() if one.status == psutil.CONN_LISTEN)
    )
    return [parent, *parent.children()]


def memory_of(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def kept_by(parent: psutil.Process) -> int:
    """Bytes of bodies on nginx's disk."""
    folder = Path(parent.cmdline()[-1].rpartition(" -c ")[2]).parent / "body"
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def connect(url: str, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx2.URL(url).port or 0), timeout=30, source_address=(source, 0))


@contextmanager
def slow_ones(url: str, number: int) -> Iterator[list[socket.socket]]:
    """So many connections of each kind, from all strangers, that have said the first half and wait."""
    with ExitStack() as stack:
        held = []
        for index in range(number):
            for begun in (HALF_A_HEADER, HALF_A_BODY):
                one = stack.enter_context(connect(url, STRANGERS[index % len(STRANGERS)]))
                one.sendall(begun)
                held.append(one)
        yield held


def test_two_hundred_slow_ones_hold_nobody_up_and_never_reach_the_service() -> None:
    with a_door() as (port, asked), edge.in_front_of([port, port]) as url:
        processes = nginx_of(url)
        before, files = memory_of(processes), sum(process.num_fds() for process in processes)
        with slow_ones(url, 100) as held:
            eventually(lambda: sum(process.num_fds() for process in processes) >= files + len(held), within_s=20)
            answers = [httpx2.post(f"{url}/v1/compare", content=b"a" * 100_000) for _ in range(20)]
            assert [answer.status_code for answer in answers] == [200] * 20
            assert len(asked) == 20, "of the slow ones nothing has arrived"
            assert memory_of(processes) - before < 16 * MIB
        eventually(lambda: sum(process.num_fds() for process in processes) <= files + 8, within_s=20)


def test_slow_ones_are_closed_and_their_files_with_them() -> None:
    with (
        a_door() as (port, asked),
        edge.in_front_of([port], client_header_timeout="1s", client_body_timeout="1s") as url,
    ):
        processes = nginx_of(url)
        files = sum(process.num_fds() for process in processes)
        with slow_ones(url, 40) as held:
            for one in held:
                told = one.recv(4096)
                assert told == b"" or b" 408 " in told.splitlines()[0]
            eventually(lambda: sum(process.num_fds() for process in processes) <= files + 4, within_s=20)
    assert asked == []


@pytest.mark.parametrize("is_told", [True, False], ids=["with its length", "in chunks"])
def test_a_body_of_400_mib_costs_neither_memory_nor_the_service_anything(is_told: bool) -> None:
    piece = b"x" * MIB
    with a_door() as (port, asked), edge.in_front_of([port]) as url:
        processes = nginx_of(url)
        before, most, kept = memory_of(processes), 0, 0
        with connect(url, STRANGERS[0]) as caller:
            length = f"Content-Length: {400 * MIB}" if is_told else "Transfer-Encoding: chunked"
            caller.sendall(f"POST /v1/compare HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n".encode())
            # nginx has answered long before the end, and throws away what still comes: so the caller can read why.
            for _ in range(400):
                caller.sendall(piece if is_told else b"%x\r\n%s\r\n" % (len(piece), piece))
                most, kept = max(most, memory_of(processes) - before), max(kept, kept_by(processes[0]))
            told = caller.recv(65536)
        assert told.startswith(b"HTTP/1.1 413 ")
        assert b'"body_too_large"' in told
        assert kept <= (MIB if is_told else 65 * MIB)
        assert kept_by(processes[0]) == 0
        assert most < 16 * MIB
        assert asked == []
        assert httpx2.post(f"{url}/v1/compare", content=b"a").status_code == 200


def a_stream(may_go_on: threading.Event) -> FastAPI:
    """Its second event comes when somebody has had the first one."""
    app = FastAPI()

    @app.get("/v1/jobs/a/events", response_class=EventSourceResponse)
    @app.post("/v1/compare/stream", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        import anyio.to_thread

        yield ServerSentEvent(event="progress", data={"stage": "measure"})
        await anyio.to_thread.run_sync(may_go_on.wait, 20)
        yield ServerSentEvent(event="report", data={})

    return app


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/jobs/a/events"), ("POST", "/v1/compare/stream")])
def test_an_event_passes_before_the_next_one_is_there(method: str, path: str) -> None:
    may_go_on = threading.Event()
    with (
        served(lambda: a_stream(may_go_on)) as service,
        edge.in_front_of([httpx2.URL(service).port or 0]) as url,
        httpx2.stream(method, f"{url}{path}", content=b"a" if method == "POST" else None, timeout=10) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "event: progress"
        may_go_on.set()
        assert "event: report" in list(lines)


def test_nginx_takes_the_shipped_file() -> None:
    with edge.in_front_of([free_port()]) as url:
        assert httpx2.get(f"{url}/livez").status_code == 503
