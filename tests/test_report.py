"""How evidence becomes a verdict."""

from __future__ import annotations

import pytest

from serve_app import report
from serve_app.core import AspectAssessment, Assessment, FocusAssessment, ModelIdentity, RegionAssessment
from serve_app.schema import ComparisonReport, TimingsReport
from tests.samples import assessed, config, difference, examined, measured, same

TIMINGS = TimingsReport(queue=0, prepare=0, measure=0, assess=0, total=0)
DISABLED = Assessment(ModelIdentity("none", None, None), "disabled")


def aspects(*scores: float, spread: float = 0.0) -> tuple[AspectAssessment, ...]:
    return tuple(AspectAssessment(score, spread, "because") for score in scores)


def named(*indices: int) -> tuple[RegionAssessment, ...]:
    return tuple(RegionAssessment(index, True, f"change {index}") for index in indices)


def build(measurement: object, assessment: Assessment = DISABLED, **fields: object) -> ComparisonReport:
    asked = config(**{"comparison_aspects": ["color"], **fields})
    return report.build(asked, examined(measurement, (0.6,)), assessment, TIMINGS)  # type: ignore[arg-type]


def test_equal_pixels_match_at_any_threshold() -> None:
    made = build(same(), similarity_threshold=1.0, focus_elements=["logo"])
    assert (made.verdict, made.similarity, made.differences) == ("match", 1.0, ())
    assert made.aspects[0].score == 1.0
    assert made.focus_elements[0].status == "unchanged"


@pytest.mark.parametrize(("similarity", "verdict"), [(0.79, "mismatch"), (0.8, "match"), (0.81, "match")])
def test_without_a_model_the_measurement_decides(similarity: float, verdict: str) -> None:
    assert build(measured(similarity)).verdict == verdict


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
    made = build(measured(0.9), assessed(aspects=aspects(0.3)))
    assert (made.verdict, made.similarity) == ("mismatch", 0.6)


def test_where_nothing_differs_the_model_has_nothing_to_take_away() -> None:
    made = build(measured(0.99, differences=()), assessed(aspects=aspects(0.0)))
    assert (made.verdict, made.similarity) == ("match", 0.99)


def test_spread_and_order_gap_widen_the_interval() -> None:
    made = build(measured(0.8), assessed(aspects=aspects(0.8, spread=0.2), order_gap=0.1, regions=named(0)))
    assert made.similarity_interval == (0.675, 0.9)
    assert made.verdict == "uncertain"


def test_an_element_said_to_have_changed_where_no_pixel_did_is_refuted() -> None:
    said = assessed(focus_elements=(FocusAssessment("changed", 0.2, "gone"),))
    made = build(measured(0.99, differences=()), said, focus_elements=["logo"])
    assert (made.focus_elements[0].status, made.focus_elements[0].score) == ("unchanged", 1.0)
    assert "logo" in made.warnings[0]


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


def test_the_report_id_depends_on_what_decides_the_report_and_nothing_else() -> None:
    first = build(measured(0.5)).report_id
    assert build(measured(0.5), processing_timeout=5).report_id == first
    assert build(measured(0.5), similarity_threshold=0.5).report_id != first
    assert build(measured(0.5), assessed()).report_id != first
