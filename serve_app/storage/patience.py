"""Asks a store that others share and that may be away, slow or full: nobody waits for it long, or again and again.
Knows no store: what is asked is handed in, with the failures that it may have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")
logger = logging.getLogger("pairlens.cache")

# A store nearby answers in milliseconds. One that hangs holds up one comparison for this long.
PATIENCE_S: Final = 0.25
# Until a store that failed is asked again, by one comparison for all.
AGAIN_AFTER_S: Final = 10.0


class Patience:
    """`name`: what the log calls the store. `clock`: seconds of any clock that only goes forward."""

    def __init__(self, name: str, faults: tuple[type[Exception], ...], clock: Callable[[], float]) -> None:
        self._name = name
        self._faults: tuple[type[Exception], ...] = (*faults, OSError, TimeoutError)
        self._clock = clock
        self._again_at: float | None = None  # while it is lost

    async def asked(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Its answer; None where it has none in time, or is lost. Raises nothing of the store's."""
        if self._again_at is not None:
            if self._clock() < self._again_at:
                return None
            self._again_at = self._clock() + AGAIN_AFTER_S  # this one asks for all the others
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await ask()
        except self._faults as exc:
            if self._again_at is None:
                logger.warning("%s is lost (%s): reports are kept in memory only", self._name, type(exc).__name__)
            self._again_at = self._clock() + AGAIN_AFTER_S
            return None
        if self._again_at is not None:
            logger.info("%s is back", self._name)
            self._again_at = None
        return answer
