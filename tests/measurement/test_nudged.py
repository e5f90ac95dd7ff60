"""Text that stands a fraction of a pixel further is no difference; another digit in it is."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app import measurement
from serve_app.core.pictures import Box
from serve_app.measurement import regions
from serve_app.measurement.excuses.nudged import Nudges
from serve_app.measurement.tiles import Grid
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.pairs import screenshot
from tests.worlds.reflow import nudged_pair, text


@pytest.mark.parametrize("size", [9, 11, 14, 20])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_text_half_a_pixel_further_both_ways_is_no_difference(size: int, seed: int) -> None:
    pair = nudged_pair(size, seed)
    found = assert_lawful(pair.reference, pair.candidate)
    assert found.differences == ()
    assert found.alignment.kind == "none"


@pytest.mark.parametrize("size", [12, 14, 20])
@pytest.mark.parametrize("number", ["43213", "48273", "48219"])
def test_a_digit_that_changed_is_no_nudge(size: int, number: str) -> None:
    one, two = text(0, 0, size), text(0, 0, size, number=number)
    assert len(measurement.measure(raster(one), raster(two)).differences) == 1
    nudged = text(0.5, 0.5, size, number=number)
    assert measurement.measure(raster(one), raster(nudged)).differences


def test_what_moved_by_a_pixel_is_no_nudge() -> None:
    page = screenshot()
    for by in (1, 2):
        grid = Grid(page, np.roll(page, by, 0))
        boxes = [region.box for region in regions.find(grid)[0]]
        assert boxes
        assert Nudges(grid).among(boxes) == set()


def test_another_colour_at_the_same_place_is_no_nudge() -> None:
    one = text(0, 0, 14)
    two = np.maximum(one, np.array((140, 0, 0), np.uint8))
    grid = Grid(one, two)
    assert Nudges(grid).among([Box(20, 10, 200, 100)]) == set()
    moved = np.maximum(text(0.5, 0.5, 14), np.array((140, 0, 0), np.uint8))
    assert Nudges(Grid(one, moved)).among([Box(20, 10, 200, 100)]) == set()
