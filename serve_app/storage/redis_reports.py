"""Reports in a Redis that replicas share. A Redis that is away or slow costs a comparison nothing but a short wait.
The only file that knows Redis (extra `redis`); its memory is bounded by its own `maxmemory`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from serve_app.storage.patience import PATIENCE_S, Patience
from serve_app.storage.reports import CacheUnavailable, Kept

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ModuleNotFoundError:
    raise CacheUnavailable("A Redis is named, but not its client: pip install 'pairlens[redis]'.") from None

_PREFIX: Final = "pairlens:report:"


class RedisReports:
    """Each report under its key with the time until which it may be told; Redis forgets it then.

    `clock`: seconds of any clock that only goes forward. Raises `CacheUnavailable` for what is no URL of a Redis.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            # One retry: of the connections that wait here, a Redis that was restarted has forgotten all.
            self._redis = Redis.from_url(
                url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 1)
            )
        except ValueError:  # its text may quote the password
            raise CacheUnavailable(
                "The URL of Redis is none: redis://host:6379/0 or rediss://:password@host."
            ) from None
        self._patience = Patience("Redis", (RedisError,), clock)

    @property
    def held_bytes(self) -> int:
        return 0

    async def get(self, key: str) -> Kept | None:
        entry = await self._patience.asked(lambda: self._redis.get(_PREFIX + key))
        if not isinstance(entry, bytes):  # text only where the URL asks Redis's client for it
            return None
        until, _, report = entry.partition(b"\n")
        try:
            return Kept(report, float(until))
        except ValueError:  # a stranger wrote it
            return None

    async def put(self, key: str, kept: Kept) -> None:
        entry = b"%.3f\n" % kept.until + kept.report
        await self._patience.asked(lambda: self._redis.set(_PREFIX + key, entry, pxat=int(kept.until * 1000)))

    async def aclose(self) -> None:
        await self._redis.aclose()
