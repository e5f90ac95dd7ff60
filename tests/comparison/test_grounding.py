"""What a model says of a place, held against boxes and charts of change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.comparison import grounding
from serve_app.comparison.grounding import Grounds
from serve_app.core.assessed import Finding, PictureBox
from serve_app.core.measured import UNMEASURED, Chart, Examination, MeasuredDifference
from serve_app.core.pictures import Box
from serve_app.schema import DifferenceKind
from tests.worlds.samples import difference, examined, measured

# The pictures of `examined` have 200 x 120 pixels, the difference lies at (120, 60) and is 30 x 30.
ON_IT = PictureBox(600, 500, 750, 750)
ELSEWHERE = PictureBox(50, 50, 200, 200)
EVERYWHERE = PictureBox(0, 0, 1000, 1000)
FRAME = Box(0, 0, 200, 120)


def a_chart(*, at: int | None = None, value: int = 20, rest: int = 0) -> Chart:
    """10 x 10 fields of `rest`, one of them of `value`."""
    fields = bytearray([rest] * 100)
    if at is not None:
        fields[at] = value
    return Chart(10, 10, bytes(fields))


def world(*differences: MeasuredDifference, chart: Chart | None = None) -> Examination:
    chart = chart or a_chart()
    return examined(replace(measured(0.7, differences=differences), charts=(chart, chart)))


def evidence(place: PictureBox, examination: Examination, kind: DifferenceKind = "changed") -> str:
    return Grounds.of(examination, "candidate").evidence(place, kind)


def test_what_a_measured_difference_lies_at_is_confirmed() -> None:
    assert evidence(ON_IT, world(difference())) == "confirmed"


def test_a_box_that_only_misses_by_a_little_is_still_confirmed() -> None:
    beside = PictureBox(755, 500, 900, 750)
    assert evidence(beside, world(difference())) == "confirmed"


def test_a_change_where_nothing_visible_changed_is_refuted() -> None:
    assert evidence(ELSEWHERE, world(difference())) == "refuted"


def test_a_change_too_small_to_be_listed_is_the_models_alone() -> None:
    assert evidence(ELSEWHERE, world(difference(), chart=a_chart(at=11, value=1))) == "model_only"


def test_where_the_other_picture_shows_nothing_pixels_refute_nothing() -> None:
    assert evidence(ELSEWHERE, world(difference(), chart=a_chart(rest=UNMEASURED))) == "model_only"


def test_where_nothing_visible_differs_everything_is_refuted() -> None:
    assert evidence(ON_IT, world(chart=a_chart(at=55))) == "refuted"


def test_without_a_chart_nothing_is_refuted() -> None:
    assert evidence(ELSEWHERE, examined(measured(0.7))) == "model_only"


@pytest.mark.parametrize(
    ("kind", "place", "verdict"),
    [("moved", ELSEWHERE, "confirmed"), ("added", ELSEWHERE, "refuted"), ("added", EVERYWHERE, "confirmed")],
)
def test_a_frame_that_moved_confirms_only_that_something_moved(
    kind: DifferenceKind, place: PictureBox, verdict: str
) -> None:
    frame = difference(kind="moved", reference_box=FRAME, candidate_box=FRAME)
    assert evidence(place, world(frame), kind) == verdict


def test_a_finding_names_the_difference_that_it_fits() -> None:
    other = difference(candidate_box=Box(10, 10, 30, 30), reference_box=None)
    (found,) = grounding.ground((Finding("changed", ON_IT, "A tag."),), world(other, difference()))
    assert (found.evidence, found.index, found.box) == ("confirmed", 1, Box(120, 60, 30, 30))


def test_a_box_around_everything_names_nothing() -> None:
    (found,) = grounding.ground((Finding("changed", EVERYWHERE, "All of it."),), world(difference()))
    assert (found.evidence, found.index) == ("confirmed", None)


def test_what_was_removed_is_looked_for_in_the_reference() -> None:
    gone = difference(kind="removed", candidate_box=None)
    (found,) = grounding.ground((Finding("removed", ON_IT, "A tag."),), world(gone))
    assert (found.side, found.evidence, found.index) == ("reference", "confirmed", 0)


def test_the_share_that_changed_leaves_out_what_cannot_be_told() -> None:
    fields = bytearray([0] * 100)
    fields[0], fields[1] = 200, UNMEASURED
    grounds = Grounds.of(world(difference(), chart=Chart(10, 10, bytes(fields))), "candidate")
    assert grounds.changed_share(PictureBox(0, 0, 200, 100)) == 1.0
    assert grounds.changed_share(PictureBox(100, 0, 200, 100)) == 0.0


places = st.builds(
    lambda x, y, w, h: PictureBox(x, y, min(1000, x + w), min(1000, y + h)),
    st.integers(0, 999),
    st.integers(0, 999),
    st.integers(1, 1000),
    st.integers(1, 1000),
)


@given(places, st.integers(1, 5000), st.integers(1, 5000))
def test_every_box_lies_inside_its_picture(place: PictureBox, width: int, height: int) -> None:
    examination = world(difference())
    facts = replace(examination.candidate, width=width, height=height)
    box = Grounds.of(replace(examination, candidate=facts), "candidate").box(place)
    assert box.x >= 0
    assert box.y >= 0
    assert box.area > 0
    assert (box.right <= width, box.bottom <= height) == (True, True)


@given(places, st.binary(min_size=100, max_size=100))
def test_every_place_has_an_evidence_and_a_share(place: PictureBox, fields: bytes) -> None:
    examination = world(difference(), chart=Chart(10, 10, fields))
    assert evidence(place, examination) in ("confirmed", "model_only", "refuted")
    assert 0 <= Grounds.of(examination, "candidate").changed_share(place) <= 255 / 200
