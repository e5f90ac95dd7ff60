"""Who hears of a comparison: in which order, how much of it, and with whom it is shared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve_app.comparison.pipeline import Pipeline
from serve_app.core.clock import StageName
from serve_app.core.measured import Examination
from serve_app.core.pictures import Upload
from serve_app.errors import ModelFailed
from serve_app.schema.words import StageState
from tests.comparison.test_remembered import World
from tests.worlds.samples import config, examined, same, soon

BOTH = [
    "examine waiting",
    "examine working",
    "examine done",
    "measured",
    "assess waiting",
    "assess working",
    "assess done",
]


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def at(self, stage: StageName, state: StageState) -> None:
        self.told.append(f"{stage} {state}")

    def examined(self, examination: Examination) -> None:
        self.told.append("measured")


async def compared(pipeline: Pipeline, heard: Heard, **fields: Any) -> None:
    await pipeline.compare(Upload(b"a"), Upload(b"b"), config(**fields), soon(), watching=heard)


async def test_each_stage_is_told_in_its_turn() -> None:
    heard = Heard()
    await compared(World().pipeline, heard)
    assert heard.told == BOTH


async def test_what_was_measured_is_told_before_the_model_is_asked() -> None:
    world, heard = World(), Heard()
    before: list[list[str]] = []
    ask = world.assess

    async def assess(*asked: Any) -> Any:
        before.append(list(heard.told))
        return await ask(*asked)

    world.assess = assess  # type: ignore[assignment, method-assign]
    await compared(world.pipeline, heard)
    assert before == [BOTH[:6]]


async def test_a_stage_that_fails_has_no_end() -> None:
    world, heard = World(), Heard()
    world.model_fault = ModelFailed("The model failed.")
    with pytest.raises(ModelFailed):
        await compared(world.pipeline, heard)
    assert heard.told == BOTH[:6]


async def test_a_stage_that_is_left_out_is_not_told() -> None:
    world, heard = World(), Heard()

    async def examine(*asked: Any) -> Examination:
        return examined(same())

    world.examine = examine  # type: ignore[assignment, method-assign]
    await compared(world.pipeline, heard)
    assert heard.told == BOTH[:4]


async def test_who_joins_hears_all_of_it_and_who_leaves_no_more() -> None:
    world = World()
    first, second, third = Heard(), Heard(), Heard()
    leader = asyncio.create_task(asked(world, first))
    world.gate.clear()
    await world.entered.wait()
    joined = asyncio.create_task(asked(world, second))
    leaver = asyncio.create_task(asked(world, third))
    await asyncio.sleep(0.01)
    assert second.told == third.told == BOTH[:2]
    leaver.cancel()
    await asyncio.wait({leaver})
    world.gate.set()
    await asyncio.gather(leader, joined)
    assert first.told == second.told == BOTH
    assert third.told == BOTH[:2]
    assert world.computed == 1


async def asked(world: World, heard: Heard) -> None:
    await world.remembered.compare(Upload(b"a"), Upload(b"b"), config(), soon(), watching=heard)


async def test_of_a_report_that_is_there_nothing_is_told() -> None:
    world, heard = World(), Heard()
    await asked(world, Heard())
    await asked(world, heard)
    assert (world.computed, heard.told) == (1, [])
