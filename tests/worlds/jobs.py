"""Small worlds for jobs: a store over a real database, a queue that only remembers, comparers that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from serve_app.comparison.verdict import report
from serve_app.core.pictures import Upload
from serve_app.jobs.batch import BatchPair, BatchRequest, Picture
from serve_app.jobs.batch_store import BatchStore
from serve_app.jobs.job import Request
from serve_app.jobs.store import JobStore
from serve_app.schema import ComparisonReport, ImageComparisonConfig, TimingsReport
from serve_app.settings import JobSettings
from serve_app.storage.blobs import Blobs
from serve_app.storage.database import Database
from tests.worlds.samples import assessed, examined, measured

CONFIG = ImageComparisonConfig()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class RememberedQueue:
    """Keeps what was enqueued; a test runs it."""

    def __init__(self) -> None:
        self.enqueued: list[tuple[str, int]] = []
        self.callers: list[str] = []
        self.tries: list[tuple[str, int, int, float]] = []
        self.forgotten: list[tuple[str, int]] = []
        self.batches: list[tuple[str, int]] = []  # with the number of steps
        self.forgotten_batches: list[str] = []

    def enqueue(self, connection: sa.Connection, job_id: str, attempt: int, caller: str) -> None:
        self.enqueued.append((job_id, attempt))
        self.callers.append(caller)

    def enqueue_try(
        self, connection: sa.Connection, job_id: str, attempt: int, number: int, caller: str, delay_s: float
    ) -> None:
        self.tries.append((job_id, attempt, number, delay_s))

    def forget(self, jobs: Sequence[tuple[str, int]]) -> None:
        self.forgotten += jobs

    def enqueue_batch(self, connection: sa.Connection, batch_id: str, num_steps: int, caller: str) -> None:
        self.batches.append((batch_id, num_steps))

    def forget_batches(self, batch_ids: Sequence[str]) -> None:
        self.forgotten_batches += batch_ids


class Desk:
    """A store with all that it stands on, its clock in the test's hand."""

    def __init__(self, database: Database, folder: Path, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings(folder=str(folder), enabled=True)
        self.clock = Clock()
        self.queue = RememberedQueue()
        self.blobs = Blobs(database, self.settings.folder, self.settings.max_stored_bytes, self.clock)
        self.store = JobStore(database, self.blobs, self.queue, self.settings, self.clock)
        self.batches = BatchStore(database, self.blobs, self.queue, self.settings, self.clock)
        database.create_tables()

    def request(
        self,
        caller: str = "alice",
        key: str | None = None,
        *,
        images: tuple[bytes, bytes] = (b"one", b"two"),
        webhook: str | None = None,
    ) -> Request:
        return Request.of(caller, key, Upload(images[0]), Upload(images[1]), CONFIG, webhook)

    def post(
        self,
        caller: str = "alice",
        key: str | None = None,
        *,
        images: tuple[bytes, bytes] = (b"one", b"two"),
        webhook: str | None = None,
    ) -> str:
        """The id of a job that was taken, a second after the last one."""
        self.clock.now += 1
        request = self.request(caller, key, images=images, webhook=webhook)
        self.blobs.put([(each.digest, each.data) for each in (request.reference, request.candidate)])
        return self.store.enqueue(request).id

    def batch_request(
        self, num_pairs: int, caller: str = "alice", key: str | None = None, first: bytes = b"one"
    ) -> BatchRequest:
        """One reference against many candidates."""
        reference = Picture(Upload(first).digest, "one.png")
        pairs = [
            BatchPair(number, f"{number}.png", reference, Picture(Upload(b"%d" % number).digest, f"{number}.png"))
            for number in range(1, num_pairs + 1)
        ]
        num_bytes = len(first) + sum(len(str(number)) for number in range(1, num_pairs + 1))
        return BatchRequest.of(caller, key, CONFIG, pairs, file_bytes=num_bytes)

    def post_batch(self, num_pairs: int, caller: str = "alice", key: str | None = None) -> str:
        """The id of a batch that was taken, a second after the last one."""
        self.clock.now += 1
        images = [b"one", *(b"%d" % number for number in range(1, num_pairs + 1))]
        self.blobs.put([(Upload(data).digest, data) for data in images])
        return self.batches.enqueue(self.batch_request(num_pairs, caller, key)).id


def made_report() -> ComparisonReport:
    config = ImageComparisonConfig()
    timings = TimingsReport(queue=0, prepare=0, measure=0, assess=0, total=0)
    examination = examined(measured(0.5), (None,) * len(config.comparison_aspects))
    return report.build(config, examination, assessed(), timings, "0" * 32)


class Comparer:
    """In the role `Comparing`: answers, refuses or waits, as the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, ImageComparisonConfig]] = []
        self.faults: list[Exception] = []  # the next ones to raise
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.asked.append((reference, candidate, config))
        self.entered.set()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.faults:
            raise self.faults.pop(0)
        return made_report()
