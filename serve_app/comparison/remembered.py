"""Comparisons that were asked for before, or are asked for by several at once: each is computed once.
No HTTP, no Ray, no disk: who asks is a name, a place in the queues and the stores of reports are roles.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import hashlib
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from serve_app.comparison.pipeline import UNHINDERED, Pipeline, Turns, digested
from serve_app.comparison.watching import UNWATCHED, Audience, Watching
from serve_app.core.clock import Deadline
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, DeadlineExceeded, Overloaded
from serve_app.schema import ComparisonReport, ImageComparisonConfig, TimingsReport
from serve_app.settings import Settings
from serve_app.storage.reports import Kept, Reports

# As HTTP's Cache-Control has them: computed anew and kept; computed anew and not kept.
Freshness = Literal["any", "no-cache", "no-store"]
# How a report was come by, where an old one would do: kept, computed, or computed for somebody else at this moment.
Lookup = Literal["hit", "miss", "joined"]
# Of more time than the computation had that a request waited for in vain: with less, none is begun for it.
WORTH_A_TRY_S: Final = 1.0
# A place in the queues for one computation: entered when it begins, which may refuse it, and left at its end.
Place = Callable[[], AbstractContextManager[Turns]]


def unhindered() -> AbstractContextManager[Turns]:
    """Where there are no queues."""
    return nullcontext(UNHINDERED)


class Remembered:
    """A pipeline that remembers. `reports`: None remembers nothing, and computes equal questions each.

    `detached` makes the context in which a computation runs: it may outlive the request that began it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        reports: Reports | None,
        *,
        on_lookup: Callable[[Lookup], None] = lambda _: None,
        detached: Callable[[], contextvars.Context] = contextvars.copy_context,
    ) -> None:
        self._pipeline = pipeline
        self._reports = reports
        self._ttl_s = settings.cache.ttl_s
        # Limits and the model's settings decide reports too, and a shared store may serve services with others.
        self._deciding = settings.model_dump_json(
            exclude={"access", "cache", "jobs", "profiles", "canary", "mcp", "image_urls"}
        )
        self._on_lookup = on_lookup
        self._detached = detached
        self._flights: dict[str, _Flight] = {}

    @property
    def held_bytes(self) -> int:
        """Of the reports in this process's memory."""
        return 0 if self._reports is None else self._reports.held_bytes

    async def aclose(self) -> None:
        if self._reports is not None:
            await self._reports.aclose()

    async def compare(
        self,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        deadline: Deadline,
        place: Place = unhindered,
        *,
        owner: str = "",
        freshness: Freshness = "any",
        watching: Watching = UNWATCHED,
    ) -> ComparisonReport:
        """The report that there is, or the one that is being computed, or one computed now, in a `place`.

        What was computed for one `owner` is told to no other. `cached` says that it was not computed for this request:
        then `timings_ms` are this request's own, all of it waiting. `watching` hears how the computation gets on, from
        its begin on, whoever began it. Raises `ComparisonError` and its kinds, and `DeadlineExceeded` by this request's
        own clock, whoever else waits.
        """
        deadline.check()
        if self._reports is None:
            with place() as turns:
                return await self._pipeline.compare(reference, candidate, config, deadline, turns, watching)
        reference, candidate = await digested(reference, candidate)
        question = _Question(reference, candidate, self._pipeline.within_ceiling(config), owner, freshness)
        outcome, is_mine = await self._outcome(self._reports, question, deadline, place, watching)
        if isinstance(outcome, DeadlineExceeded) and not is_mine:
            raise deadline.exceeded()
        if isinstance(outcome, ComparisonError):
            raise copy.copy(outcome)  # the same to all who waited, each with a history of its own
        if freshness == "any":
            self._on_lookup("hit" if outcome.was_kept else "miss" if is_mine else "joined")
        return self._told(outcome.report, config, deadline, cached=outcome.was_kept or not is_mine)

    async def _outcome(
        self, reports: Reports, question: _Question, deadline: Deadline, place: Place, watching: Watching
    ) -> tuple[_Outcome | ComparisonError, bool]:
        """What came of the question, and whether it was this request that set it off."""
        earlier: _Outcome | ComparisonError | None = None
        while True:
            flight, is_mine = self._flight(reports, question, deadline, place)
            outcome = await flight.joined(deadline, watching)
            if earlier is not None and isinstance(outcome, Overloaded):
                return earlier, False  # what was left to this one is not enough for a try of its own
            if is_mine or deadline.at < flight.deadline.at + WORTH_A_TRY_S or not _was_short_of_time(outcome):
                return outcome, is_mine
            earlier = None if isinstance(outcome, Overloaded) else outcome

    def _flight(self, reports: Reports, question: _Question, deadline: Deadline, place: Place) -> tuple[_Flight, bool]:
        audience = Audience()
        if question.freshness != "any":
            work = self._computed(reports, question, deadline, place, audience)
            return _Flight(work, deadline, self._detached(), audience), True
        key = self._key(question.owner, question.id_by(self._pipeline))
        if (flight := self._flights.get(key)) is not None:
            return flight, False
        work = self._found_or_computed(reports, key, question, deadline, place, audience)
        flight = _Flight(work, deadline, self._detached(), audience, lambda: self._flights.pop(key, None))
        self._flights[key] = flight
        return flight, True

    async def _found_or_computed(
        self,
        reports: Reports,
        key: str,
        question: _Question,
        deadline: Deadline,
        place: Place,
        watching: Watching,
    ) -> _Outcome | ComparisonError:
        kept = await reports.get(key)
        if kept is not None and (report := _read(kept)) is not None:
            return _Outcome(report, was_kept=True)
        return await self._computed(reports, question, deadline, place, watching)

    async def _computed(
        self, reports: Reports, question: _Question, deadline: Deadline, place: Place, watching: Watching
    ) -> _Outcome | ComparisonError:
        try:
            with place() as turns:
                report = await self._pipeline.compare(
                    question.reference, question.candidate, question.config, deadline, turns, watching
                )
        except ComparisonError as refusal:
            return refusal.bare()  # as a value, without the frames that hold the pictures
        if question.freshness != "no-store" and not _is_makeshift(report):
            # Under the id that it has now: before a model's first answer its revision was not known.
            kept = Kept(report.model_dump_json().encode(), time.time() + self._ttl_s)
            await reports.put(self._key(question.owner, report.report_id), kept)
        return _Outcome(report, was_kept=False)

    def _key(self, owner: str, report_id: str) -> str:
        return hashlib.sha256("\0".join((self._deciding, owner, report_id)).encode()).hexdigest()

    def _told(
        self, report: ComparisonReport, config: ImageComparisonConfig, deadline: Deadline, *, cached: bool
    ) -> ComparisonReport:
        """As it is for this request: its own clock and what is to be said of its own time."""
        warnings = (*self._pipeline.warnings(config), *report.warnings)
        if not cached:
            return report.model_copy(update={"warnings": warnings})
        waited_ms = round((time.time() - deadline.started) * 1000, 2)
        timings = TimingsReport(queue=waited_ms, prepare=0.0, measure=0.0, assess=0.0, total=waited_ms)
        return report.model_copy(update={"warnings": warnings, "timings_ms": timings, "cached": True})


