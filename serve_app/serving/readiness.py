"""Whether a comparison sent now would be answered, from what the cluster says of its stages.
No Ray, no HTTP: states of stages go in, and a real comparison must have passed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from serve_app.errors import ComparisonError, Unavailable

logger = logging.getLogger("pairlens.readiness")

# An answer older than this means the watch itself hangs, so nothing is known.
STALE_S: Final = 4.0
# For a comparison in place of the cluster's word; with the wait before it, less than what makes an answer stale.
PROOF_S: Final = 2.0


class Readiness(Protocol):
    """Knows whether a comparison sent now would be answered."""

    async def check(self) -> None:
        """Raise `Unavailable` with the reason if not."""

    def watch(self) -> AbstractAsyncContextManager[None]:
        """Keep knowing for as long as the context is open: the server's life."""


class AlwaysReady:
    """For a pipeline in this process: its model was loaded and asked before it came to be."""

    async def check(self) -> None:
        return None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class StageState:
    """`rests`: none of its workers runs because nobody asks; the next request starts one. `recovers`: the cluster has
    lost its own memory and still looks for its workers."""

    running: int
    rests: bool = False
    recovers: bool = False

    @property
    def is_unknown(self) -> bool:
        return not self.running and self.recovers

    @property
    def is_lost(self) -> bool:
        return not self.running and not self.rests


class ServiceState:
    """Ready once `warm_up`, a real comparison, has passed and for as long as no stage is lost after it.

    It judges from counts of workers rather than by asking the model: the model's one slot may be taken by a long
    job, which is no reason to be taken out of a load balancer.
    """

    def __init__(self, warm_up: Callable[[], Awaitable[object]], clock: Callable[[], float] = time.monotonic) -> None:
        self._warm_up = warm_up
        self._clock = clock
        self._problem: str | None = "No comparison has passed here yet."
        self._is_warm = False
        self._learned_at = -STALE_S
        self._warming: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raises `Unavailable` with the reason."""
        if self._problem is not None:
            raise Unavailable(self._problem)
        if self._clock() - self._learned_at > STALE_S:
            raise Unavailable("The state of the service is not known right now.")

    def learn(self, stages: Mapping[str, StageState]) -> None:
        """Take over what the cluster says now; starts a comparison where one is due."""
        self._learned_at = self._clock()
        lost = sorted(name for name, stage in stages.items() if stage.is_lost)
        if lost:
            self._is_warm = False
            self._problem = f"No worker runs for: {', '.join(lost)}."
        elif self._is_warm:
            self._problem = None
        elif self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._prove())

    async def prove(self) -> None:
        """The cluster says nothing: what was known stays so for as long as a comparison passes, in a short time."""
        if self._problem is not None:
            return
        with suppress(ComparisonError, TimeoutError):
            async with asyncio.timeout(PROOF_S):
                await self._warm_up()
                self._learned_at = self._clock()

    async def warmed(self) -> None:
        """Wait for the comparison that is under way, if one is; whether it passed, `check` says."""
        if self._warming is not None:
            await asyncio.wait({self._warming})

    def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()

    async def _prove(self) -> None:
        try:
            await self._warm_up()
        except ComparisonError as exc:
            self._problem = "The warm-up comparison failed."
            logger.warning("warm-up comparison failed: %s", exc.type)
        else:
            self._is_warm = True
            self._problem = None
