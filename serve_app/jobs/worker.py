"""Does one attempt at a job: reads its images, has them compared, keeps the report or the refusal.
Knows no queue and no pipeline: what compares is handed in, as the role `Comparing`."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, Protocol

from pydantic import ValidationError

from serve_app.core.clock import is_being_cancelled
from serve_app.core.comparing import Comparing
from serve_app.errors import ComparisonError, InvalidConfig, StorageFull, Unavailable, WorkerLost
from serve_app.jobs.job import Job
from serve_app.jobs.store import JobStore
from serve_app.schema import ErrorReport, ImageComparisonConfig, JobStatus
from serve_app.storage.blobs import Blobs

logger = logging.getLogger("pairlens.jobs")

# A pair that kills whoever works on it is not given a third worker; each attempt is two tries already.
MAX_LOST: Final = 3

Outcome = Literal["succeeded", "failed", "cancelled", "nothing_to_do"]


class Ended(Protocol):
    """Told of each job that has ended here, with the seconds it waited and was at work."""

    def __call__(self, status: JobStatus, waited_s: float, ran_s: float) -> None: ...


def nobody(status: JobStatus, waited_s: float, ran_s: float) -> None:
    """Where nobody counts."""


class Worker:
    """Any number of attempts at once, in one event loop. `comparing_for`: who compares the pair of this job."""

    def __init__(
        self, store: JobStore, blobs: Blobs, comparing_for: Callable[[Job], Comparing], ended: Ended = nobody
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._comparing_for = comparing_for
        self._ended = ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._at_work: dict[tuple[str, int], asyncio.Task[str]] = {}
        self._lost: Counter[tuple[str, int]] = Counter()

    @property
    def at_work(self) -> list[tuple[str, int]]:
        """Id and attempt of what is being compared now."""
        return list(self._at_work)

    async def run(self, job_id: str, attempt: int) -> Outcome:
        """One try. Raises `Unavailable` where another one may succeed: nobody was there to compare.

        Begun again after a crash it goes on where that is possible; an attempt that has ended is left alone.
        """
        self._loop = asyncio.get_running_loop()
        job = await asyncio.to_thread(self._store.begin, job_id, attempt)
        if job is None:
            return "nothing_to_do"
        try:
            report = await self._compared(job)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise  # this process ends; another one takes the job over
            return "cancelled"
        except Unavailable as exc:
            if self._may_try_again(job, exc):
                raise
            return await self._failed(job, exc)
        except ComparisonError as exc:
            return await self._failed(job, exc)
        except Exception as bug:  # noqa: BLE001 - a job must end, whatever happens to it
            where = "".join(traceback.format_tb(bug.__traceback__))
            logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
            return await self._failed(job, ComparisonError("Something went wrong here; the job is in our log."))
        return await self._finish(job, "succeeded", report=report)

    def cancel(self, job_id: str, attempt: int) -> bool:
        """Stop comparing, if this attempt is compared here; call it in the worker's loop."""
        task = self._at_work.get((job_id, attempt))
        return task is not None and task.cancel()

    def cancel_soon(self, job_id: str, attempt: int) -> None:
        """The same from any thread, without an answer."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.cancel, job_id, attempt)

    async def give_up(self, job_id: str, attempt: int) -> None:
        """End an attempt that nobody could be found for."""
        job = await asyncio.to_thread(self._store.begin, job_id, attempt)
        if job is not None:
            await self._failed(job, Unavailable("Nobody was there to compare these images, for a long time."))

    async def _compared(self, job: Job) -> str:
        """The report as JSON. Raises CancelledError where `cancel` ended it."""
        task = asyncio.ensure_future(self._compare(job))
        self._at_work[job.id, job.attempt] = task
        try:
            return await task
        finally:
            task.cancel()  # where it is this call that was ended
            del self._at_work[job.id, job.attempt]

    async def _compare(self, job: Job) -> str:
        try:
            reference, candidate = await asyncio.to_thread(
                lambda: (self._blobs.get(job.reference), self._blobs.get(job.candidate))
            )
        except FileNotFoundError:
            raise ComparisonError("The images of this job are gone.") from None
        try:
            config = ImageComparisonConfig.model_validate_json(job.config)
        except ValidationError:
            raise InvalidConfig("The config of this job was accepted by another version of this service.") from None
        report = await self._comparing_for(job).compare(reference, candidate, config)
        return report.model_dump_json()

    def _may_try_again(self, job: Job, exc: Unavailable) -> bool:
        if isinstance(exc, WorkerLost):
            self._lost[job.id, job.attempt] += 1
        return self._lost[job.id, job.attempt] < MAX_LOST

    async def _failed(self, job: Job, refusal: ComparisonError) -> Outcome:
        return await self._finish(job, "failed", error=ErrorReport.of(refusal).model_dump_json())

    async def _finish(
        self, job: Job, status: Literal["succeeded", "failed"], *, report: str | None = None, error: str | None = None
    ) -> Outcome:
        self._lost.pop((job.id, job.attempt), None)
        try:
            kept = await asyncio.to_thread(
                lambda: self._store.finish(job.id, job.attempt, status, report=report, error=error)
            )
        except StorageFull as full:
            if report is None:
                raise
            return await self._failed(job, full)  # there is no room for what it came to
        if not kept:
            return "nothing_to_do"  # cancelled meanwhile, or ended by another worker
        began = job.started or job.created
        self._ended(status, began - job.created, time.time() - began)
        return status
