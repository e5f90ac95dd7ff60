"""The deployment `Jobs`: one replica owns the durable queue and has what waits there compared at the entrances.
No logic of a job: what is here is what only Ray needs, handles, the replica's life and name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from ray import serve

from serve_app.core.clock import Deadline
from serve_app.core.comparing import Comparing
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, Unavailable
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs import webhook
from serve_app.jobs.batch import Batch
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.courier import Courier, guarded_client, master_key
from serve_app.jobs.deliveries import Deliveries
from serve_app.jobs.durable import Owner
from serve_app.jobs.job import Job
from serve_app.jobs.storeroom import Storeroom
from serve_app.jobs.worker import Worker
from serve_app.schema import ComparisonReport, ImageComparisonConfig, WebhookStatus
from serve_app.serving.api.callers import owner_of
from serve_app.serving.deployments.counting import RayCanaryRecorder, RayJobRecorder
from serve_app.serving.deployments.handles import answered, result
from serve_app.serving.deployments.logs import log_to_serve
from serve_app.serving.deployments.names import INGRESS
from serve_app.settings import Settings, WebhookSettings

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

    from serve_app.serving.canary import Canary

logger = logging.getLogger("ray.serve")

# How often it looks for cancels that were not heard, and for what has expired.
SWEEP_S: Final = 5.0
# How often it says that it is there, to other services with the same database, and looks for jobs of those that no
# longer do: see `durable.GONE_S`.
BEAT_S: Final = 2.0
# While the database can't be reached.
LAUNCH_AGAIN_S: Final = 2.0
# Removed in one transaction: others wait for it no longer than for a few jobs.
BATCH: Final = 100


# Asks any ingress replica to compare two uploads in so much time.
Send = Callable[[Upload, Upload, ImageComparisonConfig, Deadline], Any]


class AtTheEntrance:
    """`Comparing` for one pair of these digests, or for any where none are known: any ingress replica, after all for
    whom somebody waits."""

    def __init__(
        self, send: Send, ceiling_s: float, reference: str | None = None, candidate: str | None = None
    ) -> None:
        self._send = send
        self._digests = reference, candidate
        self._ceiling_s = ceiling_s

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        """Its clock starts now: waiting for a worker of the queue was no part of it."""
        deadline = Deadline.after(min(config.processing_timeout, self._ceiling_s))
        pair = Upload(reference, self._digests[0]), Upload(candidate, self._digests[1])
        sent = await answered(lambda: self._send(*pair, config, deadline), deadline, _retried)
        report: ComparisonReport = result(sent)
        return report


def _retried() -> None:
    logger.warning("an entrance was lost while it compared for a job")


class Jobs:
    """One replica at a time: Serve starts the next one when this one is gone."""

    def __init__(self, settings: Settings) -> None:
        log_to_serve()
        context = serve.get_replica_context()
        ingress = serve.get_deployment_handle(INGRESS, context.app_name)
        ceiling_s = settings.limits.max_processing_timeout_s
        self._room = Storeroom.open(settings.jobs)

        def for_job(job: Job) -> Comparing:
            def send(*pair: Any) -> Any:
                return ingress.compare_job.remote(job.id, job.attempt, job.caller, *pair)

            return AtTheEntrance(send, ceiling_s, job.reference, job.candidate)

        def for_batch(batch: Batch, reference: str, candidate: str) -> Comparing:
            def send(*pair: Any) -> Any:
                return ingress.compare_in_batch.remote(batch.caller, *pair)

            return AtTheEntrance(send, ceiling_s, reference, candidate)

        self._recorder = RayJobRecorder(settings.jobs.max_stored_bytes)
        blobs, documents = self._room.blobs, Documents(settings.limits)
        self._worker = Worker(self._room.store, blobs, for_job, self._recorder.ended)
        self._batches = BatchWorker(self._room.batches, blobs, documents, for_batch, settings.jobs.batch_pairs_at_once)
        self._courier = _courier(settings.jobs.webhooks, self._room.deliveries, self._recorder.tried)
        self._watched = _canary(settings, ingress)
        # Its own name, never the same twice: two of one name would run each other's jobs.
        self._owner = Owner(self._room.database, context.replica_id.unique_id, settings.jobs.parallel)
        self._life = asyncio.get_running_loop().create_task(self._live())

    async def cancel(self, job_id: str, attempt: int) -> None:
        """The store says already that it is cancelled; here the work ends."""
        self._worker.cancel_soon(job_id, attempt)

    async def cancel_batch(self, batch_id: str) -> None:
        """The same of a batch."""
        self._batches.cancel_soon(batch_id)

    async def check_health(self) -> None:
        """Raises what ended the life of this replica, a bug."""
        if self._life.done():
            self._life.result()

    async def _live(self) -> None:
        await self._launch()
        async with asyncio.TaskGroup() as lives:
            lives.create_task(_again_and_again(self._sweep, SWEEP_S))
            # Apart: a sweep may take long, and nobody is to think that this owner is gone.
            lives.create_task(_again_and_again(self._beat, BEAT_S))
            if self._watched is not None:
                canary, recorder = self._watched
                lives.create_task(canary.live())
                lives.create_task(_again_and_again(lambda: _told(canary, recorder), SWEEP_S))

    async def _launch(self) -> None:
        """The queue begins to run; the service goes on without it while the database can't be reached."""
        while True:
            try:
                await asyncio.to_thread(self._room.database.create_tables)
                # In a thread: DBOS refuses to be launched where an event loop runs.
                work = self._worker.run, self._worker.give_up, self._courier.deliver, self._batches
                await asyncio.to_thread(self._owner.launch, *work)
            except Unavailable as exc:
                logger.warning("jobs can't run yet: %s", exc.detail)
                await asyncio.sleep(LAUNCH_AGAIN_S)
            else:
                return

    async def _sweep(self) -> None:
        store, batches, blobs = self._room.store, self._room.batches, self._room.blobs
        for step in (
            self._stop_cancelled,
            lambda: self._recorder.expired(_all(store.expire)),
            lambda: _all(store.forget),
            lambda: _all(batches.expire),
            lambda: _all(batches.forget),
            lambda: _all(blobs.sweep),
            lambda: self._recorder.standing(store.census(), blobs.used_bytes()),
        ):
            try:
                await asyncio.to_thread(step)
            except ComparisonError as exc:
                logger.warning("jobs: a sweep failed: %s", exc.type)

    async def _beat(self) -> None:
        try:
            self._recorder.taken_over(await asyncio.to_thread(self._owner.take_over))
        except ComparisonError as exc:
            logger.warning("jobs: not heard by others: %s", exc.type)

    def _stop_cancelled(self) -> None:
        """The net beneath `cancel`, whose message may have been lost with an ingress replica."""
        at_work = self._worker.at_work
        if at_work:
            for job_id, attempt in set(at_work) - self._room.store.running(at_work):
                self._worker.cancel_soon(job_id, attempt)
        batches = self._batches.at_work
        if batches:
            for batch_id in set(batches) - self._room.batches.running(batches):
                self._batches.cancel_soon(batch_id)


