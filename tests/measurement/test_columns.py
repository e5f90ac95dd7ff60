"""One column that grows or shrinks beside a fixed one is one band and one move."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from serve_app import measurement
from serve_app.core.pictures import Box
from serve_app.measurement.placing import columns
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.known import misses
from tests.worlds.pairs import photographs, replaced, screenshot
from tests.worlds.reflow import grown_pair, two_columns


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_column_that_grows_is_one_band_and_one_move(rows: int, seed: int) -> None:
    pair = grown_pair(rows, seed)
    found = assert_lawful(pair.reference, pair.candidate)
    assert misses(pair, found) == []
    assert found.alignment.shift == (0, 44 * rows)
    added = next(each.candidate_box for each in found.differences if each.kind == "added")
    assert added is not None
    assert added.height == 44 * rows
    assert added.width < 300


def test_what_changed_in_the_column_besides_is_found_where_it_is() -> None:
    pair = grown_pair(1, 0)
    candidate = pair.candidate.copy()
    candidate[340:352, 400:420] = (220, 40, 40)
    found = assert_lawful(pair.reference, candidate)
    places = {(each.reference_box, each.candidate_box) for each in found.differences}
    assert (Box(400, 340 - 44, 20, 12), Box(400, 340, 20, 12)) in places
    assert len(places) == 3


def test_a_page_that_grows_with_its_column() -> None:
    one, two = two_columns(9, None, 0), two_columns(9, 4, 2, height=688)
    found = assert_lawful(one, two)
    assert [each.kind for each in found.differences] in (["added", "moved"], ["moved", "added"])


@pytest.mark.parametrize("is_turned", [False, True])
def test_the_parts_that_are_drawn_lie_in_both_pictures(is_turned: bool) -> None:
    pair = grown_pair(1, 0)
    one, two = (pair.candidate, pair.reference) if is_turned else (pair.reference, pair.candidate)
    placed = measurement.place(raster(one), raster(two))
    drawn = placed.draw("overlay", placed.measure())
    with Image.open(io.BytesIO(drawn.data)) as image:
        assert image.size == (900, 600)


def test_pages_and_photographs_whose_columns_stay_have_none() -> None:
    page, photo = screenshot(), photographs()["coffee"]
    assert columns.find(page, screenshot(price="1,294.50")) == ()
    assert columns.find(photo, replaced(photo, 0.1)) == ()
    assert columns.find(page, np.roll(page, 20, 0)) == ()
