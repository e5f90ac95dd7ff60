"""Charts of change on drawn pairs: what changed, what didn't, what can't be told."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from serve_app import measurement
from serve_app.core.measured import UNMEASURED, Chart
from serve_app.core.pictures import Pixels, Raster
from tests.worlds.samples import card


def raster(picture: Pixels | Image.Image) -> Raster:
    pixels = np.asarray(picture)
    return Raster(pixels, None, pixels.shape[1], pixels.shape[0])


def charts(first: Raster, second: Raster) -> tuple[Chart, Chart]:
    pair = measurement.place(first, second)
    found = pair.chart(pair.measure()).charts
    assert found is not None
    return found


def fields(chart: Chart) -> Pixels:
    return np.frombuffer(chart.fields, np.uint8).reshape(chart.rows, chart.columns)


def marked(picture: Pixels) -> Pixels:
    """A red rectangle in the middle of the lower half."""
    height, width = picture.shape[:2]
    changed = picture.copy()
    changed[height * 5 // 8 : height * 7 // 8, width * 3 // 8 : width * 5 // 8] = (255, 0, 0)
    return changed


def test_a_chart_shows_where_pixels_changed_and_nothing_else() -> None:
    photo = np.asarray(data.astronaut())
    first, second = charts(raster(photo), raster(marked(photo)))
    assert first == second
    changed = fields(first)
    assert (changed[20:28, 12:20] > 100).all()
    changed = changed.copy()
    changed[19:29, 11:21] = 0
    assert not changed.any()


def test_charts_of_a_pair_turned_round_are_turned_round() -> None:
    photo = np.asarray(data.coffee())
    one, two = raster(photo[:, :-20]), raster(marked(photo)[:, 20:])
    assert charts(one, two) == charts(two, one)[::-1]


def test_what_only_one_picture_shows_is_not_measured() -> None:
    photo = np.asarray(data.astronaut())
    whole, part = charts(raster(photo), raster(marked(photo)[100:450, 80:500]))
    assert (fields(whole)[0] == UNMEASURED).all()
    assert not (fields(part) == UNMEASURED).any()
    assert ((fields(whole) > 0) & (fields(whole) < UNMEASURED)).any()


def test_of_unrelated_pictures_no_place_is_measured() -> None:
    first, second = raster(np.asarray(data.astronaut())[:300, :400]), raster(np.asarray(data.coffee())[:300, :400])
    found = charts(first, second)
    assert all(set(chart.fields) == {UNMEASURED} for chart in found)


def test_where_nothing_differs_there_is_no_chart() -> None:
    one = raster(card())
    same = measurement.place(one, one)
    assert same.chart(same.measure()).charts is None


@pytest.mark.parametrize("size", [(1, 1), (5, 900), (33, 17), (260, 8)])
def test_pictures_of_any_size_have_charts(size: tuple[int, int]) -> None:
    black, white = (raster(np.full((size[1], size[0], 3), level, np.uint8)) for level in (0, 255))
    for chart in charts(black, white):
        assert len(chart.fields) == chart.columns * chart.rows
