"""Rows about header fields, request ids and bytes that are no request, over raw connections."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.hostile.row import NO_ANSWER, Bench, at_once
from tests.hostile import doors as worlds
from tests.hostile import wire

GETS: Final = ("/livez", "/readyz", "/version", "/v1/limits", "/openapi.json", "/no-such-route")
# Each line of a slow row waits this long for a server that says nothing, as it may to what is no request.
SILENCE_S: Final = 2.0
TIMEOUT_S: Final = 0.4
# 200 for what is a request after all; a redirect or a 5xx is never right.
MALFORMED: Final = frozenset({200, 400, 403, 404, 405, 413, 414, 417, 421, 426, 431, 501, NO_ANSWER})


def comparison(*lines: bytes, config: str = "{}", target: str = "/v1/compare") -> bytes:
    """A right comparison as bytes, with these header lines."""
    images = [worlds.part("files", each, "a.png") for each in worlds.pictures()]
    body = worlds.form([*images, worlds.part("config", config.encode())])
    length = f"Content-Length: {len(body)}".encode()
    kind = b"Content-Type: multipart/form-data; boundary=b"
    return wire.request(target, kind, length, *lines, method=b"POST", body=body)


def believed(bench: Bench) -> None:
    """Fields that Serve's proxy believes, with every kind of value, on every route; our deadline must hold."""
    row, address = bench.row, bench.service.address
    slowest_s = 0.0

    def send(case: tuple[str, bytes, bytes]) -> None:
        target, line, sent = case
        answers, _ = wire.ask(address, sent)
        (answer, *more) = answers or [wire.Reply(NO_ANSWER, (), b"")]
        row.answers[answer.status] += 1
        wanted = {"/no-such-route": {404}, "/v1/compare": {200, 504}}.get(target, {200})
        if answer.status not in wanted or more:
            row.wrong(f"{target}, {line[:60]!r}: {answer.status} {answer.body[:60]!r}")

    with bench.watched():
        sent = at_once(send, bench.box.inside(_believed()))
        for value in bench.box.inside(iter(wire.VALUES)):
            line = b"x-request-timeout-seconds: " + value
            hurried = comparison(line, config=json.dumps({"processing_timeout": TIMEOUT_S}))
            answers, took = wire.ask(address, hurried, patience_s=10)
            sent += 1
            slowest_s = max(slowest_s, took)
            status = answers[0].status if answers else NO_ANSWER
            row.answers[status] += 1
            if status not in (200, 504):
                row.wrong(f"/v1/compare in {TIMEOUT_S:g} s, {line[:60]!r}: {status}")
        row.want_none_wrong("other answers than without the field")
        row.want(f"a deadline of {TIMEOUT_S:g} s was kept within {slowest_s:.2f} s, 1 more allowed", slowest_s < 1.4)
    row.sent = f"{sent}: {len(wire.BELIEVED)} fields that Serve reads x {len(wire.VALUES)} values on 7 routes"


def _believed() -> Iterator[tuple[str, bytes, bytes]]:
    for name in wire.BELIEVED:
        for value in wire.VALUES:
            line = name.encode() + b": " + value
            yield from ((target, line, wire.request(target, line)) for target in GETS)
            yield "/v1/compare", line, comparison(line)


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
                sent = comparison(line) if target == "/v1/compare" else wire.request(target, line)
                answers, _ = wire.ask(address, sent)
                problem = wrong_id(answers, given if is_good else None)
                row.answers[answers[0].status if answers else NO_ANSWER] += 1
                if problem:
                    row.wrong(f"{target}, id {given[:40]!r}: {problem}")
        time.sleep(1)
        found = [path.name for path, text in service.logged_since(sizes) if worlds.MARK.encode() in text]
        row.want_none_wrong("answers with a wrong id")
        row.want(f"a wrong id stands in {len(found)} logs ({', '.join(found[:3])}), none wanted", not found)
    row.sent = f"{len(wire.GOOD_IDS)} right and {len(wire.BAD_IDS)} wrong ids x 4 routes"


def wrong_id(answers: list[wire.Reply], given: bytes | None) -> str | None:
    """What is wrong with the id of an answer to a request that gave this one; None: one that had to be replaced."""
    if len(answers) != 1:
        return f"{len(answers)} answers"
    answer = answers[0]
    told = answer.all("x-request-id")
    try:
        body: Any = json.loads(answer.body)["request_id"]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} in other words: {answer.body[:40]!r}"
    if told != [body]:
        return f"the header says {told[:2]!r}, the body {body!r}"[:160]
    if not wire.ID.fullmatch(body):
        return f"{body[:40]!r} is none"
    if given is not None and body != given.decode():
        return f"{body[:40]!r} instead"
    return None


def malformed(bench: Bench) -> None:
    """Bytes that are no request, or nearly one, on eight routes, and requests that hide another."""
    row, address = bench.row, bench.service.address
    silent: set[str] = set()

    def send(case: tuple[str, bytes]) -> None:
        name, sent = case
        answers, _ = wire.ask(address, sent, patience_s=SILENCE_S)
        status = answers[0].status if answers else NO_ANSWER
        row.answers[status] += 1
        if status == NO_ANSWER:
            silent.add(name.partition(": ")[2])
        if status not in MALFORMED:
            row.wrong(f"{name}: {status} {answers[0].all('location')}{answers[0].body[:50]!r}")
        elif any(b"evil.example" in each.body + repr(each.headers).encode() for each in answers):
            row.wrong(f"{name}: repeats another host")
        elif status == 405 and not answers[0].all("allow"):
            row.wrong(f"{name}: 405 without Allow")

    def smuggle(case: tuple[str, bytes]) -> None:
        name, sent = case
        answers, _ = wire.ask(address, sent, patience_s=SILENCE_S)
        row.answers[answers[0].status if answers else NO_ANSWER] += 1
        if any(b'"pairlens"' in answer.body for answer in answers):
            row.wrong(f"hidden after {name}: answered")
        elif answers and not 400 <= answers[0].status < 500:
            row.wrong(f"hidden after {name}: {answers[0].status}")

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
