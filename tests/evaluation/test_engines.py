"""Labelled pairs asked of each engine, from files to figures."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from serve_app.evaluation import pairs, telling
from serve_app.evaluation.choosing import Goal
from serve_app.evaluation.figures import Figures, figures
from serve_app.evaluation.pairs import LabelledPair
from serve_app.evaluation.run import Asking, observe
from serve_app.local import open_here
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.evaluation.labelled import write

CONFIG = ImageComparisonConfig(comparison_aspects=("color",), read_text=False)


def asked(world: list[LabelledPair], model: ModelSettings, config: ImageComparisonConfig = CONFIG) -> Figures:
    async def run() -> Figures:
        async with open_here(Settings(model=model)) as here:
            return figures(await observe(world, here, Asking(config)), Goal())

    return asyncio.run(run())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledPair]:
    return pairs.read(write(tmp_path_factory.mktemp("labelled"), 30))


def test_without_a_model_the_labels_are_told_apart_and_orders_agree_by_law(world: list[LabelledPair]) -> None:
    found = asked(world, ModelSettings())
    assert found.asked.engines == ("none",)
    assert found.failed == ()
    area = found.curves["similarity_threshold"].area
    assert area is not None
    assert area.value == 1.0, "copies and softened copies are over all that is edited, tinted or moved"
    assert found.choice is not None
    assert found.choice.counted.found.value == 1
    assert found.kinds["copy"].false_alarms.k == 0
    assert found.orders.asked == 0
    assert any("by its own law" in note for table in telling.tables(found) for note in table.notes)


def test_the_scripted_model_is_asked_in_both_orders(world: list[LabelledPair]) -> None:
    scripted = ModelSettings(engine="scripted", scripted=ScriptedSettings(label=0))
    found = asked(world[:10], scripted)
    assert found.asked.engines == ("scripted",)
    assert found.orders.asked > 0
    assert found.orders.flipped.k == 0
    assert found.orders.order_gap == 0.0
    assert found.aspects[0].reported is not None


def test_a_model_that_fails_leaves_rows_with_a_reason(world: list[LabelledPair]) -> None:
    failing = ModelSettings(engine="scripted", scripted=ScriptedSettings(fails=True))
    edited = [pair for pair in world if pair.kind == "edit"][:2]
    found = asked([*edited, world[0]], failing)
    assert len(found.failed) == 2
    assert found.outcome.right.n == 1, "equal pictures are not asked of a model"


def test_a_checkpoint_that_has_learnt_to_see_is_asked_in_both_orders(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [vl]")
    pytest.importorskip("transformers", reason="needs the extra [vl]")
    from tests.vlm.trained import scenes, stamp

    chance = random.Random(5)
    scene = next(scene for scene in (scenes.a_scene(chance) for _ in range(50)) if scene.num_changed)
    for side, picture in zip("ab", scene.pictures, strict=True):
        (tmp_path / f"{side}.png").write_bytes(scenes.as_png(picture))
    (tmp_path / "pairs.csv").write_text("reference,candidate,label\na.png,b.png,mismatch\n")
    model = ModelSettings(engine="transformers", name=str(stamp.CHECKPOINT), device="cpu")
    found = asked(pairs.read(tmp_path / "pairs.csv"), model)
    assert found.failed == ()
    assert found.asked.engines[0].startswith("transformers")
    assert found.orders.asked > 0
    assert found.orders.moved is not None
    assert found.orders.order_gap is not None
    assert found.aspects[0].num_scored == 1
    assert any("No pair is labelled match" in note for table in telling.tables(found) for note in table.notes)
