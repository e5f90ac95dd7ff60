"""Pictures looked at one by one: where that is the same as together, and where it isn't."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch
from PIL import Image

from serve_app.core.byte_cache import ByteCache
from serve_app.vlm.local import dialogue, loading, pretrained
from serve_app.vlm.local.vision import VisionEncoder
from tests.vlm.local.test_pretrained import FAMILIES, settings_for
from tests.worlds import checkpoints


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> loading.Loaded:
    return loading.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen")), dtype="bfloat16"))


def composes(loaded: loading.Loaded, monkeypatch: pytest.MonkeyPatch, changed: Callable[[Any], Any]) -> bool:
    """Whether pictures can be looked at alone with a model that makes this of the features of several."""
    look = type(loaded.model).get_image_features

    def features(self: Any, pixel_values: Any, image_grid_thw: Any, **more: Any) -> Any:
        found = look(self, pixel_values, image_grid_thw, **more)
        if len(image_grid_thw) > 1:
            found.pooler_output = [changed(one) for one in found.pooler_output]
        return found

    monkeypatch.setattr(type(loaded.model), "get_image_features", features)
    before, _ = dialogue.around(loaded.processor, "Compare.", 2)
    with torch.inference_mode():
        return VisionEncoder(loaded.model, loaded.processor, ByteCache(0)).can_compose(before)


def test_rounding_of_half_precision_is_no_difference(loaded: loading.Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """As measured on a GPU: 1.6 % of the norm, spread as evenly as noise, single values far from their own."""

    def rounded(features: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(features.shape, generator=torch.manual_seed(1))
        mixed: torch.Tensor = features + 0.03 * noise * features.float().norm() / noise.norm()
        return mixed.to(features.dtype)

    assert composes(loaded, monkeypatch, rounded)


def test_pictures_are_looked_at_alone_in_the_usual_families(tmp_path: Path) -> None:
    """Also where all features are zero, as an untrained Gemma's are."""
    for family in ("gemma3", "internvl"):
        loaded = loading.load(settings_for(FAMILIES[family](tmp_path / family)))
        before, _ = dialogue.around(loaded.processor, "Compare.", 2)
        with torch.inference_mode():
            assert VisionEncoder(loaded.model, loaded.processor, ByteCache(0)).can_compose(before)


@pytest.mark.parametrize(
    "other",
    [
        lambda features: features.roll(1, 0),  # each token the one before it
        lambda features: features.flip(1),
        lambda features: features * 1.1,
        lambda features: torch.cat([features[:1] * 0, features[1:]]),
    ],
)
def test_other_features_are_a_difference(
    loaded: loading.Loaded, monkeypatch: pytest.MonkeyPatch, other: Callable[[Any], Any]
) -> None:
    assert not composes(loaded, monkeypatch, other)


@pytest.mark.parametrize(
    ("family", "whole", "close_up"),
    [
        ("internvl", 54, 6),  # 13 tiles of 4 tokens and two marks, or one
        ("smolvlm", 34, 7),
        ("idefics3", 34, 7),
        ("qwen3_vl", 12, 12),  # it cuts nothing
    ],
)
def test_close_ups_are_not_cut_into_tiles(family: str, whole: int, close_up: int, tmp_path: Path) -> None:
    """And what is planned for them is what the prompt takes."""
    model = pretrained.PretrainedModel(loading.load(settings_for(FAMILIES[family](tmp_path))), settings_for(tmp_path))
    assert model._planner is not None
    counted = model._planner._picture_tokens
    sizes = [(448, 380)] * 4
    assert [counted.of((448, 380), is_close_up) for is_close_up in (False, True)] == [whole, close_up]
    before, _ = model.prompt("Compare.", 4)
    pictures = [Image.effect_noise(size, 60 + i).convert("RGB") for i, size in enumerate(sizes)]
    with torch.inference_mode():
        prompts = model._sight.prompts(before, [pictures, [pictures[i ^ 1] for i in range(4)]])
    text = len(model.lexicon.template(before)) - 4
    assert [prompt.length for prompt in prompts] == [text + 2 * whole + 2 * close_up] * 2
    assert model.cache.held_bytes


def test_a_close_up_is_not_remembered_as_a_whole_picture(tmp_path: Path) -> None:
    model = pretrained.PretrainedModel(
        loading.load(settings_for(FAMILIES["internvl"](tmp_path))), settings_for(tmp_path)
    )
    before, _ = model.prompt("Compare.", 4)
    same = [Image.new("RGB", (448, 380)) for _ in range(4)]
    with torch.inference_mode():
        length = model._sight.prompts(before, [same])[0].length
    assert length == len(model.lexicon.template(before)) - 4 + 2 * 54 + 2 * 6


def test_the_next_picture_is_prepared_while_the_device_looks_at_this_one(
    loaded: loading.Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only the next: the second look ends before a third picture is taken up."""
    began = [threading.Event() for _ in range(4)]
    looks: list[tuple[bool, bool]] = []
    sight = VisionEncoder(loaded.model, loaded.processor, ByteCache(0), composes=True)
    alone, looked = sight._alone, sight._looked

    def preparing(picture: Image.Image, is_close_up: bool) -> Any:
        began[sum(event.is_set() for event in began)].set()
        return alone(picture, is_close_up)

    def looking(batch: Any) -> Any:
        number = len(looks)
        after = began[min(number + 1, 3)].wait(timeout=20)
        looks.append((after, number < 2 and began[number + 2].is_set()))
        return looked(batch)

    monkeypatch.setattr(sight, "_alone", preparing)
    monkeypatch.setattr(sight, "_looked", looking)
    before, _ = dialogue.around(loaded.processor, "Compare.", 4)
    with torch.inference_mode():
        sight.prompts(before, [[Image.effect_noise((64, 64), 60 + i).convert("RGB") for i in range(4)]])
    assert looks == [(True, False)] * 4
