"""How evidence becomes a verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.comparison.verdict import differences, report
from serve_app.core.assessed import (
    Anchors,
    AspectAssessment,
    Assessment,
    Finding,
    FocusAssessment,
    PictureBox,
    RegionAssessment,
)
from serve_app.core.inquiry import MemoryPlan, ModelIdentity
from serve_app.core.measured import Chart, MeasuredDifference, Measurement, Tone
from serve_app.core.pictures import Box
from serve_app.schema import ComparisonReport, TimingsReport
from tests.worlds.samples import assessed, config, difference, examined, measured, same

TIMINGS = TimingsReport(queue=0, prepare=0, measure=0, assess=0, total=0)
ON_IT = PictureBox(600, 500, 750, 750)  # where the samples' difference is
ELSEWHERE = PictureBox(50, 50, 200, 200)
STILL = Chart(1, 1, b"\0")
DISABLED = Assessment(ModelIdentity("none", None, None), "disabled")


def aspects(*scores: float, spread: float = 0.0) -> tuple[AspectAssessment, ...]:
    return tuple(AspectAssessment(score, spread, "because") for score in scores)


def named(*indices: int) -> tuple[RegionAssessment, ...]:
    return tuple(RegionAssessment(index, True, f"change {index}") for index in indices)


def build(measurement: object, assessment: Assessment = DISABLED, **fields: object) -> ComparisonReport:
    asked = config(**{"comparison_aspects": ["color"], **fields})
    return report.build(asked, examined(measurement, (0.6,)), assessment, TIMINGS, "an id")  # type: ignore[arg-type]


def test_equal_pixels_match_at_any_threshold() -> None:
    made = build(same(), similarity_threshold=1.0, focus_elements=["logo"])
    assert (made.verdict, made.similarity, made.differences) == ("match", 1.0, ())
    assert made.aspects[0].score == 1.0
    assert made.focus_elements[0].status == "unchanged"


@pytest.mark.parametrize(("similarity", "verdict"), [(0.79, "mismatch"), (0.8, "match"), (0.81, "match")])
def test_without_a_model_the_measurement_decides(similarity: float, verdict: str) -> None:
    assert build(measured(similarity)).verdict == verdict


def test_what_nobody_sees_is_a_match_at_any_threshold() -> None:
    unseen = measured(0.98, differences=[])
    assert build(unseen).verdict_reason == "similarity"
    for asked in ({"similarity_threshold": 1.0}, {"max_differences": 0}, {"max_changed_ratio": 0.0}):
        assert build(unseen, **asked).verdict == "match"
    made = build(unseen, assessed(aspects=aspects(0.0)), similarity_threshold=1.0)
    assert (made.verdict, made.verdict_reason) == ("match", "differences")


@pytest.mark.parametrize(
    ("asked", "verdict", "reason"),
    [
        ({}, "match", "similarity"),
        ({"max_differences": 5}, "match", "similarity"),
        ({"max_differences": 4}, "mismatch", "differences"),
        ({"max_differences": 0}, "mismatch", "differences"),
        ({"max_changed_ratio": 0.0375}, "match", "similarity"),
        ({"max_changed_ratio": 0.03}, "mismatch", "changed_ratio"),
        ({"max_differences": 0, "max_changed_ratio": 0.0}, "mismatch", "differences"),
    ],
)
def test_more_than_the_caller_allows_is_a_mismatch(asked: dict[str, Any], verdict: str, reason: str) -> None:
    """Two differences listed and three beyond; whatever the similarity, and whatever the model says of them."""
    found = measured(0.96, differences=[difference(), difference()], further_differences=3)
    for said in (DISABLED, assessed(aspects=aspects(0.96), regions=named(0))):
        made = build(found, said, **asked)
        assert (made.verdict, made.verdict_reason, made.similarity) == (verdict, reason, 0.96)


def test_another_light_is_told_in_words_and_numbers() -> None:
    tone = Tone(-0.05, 0.0, 0.12, 0.0)
    whole = difference(reference_box=Box(0, 0, 200, 120), candidate_box=Box(0, 0, 200, 120), tone=tone)
    made = build(measured(0.9, differences=[whole], tone=tone))
    assert made.differences[0].description == "The light of the whole picture is another: " + (
        "darker by 5%, uneven across the frame by 12%."
    )
    assert made.measurement.tone is not None
    assert made.measurement.tone.model_dump() == {"brightness": -0.05, "contrast": 0.0, "gradient": 0.12, "cast": 0.0}
    assert build(measured(0.9)).measurement.tone is None


def test_a_threshold_inside_the_interval_is_uncertain() -> None:
    made = build(measured(0.78, similarity_interval=(0.7, 0.85)))
    assert (made.verdict, made.similarity_interval) == ("uncertain", (0.7, 0.85))


def test_the_model_cannot_lift_a_difference_it_has_not_named() -> None:
    made = build(measured(0.7), assessed(aspects=aspects(1.0)))
    assert (made.verdict, made.similarity) == ("mismatch", 0.7)
    assert "unnamed" in made.warnings[0]


def test_the_model_lifts_a_pair_whose_differences_it_has_all_named() -> None:
    made = build(measured(0.7), assessed(aspects=aspects(1.0), regions=named(0)))
    assert (made.verdict, made.similarity) == ("match", 0.85)
    assert (made.differences[0].evidence, made.differences[0].description) == ("confirmed", "change 0")


def test_naming_the_first_of_two_differences_is_not_enough() -> None:
    two = measured(0.7, differences=[difference(), difference()])
    made = build(two, assessed(aspects=aspects(1.0), regions=named(0)))
    assert made.verdict == "mismatch"
    assert [found.evidence for found in made.differences] == ["confirmed", "measured_only"]


def test_differences_beyond_the_list_cannot_have_been_named() -> None:
    made = build(measured(0.7, further_differences=3), assessed(aspects=aspects(1.0), regions=named(0)))
    assert made.verdict == "mismatch"


def test_the_model_lowers_what_it_finds_worse_than_the_pixels() -> None:
    made = build(measured(0.9), assessed(aspects=aspects(0.3), regions=named(0)))
    assert (made.verdict, made.similarity, made.warnings) == ("mismatch", 0.6, ())


UNSEEN = (RegionAssessment(0, False, "Nothing changed."),)


@pytest.mark.parametrize("said", [{}, {"regions": UNSEEN}, {"regions": named(0), "sees_ghosts": True}])
def test_a_model_that_confirms_no_difference_sinks_no_pair(said: dict[str, Any]) -> None:
    made = build(measured(0.97), assessed(aspects=aspects(0.5), **said))
    assert (made.verdict, made.similarity, made.similarity_interval[1]) == ("uncertain", 0.735, 0.97)
    assert "confirms none of the differences" in made.warnings[-1]


@pytest.mark.parametrize(
    "said",
    [{"regions": (RegionAssessment(0, True, ""),)}, {"findings": (Finding("changed", ON_IT, "A price tag."),)}],
)
def test_one_difference_seen_or_found_is_enough_to_sink_a_pair(said: dict[str, Any]) -> None:
    made = build(charted(measured(0.97)), assessed(aspects=aspects(0.3), **said))
    assert made.verdict == "mismatch"


def test_a_pair_that_stays_over_the_threshold_needs_no_confirmation() -> None:
    made = build(measured(0.97), assessed(aspects=aspects(0.95)))
    assert (made.verdict, made.warnings) == ("match", ())


def test_a_model_that_sees_ghosts_names_nothing() -> None:
    said = assessed(
        aspects=aspects(1.0),
        regions=named(0),
        findings=(Finding("changed", ON_IT, "A price tag."),),
        sees_ghosts=True,
    )
    made = build(charted(measured(0.7)), said)
    assert (made.verdict, made.similarity) == ("mismatch", 0.7)
    assert [each.evidence for each in made.differences] == ["measured_only"]
    assert "saw a change where no pixel differs" in made.warnings[0]
    assert made.model.sees_ghosts is True
    assert build(charted(measured(0.7)), replace(said, sees_ghosts=False)).verdict == "match"


@pytest.mark.parametrize(("second", "verdict"), [("Something changed.", "mismatch"), ("The tag is red.", "match")])
def test_the_same_words_for_two_differences_name_neither(second: str, verdict: str) -> None:
    regions = RegionAssessment(0, True, "something changed."), RegionAssessment(1, True, second)
    two = measured(0.7, differences=[difference(), difference()])
    made = build(two, assessed(aspects=aspects(1.0), regions=regions))
    assert made.verdict == verdict
    assert [each.evidence for each in made.differences] == ["confirmed", "confirmed"]


def test_where_nothing_differs_the_model_has_nothing_to_take_away() -> None:
    made = build(measured(0.99, differences=()), assessed(aspects=aspects(0.0)))
    assert (made.verdict, made.similarity) == ("match", 0.99)


def half_width(*said: AspectAssessment, ends: Anchors | None = None) -> float:
    """Of the interval, as far as the model widens it: its weight is a half."""
    assessment = assessed(aspects=said, regions=named(0), anchors=ends)
    asked = config(comparison_aspects=[f"aspect {i}" for i in range(len(said))], similarity_threshold=0.1)
    examination = examined(measured(0.5), (None,) * len(said))
    low, high = report.build(asked, examination, assessment, TIMINGS, "an id").similarity_interval
    assert (low + high) / 2 == pytest.approx(0.25 + sum(each.score for each in said) / len(said) / 2, abs=1e-4)
    return (high - low) / 2


def test_even_a_sure_model_is_as_wide_as_what_its_levels_leave_open() -> None:
    assert half_width(*aspects(0.5)) == pytest.approx(0.036, abs=1e-4)
    assert half_width(*aspects(0.5), ends=Anchors(0.75, 0.25)) == pytest.approx(0.072, abs=1e-4)


def test_aspects_of_one_model_err_together() -> None:
    """Four answers as unsure as one don't make a mean that is surer."""
    one, four = half_width(*aspects(0.5, spread=0.2)), half_width(*aspects(*(0.5,) * 4, spread=0.2))
    assert one == four == pytest.approx(math.hypot(0.2, 0.072) / 2, abs=1e-4)


