"""How often one caller may ask: a bucket of tokens each, filled at a constant rate.
Knows no HTTP; the clock is passed in.

Own code because the usual package (`limits`) counts windows, which allow twice the rate at their border, runs
a timer thread, and remembers callers without a bound.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve_app.errors import RateLimited

# Callers remembered, some 200 bytes each. One that is forgotten starts anew with a full bucket.
MAX_CALLERS: Final = 10_000
# Sums of fractions of a token: who comes back exactly when told to is let in.
ROUNDING: Final = 1e-6


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Quota:
    """`per_minute` requests of each caller on the long run, `burst` at once after a pause.

    `entrances`: how many replicas count side by side; each grants its share.
    """

    def __init__(
        self,
        per_minute: int,
        burst: int,
        *,
        max_callers: int = MAX_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entrances = 1
        self._per_minute = per_minute
        self._burst = burst
        self._max_callers = max_callers
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str) -> None:
        """Count one request. Raises `RateLimited` with the seconds until the next one may come."""
        now = self._clock()
        rate_per_s = self._per_minute / 60 / self.entrances
        size = max(1.0, self._burst / self.entrances)
        bucket = self._buckets.setdefault(caller, _Bucket(size, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        bucket.tokens = min(size, bucket.tokens + (now - bucket.at) * rate_per_s)
        bucket.at = now
        missing = 1 - bucket.tokens
        if missing > ROUNDING:
            raise RateLimited(
                f"One caller may send {self._per_minute} requests a minute here.",
                retry_after_s=max(1, math.ceil(missing / rate_per_s - ROUNDING)),
            )
        bucket.tokens -= 1
