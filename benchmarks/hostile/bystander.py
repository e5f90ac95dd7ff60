"""Another caller, who asks for /livez or compares all the while: a process of its own, so that a busy sender does not
slow it.

    python -m benchmarks.hostile.bystander HOST PORT SECONDS_BETWEEN livez|compare

It asks from 127.0.0.2 until its input is closed, then prints a JSON list of [milliseconds, status].
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, cast

import numpy as np

from tests.rigs.nodes import ROOT
from tests.serving.hostile import bodies

Asks = Literal["livez", "compare"]

ELSEWHERE: Final = "127.0.0.2"
PATIENCE_S: Final = 30.0
EVERY_S: Final = 0.05
ALONE_S: Final = 4.0
FORM: Final = f"multipart/form-data; boundary={bodies.BOUNDARY}"


@dataclass(slots=True)
class Seen:
    """What it was answered, once the block that it accompanied is over."""

    asked: list[tuple[float, int]] = field(default_factory=list)

    @property
    def worst_ms(self) -> float:
        return max((took for took, _ in self.asked), default=float("inf"))

    @property
    def median_ms(self) -> float:
        return statistics.median(took for took, _ in self.asked) if self.asked else float("inf")

    @property
    def p99_ms(self) -> float:
        return float(np.quantile([took for took, _ in self.asked], 0.99)) if self.asked else float("inf")

    @property
    def failures(self) -> int:
        return sum(status != 200 for _, status in self.asked)

    def __str__(self) -> str:
        return (
            f"another caller's {len(self.asked)} /livez: {self.failures} not 200, "
            f"median {self.median_ms:.0f} ms, worst {self.worst_ms:.0f} ms"
        )


@contextmanager
def accompanying(address: tuple[str, int], asks: Asks = "livez", every_s: float = EVERY_S) -> Iterator[Seen]:
    """Another caller at work for as long as the block is open."""
    command = [sys.executable, "-m", "benchmarks.hostile.bystander", address[0], str(address[1]), str(every_s), asks]
    seen = Seen()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        try:
            yield seen
        finally:
            told, _ = process.communicate(timeout=2 * PATIENCE_S)
            seen.asked = [(took, status) for took, status in json.loads(told)]


def alone(address: tuple[str, int]) -> Seen:
    """What another caller sees for some seconds in which nothing else is asked."""
    with accompanying(address) as seen:
        time.sleep(ALONE_S)
    return seen


def ask(address: tuple[str, int], asks: Asks) -> int:
    """The status of one answer on a connection of its own; 0 where none came."""
    caller = http.client.HTTPConnection(*address, timeout=PATIENCE_S, source_address=(ELSEWHERE, 0))
    try:
        if asks == "livez":
            caller.request("GET", "/livez")
        else:
            caller.request("POST", "/v1/compare", _pair(), {"Content-Type": FORM})
        return caller.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        caller.close()


@functools.cache
def _pair() -> bytes:
    return bodies.form([bodies.part("files", each, "a") for each in bodies.pictures()])


def main() -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)  # its parent gives way to the service
    address, every_s, asks, asked = (sys.argv[1], int(sys.argv[2])), float(sys.argv[3]), cast("Asks", sys.argv[4]), []
    ask(address, asks)
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], every_s)[0]:
        began = time.perf_counter()
        status = ask(address, asks)
        asked.append((round((time.perf_counter() - began) * 1000, 1), status))
    print(json.dumps(asked))


if __name__ == "__main__":
    main()
