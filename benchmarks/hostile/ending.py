"""The row of the end: SIGTERM while comparisons are under way.
The instance is gone after it."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx2
import psutil

from benchmarks.hostile.row import Bench
from benchmarks.hostile.words import KEY
from tests.serving.hostile import wire
from tests.serving.hostile.bodies import pictures

UNDER_WAY: Final = 20
NEW: Final = 10
ENDS_WITHIN_S: Final = 60.0
BEGUN_S: Final = 1.5  # until all are let in: they need 10 s in all


def sigterm(bench: Bench) -> None:
    """Twenty comparisons, then SIGTERM; ten more. The last row of an instance."""
    row, service = bench.row, bench.service
    headers = {"X-API-Key": KEY, "Cache-Control": "no-store"}  # each is work of its own
    files = [("files", ("a", each)) for each in pictures()]
    old: list[int] = []

    def ask(_: int) -> int:
        try:
            return httpx2.post(f"{service.url}/v1/compare", files=files, headers=headers, timeout=90).status_code
        except httpx2.TransportError:
            return wire.NO_ANSWER

    began = time.monotonic()
    family = psutil.Process(service.process.pid).children(recursive=True)
    with ThreadPoolExecutor(UNDER_WAY) as pool:
        waiting = pool.map(ask, range(UNDER_WAY))
        threading.Event().wait(BEGUN_S)
        asked = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        new = _refusals(service.url, files, headers)
        old += waiting
    code = service.process.wait(ENDS_WITHIN_S)
    took_s = time.monotonic() - asked
    row.answers.update([*old, *(status for status, _ in new)])
    row.want(f"{old.count(200)} of {UNDER_WAY} under way were answered", old.count(200) == UNDER_WAY)
    told = sum(status == 503 and has_retry for status, has_retry in new)
    row.want(f"{told} of {len(new)} new ones told 503 with Retry-After", told == len(new) > 0)
    row.want(f"exit code {code}", code == 0)
    _, alive = psutil.wait_procs(family, timeout=1)
    row.want(f"{len(alive)} processes left", not alive)
    left = [path.name for path in service.folder.glob("pairlens-*")]
    row.want(f"{len(left)} folders left", not left)
    row.cost.append(f"ended {took_s:.1f} s after SIGTERM")
    row.sent = f"{UNDER_WAY} comparisons of 0.5 s, SIGTERM, {len(new)} new ones"
    row.seconds = time.monotonic() - began


def _refusals(url: str, files: object, headers: dict[str, str]) -> list[tuple[int, bool]]:
    """What those who come once the service drains are told: status, and whether they hear when to come again."""
    told: list[tuple[int, bool]] = []
    until = time.monotonic() + 5
    while len(told) < NEW and time.monotonic() < until:
        try:
            if not told and httpx2.get(f"{url}/readyz", timeout=5).status_code == 200:
                time.sleep(0.05)  # it has not heard the signal yet
                continue
            answer = httpx2.post(f"{url}/v1/compare", files=files, headers=headers, timeout=30)  # type: ignore[arg-type]
            told.append((answer.status_code, "retry-after" in answer.headers))
        except httpx2.TransportError:
            told.append((wire.NO_ANSWER, False))
    return told
