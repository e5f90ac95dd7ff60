"""The place where nothing changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.comparison.dialogue import decoy
from serve_app.core.measured import UNMEASURED, Alignment, Chart, Examination
from serve_app.core.pictures import Box
from tests.worlds.samples import difference, examined, measured

SIDE = 10  # fields; the pictures of `examined` have 200 x 120 pixels, the difference lies at (120, 60) and is 30 x 30


def world(fields: bytes = bytes(SIDE * SIDE), *, kind: str = "none", box: Box | None = None) -> Examination:
    chart = Chart(SIDE, SIDE, fields)
    found = difference() if box is None else difference(reference_box=box, candidate_box=box)
    return examined(measured(0.7, differences=[found], charts=(chart, chart), alignment=Alignment(kind)))


def test_it_lies_in_the_middle_of_the_largest_still_square_and_is_as_large_as_what_changed() -> None:
    first, second = decoy.place(world()) or (None, None)
    assert first == second == Box(40, 24, 40, 24)  # 2 fields of the 6 x 6 left of the difference


def test_where_the_pictures_lie_on_different_places_only_the_first_tells_it() -> None:
    assert decoy.place(world(kind="shift")) == (Box(40, 24, 40, 24), None)


def test_it_keeps_away_from_listed_boxes_though_they_hold_still_places() -> None:
    assert decoy.place(world(box=Box(0, 0, 200, 120))) is None


@pytest.mark.parametrize("examination", [world(bytes([1]) * 100), world(bytes([UNMEASURED]) * 100)])
def test_where_everything_changed_or_nothing_can_be_told_there_is_none(examination: Examination) -> None:
    assert decoy.place(examination) is None


def test_without_charts_there_is_none() -> None:
    assert decoy.place(replace(world(), measurement=measured())) is None


sides = st.integers(1, 3000) | st.integers(1, 300).map(lambda tenth: SIDE * tenth)


@given(st.sets(st.integers(0, 99), max_size=12), sides, sides, st.floats(0, 1))
def test_nothing_changed_in_it_nor_beside_it(changed: set[int], width: int, height: int, size: float) -> None:
    examination = world(bytes(9 * (i in changed) for i in range(SIDE * SIDE)))
    facts = replace(examination.reference, width=width, height=height)
    listed = Box(0, 0, 1, max(1, round(size * height)))
    box = difference(reference_box=listed, candidate_box=listed)
    measurement = replace(examination.measurement, differences=(box,))
    found = decoy.place(replace(examination, reference=facts, candidate=facts, measurement=measurement))
    if found is None:
        return
    first, second = found
    assert first == second
    assert first is not None
    assert (first.right <= width, first.bottom <= height) == (True, True)
    if width >= SIDE and height >= SIDE:
        left, right = first.x * SIDE // width, -(-first.right * SIDE // width)
        top, bottom = first.y * SIDE // height, -(-first.bottom * SIDE // height)
        beside = int(width % SIDE == height % SIDE == 0)  # else its rounded edge takes some of what is beside it
        rows, columns = range(top - beside, bottom + beside), range(left - beside, right + beside)
        assert not changed & {row * SIDE + column for row in rows for column in columns}