def test_the_means_spread_is_the_mean_of_the_aspects_spreads() -> None:
    """However they err together, it can't be more: the root of the mean square would be."""
    sure, unsure = AspectAssessment(0.5, 0.0, "because"), AspectAssessment(0.5, 0.3, "because")
    assert half_width(sure, unsure) == pytest.approx((0.072 + math.hypot(0.3, 0.072)) / 4, abs=1e-4)


def test_what_aspects_differ_in_is_no_doubt() -> None:
    """One of four says `total`, three say `none`, all of them surely: the same color with another content."""
    assert half_width(*aspects(0.25, 0.25, 0.25, 0.75)) == half_width(*aspects(*(0.375,) * 4))


def test_half_the_gap_between_the_orders_is_added() -> None:
    said = AspectAssessment(0.5, 0.0, "because", gap=0.2)
    assert half_width(said) == pytest.approx(0.036 + 0.05, abs=1e-4)
    assert build(measured(0.8), assessed(order_gap=0.9)).similarity_interval == (0.8, 0.8)


def test_an_element_said_to_have_changed_where_no_pixel_did_is_refuted() -> None:
    said = assessed(focus_elements=(FocusAssessment("changed", 0.2, "gone"),))
    made = build(measured(0.99, differences=()), said, focus_elements=["logo"])
    assert (made.focus_elements[0].status, made.focus_elements[0].score) == ("unchanged", 1.0)
    assert "logo" in made.warnings[0]


