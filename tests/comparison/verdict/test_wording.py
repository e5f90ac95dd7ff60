"""What a model quotes, held against what was read at the same place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve_app.comparison.verdict import report
from serve_app.comparison.verdict.wording import misquotes
from serve_app.core.assessed import Assessment, Finding, PictureBox, RegionAssessment
from serve_app.core.pictures import Box
from serve_app.core.reading import Reading, TextChange
from serve_app.schema import ComparisonReport, TimingsReport
from tests.worlds.samples import assessed, config, difference, examined, measured

TIMINGS = TimingsReport(queue=0, prepare=0, measure=0, assess=0, total=0)
PRICE = TextChange("changed", "Now ¥12.80", "Now ¥13.80", "¥12.80", "¥13.80", 0.9)
RIGHT = 'The price went from "¥12.80" to “¥13.80”.'
WRONG = 'The price went from "¥12.80" to "¥18.80".'
ON_IT = PictureBox(600, 500, 750, 750)  # where the samples' difference is


@pytest.mark.parametrize(
    ("description", "is_other"),
    [
        (RIGHT, False),
        ("The price is another.", False),
        ("It said '12.80', now \"Now 13.80\".", False),
        ("价格由「￥12.80」变为『￥13.80』", False),
        ('It says "NOW ¥13.80!" now.', False),
        ('The label "Price: ¥13.80 each" changed.', False),
        (WRONG, True),
        ('It says "¥13.8O" now.', True),
        ('The price went to "¥113.80".', True),
        ('The word "SALE" is red.', True),
        ("价格由“¥12.80”变为“¥13.60”", True),
        ('From "¥12.80" to a red one that says "SALE".', False),
    ],
)
def test_a_quotation_is_of_what_was_read_or_of_something_else(description: str, is_other: bool) -> None:
    assert misquotes(description, (PRICE,)) == is_other


def test_a_sign_read_in_another_script_is_the_same() -> None:
    assert not misquotes("“净含量”移动了", (TextChange("moved", "凈含量", "凈含量", None, None, 0.9),))


def test_at_a_place_as_large_as_the_picture_other_text_may_stand_too() -> None:
    assert not misquotes('The word "SALE" is red.', (PRICE,), is_frame=True)
    assert misquotes(WRONG, (PRICE,), is_frame=True)


def build(assessment: Assessment, *changes: TextChange, **fields: Any) -> ComparisonReport:
    pair = replace(examined(measured(0.7, **fields), (0.6,)), reading=Reading("read", (changes,)))
    return report.build(config(comparison_aspects=["color"]), pair, assessment, TIMINGS, "an id")


REFUTED = f"The model named “{WRONG}”; other text was read there, so its words aren't used."


def test_a_region_described_by_text_that_stands_there_is_confirmed() -> None:
    made = build(assessed(regions=(RegionAssessment(0, True, RIGHT),)), PRICE)
    assert (made.differences[0].evidence, made.warnings) == ("confirmed", ())
    assert made.differences[0].description.endswith(RIGHT)


def test_a_region_described_by_other_text_stays_measured_and_is_warned_of() -> None:
    made = build(assessed(regions=(RegionAssessment(0, True, WRONG),)), PRICE)
    assert made.differences[0].evidence == "measured_only"
    assert "18.80" not in made.differences[0].description + made.summary
    assert made.warnings == (REFUTED,)


def test_a_finding_that_quotes_other_text_names_nothing() -> None:
    made = build(assessed(findings=(Finding("changed", ON_IT, WRONG),)), PRICE)
    assert [each.evidence for each in made.differences] == ["measured_only"]
    assert made.warnings == (REFUTED,)
    made = build(assessed(findings=(Finding("changed", ON_IT, RIGHT),)), PRICE)
    assert [each.evidence for each in made.differences] == ["confirmed"]


def test_where_nothing_was_read_a_quotation_stands() -> None:
    made = build(assessed(regions=(RegionAssessment(0, True, WRONG),)))
    assert (made.differences[0].evidence, made.warnings) == ("confirmed", ())


def test_one_sentence_of_a_whole_frame_may_quote_what_was_not_read() -> None:
    whole = difference(reference_box=Box(0, 0, 200, 120), candidate_box=Box(0, 0, 200, 120))
    said = assessed(regions=(RegionAssessment(0, True, 'The word "SALE" is red.'),))
    assert build(said, PRICE, differences=[whole]).differences[0].evidence == "confirmed"
    assert build(said, PRICE).differences[0].evidence == "measured_only"
