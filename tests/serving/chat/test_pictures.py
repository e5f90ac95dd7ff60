"""What a conversation's pictures become for the model stage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serve_app import imaging
from serve_app.chat.pictures import Pictures, Sent
from serve_app.comparison.budget import MemoryBudget
from serve_app.core.clock import Deadline
from serve_app.core.pictures import PreparedImage, ShownImage, Upload
from serve_app.imaging.prepare import prepare
from serve_app.settings import MIB, Limits
from tests.worlds.samples import encoded, noise


async def shown(image: Image.Image, max_side: int) -> ShownImage:
    pictures = Pictures(Limits(), MemoryBudget(500 * MIB), 1)
    (made,) = await pictures.show((Sent(Upload(encoded(image)), max_side),), Deadline.after(60))
    pictures.close()
    return made


async def test_few_pixels_reach_the_model_as_they_are() -> None:
    image = noise(512, 384)
    made = await shown(image, 1024)
    assert (made.width, made.height, made.encoding) == (512, 384, "rgb")
    assert made.data == image.tobytes()


@pytest.mark.parametrize(
    ("size", "max_side", "becomes"), [((700, 600), 1024, (700, 600)), ((1600, 900), 800, (800, 450))]
)
async def test_many_pixels_go_as_a_jpeg_of_the_size_that_is_shown(
    size: tuple[int, int], max_side: int, becomes: tuple[int, int]
) -> None:
    made = await shown(noise(*size), max_side)
    assert (made.width, made.height, made.encoding) == (*becomes, "jpeg")
    assert Image.open(io.BytesIO(made.data)).size == becomes


@pytest.mark.parametrize("size", [(512, 384), (2000, 1000)])
async def test_nothing_is_made_for_a_measurement_beside_what_is_shown(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[PreparedImage] = []

    def spied(*args: Any, **named: Any) -> PreparedImage:
        made.append(prepare(*args, **named))
        return made[-1]

    monkeypatch.setattr(imaging, "prepare", spied)
    sent = await shown(noise(*size), 800)
    assert made[0].raster.pixels.size <= 3 * sent.width * sent.height


async def test_a_large_picture_that_is_shown_small_is_shrunk_and_not_cut() -> None:
    image = Image.new("RGB", (2000, 1000), (200, 30, 40))
    image.paste((20, 90, 200), (1000, 0, 2000, 1000))
    made = await shown(image, 200)
    pixels = np.frombuffer(made.data, np.uint8).reshape(made.height, made.width, 3)
    assert pixels.shape == (100, 200, 3)
    assert tuple(pixels[50, 20]) == (200, 30, 40)
    assert tuple(pixels[50, 180]) == (20, 90, 200)
