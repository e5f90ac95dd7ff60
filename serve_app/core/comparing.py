"""The role that all faces of PairLens ask: two pictures and a config in, a report out, wherever the work is done.
Filled by `local.Here`, in this process, and by `client.AsyncClient`, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol, TypeVar

from serve_app.errors import Unavailable
from serve_app.schema import ComparisonReport, ImageComparisonConfig

T = TypeVar("T")

TRIES: Final = 5  # of a pair among many that a service was too busy for
LONGEST_PAUSE_S: Final = 30.0


class CantCompare(Exception):
    """Nobody is there to compare: one sentence for a person."""


class Comparing(Protocol):
    """Compares pairs, any number of them at once."""

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        """Raises `ComparisonError` and its kinds; over HTTP also `CantCompare`, where there is no answer."""
        ...


async def patiently(
    comparing: Comparing, reference: bytes, candidate: bytes, config: ImageComparisonConfig
) -> ComparisonReport:
    """One pair of many, for which nobody waits: comes again when a busy service says so. Raises as `compare`."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return await comparing.compare(reference, candidate, config)
        except Unavailable as exc:
            if not left:
                raise
            await asyncio.sleep(min(LONGEST_PAUSE_S, exc.retry_after_s or 1))
    raise AssertionError("the last try returns or raises")


async def side_by_side(things: Iterable[T], do: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do something for each of many, `at_once` of them under way. The first error ends all of it, and is raised."""
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await do(thing)

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in workers:
            task.cancel()
    for task in ended:
        task.result()