def charted(measurement: Measurement, chart: Chart = STILL) -> Measurement:
    return replace(measurement, charts=(chart, chart))


def test_an_element_said_to_have_changed_where_nothing_did_is_refuted_though_other_places_differ() -> None:
    said = assessed(focus_elements=(FocusAssessment("changed", 0.2, "gone", ELSEWHERE),))
    made = build(charted(measured(0.5)), said, focus_elements=["logo"])
    (element,) = made.focus_elements
    assert (element.status, element.score, element.boxes) == ("unchanged", 1.0, ((10, 6, 30, 18),))
    assert element.explanation == "Nothing visible differs there, so it is unchanged."
    assert "logo" in made.warnings[0]


def test_an_element_that_did_change_is_reported_with_its_place() -> None:
    said = assessed(focus_elements=(FocusAssessment("removed", 0.2, "gone", ON_IT),))
    made = build(charted(measured(0.5)), said, focus_elements=["logo"])
    assert made.focus_elements[0].model_dump() == {
        "name": "logo",
        "status": "removed",
        "score": 0.2,
        "explanation": "gone",
        "boxes": ((120, 60, 30, 30),),
    }
    assert made.warnings == ()


def test_an_element_called_unchanged_where_most_pixels_changed_is_warned_of() -> None:
    said = assessed(focus_elements=(FocusAssessment("unchanged", 0.9, "same", ON_IT),))
    made = build(charted(measured(0.5), Chart(1, 1, bytes([120]))), said, focus_elements=["logo"])
    assert made.focus_elements[0].status == "unchanged"
    assert made.warnings == ("The model said that nothing happened to “logo”; most pixels there differ visibly.",)


