"""Rows about header fields, request ids and bytes that are no request, over raw connections.
What is right to answer stands in `tests/serving/hostile/wire.py`, for the tests as well."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.hostile.row import Bench, at_once
from tests.serving.hostile import wire
from tests.serving.hostile.bodies import MARK

GETS: Final = ("/livez", "/readyz", "/version", "/v1/limits", "/openapi.json", "/no-such-route")
# Each line of a slow row waits this long for a server that says nothing, as it may to what is no request.
SILENCE_S: Final = 2.0
TIMEOUT_S: Final = 0.4


def believed(bench: Bench) -> None:
    """Fields that Serve's proxy believes, with every kind of value, on every route; our deadline must hold."""
    row, address = bench.row, bench.service.address
    slowest_s = 0.0

    def send(case: tuple[str, bytes, bytes]) -> None:
        target, line, sent = case
        answers, _ = wire.ask(address, sent)
        (answer, *more) = answers or [wire.Reply(wire.NO_ANSWER, (), b"")]
        row.answers[answer.status] += 1
        wanted = {"/no-such-route": {404}, "/v1/compare": {200, 504}}.get(target, {200})
        if answer.status not in wanted or more:
            row.wrong(f"{target}, {line[:60]!r}: {answer.status} {answer.body[:60]!r}")

    with bench.watched():
        sent = at_once(send, bench.box.inside(_believed()))
        for value in bench.box.inside(iter(wire.VALUES)):
            line = b"x-request-timeout-seconds: " + value
            hurried = wire.comparison(line, config=json.dumps({"processing_timeout": TIMEOUT_S}))
            answers, took = wire.ask(address, hurried, patience_s=10)
            sent += 1
            slowest_s = max(slowest_s, took)
            status = wire.status(answers)
            row.answers[status] += 1
            if status not in (200, 504):
                row.wrong(f"/v1/compare in {TIMEOUT_S:g} s, {line[:60]!r}: {status}")
        row.want_none_wrong("other answers than without the field")
        row.want(f"a deadline of {TIMEOUT_S:g} s was kept within {slowest_s:.2f} s (1 more)", slowest_s < TIMEOUT_S + 1)
    row.sent = f"{sent}: {len(wire.BELIEVED)} fields that Serve reads x {len(wire.VALUES)} values on 7 routes"


def _believed() -> Iterator[tuple[str, bytes, bytes]]:
    for name in wire.BELIEVED:
        for value in wire.VALUES:
            line = name.encode() + b": " + value
            yield from ((target, line, wire.request(target, line)) for target in GETS)
            yield "/v1/compare", line, wire.comparison(line)


def ids(bench: Bench) -> None:
    """A right id comes back, a wrong one is replaced, in header and body alike and nowhere in a log."""
    row, address, service = bench.row, bench.service.address, bench.service
    sizes = service.log_sizes()
    with bench.watched():
        cases = [
            (given, good) for good, given_ids in ((True, wire.GOOD_IDS), (False, wire.BAD_IDS)) for given in given_ids
        ]
        for given, is_good in bench.box.inside(iter(cases)):
            for target in ("/livez", "/v1/limits", "/no-such-route", "/v1/compare"):
                line = b"X-Request-ID: " + given
                sent = wire.comparison(line) if target == "/v1/compare" else wire.request(target, line)
                answers, _ = wire.ask(address, sent)
                problem = wire.wrong_id(answers, given if is_good else None)
                row.answers[wire.status(answers)] += 1
                if problem:
                    row.wrong(f"{target}, id {given[:40]!r}: {problem}")
        time.sleep(1)
        found = [path.name for path, text in service.logged_since(sizes) if MARK.encode() in text]
        row.want_none_wrong("answers with a wrong id")
        row.want(f"a wrong id stands in {len(found)} logs", not found)
    row.sent = f"{len(wire.GOOD_IDS)} right and {len(wire.BAD_IDS)} wrong ids x 4 routes"


def malformed(bench: Bench) -> None:
    """Bytes that are no request, or nearly one, on eight routes, and requests that hide another."""
    row, address = bench.row, bench.service.address
    silent: set[str] = set()

    def send(case: tuple[str, bytes]) -> None:
        name, sent = case
        answers, _ = wire.ask(address, sent, patience_s=SILENCE_S)
        note(name, answers, wire.wrong_answer(answers))
        if not answers:
            silent.add(name.partition(": ")[2])

    def smuggle(case: tuple[str, bytes]) -> None:
        name, sent = case
        answers, _ = wire.ask(address, sent, patience_s=SILENCE_S)
        note(f"hidden after {name}", answers, wire.wrong_to_hidden(answers))

    def note(name: str, answers: list[wire.Reply], problem: str | None) -> None:
        row.answers[wire.status(answers)] += 1
        if problem:
            row.wrong(f"{name}: {problem}")

    with bench.watched(), bench.client() as client:
        sent = at_once(send, bench.box.inside(_malformed()), callers=8)
        hidden = at_once(smuggle, bench.box.inside(wire.smuggled()), callers=8)
        row.want_none_wrong("answers of another kind")
        alive = client.get("/livez").status_code == 200
        row.want(f"alive after it: {alive}", alive)
    row.sent = f"{sent} connections of what is no request on 8 routes, {hidden} with a hidden request"
    row.cost.append(f"no answer to: {', '.join(sorted(silent)) or 'none'}")


def _malformed() -> Iterator[tuple[str, bytes]]:
    for target in (*GETS, "/v1/compare", "/docs"):
        yield from ((f"{target}: {name}", sent) for name, sent in wire.malformed(target))
