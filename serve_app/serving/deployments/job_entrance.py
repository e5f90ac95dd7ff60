"""Jobs at one ingress replica: taken in from callers, and compared here for `Jobs` when their turn has come.
No logic of a job or of a comparison."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Final

from grpc.aio import AioRpcError
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.comparison.pipeline import Turns
from serve_app.comparison.remembered import Remembered
from serve_app.core.clock import Deadline, StageName
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs.storeroom import Storeroom
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.serving.admission import Ticket
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.callers import owner_of
from serve_app.serving.api.door import Door
from serve_app.serving.api.jobs import JobDesk
from serve_app.settings import Settings

logger = logging.getLogger("ray.serve")

# `Jobs` answers in milliseconds, or it is being replaced: then its sweep finds the cancel by itself.
TELL_WITHIN_S: Final = 5.0


class JobEntrance:
    """`desk` and `batch_desk`: for the routes. `jobs`: the deployment that has the jobs done."""

    def __init__(self, settings: Settings, jobs: DeploymentHandle, door: Door, remembered: Remembered) -> None:
        room = Storeroom.open(settings.jobs)
        patience_s, takes_webhooks = settings.limits.max_processing_timeout_s, settings.jobs.webhooks.enabled
        self.desk = JobDesk(room.store, room.blobs, self._stop, patience_s, takes_webhooks)
        documents = Documents(settings.limits)
        self.batch_desk = BatchDesk(room.batches, room.blobs, documents, self._stop_batch, patience_s)
        self._store = room.store
        self._jobs = jobs
        self._door = door
        self._remembered = remembered
        self._telling: set[asyncio.Task[None]] = set()  # asyncio itself holds no task

    async def compare(
        self,
        job_id: str,
        attempt: int,
        caller: str,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        deadline: Deadline,
    ) -> ComparisonReport:
        """The pair of a job: its report if it lies in the cache, as that of a job begun anew may, else computed in the
        background and kept there before it is told. Raises `ComparisonError` and its kinds."""

        def reached(stage: StageName) -> None:
            if stage == "assess":  # where a job begins is known without a word
                self._soon(self._tell_stage(job_id, attempt, stage))

        @contextmanager
        def place() -> Iterator[Turns]:
            with self._in_background(caller) as ticket:
                yield _Told(ticket, reached)

        return await self._remembered.compare(reference, candidate, config, deadline, place, owner=owner_of(caller))

    async def compare_in_batch(
        self, caller: str, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> ComparisonReport:
        """The same for a pair of a batch, whose stage nobody is told."""

        def place() -> AbstractContextManager[Turns]:
            return self._in_background(caller)

        return await self._remembered.compare(reference, candidate, config, deadline, place, owner=owner_of(caller))

    async def compare_anew(
        self, caller: str, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> ComparisonReport:
        """The same computed whatever is kept, and kept for nobody: how it would be answered now."""

        def place() -> AbstractContextManager[Turns]:
            return self._in_background(caller)

        return await self._remembered.compare(reference, candidate, config, deadline, place, freshness="no-store")

    @contextmanager
    def _in_background(self, caller: str) -> Iterator[Ticket]:
        ticket = self._door.admission.in_background(caller)
        try:
            yield ticket
        finally:
            ticket.leave()

    def _stop(self, job_id: str, attempt: int) -> None:
        self._soon(self._heard(lambda: self._jobs.cancel.remote(job_id, attempt)))

    def _stop_batch(self, batch_id: str) -> None:
        self._soon(self._heard(lambda: self._jobs.cancel_batch.remote(batch_id)))

    async def _heard(self, send: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(TELL_WITHIN_S):
                await send()
        except (RayError, RayServeException, AioRpcError, TimeoutError) as exc:
            logger.warning("a cancel was not heard: %s", type(exc).__name__)

    async def _tell_stage(self, job_id: str, attempt: int, stage: StageName) -> None:
        try:
            await asyncio.to_thread(self._store.reached, job_id, attempt, stage)
        except ComparisonError as exc:
            logger.warning("the stage of a job was not kept: %s", exc.type)

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


class _Told:
    """The turns of a ticket, each told when it has come."""

    def __init__(self, ticket: Ticket, reached: Callable[[StageName], None]) -> None:
        self._ticket = ticket
        self._reached = reached

    @asynccontextmanager
    async def at(self, name: StageName, deadline: Deadline) -> AsyncIterator[None]:
        async with self._ticket.at(name, deadline):
            self._reached(name)
            yield
