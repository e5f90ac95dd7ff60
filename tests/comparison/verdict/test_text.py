"""What was read in a pair, in its report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.comparison.sentences import SENTENCES
from serve_app.comparison.text_first import text_first
from serve_app.comparison.verdict import report
from serve_app.core.assessed import AspectAssessment, Assessment, FocusAssessment, PictureBox, RegionAssessment
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box
from serve_app.core.reading import SURE, ElementText, Reading, TextChange
from serve_app.schema import ComparisonReport, FocusStatus, Language, TextKind, TextReport, TimingsReport
from tests.worlds.samples import assessed, config, difference, examined, measured, same

TIMINGS = TimingsReport(queue=0, prepare=0, measure=0, assess=0, total=0)
DISABLED = Assessment(ModelIdentity("none", None, None), "disabled")
PRICE = TextChange("changed", "Now ¥12.80", "Now ¥13.80", "¥12.80", "¥13.80", 0.98765)
WHERE = "The region of 30 x 30 px at (120, 60) was changed."


def change(kind: TextKind, reference: str | None, candidate: str | None) -> TextChange:
    return TextChange(kind, reference, candidate, None, None, 0.9)


def read(*places: tuple[TextChange, ...], **fields: Any) -> Reading:
    return Reading("read", places, num_lines=3, engine="opencv", model="PP-OCRv6-small", **fields)


def build(reading: Reading, assessment: Assessment = DISABLED, **fields: Any) -> ComparisonReport:
    asked = config(**{"comparison_aspects": ["color"], **fields})
    places = max(1, len(reading.changes))
    pair = examined(measured(0.9, differences=[difference()] * places), (0.6,) * len(asked.comparison_aspects))
    return report.build(asked, replace(pair, reading=reading), assessment, TIMINGS, "an id")


@pytest.mark.parametrize(
    ("found", "english", "chinese"),
    [
        (PRICE, 'Text changed from "¥12.80" to "¥13.80".', "文字由“¥12.80”变为“¥13.80”。"),
        (change("changed", "SALE", "SALF"), 'Text changed from "SALE" to "SALF".', "文字由“SALE”变为“SALF”。"),
        (change("added", None, "NEW"), 'Text "NEW" was added.', "新增文字“NEW”。"),
        (change("removed", "LOT A9914", None), 'Text "LOT A9914" was removed.', "文字“LOT A9914”消失。"),
        (change("moved", "Save", "Save"), 'Text "Save" was moved.', "文字“Save”移动了位置。"),
        (
            change("same", "Save", "Save"),
            '"Save" looks different; its words are the same.',
            "“Save”的外观改变，文字未变。",
        ),
        (change("code", "690", "691"), 'The code changed from "690" to "691".', "条码由“690”变为“691”。"),
        (change("code", None, "691"), 'The code "691" was added.', "新增条码“691”。"),
        (change("code", "690", None), 'The code "690" was removed.', "条码“690”消失。"),
    ],
)
def test_a_description_leads_with_the_text_and_says_where(found: TextChange, english: str, chinese: str) -> None:
    assert build(read((found,))).differences[0].description == f"{english} {WHERE}"
    told = build(read((found,)), language="zh").differences[0].description
    assert told.startswith(chinese)
    assert told.endswith("区域发生变化。")


def test_a_word_on_one_side_only_is_told_as_whole_lines() -> None:
    found = TextChange("changed", "Best before", "Best before 2026", None, "2026", 0.9)
    assert SENTENCES["en"].text(found) == 'Text changed from "Best before" to "Best before 2026".'


def test_of_several_texts_three_are_told_and_the_rest_counted() -> None:
    four = tuple(change("added", None, str(number)) for number in range(4))
    five = (*four, change("added", None, "4"))
    first = 'Text "0" was added. Text "1" was added. Text "2" was added.'
    assert build(read(four)).differences[0].description == f"{first} 1 more change of text. {WHERE}"
    made = build(read(five)).differences[0]
    assert made.description == f"{first} 2 more changes of text. {WHERE}"
    assert made.text is not None
    assert [each.candidate for each in (made.text, *made.further_texts)] == ["0", "1", "2", "3", "4"]


def test_fields_hold_what_was_read() -> None:
    made = build(read((PRICE,)))
    assert made.differences[0].text == TextReport(
        kind="changed",
        reference="Now ¥12.80",
        candidate="Now ¥13.80",
        reference_word="¥12.80",
        candidate_word="¥13.80",
        confidence=0.9877,
    )
    assert made.differences[0].further_texts == ()
    assert made.measurement.text.model_dump() == {
        "status": "read",
        "lines": 3,
        "engine": "opencv",
        "model": "PP-OCRv6-small",
        "version": "1",
    }


def test_where_nothing_was_read_nothing_else_changes() -> None:
    for status in ("off", "not_installed", "timed_out", "nothing_to_read"):
        made = build(Reading(status))
        assert made.measurement.text.status == status
        assert (made.differences[0].text, made.differences[0].description) == (None, WHERE)
        assert made.summary.startswith("1 visible difference")


def test_the_summary_names_a_sure_change_first_whoever_wrote_it() -> None:
    reading = read((change("same", "A", "A"), PRICE), (change("moved", "B", "B"),))
    assert build(reading).summary.startswith('Text changed from "¥12.80" to "¥13.80". 2 visible differences, covering')
    told = build(reading, assessed(summary="The price tag differs.")).summary
    assert told == 'Text changed from "¥12.80" to "¥13.80". The price tag differs.'
    assert build(reading, language="zh").summary.startswith("文字由“¥12.80”变为“¥13.80”。发现 2 处可见差异")
    assert build(read((change("moved", "B", "B"),))).summary.startswith("1 visible difference")


def test_the_models_words_follow_the_text() -> None:
    said = assessed(regions=(RegionAssessment(0, True, "The price on the tag is another."),))
    made = build(read((PRICE,)), said).differences[0]
    assert made.description == 'Text changed from "¥12.80" to "¥13.80". The price on the tag is another.'
    assert made.evidence == "confirmed"


@pytest.mark.parametrize("language", get_args(Language))
def test_what_was_read_cannot_end_its_quotation_or_the_line(language: Language) -> None:
    found = change("added", None, 'x" was removed. Trust me”\n\u202eEND' + "y" * 300)
    made = build(read((found,)), language=language)
    for told in (made.summary, made.differences[0].description):
        assert told.isprintable()
        assert len(told) < 400
        quoted = told.split({"en": '"', "zh": "“"}[language], 1)[1]
        assert quoted.index({"en": '"', "zh": "”"}[language]) == 200


@pytest.mark.parametrize("kind", get_args(TextKind))
def test_a_caller_may_have_changed_words_be_a_mismatch(kind: TextKind) -> None:
    reading = read((change(kind, "a", "b"),))
    assert build(reading).verdict == "match"
    made = build(reading, text_changes="mismatch")
    expected = ("mismatch", "text") if kind in SURE else ("match", "similarity")
    assert (made.verdict, made.verdict_reason) == expected
    assert made.similarity == 0.9


def test_words_are_no_mismatch_where_nothing_visible_differs() -> None:
    pair = replace(examined(same(), (None,)), reading=read((PRICE,)))
    made = report.build(config(text_changes="mismatch", comparison_aspects=["x"]), pair, DISABLED, TIMINGS, "an id")
    assert made.verdict == "match"


@pytest.mark.parametrize("name", ["text", " Wording ", "ＴＥＸＴ", "文字", "文案"])
def test_the_aspect_text_is_the_share_of_letters_that_are_the_same(name: str) -> None:
    (aspect,) = build(read((PRICE,), unchanged=0.94321), comparison_aspects=[name]).aspects
    assert (aspect.score, aspect.measured_score) == (0.9432, 0.9432)
    assert aspect.explanation == "Measured 0.94 from the text read: the share of letters that are the same."


def test_the_aspect_text_is_null_where_nothing_was_read_and_whole_where_nothing_differs() -> None:
    (aspect,) = build(Reading("not_installed"), comparison_aspects=["text"]).aspects
    assert (aspect.score, aspect.explanation) == (None, "Not measured: no text was read.")
    still = examined(measured(0.99, differences=[]), (None,))
    (aspect,) = report.build(config(comparison_aspects=["text"]), still, DISABLED, TIMINGS, "an id").aspects
    assert (aspect.score, aspect.explanation) == (1.0, "Measured 1.00 from the pixels.")


def test_a_model_scores_the_aspect_text_beside_what_was_read() -> None:
    said = assessed(aspects=(AspectAssessment(0.5, 0.0, "Prices differ."),))
    (aspect,) = build(read((PRICE,), unchanged=0.9), said, comparison_aspects=["text"]).aspects
    assert (aspect.score, aspect.measured_score, aspect.explanation) == (0.5, 0.9, "Prices differ.")
    (content,) = build(read((PRICE,), unchanged=0.9), comparison_aspects=["content"]).aspects
    assert content.measured_score != 0.9


ELEMENT = ElementText("changed", 0.8, "$14.99", "$12.99", Box(1, 2, 3, 4))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("unchanged", 'Read as "$12.99" in both pictures.'),
        ("changed", 'Read as "$14.99" in the reference and as "$12.99" in the candidate.'),
        ("added", 'Read as "$12.99" in the candidate only.'),
        ("removed", 'Read as "$14.99" in the reference only.'),
        ("absent", "Read in neither picture."),
    ],
)
def test_an_element_that_was_read_needs_no_model(status: FocusStatus, said: str) -> None:
    reading = read((PRICE,), elements=(replace(ELEMENT, status=status), None))
    made = build(reading, focus_elements=["price", "logo"])
    price, logo = made.focus_elements
    assert (price.status, price.score, price.explanation, price.boxes) == (status, 0.8, said, ((1, 2, 3, 4),))
    assert logo.status == "unassessed"
    assert made.warnings == ()


def test_an_element_without_a_place_has_no_box() -> None:
    reading = read((PRICE,), elements=(ElementText("absent", 1.0, None, None, None),))
    assert build(reading, focus_elements=['"x"']).focus_elements[0].boxes == ()


def test_what_was_read_of_an_element_wins_over_the_model_and_is_said() -> None:
    said = FocusAssessment("unchanged", 1.0, "It is the same.", PictureBox(0, 0, 1, 1))
    reading = read((PRICE,), elements=(ELEMENT,))
    made = build(reading, assessed(focus_elements=(said,)), focus_elements=["price"])
    assert (made.focus_elements[0].status, made.focus_elements[0].score) == ("changed", 0.8)
    assert "It is the same." not in made.focus_elements[0].explanation
    assert made.warnings == ("What the model said of “price” contradicts the text read, which stands.",)
    agreed = assessed(focus_elements=(replace(said, status="changed", explanation="It is cheaper."),))
    made = build(reading, agreed, focus_elements=["price"])
    assert made.focus_elements[0].explanation.endswith('"$12.99" in the candidate. It is cheaper.')
    assert made.warnings == ()


def at(x: int, severity: float) -> MeasuredDifference:
    return difference(reference_box=Box(x, 0, 9, 9), severity=severity)


def test_a_sure_change_of_text_leads_and_keeps_its_own_text() -> None:
    found = measured(0.9, differences=[at(0, 0.9), at(1, 0.4), at(2, 0.3), at(3, 0.1)])
    kept, moved = (change("same", "A", "A"),), (change("moved", "B", "B"),)
    first, second = text_first(found, read(kept, (PRICE,), moved, (change("code", "1", "2"),)))
    assert [(each.reference_box.x, each.severity) for each in first.differences if each.reference_box] == [
        (1, 0.9),
        (3, 0.9),
        (0, 0.9),
        (2, 0.3),
    ]
    assert [each[0].kind for each in second.changes] == ["changed", "code", "same", "moved"]


def test_a_change_of_text_alone_is_half_severe_at_least() -> None:
    first, _ = text_first(measured(differences=[at(0, 0.2), at(1, 0.1)]), read((), (PRICE,)))
    assert [each.severity for each in first.differences] == [0.5, 0.2]
    first, _ = text_first(measured(differences=[at(0, 0.8)]), read((PRICE,)))
    assert [each.severity for each in first.differences] == [0.8]


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([None, *get_args(TextKind)])), max_size=6))
def test_differences_stay_most_severe_first_with_their_text(places: list[tuple[float, TextKind | None]]) -> None:
    ordered = sorted(places, key=lambda place: -place[0])
    found = measured(differences=[at(x, severity) for x, (severity, _) in enumerate(ordered)])
    reading = read(*(() if kind is None else (change(kind, str(x), str(x)),) for x, (_, kind) in enumerate(ordered)))
    first, second = text_first(found, reading)
    severities = [each.severity for each in first.differences]
    assert severities == sorted(severities, reverse=True)
    leads = [second.leads(index) for index in range(len(severities))]
    assert leads == sorted(leads, reverse=True)
    for index, each in enumerate(first.differences):
        assert each.reference_box is not None
        assert all(text.reference == str(each.reference_box.x) for text in second.text_in(index))
        assert each.severity >= found.differences[each.reference_box.x].severity


def test_without_a_reading_no_difference_is_touched() -> None:
    found = measured(differences=[at(0, 0.2), at(1, 0.1)])
    assert text_first(found, Reading("not_installed")) == (found, Reading("not_installed"))
