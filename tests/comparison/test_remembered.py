"""What is computed once: asked again, or by several at once; whose clock ends what, and what is kept for whom."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from serve_app.comparison.pipeline import UNHINDERED, Pipeline, Turns
from serve_app.comparison.remembered import Lookup, Remembered
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import Examination, Visual
from serve_app.core.pictures import Upload
from serve_app.core.reading import UNREAD, Reading
from serve_app.errors import ComparisonError, DeadlineExceeded, ImageRejected, ModelFailed, Overloaded
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.settings import CacheSettings, Limits, ModelSettings, Settings
from serve_app.storage.reports import InMemory, Kept, Reports
from tests.worlds.samples import assessed, config, examined, measured, soon

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


class World:
    """A remembering pipeline over stages that wait for `gate` and raise what `faults` holds for them, in turn."""

    def __init__(self, settings: Settings | None = None, reports: Reports | None = None, **options: Any) -> None:
        settings = settings or Settings(model=ModelSettings(engine="scripted"))
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.cancelled = asyncio.Event()
        self.faults: list[Exception | None] = []
        self.model_fault: Exception | None = None
        self.reading = UNREAD
        self.model = ModelIdentity("scripted", None, None)
        self.deadlines: list[Deadline] = []
        self.names: list[str] = []
        self.looked: list[Lookup] = []
        self.reports = InMemory(2**20) if reports is None else reports
        self.pipeline = Pipeline(self, self, settings)
        kept = self.reports if settings.cache.report_cache_bytes else None
        self.remembered = Remembered(self.pipeline, settings, kept, on_lookup=self.looked.append, **options)

    @property
    def computed(self) -> int:
        return len(self.deadlines)

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        self.deadlines.append(deadline)
        self.names.append(NAME.get())
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.may_end.wait()
            raise
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        visuals = (Visual("overlay", b"a picture"),) if config.visuals else ()
        found = examined(measured(0.5), (None,) * len(config.comparison_aspects))
        return replace(found, visuals=visuals, reading=self.reading)

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        if self.model_fault is not None:
            raise self.model_fault
        return assessed(model=self.model, summary=f"Answer {self.computed}.")

    async def compare(self, deadline: Deadline | None = None, **asked: Any) -> ComparisonReport:
        options = {name: asked.pop(name) for name in ("place", "owner", "freshness") if name in asked}
        until = deadline or soon()
        return await self.remembered.compare(Upload(b"a"), Upload(b"b"), config(**asked), until, **options)

    async def begun(self, deadline: Deadline | None = None, **asked: Any) -> asyncio.Task[ComparisonReport]:
        """A comparison that waits at the gate."""
        self.gate.clear()
        self.entered.clear()
        task = asyncio.create_task(self.compare(deadline, **asked))
        await self.entered.wait()
        return task

    async def joining(self, number: int = 1, deadline: Deadline | None = None) -> list[asyncio.Task[ComparisonReport]]:
        """As many more of the same, that have all begun to wait."""
        tasks = [asyncio.create_task(self.compare(deadline)) for _ in range(number)]
        await turns_of_the_loop()
        return tasks


async def turns_of_the_loop() -> None:
    """Whatever can go on without waiting for anything outside has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def without_time(report: ComparisonReport) -> dict[str, Any]:
    return report.model_dump(exclude={"cached", "timings_ms"})


async def test_an_equal_question_gets_the_same_report_with_its_own_clock() -> None:
    world = World()
    first = await world.compare(visuals=["overlay"])
    again = await world.compare(Deadline.after(30, since=time.time() - 5), visuals=["overlay"])
    assert world.computed == 1
    assert (first.cached, again.cached) == (False, True)
    assert without_time(first) == without_time(again)
    assert again.visuals[0].image.startswith("data:image/png;base64,")
    took = again.timings_ms
    assert (took.prepare, took.measure, took.assess) == (0, 0, 0)
    assert took.queue == took.total >= 5000
    assert world.looked == ["miss", "hit"]


