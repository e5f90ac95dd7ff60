"""One computation at a time on one device, or as many as it takes, whatever happens to the callers.
No Ray, no torch: it runs plain functions in threads and knows when those ended.

Serve frees a replica's slot when a request times out or its client leaves, while the thread that
computes for it runs on; `max_ongoing_requests=1` alone therefore lets two jobs meet on a GPU. Here only
the end of the thread frees its place, and the work is told to end through `core.Stop`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serve_app.core import spans
from serve_app.core.clock import Stop

T = TypeVar("T")

# How long a caller waits past the deadline for work that polls `Stop`: long enough for one decode step
# to end and raise by itself, so that the usual 504 leaves an idle device behind.
POLL_GRACE_S = 0.25


def uncounted(_: float) -> None:
    """Default of `on_abandoned`: nobody counts."""


class Device:
    """Runs `jobs_at_once` jobs in threads of its own; one, where it is a GPU.

    `grace_s`: how long a job may work on after its deadline or cancel before `is_stuck` says so.
    `on_abandoned`: called with the seconds a job worked on after its caller had gone.
    """

    def __init__(
        self, grace_s: float, on_abandoned: Callable[[float], None] = uncounted, *, jobs_at_once: int = 1
    ) -> None:
        self._grace_s = grace_s
        self._on_abandoned = on_abandoned
        self._free = asyncio.Semaphore(jobs_at_once)
        self._threads = ThreadPoolExecutor(max_workers=jobs_at_once, thread_name_prefix="device")
        # Of each running job, by its stop: the wall time by which it should have ended.
        self._due: dict[Stop, float] = {}

    @property
    def is_stuck(self) -> bool:
        """Whether a job has ignored its stop for longer than the grace."""
        return any(time.time() > due + self._grace_s for due in self._due.values())

    async def run(self, work: Callable[[Stop], T], stop: Stop) -> T:
        """Wait for the device, run `work(stop)` on it and return its result.

        Raises `DeadlineExceeded` when `stop.deadline` passes, in the queue or at work. A cancelled
        caller cancels the work; its place stays taken until the work has really ended.
        """
        with spans.span("wait for the device"):
            await self._acquire(stop)
        self._due[stop] = stop.deadline.at
        job = asyncio.get_running_loop().run_in_executor(self._threads, spans.carried(work), stop)
        job.add_done_callback(lambda done: self._release(done, stop))
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
        """Free the threads; a job that still runs ends by its own stop."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _acquire(self, stop: Stop) -> None:
        try:
            async with asyncio.timeout(stop.deadline.remaining_s):
                await self._free.acquire()
        except TimeoutError:
            raise stop.deadline.exceeded() from None

    def _abandon(self, job: asyncio.Future[Any], stop: Stop) -> None:
        stop.cancel()
        if job.done():
            return
        since = time.time()
        self._due[stop] = min(since, stop.deadline.at)
        job.add_done_callback(lambda _: self._on_abandoned(time.time() - since))

    def _release(self, job: asyncio.Future[Any], stop: Stop) -> None:
        del self._due[stop]
        self._free.release()
        if not job.cancelled():
            job.exception()  # mark it retrieved: an abandoned job's error has no reader