@dataclass(frozen=True, slots=True)
class _Question:
    """All that decides what is told, and to whom."""

    reference: Upload
    candidate: Upload
    config: ImageComparisonConfig
    owner: str
    freshness: Freshness

    def id_by(self, pipeline: Pipeline) -> str:
        return pipeline.report_id(self.reference, self.candidate, self.config)


@dataclass(frozen=True, slots=True)
class _Outcome:
    report: ComparisonReport
    was_kept: bool


class _Flight:
    """One computation on a task of its own, and how many wait for it: it ends by its own clock, or with the last.

    `audience`: of what happens in it. `on_end`: called once it can be joined no longer.
    """

    def __init__(
        self,
        work: Coroutine[Any, Any, _Outcome | ComparisonError],
        deadline: Deadline,
        context: contextvars.Context,
        audience: Audience,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.deadline = deadline
        self._num_waiting = 0
        self._audience = audience
        self._on_end = on_end
        self._task = asyncio.get_running_loop().create_task(work, context=context)
        self._task.add_done_callback(self._ended)

    async def joined(self, deadline: Deadline, watching: Watching) -> _Outcome | ComparisonError:
        """Its outcome. Raises `DeadlineExceeded` where this one's time is over before, and whatever bug ended it."""
        patience_s = None if deadline.at >= self.deadline.at else deadline.remaining_s
        self._num_waiting += 1
        self._audience.join(watching)
        try:
            await asyncio.wait({self._task}, timeout=patience_s)
            if not self._task.done():
                raise deadline.exceeded()
            return self._task.result()
        finally:
            self._audience.leave(watching)
            self._num_waiting -= 1
            if not self._num_waiting and not self._task.done():
                self._task.cancel()  # nobody pays for nobody
                self._end()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # a bug that nobody waited for is not asyncio's to report, with its text
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, lambda: None
        on_end()


def _is_makeshift(report: ComparisonReport) -> bool:
    """Told for want of the model's answer, or of time to read: another try may have it."""
    return report.model.status in ("timed_out", "failed") or report.measurement.text.status == "timed_out"


def _was_short_of_time(outcome: _Outcome | ComparisonError) -> bool:
    """Whether more time might have led to another outcome."""
    if isinstance(outcome, _Outcome):
        return _is_makeshift(outcome.report)
    return isinstance(outcome, DeadlineExceeded | Overloaded)


def _read(kept: Kept) -> ComparisonReport | None:
    try:
        return ComparisonReport.model_validate_json(kept.report)
    except ValidationError:  # of another version, or a stranger's
        return None
