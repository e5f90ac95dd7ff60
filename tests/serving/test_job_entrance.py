"""Jobs at one entrance, without Ray: from the cache where that can be, else in the background, the stage told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from ray.exceptions import ActorDiedError
from ray.serve.handle import DeploymentHandle

from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.remembered import Remembered
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline
from serve_app.core.measured import Examination
from serve_app.core.pictures import Upload
from serve_app.errors import Draining
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.serving.api.door import open_door
from serve_app.serving.deployments.job_entrance import JobEntrance
from serve_app.settings import JobSettings, ModelSettings, Settings
from serve_app.storage.report_stores import open_reports
from tests.worlds.samples import assessed, examined, measured, upload

CONFIG = ImageComparisonConfig()


class Stages:
    """Both stages; the model waits where a test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        return examined(measured(0.5))

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        self.asked += 1
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        return assessed()


class JobsHandle:
    """The handle of `Jobs`; `fault` is what a call ends in."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.fault: Exception | None = None
        self.heard = asyncio.Event()
        self.cancel = self
        self.cancel_batch = _OfBatches(self)

    async def remote(self, job_id: str, attempt: int) -> None:
        self.told.append((job_id, attempt))
        self.heard.set()
        if self.fault is not None:
            raise self.fault


class _OfBatches:
    def __init__(self, handle: JobsHandle) -> None:
        self._handle = handle

    async def remote(self, batch_id: str) -> None:
        await self._handle.remote(batch_id, 0)


class Entrance:
    def __init__(self, folder: Path) -> None:
        settings = Settings(model=ModelSettings(engine="scripted"), jobs=JobSettings(folder=str(folder), enabled=True))
        self.stages, self.handle, self.door = Stages(), JobsHandle(), open_door(settings)
        pipeline = Pipeline(self.stages, self.stages, settings)
        self.remembered = Remembered(pipeline, settings, open_reports(settings.cache))
        self.jobs = JobEntrance(settings, cast(DeploymentHandle, self.handle), self.door, self.remembered)
        self.stages_told: list[tuple[str, int, str]] = []
        self.told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def reached(job_id: str, attempt: int, stage: str) -> None:
            self.stages_told.append((job_id, attempt, stage))
            loop.call_soon_threadsafe(self.told.set)

        self.jobs._store.reached = reached  # type: ignore[method-assign]

    async def compare(self, caller: str = "address:10.0.0.1", *, second: str = "red") -> ComparisonReport:
        pair = upload(), upload(second)
        return await self.jobs.compare("job", 1, caller, *pair, CONFIG, Deadline.after(30))


@pytest.fixture
async def entrance(tmp_path: Path) -> Entrance:
    return Entrance(tmp_path)


async def test_a_job_is_compared_in_the_background_and_its_stage_told(entrance: Entrance) -> None:
    entrance.stages.gate = asyncio.Event()
    running = asyncio.create_task(entrance.compare())
    await entrance.stages.entered.wait()
    await entrance.told.wait()
    assert entrance.stages_told == [("job", 1, "assess")]
    assert entrance.door.admission.num_pending == 0
    assert entrance.door.admission.stages["assess"].num_inside == 1
    entrance.stages.gate.set()
    assert (await running).cached is False
    assert entrance.door.admission.stages["assess"].num_inside == 0


async def test_a_job_that_is_begun_anew_finds_the_report_of_the_first_time(entrance: Entrance) -> None:
    await entrance.compare()
    assert (await entrance.compare()).cached is True
    assert entrance.stages.asked == 1
    await entrance.compare(second="blue")
    assert entrance.stages.asked == 2


async def test_what_was_computed_for_one_key_is_told_to_no_other(entrance: Entrance) -> None:
    await entrance.compare("key:alice")
    assert (await entrance.compare("key:bob")).cached is False
    assert (await entrance.compare("key:alice")).cached is True


async def test_what_a_caller_had_compared_is_there_for_its_jobs(entrance: Entrance) -> None:
    await entrance.remembered.compare(upload(), upload("red"), CONFIG, Deadline.after(30), owner="alice")
    assert (await entrance.compare("key:alice")).cached is True


async def test_a_cancel_ends_the_work_and_gives_up_its_place(entrance: Entrance) -> None:
    entrance.stages.gate = asyncio.Event()
    running = asyncio.create_task(entrance.compare())
    await entrance.stages.entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert entrance.door.admission.stages["assess"].num_inside == 0


async def test_an_entrance_that_drains_sends_its_jobs_elsewhere(entrance: Entrance) -> None:
    entrance.door.admission.drain()
    with pytest.raises(Draining):
        await entrance.compare()


@pytest.mark.parametrize("fault", [None, ActorDiedError(), TimeoutError()])
async def test_a_cancel_is_told_to_jobs_and_may_be_lost(entrance: Entrance, fault: Any) -> None:
    entrance.handle.fault = fault
    entrance.jobs.desk.stop("job", 3)
    await entrance.handle.heard.wait()
    await asyncio.gather(*entrance.jobs._telling)
    assert entrance.handle.told == [("job", 3)]


async def test_a_pair_of_a_batch_is_compared_in_the_background_and_no_stage_told(entrance: Entrance) -> None:
    pair = upload(), upload("red")
    entrance.stages.gate = asyncio.Event()
    running = asyncio.create_task(entrance.jobs.compare_in_batch("key:alice", *pair, CONFIG, Deadline.after(30)))
    await entrance.stages.entered.wait()
    assert entrance.door.admission.num_pending == 0
    assert entrance.door.admission.stages["assess"].num_inside == 1
    entrance.stages.gate.set()
    assert (await running).cached is False
    assert entrance.door.admission.stages["assess"].num_inside == 0
    assert (entrance.stages_told, entrance.jobs._telling) == ([], set())
    assert (await entrance.compare("key:alice")).cached is True
    assert (await entrance.compare("key:bob")).cached is False


async def test_a_cancel_of_a_batch_is_told_to_jobs(entrance: Entrance) -> None:
    entrance.jobs.batch_desk.stop("batch")
    await entrance.handle.heard.wait()
    assert entrance.handle.told == [("batch", 0)]


async def test_the_canary_is_computed_in_the_background_each_time_and_kept_for_nobody(entrance: Entrance) -> None:
    pair = upload(), upload("red")
    entrance.stages.gate = asyncio.Event()
    running = asyncio.create_task(entrance.jobs.compare_anew("canary", *pair, CONFIG, Deadline.after(30)))
    await entrance.stages.entered.wait()
    assert entrance.door.admission.num_pending == 0
    assert entrance.door.admission.stages["assess"].num_inside == 1
    entrance.stages.gate.set()
    await running
    await entrance.jobs.compare_anew("canary", *pair, CONFIG, Deadline.after(30))
    assert entrance.stages.asked == 2
    assert (await entrance.remembered.compare(*pair, CONFIG, Deadline.after(30))).cached is False
    await entrance.jobs.compare_anew("canary", *pair, CONFIG, Deadline.after(30))
    assert entrance.stages.asked == 4
