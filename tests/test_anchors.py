"""The two pictures between which a model's scores lie."""

from __future__ import annotations

import numpy as np

from serve_app import anchors, measurement
from serve_app.core import Raster, ShownImage


def raster(shown: ShownImage) -> Raster:
    pixels = np.frombuffer(shown.data, np.uint8).reshape(shown.height, shown.width, 3)
    return Raster(pixels, None, shown.width, shown.height)


def test_the_two_pictures_are_unrelated() -> None:
    found = measurement.measure(raster(anchors.page()), raster(anchors.landscape()))
    assert found.similarity < 0.2


def test_their_sides_are_whole_patches_of_every_family() -> None:
    for shown in (anchors.page(), anchors.landscape()):
        assert (shown.width, shown.height) == (anchors.SIDE, anchors.SIDE)
    assert all(anchors.SIDE % patch == 0 for patch in (14, 16, 28))
