"""What the model saw before is not looked at again, within a bound in bytes, and changes no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

from serve_app.core.byte_cache import ByteCache, Kind, Outcome
from serve_app.core.inquiry import Inquiry, ModelOutput
from serve_app.vlm.local import loading, pretrained
from tests.vlm.local.test_pretrained import FAMILIES, a_picture, a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints

# A processor of transformers' own, GLM's, makes arrays of tensors in a way that numpy will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def same(one: ModelOutput, other: ModelOutput) -> None:
    for mine, its in zip((*one.replies, *one.swapped_replies), (*other.replies, *other.swapped_replies), strict=True):
        assert mine.text == its.text
        assert mine.probabilities == pytest.approx(its.probabilities, rel=1e-4, abs=1e-7)


def against(inquiry: Inquiry, seed: int) -> Inquiry:
    """The same reference and another candidate."""
    return replace(inquiry, shown_candidate=a_picture(40, 60, seed))


@contextmanager
def vision_passes(model: pretrained.PretrainedModel) -> Iterator[Counter[str]]:
    """Counts the passes through the vision tower."""
    counted: Counter[str] = Counter()
    tower = next(module for name, module in model.model.named_modules() if name.endswith("visual"))
    hook = tower.register_forward_pre_hook(lambda *_: counted.update(["passes"]))
    try:
        yield counted
    finally:
        hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_same_with_and_without_a_cache(family: str, tmp_path: Path) -> None:
    settings = settings_for(FAMILIES[family](tmp_path))
    loaded = loading.load(settings)
    without = pretrained.PretrainedModel(loaded, settings.model_copy(update={"cache_bytes": 0}))
    cached = pretrained.PretrainedModel(loaded, settings)
    whole = an_inquiry()
    # Caches are of pictures, not of long texts.
    first = replace(whole, questions=whole.questions[:3], swapped_questions=whole.swapped_questions[:2])
    first = replace(first, instructions="Compare.")
    for inquiry in (first, first, against(first, 7), replace(against(first, 8), swapped_questions=())):
        same(cached.answer(inquiry, a_stop()), without.answer(inquiry, a_stop()))
    assert without.cache.held_bytes == 0


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loading.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen"))))


def test_one_reference_against_many_candidates_is_looked_at_once(loaded: Any) -> None:
    looked: Counter[tuple[Kind, Outcome]] = Counter()
    model = pretrained.PretrainedModel(
        loaded, settings_for(Path("tiny")), on_lookup=lambda kind, outcome: looked.update([(kind, outcome)])
    )
    first = replace(an_inquiry(), crops=(), captions=())
    first = replace(first, instructions="Compare.")
    model.answer(first, a_stop())
    looked.clear()
    with vision_passes(model) as counted:
        for seed in range(10, 14):
            model.answer(against(first, seed), a_stop())
    assert looked == {("vision", "hit"): 4, ("vision", "miss"): 4}
    assert counted["passes"] == 4


def test_both_orders_look_at_each_picture_once(loaded: Any) -> None:
    model = pretrained.PretrainedModel(loaded, settings_for(Path("tiny"), cache_bytes=0))
    inquiry = an_inquiry()
    model.answer(inquiry, a_stop())
    with vision_passes(model) as counted:
        model.answer(inquiry, a_stop())
    assert counted["passes"] == len(inquiry.pictures)


def test_a_picture_is_known_by_its_pixels_and_size_only(loaded: Any) -> None:
    looked: Counter[tuple[Kind, Outcome]] = Counter()
    model = pretrained.PretrainedModel(
        loaded, settings_for(Path("tiny")), on_lookup=lambda kind, outcome: looked.update([(kind, outcome)])
    )
    inquiry = replace(an_inquiry(swap_check=False), crops=(), captions=())
    inquiry = replace(inquiry, instructions="Compare.")
    model.answer(inquiry, a_stop())
    looked.clear()
    shown = inquiry.shown_reference
    turned = replace(shown, width=shown.height, height=shown.width)
    model.answer(replace(inquiry, shown_reference=turned), a_stop())
    assert looked == {("vision", "miss"): 1, ("vision", "hit"): 1}


def test_the_oldest_goes_when_the_bytes_are_used_up() -> None:
    cache = ByteCache(100)
    cache.put("vision", "a", "A", 40)
    cache.put("vision", "b", "B", 40)
    assert cache.get("vision", "a") == "A"
    cache.put("vision", "c", "C", 50)
    assert (cache.get("vision", "b"), cache.get("vision", "a"), cache.get("vision", "c")) == (None, "A", "C")
    assert cache.held_bytes == 90


def test_a_value_over_the_bound_is_not_kept_and_drops_nothing() -> None:
    cache = ByteCache(100)
    cache.put("vision", "a", "A", 40)
    cache.put("vision", "b", "B", 101)
    assert (cache.get("vision", "a"), cache.get("vision", "b"), cache.held_bytes) == ("A", None, 40)


def test_a_value_put_again_weighs_once() -> None:
    cache = ByteCache(100)
    cache.put("vision", "a", "A", 60)
    cache.put("vision", "a", "B", 70)
    assert (cache.get("vision", "a"), cache.held_bytes) == ("B", 70)


def test_a_cache_of_no_bytes_keeps_nothing_and_counts_nothing() -> None:
    looked: list[object] = []
    cache = ByteCache(0, lambda *look: looked.append(look))
    cache.put("vision", "a", "A", 0)
    assert cache.get("vision", "a") is None
    assert looked == []


def test_a_small_cache_stays_within_its_bytes(loaded: Any) -> None:
    model = pretrained.PretrainedModel(loaded, settings_for(Path("tiny"), cache_bytes=30_000))
    for seed in range(3):
        model.answer(against(an_inquiry(), seed), a_stop())
        assert 0 < model.cache.held_bytes <= 30_000
