"""Rows about bodies: odd ones, large ones, and JSON of many small values.
Knows no picture: what is sent is refused for its form or for its size."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import httpx2

from benchmarks.hostile import bystander
from benchmarks.hostile.instance import DOORS
from benchmarks.hostile.row import Bench, at_once, fate
from serve_app.schema import Envelope
from serve_app.settings import MIB, Limits
from tests.serving.hostile import bodies as written
from tests.serving.hostile import doors as odd
from tests.serving.hostile import wire

LIMIT: Final = Limits().max_body_bytes
ROUTES: Final = ("/v1/compare", "/v1/limits", "/livez", "/no-such-route")
TEN: Final = 10
TEN_MIB: Final = 64
TEN_SENT: Final = 400 * MIB
SIXTEEN: Final = 16
SIXTEEN_MIB: Final = 300
SIXTEEN_SENT: Final = 60_000_000
LIVEZ_MS: Final = 100.0
BLOCK: Final = bytes(2**20)


def doors(bench: Bench) -> None:
    """Odd bodies of every kind."""
    row = bench.row
    with bench.watched() as before, bench.client() as client:

        def send(door: odd.Door) -> None:
            kind = door.content_type.encode("latin-1")
            headers = [(b"content-type", kind), *((n.encode(), v.encode()) for n, v in door.headers.items())]
            response = bench.ask(client, "POST", "/v1/compare", content=door.body, headers=headers)
            if response is None:
                return
            if response.status_code not in door.answers:
                row.wrong(f"{door.name}: {response.status_code} {fate(response)}")
            elif written.MARK in response.text:
                row.wrong(f"{door.name}: repeats what was sent")
            elif not is_enveloped(response):
                row.wrong(f"{door.name}: no envelope")

        sent = at_once(send, bench.box.inside(odd.doors()))
        row.want_none_wrong()
        bench.workers_return(before, 150)
    row.sent = f"{sent} odd JSON bodies, forms, configs, content types"


def is_enveloped(response: httpx2.Response) -> bool:
    """Whether it is as every answer is: status as code, one request id in header and body."""
    try:
        answer = Envelope[object].model_validate_json(response.content)
    except ValueError:
        return False
    ids = response.headers.get_list("x-request-id")
    return answer.code == response.status_code and ids == [answer.request_id]


def small_values(bench: Bench) -> None:
    """One body of 60 MB of small values, then six of 16 MB at once; another caller must not feel it."""
    row, watch = bench.row, bench.service.watch
    idle = bystander.alone(bench.service.address)
    bodies = [written.small_values(60_000_000, written.SMALL[0])]
    bodies += [written.small_values(16_000_000, kind) for kind in written.SMALL[:6]]
    with bench.watched() as before, bystander.accompanying(bench.service.address) as seen, bench.client() as client:
        headers = {"content-type": "application/json"}

        def send(body: bytes) -> None:
            found = bench.ask(client, "POST", "/v1/compare", content=body, headers=headers)
            if found is not None and found.status_code not in (400, 413, 422, 503):
                row.wrong(f"{len(body)} bytes: {found.status_code} {fate(found)}")

        began = time.monotonic()
        send(bodies[0])
        at_once(send, iter(bodies[1:]), callers=6)
        row.cost.append(f"answered in {time.monotonic() - began:.1f} s")
        more = watch.peak(before.at, *DOORS) - watch.of(before, DOORS)
        row.want(f"proxy and ingress took {more:.0f} MiB (at most {SIXTEEN_MIB})", more <= SIXTEEN_MIB)
        row.want_none_wrong()
    other_caller(bench, idle, seen)
    row.sent = "1 x 60 MB, 6 x 16 MB at once"


def bodies(bench: Bench) -> None:
    """Ten far over the limit, four ways; sixteen of 60 MB of JSON; then about the limit, to the byte."""
    row, address = bench.row, bench.service.address
    idle = bystander.alone(address)
    with bench.watched(), bystander.accompanying(address) as seen:
        _ten_over_the_limit(bench, "chunked forms", _OPEN_FORM, ROUTES[:1], chunked=True)
        _ten_over_the_limit(bench, "chunked JSON", _OPEN_JSON, ROUTES[:1], chunked=True)
        _ten_over_the_limit(bench, "chunked, to 4 routes", _OPEN_FORM, ROUTES, chunked=True)
        _ten_over_the_limit(bench, "by length, to 4 routes", _OPEN_FORM, ROUTES, chunked=False)
        _sixteen_of_json(bench)
        _about_the_limit(bench)
        row.want_none_wrong()
    other_caller(bench, idle, seen)
    row.sent = f"four times {TEN} x {TEN_SENT // MIB} MiB; {SIXTEEN} JSON bodies of 60 MB; the limit -1, 0 and +1"


def _about_the_limit(bench: Bench) -> None:
    for size, wanted in ((LIMIT - 1, 415), (LIMIT, 415), (LIMIT + 1, 413)):
        for chunked in (False, True):
            kind = "multipart/form-data; boundary=b"
            status = _send(bench.service.address, "/v1/compare", kind, _form(size), size, chunked)
            bench.row.answers[status] += 1
            if status != wanted:
                bench.row.wrong(f"{size - LIMIT:+d} bytes, {'chunked' if chunked else 'by length'}: {status}")


# Bodies that are right as far as they have come: they are read to the limit.
_OPEN_FORM: Final = ("multipart/form-data; boundary=b", b"--b\r\n" + written.part("files", b"", "a"))
_OPEN_JSON: Final = ("application/json", b'{"reference":"data:image/png;base64,')


def _ten_over_the_limit(
    bench: Bench, name: str, kind: tuple[str, bytes], routes: Sequence[str], *, chunked: bool
) -> None:
    content_type, head = kind

    def send(number: int) -> None:
        route, body = routes[number % len(routes)], (head, *_letters(TEN_SENT))
        status = _send(bench.service.address, route, content_type, iter(body), len(head) + TEN_SENT, chunked)
        bench.row.answers[status] += 1
        if status not in (404, 405, 413, 503):
            bench.row.wrong(f"{TEN_SENT // MIB} MiB to {route}, {name}: {status}")

    _costing(bench, f"{TEN} x {TEN_SENT // MIB} MiB {name}", send, TEN, TEN_MIB)


def _sixteen_of_json(bench: Bench) -> None:
    head, tail = b'{"reference":"data:image/png;base64,', b'"}'

    def send(number: int) -> None:
        del number
        body = (head, *_letters(SIXTEEN_SENT - len(head) - len(tail)), tail)
        status = _send(bench.service.address, "/v1/compare", "application/json", iter(body), SIXTEEN_SENT, False)
        bench.row.answers[status] += 1
        if status not in (400, 503):
            bench.row.wrong(f"60 MB of JSON: {status}")

    _costing(bench, f"{SIXTEEN} JSON bodies of 60 MB", send, SIXTEEN, SIXTEEN_MIB)


def _costing(bench: Bench, what: str, send: Callable[[int], None], number: int, most_mib: float) -> None:
    """Send so many at once; what proxy and ingress took for them, and what they kept."""
    watch = bench.service.watch
    before = watch.look()
    at_once(send, iter(range(number)), callers=number)
    more = watch.peak(before.at, *DOORS) - watch.of(before, DOORS)
    bench.rest(lambda: watch.held(*DOORS) - watch.of(before, DOORS) < most_mib / 2)
    kept = watch.held(*DOORS) - watch.of(before, DOORS)
    bench.row.want(f"{what} took {more:.0f} MiB (at most {most_mib:g})", more <= most_mib)
    bench.row.cost.append(f"{what} left {kept:+.0f} MiB")


def other_caller(bench: Bench, idle: bystander.Seen, seen: bystander.Seen) -> None:
    """What a bystander has seen, as a goal; where the machine is busy with other work, against what it saw before."""
    most_ms = max(LIVEZ_MS, 2 * idle.worst_ms)
    is_met = seen.failures == 0 and seen.worst_ms < most_ms
    bench.row.want(f"{seen} (under {most_ms:.0f}; worst before: {idle.worst_ms:.0f})", is_met)


# --- bodies made as they are sent


def _form(size: int) -> Iterator[bytes]:
    """A form of exactly `size` bytes: two files of zeros."""
    parts = [written.part("files", b"", "a"), written.part("files", b"", "b")]
    ends = len(written.form(parts))
    first = (size - ends) // 2
    yield b"--b\r\n" + parts[0]
    yield from _blocks(first)
    yield b"\r\n--b\r\n" + parts[1]
    yield from _blocks(size - ends - first)
    yield b"\r\n--b--\r\n"


def _blocks(num_bytes: int, block: bytes = BLOCK) -> Iterator[bytes]:
    for _ in range(num_bytes // len(block)):
        yield block
    yield block[: num_bytes % len(block)]


def _letters(num_bytes: int) -> Iterator[bytes]:
    return _blocks(num_bytes, b"A" * 2**20)


def _send(address: tuple[str, int], route: str, kind: str, body: Iterator[bytes], size: int, chunked: bool) -> int:
    """The status of what is answered, however much of the body could be sent before."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST {route} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{length}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(address, timeout=130) as caller:
        with suppress(BrokenPipeError, ConnectionResetError):
            caller.sendall(head.encode())
            for block in body:
                if block:
                    caller.sendall(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            if chunked:
                caller.sendall(b"0\r\n\r\n")
        received = io.BytesIO()
        with suppress(TimeoutError, ConnectionResetError):
            while piece := caller.recv(65_536):
                received.write(piece)
    answers = wire.replies(received.getvalue())
    return wire.status(answers)
