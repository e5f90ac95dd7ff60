"""Small worlds for tests: encoded images, examinations, assessments."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import Alignment, Examination, MeasuredDifference, Measurement
from serve_app.core.pictures import Box, ImageFacts, ShownImage, Upload
from serve_app.schema import ImageComparisonConfig

SCRIPTED = ModelIdentity("scripted", None, None)


def card(
    square: str | None = None, *, size: tuple[int, int] = (200, 120), place: tuple[int, int] = (120, 60)
) -> Image.Image:
    """A white card with a blue bar, and a square of 30 px where one is named."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, size[0] - 10, 30), fill="navy")
    if square is not None:
        draw.rectangle((*place, place[0] + 29, place[1] + 29), fill=square)
    return image


def photograph(is_other: bool = False) -> Image.Image:
    """4000 x 3000, as hard to encode as leaves and gravel."""
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (375, 500, 3), np.uint8))
    coarse = coarse.resize((4000, 3000), Image.Resampling.BICUBIC)
    image = Image.fromarray(
        (np.asarray(coarse, np.int16) + rng.integers(-14, 15, (3000, 4000, 1), np.int16)).clip(0, 255).astype(np.uint8)
    )
    if is_other:
        ImageDraw.Draw(image).rectangle((1000, 900, 1400, 1300), fill="red")
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upload(square: str | None = None) -> Upload:
    return Upload(encoded(card(square)))


def config(**fields: Any) -> ImageComparisonConfig:
    return ImageComparisonConfig.model_validate(fields, strict=False)


def soon() -> Deadline:
    return Deadline.after(30)


def difference(**fields: Any) -> MeasuredDifference:
    box = Box(120, 60, 30, 30)
    values: dict[str, Any] = {
        "kind": "changed",
        "reference_box": box,
        "candidate_box": box,
        "severity": 0.5,
        "changed_pixels": 900,
        "delta_e": 50.0,
    }
    return MeasuredDifference(**{**values, **fields})


def measured(
    similarity: float = 0.7, *, differences: Sequence[MeasuredDifference] | None = None, **fields: Any
) -> Measurement:
    found = (difference(),) if differences is None else tuple(differences)
    values: dict[str, Any] = {
        "identical": False,
        "similarity": similarity,
        "similarity_interval": (similarity, similarity),
        "changed_ratio": 0.0375,
        "ssim": 0.9,
        "color_delta_e": 2.0,
        "alignment": Alignment("same_size"),
        "smallest_visible_px": 1.0,
        "aspects": {"color": 0.6},
        "differences": found,
        "further_differences": 0,
        "version": "test",
    }
    return Measurement(**{**values, **fields})


def same() -> Measurement:
    return measured(1.0, differences=(), identical=True, changed_ratio=0.0, ssim=1.0, color_delta_e=0.0)


def examined(measurement: Measurement, scores: Sequence[float | None] = (None,) * 4) -> Examination:
    facts = ImageFacts(200, 120, "PNG", 500, "a" * 64, 200, 120)
    shown = ShownImage(2, 1, "rgb", bytes(6))
    return Examination(facts, facts, shown, shown, measurement, tuple(scores), (), 3.0, 4.0)


def noise(width: int = 200, height: int = 120) -> Image.Image:
    """What no format can make small."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


class Kept:
    """Objects of some kinds that were made in the block and are still there."""

    def __init__(self, kinds: tuple[type, ...]) -> None:
        self._kinds = kinds
        self._before = self._all()  # held, so that no id is given twice

    async def settle(self) -> list[str]:
        """Their kinds, once threads have had time to let go of what they worked on."""
        for _ in range(50):
            left = self._names()
            if not left:
                break
            await asyncio.sleep(0.1)
        return left

    def _names(self) -> list[str]:
        before = {id(each) for each in self._before}
        return [type(each).__name__ for each in self._all() if id(each) not in before]

    def _all(self) -> list[object]:
        return [each for each in gc.get_objects() if issubclass(type(each), self._kinds)]


@contextmanager
def without_collection(*kinds: type) -> Iterator[Kept]:
    """Python's cyclic collection rests: what only it would free is still there."""
    gc.collect()
    gc.disable()
    try:
        yield Kept(kinds)
    finally:
        gc.enable()


def assessed(**fields: Any) -> Assessment:
    return Assessment(**{"model": SCRIPTED, "status": "answered", **fields})
