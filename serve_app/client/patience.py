"""Whether and when a request is sent again, and how long a call may take in all. Pure: time is handed in."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve_app.client.failures import Failure, may_pass

Clock = Callable[[], float]
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
# On top of what a service asks for, so that those it sent away at once do not come back at once.
_SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True)
class Deadline:
    """One end for all tries of a call and the pauses between them."""

    timeout_s: float
    until: float
    clock: Clock

    @classmethod
    def after(cls, timeout_s: float, clock: Clock = time.monotonic) -> Deadline:
        return cls(timeout_s, clock() + timeout_s, clock)

    @property
    def left_s(self) -> float:
        return max(0.0, self.until - self.clock())


@dataclass(frozen=True, slots=True)
class Patience:
    """`chance` gives 0..1."""

    max_retries: int
    chance: Callable[[], float] = random.random

    def pause_s(self, failure: Failure, tries: int, left_s: float, *, is_safe: bool) -> float | None:
        """Seconds until the next try after `tries` of them; None: it is given up, for it would not help, would be one
        too many, or would come too late."""
        if tries > self.max_retries or not may_pass(failure, is_safe=is_safe):
            return None
        pause = self._asked_s(failure.retry_after_s) if failure.retry_after_s is not None else self._own_s(tries)
        return pause if pause < left_s else None

    def _asked_s(self, retry_after_s: int) -> float:
        return retry_after_s * (1 + _SPREAD * self.chance())

    def _own_s(self, tries: int) -> float:
        """Twice as long each time; anything from half of it, so that callers go apart."""
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * math.ldexp(1, min(tries, 16) - 1))
        return longest * (0.5 + 0.5 * self.chance())
