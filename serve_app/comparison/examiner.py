"""The CPU stage: two uploads in, everything their pixels say out.
No Ray, no HTTP, no model: it reserves memory, decodes, measures and draws in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Final

from serve_app import imaging, measurement, ocr
from serve_app.comparison.budget import MemoryBudget
from serve_app.comparison.dialogue import closeups
from serve_app.comparison.pair_plan import PairPlan, ignored, plan_pair
from serve_app.comparison.text_first import text_first
from serve_app.comparison.unseen import unseen
from serve_app.comparison.words import read_pair
from serve_app.core import spans
from serve_app.core.clock import Deadline, Stop
from serve_app.core.measured import Crop, Examination, Measurement, Visual
from serve_app.core.pictures import Box, PreparedImage, Upload
from serve_app.errors import ComparisonError, ImageRole
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Limits, PreprocessingSettings


class Examiner:
    """Examines pairs inside a memory budget; a pair that doesn't fit now waits for its turn.

    `shows_images`: whether a model will look, so that its copies are to be made. `reader`: reads text, unless the
    memory budget is too small for it and pairs. `budget`: of this process, for whatever else decodes here. Raises
    `HeicUnavailable` where that format is listed and can't be read.
    """

    def __init__(
        self,
        limits: Limits,
        settings: PreprocessingSettings,
        *,
        shows_images: bool,
        reader: ocr.Reads | None = None,
    ) -> None:
        imaging.check_formats(limits.formats)
        self._limits = limits
        self._shows_images = shows_images
        # Networks keep what they once needed: it is promised for good, and not to pairs.
        left = settings.memory_budget_bytes - ocr.WORKING_BYTES
        self._reader = reader if left >= ocr.WORKING_BYTES else None
        self.budget = MemoryBudget(settings.memory_budget_bytes if self._reader is None else left)
        self._pairs = ThreadPoolExecutor(settings.threads, thread_name_prefix="pair")
        # The second image of a pair decodes here, beside the first: a pool of its own, because a pair
        # that waited in the pool it occupies would wait for ever.
        self._seconds = ThreadPoolExecutor(settings.threads, thread_name_prefix="second")

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        """Raises `ImageRejected` and its kinds, `InvalidConfig` for a frame that isn't there, and `DeadlineExceeded`.

        A C decode can't be interrupted: when the deadline passes or the caller leaves, the thread ends
        at its next step, and only then gives its memory back.
        """
        try:
            return await self._examine(reference, candidate, config, deadline)
        except ComparisonError as refusal:
            raise refusal.bare() from None  # its frames hold the pixels of both pictures, and one of them holds it

    async def _examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        deadline.check()
        loop = asyncio.get_running_loop()
        plan = await loop.run_in_executor(
            None, plan_pair, reference, candidate, config, self._limits, self.budget.total_bytes
        )
        with spans.span("wait for memory"):
            await self.budget.reserve(plan.reserved_bytes, deadline)
        stop = Stop(deadline)
        job = loop.run_in_executor(self._pairs, spans.carried(self._work), reference, candidate, config, plan, stop)
        job.add_done_callback(lambda done: self._finish(done, plan.reserved_bytes))
        try:
            async with asyncio.timeout(deadline.remaining_s):
                return await asyncio.shield(job)
        except TimeoutError:
            raise deadline.exceeded() from None
        finally:
            stop.cancel()

    def close(self) -> None:
        """Free the threads; pairs in work end at their next step."""
        self._pairs.shutdown(wait=False, cancel_futures=True)
        self._seconds.shutdown(wait=False, cancel_futures=True)

    def _finish(self, job: asyncio.Future[Examination], reserved_bytes: int) -> None:
        self.budget.release(reserved_bytes)
        if job.cancelled():
            return
        error = job.exception()  # marks it retrieved: an abandoned pair's error has no reader
        if isinstance(error, ComparisonError):
            error.bare()

    def _work(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, plan: PairPlan, stop: Stop
    ) -> Examination:
        stop.check()
        started = time.perf_counter()
        masks = ignored(config, plan)
        with spans.span("prepare"):
            upright_reference, upright_candidate = self._prepare_both(reference, candidate, config, plan, masks)
        stop.check()
        prepared = time.perf_counter()
        with spans.span("measure"):
            pair = measurement.place(upright_reference.raster, upright_candidate.raster)
            if config.ignore_regions and pair.may_have_moved:
                changed = pair.changed
                del pair, upright_reference, upright_candidate  # their memory is needed
                pair, upright_reference, upright_candidate = self._followed(reference, candidate, config, plan, changed)
                stop.check()
            measured = pair.measure(beside=self._seconds)
        if measured.identical and unseen(upright_reference.facts, upright_candidate.facts):
            measured = replace(measured, identical=False)  # it isn't known
        stop.check()
        with spans.span("read"):
            reading = read_pair(self._reader, pair, measured, config, stop, model_follows=self._shows_images)
        measured, reading = text_first(measured, reading)
        visuals: list[Visual] = []
        for kind in dict.fromkeys(config.visuals):
            stop.check()
            visuals.append(pair.draw(kind, measured))
        closer: tuple[Crop, ...] = ()
        if self._shows_images:
            stop.check()
            measured = pair.chart(measured)
            closer = _cropped(upright_reference, upright_candidate, measured, config)
        return Examination(
            reference=upright_reference.facts,
            candidate=upright_candidate.facts,
            shown_reference=upright_reference.shown,
            shown_candidate=upright_candidate.shown,
            measurement=measured,
            aspect_scores=tuple(measurement.aspect_score(measured, name) for name in config.comparison_aspects),
            visuals=tuple(visuals),
            prepare_ms=(prepared - started) * 1000,
            measure_ms=(time.perf_counter() - prepared) * 1000 - reading.read_ms,
            crops=closer,
            reading=reading,
        )

    def _prepare_both(
        self,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        plan: PairPlan,
        masks: tuple[Sequence[Box], Sequence[Box]],
        *,
        is_shown: bool = True,
    ) -> tuple[PreparedImage, PreparedImage]:
        def prepare(own: int) -> PreparedImage:
            return self._prepare((reference, candidate)[own], own, config, plan, masks[own], is_shown=is_shown)

        if not plan.decodes_together:
            return prepare(0), prepare(1)
        beside = self._seconds.submit(prepare, 1)
        try:
            first = prepare(0)
        finally:
            with suppress(CancelledError):  # by `close`, before it began; `wait` would never hear of that
                beside.exception()  # whatever became of the reference, the reserved memory is in use until here
        return first, beside.result()

    def _prepare(
        self,
        upload: Upload,
        own: int,
        config: ImageComparisonConfig,
        plan: PairPlan,
        masks: Sequence[Box],
        *,
        is_shown: bool,
    ) -> PreparedImage:
        """The reference (0) or the candidate (1)."""
        encode = self._shows_images and is_shown
        shown = imaging.ShownSpec(config.max_image_size, config.image_quality, encode=encode)
        header = (plan.reference, plan.candidate)[own]
        return imaging.prepare(upload, header, _ROLES[own], scale=plan.scale, masks=masks, shown=shown)

    def _followed(
        self,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        plan: PairPlan,
        changed: float,
    ) -> tuple[measurement.Pair, PreparedImage, PreparedImage]:
        """The pair with ignored regions where their content lies: seen from what they hide; where that says nothing,
        or leaves more than the `changed` of before, from what they leave."""
        masks = ignored(config, plan)
        first, second = self._prepare_both(reference, candidate, config, plan, ((), ()), is_shown=False)
        pair, there = measurement.place(first.raster, second.raster).ignoring(masks[0])
        if pair.is_same_frame or pair.changed > changed:
            first, second = self._prepare_both(reference, candidate, config, plan, masks)
            pair = measurement.place(first.raster, second.raster)
            if not pair.is_same_frame:
                pair, there = pair.ignoring(*masks)
        if self._shows_images:
            # One after the other, and nothing kept of it but what is shown: the pair's own pixels are in memory.
            seen = self._prepare(reference, 0, config, plan, masks[0], is_shown=True).shown
            first = replace(first, shown=seen)
            seen = self._prepare(candidate, 1, config, plan, there, is_shown=True).shown
            second = replace(second, shown=seen)
        return pair, first, second


_ROLES: Final[tuple[ImageRole, ImageRole]] = ("reference", "candidate")


def _cropped(
    first: PreparedImage, second: PreparedImage, measured: Measurement, config: ImageComparisonConfig
) -> tuple[Crop, ...]:
    """The worst regions of both pictures as they are, masks in them as in all that the model sees."""
    most, quality = closeups.largest(config.max_image_size), config.image_quality
    return tuple(
        Crop(
            place.index,
            imaging.cut(first.raster, place.reference, most, quality),
            imaging.cut(second.raster, place.candidate, most, quality),
        )
        for place in closeups.places(measured, first.facts, second.facts, config.max_image_size)
    )
