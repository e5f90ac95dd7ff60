"""One computation at a time on one device, whatever happens to the callers.
No Ray, no torch: it runs a plain function in a thread and knows when that thread ended.

Serve frees a replica's slot when a request times out or its client leaves, while the thread that
computes for it runs on; `max_ongoing_requests=1` alone therefore lets two jobs meet on a GPU. Here only
the end of the thread frees the device, and the work is told to end through `core.Stop`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from serve_app.core import Stop

T = TypeVar("T")

# How long a caller waits past the deadline for work that polls `Stop`: long enough for one decode step
# to end and raise by itself, so that the usual 504 leaves an idle device behind.
POLL_GRACE_S = 0.25


def uncounted(_: float) -> None:
    """Default of `on_abandoned`: nobody counts."""


class Device(Generic[T]):
    """Runs one job at a time in a thread of its own.

    `grace_s`: how long a job may work on after its deadline or cancel before `is_stuck` says so.
    `on_abandoned`: called with the seconds a job worked on after its caller had gone.
    """

    def __init__(self, grace_s: float, on_abandoned: Callable[[float], None] = uncounted) -> None:
        self._grace_s = grace_s
        self._on_abandoned = on_abandoned
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")
        self._due: float | None = None  # wall time by which the running job should have ended

    @property
    def is_stuck(self) -> bool:
        """Whether a job has ignored its stop for longer than the grace."""
        return self._due is not None and time.time() > self._due + self._grace_s

    async def run(self, work: Callable[[Stop], T], stop: Stop) -> T:
        """Wait for the device, run `work(stop)` on it and return its result.

        Raises `DeadlineExceeded` when `stop.deadline` passes, in the queue or at work. A cancelled
        caller cancels the work; the device stays taken until the work has really ended.
        """
        await self._acquire(stop)
        self._due = stop.deadline.at
        job = asyncio.get_running_loop().run_in_executor(self._thread, work, stop)
        job.add_done_callback(self._release)
        try:
            async with asyncio.timeout(stop.deadline.remaining_s + POLL_GRACE_S):
                return await asyncio.shield(job)
        except TimeoutError:
            self._abandon(job, stop)
            raise stop.deadline.exceeded() from None
        except asyncio.CancelledError:
            self._abandon(job, stop)
            raise

    def close(self) -> None:
        """Free the thread; a job that still runs ends by its own stop."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _acquire(self, stop: Stop) -> None:
        try:
            async with asyncio.timeout(stop.deadline.remaining_s):
                await self._lock.acquire()
        except TimeoutError:
            raise stop.deadline.exceeded() from None

    def _abandon(self, job: asyncio.Future[T], stop: Stop) -> None:
        stop.cancel()
        if job.done():
            return
        since = time.time()
        self._due = min(since, stop.deadline.at)
        job.add_done_callback(lambda _: self._on_abandoned(time.time() - since))

    def _release(self, job: asyncio.Future[T]) -> None:
        self._due = None
        self._lock.release()
        if not job.cancelled():
            job.exception()  # mark it retrieved: an abandoned job's error has no reader