async def test_fifty_at_once_are_computed_once_in_one_place() -> None:
    places: list[str] = []

    @contextmanager
    def place() -> Iterator[Turns]:
        places.append("entered")
        yield UNHINDERED
        places.append("left")

    world = World()
    told = await asyncio.gather(*(world.compare(place=place) for _ in range(50)))
    assert world.computed == 1
    assert places == ["entered", "left"]
    assert sorted(report.cached for report in told) == [False] + [True] * 49
    assert len({report.model_dump_json(exclude={"cached", "timings_ms"}) for report in told}) == 1
    assert (world.looked.count("miss"), world.looked.count("joined")) == (1, 49)
    await world.compare(place=place)
    assert places == ["entered", "left"], "a report that is there costs no place"


async def test_a_leader_who_leaves_does_not_take_the_others_along() -> None:
    world = World()
    leader = await world.begun()
    others = await world.joining(3)
    leader.cancel()
    await asyncio.wait({leader})
    world.gate.set()
    told = await asyncio.gather(*others)
    assert leader.cancelled()
    assert not world.cancelled.is_set()
    assert (world.computed, [report.cached for report in told]) == (1, [True] * 3)
    assert (await world.compare()).cached


async def test_a_waiter_who_leaves_changes_nothing() -> None:
    world = World()
    leader = await world.begun()
    (leaving,) = await world.joining()
    leaving.cancel()
    await asyncio.wait({leaving})
    world.gate.set()
    assert not (await leader).cached
    assert world.computed == 1


async def test_nobody_pays_for_nobody() -> None:
    world = World()
    everybody = [await world.begun(), *await world.joining(2)]
    for task in everybody:
        task.cancel()
    world.may_end.clear()
    await asyncio.wait(everybody)
    await asyncio.wait_for(world.cancelled.wait(), 5)
    world.gate.set()
    assert not (await world.compare()).cached, "whoever comes next does not wait for what was given up, and still ends"
    world.may_end.set()
    await turns_of_the_loop()
    assert (await world.compare()).cached
    assert world.computed == 2


async def test_each_who_waits_has_a_deadline_of_its_own() -> None:
    world = World()
    leader = await world.begun()
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
        await world.compare(Deadline.after(0.05))
    assert not world.cancelled.is_set()
    world.gate.set()
    assert not (await leader).cached
    assert world.computed == 1


async def test_who_has_time_left_when_the_leaders_is_over_starts_anew() -> None:
    world = World()
    short, long = Deadline.after(20), Deadline.after(60)
    world.faults = [short.exceeded()]
    leader = await world.begun(short)
    (other,) = await world.joining(deadline=long)
    world.gate.set()
    assert not (await other).cached
    with pytest.raises(DeadlineExceeded):
        await leader
    assert world.deadlines == [short, long]


async def test_who_has_hardly_more_time_than_the_leader_is_told_so_by_its_own_clock() -> None:
    world = World()
    leaders = Deadline.after(20)
    world.faults = [leaders.exceeded()]
    leader = await world.begun(leaders)
    (other,) = await world.joining(deadline=Deadline(leaders.at + 0.01, 7))
    world.gate.set()
    with pytest.raises(DeadlineExceeded, match="within 7 s"):
        await other
    with pytest.raises(DeadlineExceeded, match="within 20 s"):
        await leader
    assert world.computed == 1


async def test_a_fallback_for_want_of_the_leaders_time_is_not_what_others_get() -> None:
    world = World()
    world.model_fault = ModelFailed("The model did not answer.")
    world.gate.clear()
    asked: dict[str, Any] = {"on_model_failure": "measurement"}
    leader = await world.begun(Deadline.after(20), **asked)
    other = asyncio.create_task(world.compare(Deadline.after(60), **asked))
    alike = asyncio.create_task(world.compare(Deadline.after(20), **asked))
    await turns_of_the_loop()
    world.gate.set()
    assert [(await task).model.status for task in (leader, alike)] == ["failed"] * 2
    assert (await other).model.status == "failed"
    assert world.computed == 2
    world.model_fault = None
    assert (await world.compare(**asked)).model.status == "answered", "a fallback is kept for nobody"
    assert (await world.compare(**asked)).cached


