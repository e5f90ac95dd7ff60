"""What four numbers mean, by the convention in which a model writes them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.assessed import PictureBox
from serve_app.core.habits import ASKED, CONVENTIONS, Convention, Corners, Frame

PLACE = PictureBox(100, 600, 300, 900)
FRAME = Frame((600, 400), (300, 200))
BY_NAME = {convention.name: convention for convention in CONVENTIONS}


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("thousandths", (100, 600, 300, 900)),
        ("thousandths_y_first", (600, 100, 900, 300)),
        ("pixels", (60, 240, 180, 360)),
        ("resized_pixels", (30, 120, 90, 180)),
        ("fractions", (0.1, 0.6, 0.3, 0.9)),
    ],
)
def test_one_place_is_written_in_five_ways(name: str, corners: Corners) -> None:
    assert BY_NAME[name].corners(PLACE, FRAME) == corners
    assert BY_NAME[name].place(corners, FRAME) == PLACE


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("thousandths", (1, 2, 30, 1001)),
        ("thousandths", (1, 2, 30, -4)),
        ("thousandths", (30, 2, 1, 40)),
        ("thousandths_y_first", (2, 30, 40, 1)),
        ("thousandths", (0.1, 0.6, 0.3, 0.9)),
        ("pixels", (0, 0, 601, 400)),
        ("pixels", (0, 0, 600, 401)),
        ("fractions", (0, 0, 1.1, 1)),
        ("fractions", (100, 600, 300, 900)),
    ],
)
def test_what_lies_beside_the_picture_or_holds_nothing_is_no_place(name: str, corners: Corners) -> None:
    assert BY_NAME[name].place(corners, FRAME) is None


def test_pixels_of_a_size_that_nobody_knows_are_no_place() -> None:
    unknown = Frame((600, 400))
    assert BY_NAME["resized_pixels"].place((30, 120, 90, 180), unknown) is None
    assert BY_NAME["resized_pixels"].corners(PLACE, unknown) is None


def test_pixels_of_either_size_are_asked_for_in_the_same_words_and_nothing_else_is() -> None:
    assert {len([one for one in ASKED if one.is_asked_like(other)]) for other in CONVENTIONS} == {1}
    assert BY_NAME["pixels"].is_asked_like(BY_NAME["resized_pixels"])
    assert len(ASKED) == len(CONVENTIONS) - 1


edges = st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted)
places = st.tuples(edges, edges).map(lambda e: PictureBox(e[0][0], e[1][0], e[0][1], e[1][1]))


@given(places, st.sampled_from(CONVENTIONS))
def test_what_is_written_of_a_place_is_read_as_that_place(place: PictureBox, convention: Convention) -> None:
    frame = Frame((1400, 3000), (2000, 1000))  # a pixel is less than a thousandth, or exactly one
    corners = convention.corners(place, frame)
    assert corners is not None
    assert convention.place(corners, frame) == place


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_grammar_of_a_local_model_lets_every_convention_through(convention: Convention) -> None:
    pytest.importorskip("torch", reason="needs the extra [vl]")
    from serve_app.vlm.local import grammar

    for place in (PLACE, PictureBox(0, 0, 1000, 1000)):
        corners = convention.corners(place, Frame((4096, 4096), (2048, 2048)))
        assert re.fullmatch(grammar._BOX, json.dumps(corners, separators=(",", ":")))
