"""Memory promised to the requests in work, in bytes.
Knows no images: who reserves predicts, and who waits is told when the time is over."""

from __future__ import annotations

import asyncio
from collections import deque

from serve_app.core.clock import Deadline


class MemoryBudget:
    """A semaphore counted in bytes, first come first served.

    Counting bytes rather than requests is what keeps ten small pairs parallel and two huge ones apart.
    First come first served: a large pair is not starved by small ones that would still fit.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._free = total_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free_bytes(self) -> int:
        return self._free

    async def reserve(self, num_bytes: int, deadline: Deadline) -> None:
        """Take `num_bytes` (at most the total), waiting for them until the deadline.

        Raises `DeadlineExceeded`. Every success is to be paired with one `release`.
        """
        if num_bytes > self.total_bytes:
            raise ValueError(f"{num_bytes} bytes are more than the whole budget of {self.total_bytes}")
        if not self._waiting and num_bytes <= self._free:
            self._free -= num_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((num_bytes, turn))
        try:
            async with asyncio.timeout(deadline.remaining_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as end:
            self._give_up(num_bytes, turn)
            if isinstance(end, TimeoutError):
                raise deadline.exceeded() from None
            raise

    def release(self, num_bytes: int) -> None:
        self._free += num_bytes
        self._admit()

    def _give_up(self, num_bytes: int, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():  # granted in the same moment: hand it back
            self.release(num_bytes)
            return
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            num_bytes, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= num_bytes
                turn.set_result(None)