def test_a_finding_names_the_difference_that_its_box_fits() -> None:
    made = build(charted(measured(0.5)), assessed(findings=(Finding("changed", ON_IT, "A price tag."),)))
    assert [(each.evidence, each.description) for each in made.differences] == [("confirmed", "A price tag.")]


def test_what_the_model_says_of_the_region_itself_goes_before_a_finding() -> None:
    said = assessed(regions=named(0), findings=(Finding("changed", ON_IT, "A price tag."),))
    assert build(charted(measured(0.5)), said).differences[0].description == "change 0"


def test_a_finding_of_a_change_too_small_to_be_listed_comes_last() -> None:
    said = assessed(findings=(Finding("added", ELSEWHERE, "A dot."),))
    made = build(charted(measured(0.5), Chart(1, 1, b"\1")), said)
    assert [each.evidence for each in made.differences] == ["measured_only", "model_only"]
    found = made.differences[1]
    assert (found.description, found.kind, found.severity) == ("A dot.", "added", differences.MODEL_ONLY_SEVERITY)
    assert (found.reference_box, found.candidate_box) == (None, (10, 6, 30, 18))


def test_where_both_pictures_lie_on_one_place_a_finding_has_both_boxes() -> None:
    still = charted(measured(0.5), Chart(1, 1, b"\1"))
    still = replace(still, alignment=replace(still.alignment, kind="none"))
    found = build(still, assessed(findings=(Finding("removed", ELSEWHERE, "A dot."),))).differences[1]
    assert found.reference_box == found.candidate_box == (10, 6, 30, 18)


def test_a_refuted_finding_is_a_warning_and_no_difference() -> None:
    made = build(charted(measured(0.5)), assessed(findings=(Finding("added", ELSEWHERE, "A ghost."),)))
    assert len(made.differences) == 1
    assert made.warnings == ("The model named “A ghost.”; no pixel differs visibly there, so it is not listed.",)


def test_where_nothing_differs_no_finding_makes_a_difference() -> None:
    made = build(measured(0.99, differences=()), assessed(findings=(Finding("added", ELSEWHERE, "A ghost."),)))
    assert (made.differences, made.verdict) == ((), "match")
    assert "A ghost." in made.warnings[0]


