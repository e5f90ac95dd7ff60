"""Finished reports, kept until a time: in this process's memory, and in a store that replicas share.
Knows no comparison and no caller: a key and bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cachetools import TLRUCache

from serve_app.settings import CacheSettings

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


def open_reports(settings: CacheSettings, *, shared: Reports | None = None) -> Reports | None:
    """The stores that `settings` name, nearest first; None where no report is to be kept.

    `shared`: one for all replicas that is there anyway, used where the settings name no Redis.
    Raises `CacheUnavailable`.
    """
    if not settings.report_cache_bytes:
        return None
    near = InMemory(settings.report_cache_bytes)
    url = redis_url(settings)
    if url is not None:
        from serve_app.storage.redis_reports import RedisReports  # an extra: only where it is named

        shared = RedisReports(url)
    return near if shared is None else Layered(near, shared)


def redis_url(settings: CacheSettings) -> str | None:
    """The URL that `settings` point at, None where they name none. Raises `CacheUnavailable`."""
    if settings.redis_env:
        url, where = os.environ.get(settings.redis_env, "").strip(), f"the environment variable {settings.redis_env}"
    elif settings.redis_file:
        where = settings.redis_file
        try:
            url = Path(where).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise CacheUnavailable(f"The Redis URL in {where} can't be read: {type(exc).__name__}.") from None
    else:
        return None
    if not url:
        raise CacheUnavailable(f"There is no Redis URL in {where}.")
    return url


def _weight(kept: Kept) -> int:
    return len(kept.report) + ENTRY_BYTES
