"""One comparison from start to end: the order of the stages and the clock.
No HTTP, no Ray: the stages may be plain objects in this process or handles to deployments."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Final, Protocol

from serve_app.comparison import identity
from serve_app.comparison.dialogue import prompt
from serve_app.comparison.sentences import SENTENCES
from serve_app.comparison.verdict import report
from serve_app.comparison.watching import UNWATCHED, Watching
from serve_app.core import spans
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline, StageName
from serve_app.core.measured import Examination
from serve_app.core.pictures import Upload
from serve_app.errors import DeadlineExceeded, ImageTooLarge, ModelFailed, Unavailable
from serve_app.schema import ComparisonReport, ImageComparisonConfig, ModelStatus, TimingsReport
from serve_app.settings import Settings

# Kept back from the model where the caller wants the measurement rather than an error: enough to put the
# report together and send it before the deadline.
REPORT_RESERVE_S = 0.3
_HASHED_AT_ONCE: Final = 2**20  # bytes: less than a millisecond


class Examining(Protocol):
    """The CPU stage, wherever it runs."""

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination: ...


class Assessing(Protocol):
    """The model stage, wherever it runs."""

    async def assess(
        self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline
    ) -> Assessment: ...


class Turns(Protocol):
    """Lets a comparison into a stage when it is its turn."""

    def at(self, name: StageName, deadline: Deadline) -> AbstractAsyncContextManager[None]:
        """Entered once it is. Raises `DeadlineExceeded`."""
        ...


class Unhindered:
    """Where nobody else waits: every turn is now."""

    @asynccontextmanager
    async def at(self, name: StageName, deadline: Deadline) -> AsyncIterator[None]:
        yield


UNHINDERED: Final = Unhindered()


class Pipeline:
    """Compares pairs, any number of them at once. Remembers nothing of them, but which model has answered."""

    def __init__(self, examiner: Examining, assessor: Assessing, settings: Settings) -> None:
        self._examiner = examiner
        self._assessor = assessor
        self._is_asked = settings.model.is_asked
        self._identity = identity.configured(settings.model)
        self._ceiling_s = settings.limits.max_processing_timeout_s

    def deadline(self, config: ImageComparisonConfig, *, arrived: float | None = None) -> Deadline:
        """The clock of a request that came at `arrived` (`time.time()`): the caller's time, under the ceiling."""
        return Deadline.after(min(config.processing_timeout, self._ceiling_s), since=arrived)

    def within_ceiling(self, config: ImageComparisonConfig) -> ImageComparisonConfig:
        """The same, with nothing in it for `warnings`."""
        return config.model_copy(update={"processing_timeout": min(config.processing_timeout, self._ceiling_s)})

    def report_id(self, reference: Upload, candidate: Upload, config: ImageComparisonConfig) -> str:
        """What the report will be called, as far as the model is known."""
        return identity.report_id(reference, candidate, config, self._identity)

    async def compare(
        self,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        deadline: Deadline,
        turns: Turns = UNHINDERED,
        watching: Watching = UNWATCHED,
    ) -> ComparisonReport:
        """Examine the pair, ask the model about what was found, build the report; each stage when it is its turn.

        `watching` hears of it meanwhile. Raises `ComparisonError` and its kinds; `DeadlineExceeded` once `deadline` has
        passed.
        """
        reference, candidate = await digested(reference, candidate)
        async with _turn("examine", deadline, turns, watching):
            examination = await self._examiner.examine(reference, candidate, config, deadline)
        watching.examined(examination)
        deadline.check()
        assessment = await self._assess(config, examination, deadline, turns, watching)
        deadline.check()
        timings = _timings(examination, assessment, (time.time() - deadline.started) * 1000)
        with spans.span("report"):
            return self._report(reference, candidate, config, examination, assessment, timings)

    def _report(
        self,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        examination: Examination,
        assessment: Assessment,
        timings: TimingsReport,
    ) -> ComparisonReport:
        # Of the model that has answered: before its first answer, a hub's branch is not known as a commit.
        report_id = identity.report_id(reference, candidate, config, assessment.model)
        return report.build(config, examination, assessment, timings, report_id, self.warnings(config))

    async def _assess(
        self,
        config: ImageComparisonConfig,
        examination: Examination,
        deadline: Deadline,
        turns: Turns,
        watching: Watching,
    ) -> Assessment:
        if not self._is_asked:
            return Assessment(self._identity, "disabled")
        if examination.measurement.identical:
            return self._unanswered("skipped")
        if config.on_model_failure == "error":
            return await self._ask(config, examination, deadline, turns, watching)
        until = Deadline(deadline.at - REPORT_RESERVE_S, deadline.timeout_s - REPORT_RESERVE_S)
        try:
            return await self._ask(config, examination, until, turns, watching)
        except DeadlineExceeded:
            return self._unanswered("timed_out")
        except (ModelFailed, Unavailable, ImageTooLarge):  # too large for the model: it was measured
            return self._unanswered("failed")

    async def _ask(
        self,
        config: ImageComparisonConfig,
        examination: Examination,
        deadline: Deadline,
        turns: Turns,
        watching: Watching,
    ) -> Assessment:
        async with _turn("assess", deadline, turns, watching):
            assessment = await self._assessor.assess(config, examination, deadline)
        self._identity = assessment.model  # with the revision that was really loaded
        return assessment

    def _unanswered(self, status: ModelStatus) -> Assessment:
        # The prompt's version as if it had answered: the report's id is that of the question, not of its luck.
        return Assessment(self._identity, status, prompt_version=prompt.version(self._identity))

    def warnings(self, config: ImageComparisonConfig) -> tuple[str, ...]:
        """What a report says first, of this request's time alone."""
        if config.processing_timeout <= self._ceiling_s:
            return ()
        said = SENTENCES[config.language].clamped
        return (said.format(asked_s=config.processing_timeout, ceiling_s=self._ceiling_s),)


@asynccontextmanager
async def _turn(name: StageName, deadline: Deadline, turns: Turns, watching: Watching) -> AsyncIterator[None]:
    """Inside the stage, once it is its turn; `watching` hears of that, and of an end that was no failure."""
    watching.at(name, "waiting")
    with ExitStack() as waiting:
        waiting.enter_context(spans.span(f"queue {name}"))
        async with turns.at(name, deadline):
            waiting.close()
            watching.at(name, "working")
            with spans.span(name):
                yield
    watching.at(name, "done")


async def digested(*uploads: Upload) -> tuple[Upload, ...]:
    """The same with their SHA-256 known. Hashing large files holds up nobody: hashlib lets go of Python's lock."""
    if sum(len(upload.data) for upload in uploads) < _HASHED_AT_ONCE:
        return tuple(upload.digested() for upload in uploads)
    return await asyncio.to_thread(lambda: tuple(upload.digested() for upload in uploads))


def _timings(examination: Examination, assessment: Assessment, total_ms: float) -> TimingsReport:
    """`queue` is what remains of the total beside the work: waiting for a slot, and the way there and back."""
    read_ms = examination.reading.read_ms
    work_ms = examination.prepare_ms + examination.measure_ms + read_ms + assessment.assess_ms
    return TimingsReport(
        queue=round(max(0.0, total_ms - work_ms), 2),
        prepare=round(examination.prepare_ms, 2),
        measure=round(examination.measure_ms, 2),
        read=round(read_ms, 2),
        assess=round(assessment.assess_ms, 2),
        total=round(total_ms, 2),
    )