async def test_a_report_whose_text_was_not_read_in_time_is_kept_for_nobody() -> None:
    world = World()
    world.reading = Reading("timed_out")
    assert (await world.compare()).measurement.text.status == "timed_out"
    world.reading = Reading("nothing_to_read")
    again = await world.compare()
    assert (again.measurement.text.status, again.cached) == ("nothing_to_read", False)
    assert (await world.compare()).cached


def refusing(*, before_s: float) -> Any:
    """Makes the place of a computation for a deadline: refused where less time than this is left."""

    def of(deadline: Deadline) -> Any:
        @contextmanager
        def place() -> Iterator[Turns]:
            if deadline.remaining_s < before_s:
                raise Overloaded(f"It could not end within {deadline.timeout_s:g} s.")
            yield UNHINDERED

        return place

    return of


async def test_a_place_that_the_leaders_time_is_too_short_for_is_asked_for_again() -> None:
    world, of = World(), refusing(before_s=30)
    short, long = Deadline.after(20), Deadline.after(60)
    refused, told = await asyncio.gather(
        world.compare(short, place=of(short)), world.compare(long, place=of(long)), return_exceptions=True
    )
    assert isinstance(refused, Overloaded)
    assert isinstance(told, ComparisonReport)
    assert world.deadlines == [long]


async def test_who_is_refused_is_told_of_its_own_time() -> None:
    world, of = World(), refusing(before_s=100)
    deadlines = Deadline.after(20), Deadline.after(60)
    refused = await asyncio.gather(*(world.compare(each, place=of(each)) for each in deadlines), return_exceptions=True)
    assert [str(each) for each in refused] == ["It could not end within 20 s.", "It could not end within 60 s."]


async def test_who_has_waited_and_has_too_little_left_for_a_try_is_out_of_time_and_not_refused() -> None:
    world, of = World(), refusing(before_s=100)
    leaders, others = Deadline.after(20), Deadline.after(60)
    world.faults = [leaders.exceeded()]
    leader = await world.begun(leaders)
    other = asyncio.create_task(world.compare(others, place=of(others)))
    await turns_of_the_loop()
    world.gate.set()
    with pytest.raises(DeadlineExceeded, match="within 60 s"):
        await other
    with pytest.raises(DeadlineExceeded):
        await leader


async def test_an_error_is_told_to_all_and_kept_for_nobody() -> None:
    world = World()
    world.faults = [ImageRejected("No picture.", image="candidate")]
    tasks = [await world.begun(), *await world.joining(2, Deadline.after(600))]
    world.gate.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, ImageRejected) and error.image == "candidate" for error in told)
    assert len(set(map(id, told))) == 3, "each has a history of its own"
    assert world.computed == 1, "more time would not have helped"
    assert not (await world.compare()).cached
    assert world.computed == 2


async def test_a_bug_is_told_to_all_who_wait() -> None:
    world = World()
    world.faults = [KeyError("a bug")]
    tasks = [await world.begun(), *await world.joining()]
    world.gate.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in told] == [KeyError] * 2
    assert world.computed == 1


async def test_no_cache_computes_anew_and_is_kept() -> None:
    world = World()
    await world.compare()
    anew = await world.compare(freshness="no-cache")
    again = await world.compare()
    assert (anew.cached, again.cached) == (False, True)
    assert anew.summary == again.summary == "Answer 2."
    assert world.looked == ["miss", "hit"]


async def test_no_cache_does_not_wait_for_what_was_begun_before() -> None:
    world = World()
    leader = await world.begun()
    anew = await world.begun(freshness="no-cache")
    world.gate.set()
    assert [(await task).cached for task in (leader, anew)] == [False, False]
    assert world.computed == 2


