"""Finished reports, kept until a time: in this process's memory, and in a store that replicas share.
Knows no comparison and no caller: a key and bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cachetools import TLRUCache

# What Python keeps beside a report: its key twice, two entries of a dictionary, one of a heap, three objects.
ENTRY_BYTES: Final = 1024


class CacheUnavailable(Exception):
    """The shared store can't be used as it is set: one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A report as JSON, and until when it may be told, as `time.time()`."""

    report: bytes
    until: float


class Reports(Protocol):
    """Where reports lie. A store that fails is one that has nothing: neither method raises."""

    async def get(self, key: str) -> Kept | None: ...

    async def put(self, key: str, kept: Kept) -> None: ...

    @property
    def held_bytes(self) -> int:
        """Of this process's memory."""
        ...

    async def aclose(self) -> None: ...


class InMemory:
    """At most `capacity_bytes`; the least recently used go first. `clock` reads `time.time()` seconds."""

    def __init__(self, capacity_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._kept: TLRUCache[str, Kept] = TLRUCache(
            capacity_bytes, ttu=lambda _, kept, now: kept.until, timer=clock, getsizeof=_weight
        )

    @property
    def held_bytes(self) -> int:
        return int(self._kept.currsize)  # without what is over

    async def get(self, key: str) -> Kept | None:
        return self._kept.get(key)

    async def put(self, key: str, kept: Kept) -> None:
        """A report over the capacity is not kept, nor is what it would have replaced."""
        self._kept.pop(key, None)
        if _weight(kept) <= self._kept.maxsize:
            self._kept[key] = kept

    async def aclose(self) -> None:
        self._kept.clear()


class Layered:
    """What is `near` is asked first, and holds what came from `far` for as long as that would."""

    def __init__(self, near: Reports, far: Reports) -> None:
        self._near = near
        self._far = far

    @property
    def held_bytes(self) -> int:
        return self._near.held_bytes + self._far.held_bytes

    async def get(self, key: str) -> Kept | None:
        kept = await self._near.get(key)
        if kept is None and (kept := await self._far.get(key)) is not None:
            await self._near.put(key, kept)
        return kept

    async def put(self, key: str, kept: Kept) -> None:
        await self._near.put(key, kept)
        await self._far.put(key, kept)

    async def aclose(self) -> None:
        await self._near.aclose()
        await self._far.aclose()


def _weight(kept: Kept) -> int:
    return len(kept.report) + ENTRY_BYTES
