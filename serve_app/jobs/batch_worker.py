"""Does the steps of batches: reads their images, has them compared, many at once, keeps what came of a step together.
Knows no queue and no pipeline: what compares is handed in, as the role `Comparing`."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ValidationError

from serve_app.core.clock import is_being_cancelled
from serve_app.core.comparing import Comparing
from serve_app.core.pictures import Upload
from serve_app.errors import (
    ComparisonError,
    DeadlineExceeded,
    ImageRole,
    InvalidConfig,
    StorageFull,
    Unavailable,
    WorkerLost,
)
from serve_app.imaging.pdf.documents import Document, Documents
from serve_app.jobs.batch import Batch, BatchPair, PairResult, Picture
from serve_app.jobs.batch_store import BatchStore
from serve_app.jobs.worker import MAX_LOST
from serve_app.schema import ErrorReport, ImageComparisonConfig
from serve_app.storage.blobs import Blobs

logger = logging.getLogger("pairlens.jobs")

# Between tries of a pair that nobody was there for, and how many: as of a job in the queue, half an hour of them.
TRY_AGAIN_S: Final = 2.0
TRIES: Final = 900

StepOutcome = Literal["done", "over"]
# Who compares two pictures of these digests for a batch.
ComparingFor = Callable[[Batch, str, str], Comparing]


@dataclass(frozen=True, slots=True)
class _Step:
    """What is under way of it: a task a pair."""

    tasks: Sequence[asyncio.Task[PairResult]]

    def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()


class BatchWorker:
    """Any number of batches in one event loop, together at most `at_once` pairs in work.

    The pairs of the next step begin as those of this one run out: workers behind wait for no step's end, nor for it to
    be written.
    """

    def __init__(
        self, store: BatchStore, blobs: Blobs, documents: Documents, comparing_for: ComparingFor, at_once: int
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._documents = documents
        self._comparing_for = comparing_for
        self._places = asyncio.Semaphore(at_once)  # first come, first served: so steps end in their order
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun: dict[str, dict[int, _Step]] = {}

    @property
    def at_work(self) -> list[str]:
        """Ids of batches that pairs are in work of."""
        return list(self._begun)

    async def step(self, batch_id: str, number: int) -> StepOutcome:
        """Step `number`, from 0, of a batch: each pair of it has a result when this returns, unless the batch is over.
        Raises `Unavailable` where the database can't be reached; asked again it goes on from where it was."""
        self._loop = asyncio.get_running_loop()
        batch = await asyncio.to_thread(self._store.begin, batch_id)
        if batch is None:
            self.cancel(batch_id)
            return "over"
        begun = self._begun.setdefault(batch_id, {})
        try:
            for each in (number, number + 1):
                if each not in begun:
                    begun[each] = await self._begin(batch, each)
            if self._begun.get(batch_id) is not begun:
                return self._over(batch_id, begun)  # cancelled meanwhile
            results = await asyncio.gather(*begun[number].tasks)
            if not await asyncio.to_thread(self._store.keep, batch_id, results):
                return self._over(batch_id, begun)
        except asyncio.CancelledError:
            self._over(batch_id, begun)
            if is_being_cancelled():
                raise  # this process ends; another one takes the batch over
            return "over"
        except StorageFull as full:
            self._over(batch_id, begun)
            await self._failed(batch_id, full)
            return "over"
        self._done(batch_id, number)
        return "done"

    def cancel(self, batch_id: str) -> None:
        """Stop comparing for this batch; call it in the worker's loop."""
        for step in self._begun.pop(batch_id, {}).values():
            step.cancel()

    def cancel_soon(self, batch_id: str) -> None:
        """The same from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.cancel, batch_id)

    async def give_up(self, batch_id: str) -> None:
        """End a batch that could not go on."""
        await self._failed(batch_id, Unavailable("The results of this batch could not be kept, for a long time."))

    def _over(self, batch_id: str, begun: dict[int, _Step]) -> StepOutcome:
        self.cancel(batch_id)
        for step in begun.values():  # those that were begun since a cancel came
            step.cancel()
        return "over"

    async def _begin(self, batch: Batch, number: int) -> _Step:
        """The pairs of a step in line, behind all that stand there already."""
        pairs = await asyncio.to_thread(self._store.to_do, batch.id, number)
        images = _Images(self._blobs, self._documents, batch.dpi)
        return _Step([asyncio.create_task(self._result(batch, pair, images)) for pair in pairs])

    def _done(self, batch_id: str, number: int) -> None:
        begun = self._begun.get(batch_id, {})
        begun.pop(number, None)
        if not any(step.tasks for step in begun.values()):
            self._begun.pop(batch_id, None)

    async def _failed(self, batch_id: str, refusal: ComparisonError) -> None:
        self.cancel(batch_id)
        await asyncio.to_thread(self._store.fail, batch_id, _told(refusal))

    async def _result(self, batch: Batch, pair: BatchPair, images: _Images) -> PairResult:
        if pair.reference is None or pair.candidate is None:
            return PairResult(pair.number, "added" if pair.reference is None else "removed")
        try:
            config = _config(batch, pair)
            return await self._patiently(batch, pair, (pair.reference, pair.candidate), config, images)
        except ComparisonError as refusal:
            return PairResult(pair.number, "failed", error=_told(refusal))
        except Exception as bug:  # noqa: BLE001 - a pair must end, whatever happens to it
            where = "".join(traceback.format_tb(bug.__traceback__))
            logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
            gone = ComparisonError("Something went wrong here; the pair is in our log.")
            return PairResult(pair.number, "failed", error=_told(gone))

    async def _patiently(
        self,
        batch: Batch,
        pair: BatchPair,
        pictures: tuple[Picture, Picture],
        config: ImageComparisonConfig,
        images: _Images,
    ) -> PairResult:
        """Its result, in one of the places. Raises `ComparisonError` and its kinds.

        Tried again where nobody was there; where its worker died, or its time was over, that counts: some of that time
        it waited for its turn among the others of its batch.
        """
        costly: Counter[str] = Counter()
        for _ in range(TRIES):
            try:
                async with self._places:
                    both = await images.read(*pictures)
                    comparing = self._comparing_for(batch, both[0].digest, both[1].digest)
                    report = await comparing.compare(both[0].data, both[1].data, config)
                return PairResult(pair.number, report.verdict, report=report.model_dump_json())
            except (Unavailable, DeadlineExceeded) as exc:
                costly[exc.type] += isinstance(exc, WorkerLost | DeadlineExceeded)
                if costly.total() >= MAX_LOST:
                    raise
            await asyncio.sleep(TRY_AGAIN_S)
        raise Unavailable("Nobody was there to compare these images, for a long time.")


class _Images:
    """The files of one step, or their pages. The last reference stays at hand: one against many is asked for each
    time."""

    def __init__(self, blobs: Blobs, documents: Documents, dpi: int | None) -> None:
        self._blobs = blobs
        self._documents = documents
        self._dpi = dpi
        self._reference: tuple[Picture, Upload] | None = None

    async def read(self, reference: Picture, candidate: Picture) -> tuple[Upload, Upload]:
        """With their digests. Raises `ComparisonError` where one is gone, `PdfRejected`."""
        return await asyncio.to_thread(self._read, reference, candidate)

    def _read(self, reference: Picture, candidate: Picture) -> tuple[Upload, Upload]:
        kept = self._reference
        try:
            if kept is None or kept[0] != reference:
                kept = self._reference = reference, self._upload(reference, "reference")
            return kept[1], self._upload(candidate, "candidate")
        except FileNotFoundError:
            raise ComparisonError("The images of this pair are gone.") from None

    def _upload(self, picture: Picture, side: ImageRole) -> Upload:
        def load() -> bytes:
            return self._blobs.get(picture.digest)

        if picture.page is None or self._dpi is None:
            return Upload(load(), picture.digest)
        document = Document(picture.digest, load, side)
        return Upload(self._documents.page(document, picture.page, self._dpi)).digested()


def _config(batch: Batch, pair: BatchPair) -> ImageComparisonConfig:
    """The batch's, with the pair's own boxes beside its. Raises `InvalidConfig`."""
    try:
        asked = ImageComparisonConfig.model_validate_json(batch.config)
        if pair.ignore_regions is None:
            return asked
        told = json.loads(batch.config)
        told["ignore_regions"] = [*told["ignore_regions"], *json.loads(pair.ignore_regions)]
        return ImageComparisonConfig.model_validate_json(json.dumps(told))
    except ValidationError:
        raise InvalidConfig("The config of this batch was accepted by another version of this service.") from None


def _told(refusal: ComparisonError) -> str:
    return ErrorReport.of(refusal).model_dump_json()