async def test_no_store_computes_anew_and_is_not_kept() -> None:
    world = World()
    assert not (await world.compare(freshness="no-store")).cached
    assert world.remembered.held_bytes == 0
    assert not (await world.compare()).cached
    await world.compare(freshness="no-store")
    assert (await world.compare()).summary == "Answer 2."


async def test_reports_of_one_caller_are_not_told_to_another() -> None:
    world = World()
    first = await world.begun(owner="one")
    other = await world.begun(owner="another")
    world.gate.set()
    assert [(await task).cached for task in (first, other)] == [False, False]
    assert (await world.compare(owner="one")).cached
    assert not (await world.compare()).cached
    assert world.computed == 3


async def test_what_is_no_part_of_the_id_changes_nothing_that_is_told() -> None:
    limits = Limits(max_processing_timeout_s=100)
    told = []
    for timeouts in ((500, 5), (5, 500)):
        world = World(Settings(limits=limits, model=ModelSettings(engine="scripted")))
        told.append([await world.compare(processing_timeout=each) for each in timeouts])
        assert world.computed == 1
    clamped, unclamped = (told[0][0], told[1][1]), (told[0][1], told[1][0])
    assert [report.warnings for report in unclamped] == [unclamped[0].warnings] * 2
    for report in clamped:
        (said,) = set(report.warnings) - set(unclamped[0].warnings)
        assert said.startswith("processing_timeout of 500 s")


@pytest.mark.parametrize("other", [{"limits": Limits(max_measured_pixels=10)}, {"rev": "2"}])
async def test_services_with_other_settings_may_share_a_store(other: dict[str, Any]) -> None:
    shared, model = InMemory(2**20), ModelSettings(engine="scripted")
    assert not (await World(Settings(model=model), shared).compare()).cached
    assert not (await World(Settings(model=model, **other), shared).compare()).cached
    same = Settings(model=model, cache=CacheSettings(ttl_s=7))
    assert (await World(same, shared).compare()).cached


async def test_a_report_is_kept_under_the_revision_that_answered() -> None:
    world = World()
    world.model = ModelIdentity("scripted", None, "the commit")
    first = await world.compare()
    again = await world.compare()
    assert (again.cached, again.report_id) == (True, first.report_id)


async def test_a_report_that_can_not_be_read_is_computed_anew() -> None:
    class Strange(InMemory):
        async def get(self, key: str) -> Kept | None:
            return Kept(b'{"report_id": 1}', time.time() + 60)

    world = World(reports=Strange(2**20))
    assert not (await world.compare()).cached


async def test_how_long_it_is_kept() -> None:
    class Watched(InMemory):
        until = 0.0

        async def put(self, key: str, kept: Kept) -> None:
            self.until = kept.until

    reports = Watched(2**20)
    began = time.time()
    await World(Settings(cache=CacheSettings(ttl_s=1000)), reports).compare()
    assert began + 1000 <= reports.until <= time.time() + 1000


async def test_without_a_cache_equal_questions_are_computed_each() -> None:
    world = World(Settings(cache=CacheSettings(report_cache_bytes=0)))
    told = await asyncio.gather(*(world.compare(processing_timeout=500) for _ in range(3)))
    assert world.computed == 3
    assert not any(report.cached for report in told)
    assert len(told[0].warnings) == 1 + len((await world.compare()).warnings)


async def test_a_computation_runs_in_the_context_made_for_it() -> None:
    def detached() -> contextvars.Context:
        context = contextvars.copy_context()
        context.run(NAME.set, "of its own")
        return context

    world = World(detached=detached)
    await world.compare()
    await world.compare(freshness="no-cache")
    assert world.names == ["of its own"] * 2
    assert NAME.get() == "nobody"


async def test_who_comes_too_late_gets_no_old_report_either() -> None:
    world = World()
    await world.compare()
    with pytest.raises(ComparisonError):
        await world.compare(Deadline.after(-1))
