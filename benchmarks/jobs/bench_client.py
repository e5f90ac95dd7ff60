"""What a program that asks pays before and beside the service: importing PairLens, and the client's own work a call.
Answers come from memory: no service, no network."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx2

from pairlens import Client
from serve_app.schema import Envelope
from tests.worlds.jobs import made_report

RUNS = 7
CALLS = 200
# Each in an interpreter of its own, less what an empty one takes.
STATEMENTS = {
    "import pairlens": "import pairlens",
    "pairlens.Client": "import pairlens; pairlens.Client",
    "a client that is made": "import pairlens; pairlens.Client('http://127.0.0.1:8000')",
    "pairlens.ComparisonReport": "import pairlens; pairlens.ComparisonReport",
    "pairlens.compare": "import pairlens; pairlens.compare",
}


def seconds(statement: str) -> float:
    """The median of several runs of an interpreter: of a core's time, which neighbours on the machine change least."""

    def run() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", statement], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    run()  # so that files are in memory
    return statistics.median(run() for _ in range(RUNS))


def a_call_ms(call: Callable[[], object]) -> float:
    call()
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def main() -> None:
    empty = seconds("pass")
    found: dict[str, Any] = {name: round(seconds(statement) - empty, 3) for name, statement in STATEMENTS.items()}
    answer = Envelope[Any](code=200, msg="ok", data=made_report(), error=None, request_id="r").model_dump_json()
    transport = httpx2.MockTransport(lambda request: (request.read(), httpx2.Response(200, content=answer))[1])
    with httpx2.Client(transport=transport) as bare, Client("http://host", transport=transport) as client:
        pair = bytes(200_000), bytes(200_000)

        def post() -> bytes:
            files = {"reference": ("a", pair[0]), "candidate": ("b", pair[1])}
            return bare.post("http://host/v1/compare", files=files, data={"config": "{}"}).content

        found["httpx2 alone, a call, ms"] = round(a_call_ms(post), 2)
        found["the client, a call, ms"] = round(a_call_ms(lambda: client.compare(*pair)), 2)
    print(f"an empty interpreter: {empty:.3f} s of a core; above it, medians of {RUNS}; calls of {CALLS}, in memory")
    for name, value in found.items():
        print(f"{name:32} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
