"""Rows about how callers behave: those who drip, those who don't read, those who leave.
What they send is right as far as it goes."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import httpx2
import numpy as np
import psutil
from PIL import Image

from benchmarks.hostile import bystander
from benchmarks.hostile.instance import Instance
from benchmarks.hostile.row import Bench, at_once, fate
from serve_app.settings import Limits
from tests.rigs import edge
from tests.serving.hostile import bodies, wire
from tests.worlds.samples import encoded

DRIPS: Final = 50  # headers, and as many bodies, of one address: more than half of a caller's places at the service
ADDRESSES: Final = 9  # of those who drip at nginx, for each kind: with those at the service 1,000 callers
READERS: Final = 20
WAITS_S: Final = 75.0
BODIES_S: Final = Limits().max_body_timeout_s + 5
# How long a connection may be held: nginx's 10 s of headers, and its 60 s without a byte taken. The others are held for
# as long as they drip, as docs/deployment.md and nginx.conf say.
ENDED_S: Final = {"nginx headers": 15.0, "nginx readers": 70.0}
READERS_MIB: Final = 64.0
LEAVERS: Final = 500
AFTER: Final = 20
AFTER_FDS: Final = 10
ALONE_S: Final = 30.0  # of another caller, before: some 250 comparisons
COMPARES_EVERY_S: Final = 0.1
MOST_SLOWER: Final = 2.0


@dataclass(slots=True)
class Caller:
    """One connection that sends, or takes, a byte a second: when it was answered, and when the other side let go."""

    connection: socket.socket
    sends: bool
    began: float = field(default_factory=time.monotonic)
    received: bytes = b""
    answered_s: float | None = None
    ended_s: float | None = None

    def step(self, held: set[tuple[str, int]]) -> None:
        """A second's work. `held`: addresses of callers whose connection a server still holds."""
        if self.ended_s is not None:
            return
        is_over = self.connection.getsockname() not in held
        if self.sends:
            with suppress(OSError):  # no place for it; or the other side has closed: what it said can still be read
                self.connection.send(b"a", socket.MSG_DONTWAIT)
        try:
            self.received += self.connection.recv(65_536 if self.sends else 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError:
            is_over = True
        now_s = time.monotonic() - self.began
        if self.received and self.answered_s is None:
            self.answered_s = now_s
        if is_over:
            self.ended_s = now_s

    @property
    def status(self) -> int:
        answers = wire.replies(self.received) if self.received else []
        return answers[0].status if answers else 0


def connected(address: tuple[str, int], source: str, sent: bytes, *, sends: bool) -> Caller:
    """A caller from this address of the machine, who has sent these bytes."""
    connection = socket.socket()
    if not sends:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.bind((source, 0))
    connection.connect(address)
    connection.sendall(sent)
    return Caller(connection, sends)


UNFINISHED_HEAD: Final = b"POST /v1/compare HTTP/1.1\r\nHost: a\r\nX-A: "
UNFINISHED_BODY: Final = wire.head_of_form(1_000_000) + b"--b\r\n" + bodies.part("files", b"", "a")


def slow(bench: Bench) -> None:
    """Headers and bodies of a byte a second, at the service itself and at nginx; there also readers of a byte a second.

    Each kind comes from an address of its own; others, from another one, must not feel it.
    """
    row, service = bench.row, bench.service
    descriptors = service.descriptors()
    with bench.watched() as before, _nginx(service) as front:
        door = front or service.address
        with (
            bystander.accompanying(service.address),
            bystander.accompanying(door, "compare", COMPARES_EVERY_S) as alone,
        ):
            time.sleep(ALONE_S)
        readers = _readers(bench, front) if front is not None else []
        memory = service.watch.held("proxy")
        compares = bystander.accompanying(door, "compare", COMPARES_EVERY_S)
        with bystander.accompanying(service.address) as seen, compares as others:
            groups = _groups(service, front)
            _wait({**groups, "nginx readers": readers})
        for name, group in {**groups, "nginx readers": readers}.items():
            _judge(bench, name, group)
        more_mib = service.watch.peak(before.at, "proxy") - memory
        row.want(f"the proxy took {more_mib:+.0f} MiB (at most {READERS_MIB:g})", more_mib <= READERS_MIB)
        good = len(others.asked) - others.failures
        row.want(f"{others.failures} comparisons of another address failed, {good} didn't", not others.failures)
        more = others.p99_ms / alone.p99_ms
        row.want(
            f"their p99 {others.p99_ms:.0f} ms, {more:.1f} times that before (at most {MOST_SLOWER:g})",
            more <= MOST_SLOWER,
        )
        row.want(str(seen), seen.failures == 0)
        _let_go(bench, descriptors)
    row.answers[200] += good
    at_nginx = f", {ADDRESSES} times as many at nginx" if front is not None else " (no nginx here)"
    row.sent = f"{DRIPS} headers and {DRIPS} bodies at the service{at_nginx}, {len(readers)} readers, {WAITS_S:g} s"


@contextmanager
def _nginx(service: Instance) -> Iterator[tuple[str, int] | None]:
    """The address of the shipped nginx in front of the service; None where none is installed."""
    if edge.program() is None:
        yield None
        return
    with edge.in_front_of([service.address[1]] * 2) as name:
        url = httpx2.URL(name)
        yield url.host, url.port or 80


def _groups(service: Instance, front: tuple[str, int] | None) -> dict[str, list[Caller]]:
    groups = {
        "direct headers": _drips(service.address, "127.0.0.3", UNFINISHED_HEAD),
        "direct bodies": _drips(service.address, "127.0.0.4", UNFINISHED_BODY),
    }
    if front is not None:
        for name, net, sent in (("nginx headers", 5, UNFINISHED_HEAD), ("nginx bodies", 6, UNFINISHED_BODY)):
            addresses = (f"127.0.{net}.{number}" for number in range(1, ADDRESSES + 1))
            groups[name] = [caller for address in addresses for caller in _drips(front, address, sent)]
    return groups


def _let_go(bench: Bench, descriptors: int) -> None:
    """The goal that the service holds no more files and connections than before."""
    service = bench.service
    bench.rest(lambda: service.descriptors() <= descriptors + AFTER_FDS)
    more = service.descriptors() - descriptors
    bench.row.want(f"{more:+d} descriptors after it (at most {AFTER_FDS})", more <= AFTER_FDS)


def _drips(address: tuple[str, int], source: str, sent: bytes) -> list[Caller]:
    return [connected(address, source, sent, sends=True) for _ in range(DRIPS)]


def _readers(bench: Bench, address: tuple[str, int]) -> list[Caller]:
    """Callers of reports of some MB, who have asked for them all; each report is there before this returns."""
    noise = np.random.default_rng(1).integers(0, 256, (2, 900, 1_200, 3), np.uint8)
    images = [encoded(Image.fromarray(each)) for each in noise]
    parts = [bodies.part("files", each, "a.png") for each in images]
    config = json.dumps({"visuals": ["overlay", "heatmap", "side_by_side"]})
    body = bodies.form([*parts, bodies.part("config", config.encode())])
    found = []
    for _ in bench.box.inside(iter(range(READERS))):
        sent = wire.head_of_form(len(body)) + body
        caller = connected(address, "127.0.0.7", sent, sends=False)
        caller.connection.settimeout(60)
        caller.received = caller.connection.recv(1)
        caller.began = time.monotonic()
        found.append(caller)
    return found


def _wait(groups: dict[str, list[Caller]]) -> None:
    until = time.monotonic() + WAITS_S
    while time.monotonic() < until:
        began, held = time.monotonic(), held_callers()
        for group in groups.values():
            for caller in group:
                caller.step(held)
        time.sleep(max(0.0, began + 1 - time.monotonic()))


def held_callers() -> set[tuple[str, int]]:
    """The callers' addresses of all connections that servers of this machine hold. Only this tells of those who don't
    read: what was sent to them before they were given up still lies in their socket."""
    connections = psutil.net_connections("tcp")
    return {
        (each.raddr.ip, each.raddr.port)
        for each in connections
        if each.raddr and each.status == psutil.CONN_ESTABLISHED
    }


def _judge(bench: Bench, name: str, group: Sequence[Caller]) -> None:
    """Who was still connected when all should have been ended, and what those who send were told."""
    row = bench.row
    ended = [caller.ended_s for caller in group if caller.ended_s is not None]
    told = f"{name}: {len(group) - len(ended)} of {len(group)} left open"
    if ended:
        told += f", the others for {min(ended):.0f} to {max(ended):.0f} s"
    if name in ENDED_S:
        is_met = len(ended) == len(group) and max(ended) <= ENDED_S[name]
        row.want(f"{told} (none, after {ENDED_S[name]:g} s)", is_met)
    else:
        row.cost.append(f"{told} (documented)")
    if name == "direct bodies":
        times = [caller.answered_s for caller in group if caller.answered_s is not None]
        latest_s = max(times) if len(times) == len(group) else float("inf")
        is_met = latest_s <= BODIES_S and {caller.status for caller in group} == {504}
        row.want(f"direct bodies: told 504 within {latest_s:.0f} s (at most {BODIES_S:g})", is_met)
    for caller in group:
        if caller.sends:
            row.answers[caller.status] += 1
        caller.connection.close()


# --- those who leave


def leaving(bench: Bench) -> None:
    """Callers who go away at every moment of a request, politely or not; then honest ones."""
    row, service = bench.row, bench.service
    descriptors, files = service.descriptors(), service.temporary_files()
    sizes = service.log_sizes()
    whole = wire.comparison()

    def go(case: tuple[int, float, bool]) -> None:
        sent, stay_s, is_rude = case
        with suppress(OSError), socket.create_connection(service.address, timeout=10) as caller:
            if is_rude:  # a reset instead of an end
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(whole[:sent])
            time.sleep(stay_s)

    with bench.watched(), bench.client() as client:
        number = at_once(go, bench.box.inside(_moments(len(whole), bench.dice)), callers=8)
        for _ in range(AFTER):
            if fate(bench.compare(client, *bodies.pictures())) != "report":
                row.wrong("an honest comparison after it was not answered")
        row.want_none_wrong(f"of {AFTER} honest comparisons after it failed")
        _let_go(bench, descriptors)
        left = service.temporary_files() - files
        row.want(f"{left:+d} temporary files", left <= 0)
    outcomes = Counter(line["outcome"] for line in service.requests_logged(sizes) if line["path"] == "/v1/compare")
    failed = outcomes["failed"]
    row.want(f"{failed} logged as our failures", failed == 0)
    row.cost.append(", ".join(f"{count} logged as {name}" for name, count in outcomes.most_common()))
    row.sent = f"{number} who leave at any moment, {AFTER} honest ones after them"


def _moments(length: int, dice: random.Random) -> Iterator[tuple[int, float, bool]]:
    """How many bytes are sent, how long the caller then stays, and whether the end is a reset."""
    head = wire.head_of_form(length).index(b"\r\n\r\n")
    for number in range(LEAVERS):
        sent = (0, head // 2, head + 4, dice.randrange(head, length), length - 1, length)[number % 6]
        yield sent, dice.choice((0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)), dice.random() < 0.5