def test_naming_all_by_findings_counts_as_naming() -> None:
    said = assessed(aspects=aspects(1.0), findings=(Finding("changed", ON_IT, "A price tag."),))
    assert build(charted(measured(0.7)), said).verdict == "match"


def test_a_model_that_tells_nothing_apart_widens_the_interval() -> None:
    said = assessed(aspects=aspects(0.5), regions=named(0))
    sure = build(measured(0.7), replace(said, anchors=Anchors(0.9, 0.1)))
    blind = build(measured(0.7), replace(said, anchors=Anchors(0.5, 0.5)))
    assert sure.similarity_interval == (0.555, 0.645)
    assert blind.similarity_interval == (0.419, 0.781)
    assert blind.model.anchors is not None
    assert blind.warnings == (
        "This model can't tell an equal picture from an unrelated one, so the similarity's interval is wider.",
    )


def test_how_sure_the_model_was_is_told_beside_its_score() -> None:
    said = assessed(aspects=(AspectAssessment(0.5, 0.25, "because", 0.4, 0.1),))
    certainty = build(measured(0.7), said).aspects[0].certainty
    assert certainty is not None
    assert certainty.model_dump() == {"spread": 0.25, "entropy": 0.4, "outside_mass": 0.1}
    assert build(measured(0.7)).aspects[0].certainty is None


def test_the_plan_of_memory_is_told() -> None:
    memory = build(measured(0.7), assessed(plan=MemoryPlan(10, 20, 30, 40, 5, 0.5, (6, 7), (8, 9)))).model.memory
    assert memory is not None
    assert (memory.predicted_bytes, memory.available_bytes, memory.scale) == (30, 40, 0.5)


units = st.floats(0, 1).map(lambda value: round(value, 4))
corners = st.tuples(st.integers(0, 999), st.integers(0, 999), st.integers(1, 1000), st.integers(1, 1000))
picture_boxes = corners.map(lambda c: PictureBox(c[0], c[1], min(1000, c[0] + c[2]), min(1000, c[1] + c[3])))
regions_said = st.lists(
    st.builds(RegionAssessment, st.integers(0, 3), st.booleans(), st.sampled_from(["", "A tag."])), max_size=4
)
opinions = st.builds(
    assessed,
    aspects=st.lists(st.none() | st.builds(AspectAssessment, units, st.floats(0, 0.5), st.just("x")), max_size=1).map(
        lambda said: tuple(said) or (None,)
    ),
    regions=regions_said.map(tuple),
    findings=st.lists(
        st.builds(Finding, st.sampled_from(["changed", "added", "removed", "moved"]), picture_boxes, st.just("It.")),
        max_size=4,
    ).map(tuple),
    focus_elements=st.builds(
        FocusAssessment,
        st.sampled_from(["unchanged", "changed", "added", "removed", "absent"]),
        units,
        st.just("x"),
        st.none() | picture_boxes,
    ).map(lambda said: (said,)),
    order_gap=st.none() | units,
    sees_ghosts=st.none() | st.booleans(),
    anchors=st.none() | st.builds(Anchors, units, units),
)
SPREAD_OUT = [difference(reference_box=Box(60 * i, 5, 30, 30), candidate_box=Box(60 * i, 5, 30, 30)) for i in range(3)]
pairs = st.builds(
    lambda similarity, width, count, further, chart: charted(
        measured(
            similarity,
            differences=SPREAD_OUT[:count],
            further_differences=further,
            similarity_interval=(max(0.0, similarity - width), min(1.0, similarity + width)),
        ),
        Chart(4, 4, chart),
    ),
    units,
    st.floats(0, 0.2),
    st.integers(0, 3),
    st.integers(0, 1),
    st.binary(min_size=16, max_size=16),
)


