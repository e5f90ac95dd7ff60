"""Rows of right requests to every route that takes a body, after a few changes to what is in it.
Makes none of them: `tests/serving/hostile` does, for the tests as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.hostile.row import Bench, at_once
from benchmarks.hostile.words import KEY
from tests.serving.hostile import altered
from tests.serving.hostile.altered import Altered

RETURN_MIB = 400  # the reader of text is loaded by the first picture that is read
PDF_SHARE = 0.02  # of all: each is read by a process of its own


def without_key(bench: Bench) -> None:
    _altered(bench, {})


def with_key(bench: Bench) -> None:
    """At the guarded instance, whose scripted model also talks."""
    _altered(bench, {"x-api-key": KEY})


def _altered(bench: Bench, more: dict[str, str]) -> None:
    row, routes = bench.row, Counter[str]()
    with bench.watched() as before, bench.client() as client:

        def send(request: Altered) -> None:
            headers = {"content-type": request.content_type, **request.headers, **more}
            response = bench.ask(client, "POST", request.route, content=request.body, headers=headers)
            routes[request.route] += 1
            if response is None:
                return
            if wrong := altered.problem(request, response.status_code, response.text):
                row.wrong(f"{request}: {wrong}")

        sent = at_once(send, bench.box.inside(_requests(bench)))
        row.want_none_wrong()
        bench.workers_return(before, RETURN_MIB)
    row.sent = f"{sent} right requests after one to four changes: " + ", ".join(
        f"{number} to {route}" for route, number in sorted(routes.items())
    )


def _requests(bench: Bench) -> Iterator[Altered]:
    kinds = altered.kinds()
    while True:
        if bench.dice.random() < PDF_SHARE:
            yield altered.pdf_batch(bench.dice)
        else:
            yield altered.altered(bench.dice.choice(kinds), bench.dice)
