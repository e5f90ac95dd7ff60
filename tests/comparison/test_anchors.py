"""The pictures that a model is shown at its start."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app import measurement
from serve_app.comparison import anchors
from serve_app.core.assessed import PictureBox
from serve_app.core.habits import CONVENTIONS, Convention, Frame
from serve_app.core.pictures import Raster, ShownImage


def raster(shown: ShownImage) -> Raster:
    pixels = np.frombuffer(shown.data, np.uint8).reshape(shown.height, shown.width, 3)
    return Raster(pixels, None, shown.width, shown.height)


def test_the_two_pictures_are_unrelated() -> None:
    found = measurement.measure(raster(anchors.page()), raster(anchors.landscape()))
    assert found.similarity < 0.2


@pytest.mark.parametrize("meant", CONVENTIONS)
def test_the_numbers_of_both_marks_are_right_in_one_convention_only(meant: Convention) -> None:
    width, height = anchors.MARKED_SIZE
    frame = Frame((width, height), (width // 2, height // 2))
    for read in CONVENTIONS:
        fits = []
        for mark in anchors.MARKS:
            corners = meant.corners(mark, frame)
            assert corners is not None
            place = read.place(corners, frame)
            fits.append(0.0 if place is None else place.fit(mark))
        assert (min(fits) > 0.9) is (read == meant)
        assert read == meant or min(fits) < 0.2


@pytest.mark.parametrize("mark", anchors.MARKS)
def test_a_mark_is_where_it_is_said_to_be(mark: PictureBox) -> None:
    shown = anchors.marked(mark)
    pixels = np.frombuffer(shown.data, np.uint8).reshape(shown.height, shown.width, 3)
    rows, columns = np.nonzero((pixels == anchors.RED).all(2))
    width, height = anchors.MARKED_SIZE
    found = PictureBox(
        round(columns.min() * 1000 / width),
        round(rows.min() * 1000 / height),
        round((columns.max() + 1) * 1000 / width),
        round((rows.max() + 1) * 1000 / height),
    )
    assert found.fit(mark) > 0.97
    assert all(side % patch == 0 for side in anchors.MARKED_SIZE for patch in (14, 16, 28))


def test_their_sides_are_whole_patches_of_every_family() -> None:
    for shown in (anchors.page(), anchors.landscape()):
        assert (shown.width, shown.height) == (anchors.SIDE, anchors.SIDE)
    assert all(anchors.SIDE % patch == 0 for patch in (14, 16, 28))