def test_an_element_without_an_explanation_of_its_own_says_so() -> None:
    made = build(measured(0.5), assessed(focus_elements=(FocusAssessment("changed", 0.2, ""),)), focus_elements=["a"])
    assert made.focus_elements[0].explanation == "The model gave no explanation that fits this answer."


def is_named(found: MeasuredDifference, index: int, said: Assessment) -> bool:
    """Plainly: its region was seen and put into words, or a finding lies about where it is; by no yes-sayer."""
    if said.sees_ghosts:
        return False
    if any(region.index == index and region.seen and region.description for region in said.regions):
        return True
    box = found.candidate_box
    assert box is not None
    thousandths = Box(box.x * 5, box.y * 1000 // 120, box.width * 5, box.height * 1000 // 120)
    boxes = [Box(f.box.left, f.box.top, f.box.right - f.box.left, f.box.bottom - f.box.top) for f in said.findings]
    return any(each.overlap(thousandths) > 0 for each in boxes)


@given(pairs, opinions, units)
def test_the_model_alone_never_turns_a_measured_difference_into_a_match(
    measurement: Measurement, said: Assessment, threshold: float
) -> None:
    made = build(measurement, said, similarity_threshold=threshold, focus_elements=["logo"])
    alone = build(measurement, similarity_threshold=threshold)
    if made.verdict == "match" and measurement.similarity < threshold:
        assert all(is_named(found, i, said) for i, found in enumerate(measurement.differences))
        assert measurement.differences == () or measurement.further_differences == 0
    listed = [each for each in made.differences if each.evidence != "model_only"]
    assert [each.reference_box for each in listed] == [each.reference_box for each in alone.differences]


@given(pairs, opinions, units)
def test_the_model_alone_never_sinks_a_pair_of_which_it_confirms_nothing(
    measurement: Measurement, said: Assessment, threshold: float
) -> None:
    made = build(measurement, said, similarity_threshold=threshold, focus_elements=["logo"])
    if made.verdict == "mismatch" and measurement.similarity >= threshold:
        assert not said.sees_ghosts
        assert any(region.seen for region in said.regions) or any(e.evidence == "confirmed" for e in made.differences)


@given(pairs, opinions, units)
def test_the_model_alone_never_finds_fault_where_nothing_visible_differs(
    measurement: Measurement, said: Assessment, threshold: float
) -> None:
    still = replace(measurement, differences=(), further_differences=0, charts=None)
    made = build(still, said, similarity_threshold=threshold, focus_elements=["logo"])
    alone = build(still, similarity_threshold=threshold, focus_elements=["logo"])
    assert (made.verdict, made.similarity, made.differences) == (alone.verdict, alone.similarity, ())
    assert made.focus_elements[0].status in ("unchanged", "absent")


def test_without_a_model_elements_of_a_changed_pair_are_unassessed() -> None:
    made = build(measured(0.5), focus_elements=["logo", "price"])
    assert [(e.name, e.status, e.score) for e in made.focus_elements] == [
        ("logo", "unassessed", None),
        ("price", "unassessed", None),
    ]


def test_an_answer_that_cannot_be_read_is_not_called_no_answer() -> None:
    made = build(measured(0.5), assessed(focus_elements=(None,)), focus_elements=["logo"])
    assert made.focus_elements[0].explanation == "Not assessed: the model's answer can't be read."


def test_a_model_that_did_not_answer_is_said_so() -> None:
    made = build(measured(0.5), Assessment(ModelIdentity("scripted", None, None), "timed_out"))
    assert made.model.status == "timed_out"
    assert made.warnings == ("The model did not answer in time; this report is the measurement alone.",)


def test_a_chinese_report_is_chinese_throughout() -> None:
    made = build(measured(0.5), language="zh", focus_elements=["标志"])
    texts = [made.summary, made.aspects[0].explanation, made.focus_elements[0].explanation]
    texts += [found.description for found in made.differences]
    assert all(any("一" <= letter <= "鿿" for letter in text) for text in texts)