def _canary(settings: Settings, ingress: DeploymentHandle) -> tuple[Canary, RayCanaryRecorder] | None:
    """None where it is off."""
    if settings.canary.pairs is None:
        return None
    from serve_app.comparison import profiles
    from serve_app.serving.canary import Canary  # with all that makes figures

    def send(*pair: Any) -> Any:
        return ingress.compare_anew.remote("canary", *pair)

    limits = settings.limits
    config = profiles.applied(ImageComparisonConfig(profile=settings.canary.profile), settings.profiles)
    comparing = AtTheEntrance(send, limits.max_processing_timeout_s)
    return Canary(settings.canary, comparing, config, max_bytes=limits.max_image_bytes), RayCanaryRecorder()


async def _told(canary: Canary, recorder: RayCanaryRecorder) -> None:
    recorder.standing(canary.standing)


def _courier(settings: WebhookSettings, kept: Deliveries, tried: Callable[[WebhookStatus], None]) -> Courier:
    """Raises `WebhooksUnavailable`, which keeps this replica from starting."""
    master, client = master_key(settings), guarded_client(settings)
    if master is None:
        return Courier(kept, client, None, tried)
    return Courier(kept, client, lambda caller: webhook.key_of(master, owner_of(caller)), tried)


async def _again_and_again(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        await work()
        await asyncio.sleep(pause_s)


def _all(remove: Callable[[int], int]) -> int:
    """How many it were."""
    removed = [remove(BATCH)]
    while removed[-1] == BATCH:
        removed.append(remove(BATCH))
    return sum(removed)
