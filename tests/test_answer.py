"""Scores are read from probabilities, and a wrong answer costs its own field only."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app import answer, written
from serve_app.core import (
    Assessment,
    Inquiry,
    ModelIdentity,
    ModelOutput,
    Question,
    QuestionKind,
    Reply,
    ShownImage,
    Wording,
)

LABELS = ("none", "small", "medium", "large", "total")
ME = ModelIdentity("scripted", None, None)
GOOD = '{"answer":"none","explanation":"All alike."}'


def a_question(kind: QuestionKind = "aspect", index: int = 0) -> Question:
    return Question(kind, index, (Wording("?", () if kind == "summary" else LABELS),))


def parsed(questions: tuple[Question, ...], replies: tuple[Reply, ...], swapped: tuple[Reply, ...] = ()) -> Assessment:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    again = tuple(question for question in questions if question.num_labels) if swapped else ()
    inquiry = Inquiry(shown, shown, "", questions, again, "en", "7")
    return answer.parse(ModelOutput(replies, swapped, 12, 34), inquiry, ME)


def test_a_score_is_the_expectation_over_the_labels() -> None:
    assessment = parsed((a_question(),), (Reply((0.5, 0.0, 0.0, 0.0, 0.5), GOOD),))
    aspect = assessment.aspects[0]
    assert aspect is not None
    assert aspect.score == pytest.approx(0.5)
    assert aspect.spread == pytest.approx(0.5)
    assert aspect.explanation == "All alike."
    assert (assessment.prompt_tokens, assessment.generated_tokens, assessment.prompt_version) == (12, 34, "7")
    assert assessment.warnings == ()


def test_both_orders_are_averaged_and_their_gap_is_told() -> None:
    assessment = parsed((a_question(),), (Reply((1.0, 0, 0, 0, 0), GOOD),), (Reply((0, 0, 1.0, 0, 0), ""),))
    aspect = assessment.aspects[0]
    assert aspect is not None
    assert aspect.score == pytest.approx(0.75)
    assert aspect.spread == pytest.approx(0.25)
    assert assessment.order_gap == pytest.approx(0.5)


def test_without_a_second_order_there_is_no_gap() -> None:
    assert parsed((a_question(),), (Reply((1.0, 0, 0, 0, 0), GOOD),)).order_gap is None


def test_mass_outside_the_labels_widens_the_spread_and_leaves_the_score() -> None:
    sure = parsed((a_question(),), (Reply((0.0, 1.0, 0, 0, 0), GOOD),)).aspects[0]
    unsure = parsed((a_question(),), (Reply((0.0, 0.4, 0, 0, 0), GOOD),)).aspects[0]
    assert sure is not None
    assert unsure is not None
    assert sure.score == unsure.score == pytest.approx(0.75)
    assert sure.spread == 0
    assert unsure.spread > 0.2


@pytest.mark.parametrize(
    "probabilities", [(), (0.0,) * 5, (0.01,) * 5, (math.nan,) * 5, (-1.0, 2.0, 0, 0, 0), (0.9,) * 5, (1.0,)]
)
def test_unreadable_probabilities_leave_the_field_empty_and_warn(probabilities: tuple[float, ...]) -> None:
    assessment = parsed((a_question(),), (Reply(probabilities, GOOD),))
    assert assessment.aspects == (None,)
    assert assessment.status == "answered"
    assert assessment.warnings == ("The model chose none of the answers offered for aspect 1.",)


def test_one_readable_order_is_enough_for_a_score() -> None:
    assessment = parsed((a_question(),), (Reply((0.0,) * 5, GOOD),), (Reply((1.0, 0, 0, 0, 0), ""),))
    assert assessment.aspects[0] is not None
    assert assessment.order_gap is None


def test_garbage_text_leaves_the_score() -> None:
    assessment = parsed((a_question(),), (Reply((1.0, 0, 0, 0, 0), "<garbage>"),))
    assert assessment.aspects[0] is not None
    assert assessment.aspects[0].explanation == ""
    assert assessment.warnings == ("The model wrote nothing readable for aspect 1.",)


@pytest.mark.parametrize(
    ("position", "status", "score"),
    [(0, "unchanged", 1.0), (1, "changed", 0.0), (2, "added", 0.0), (3, "removed", 0.0), (4, "absent", 1.0)],
)
def test_a_focus_elements_status_is_the_likeliest_label(position: int, status: str, score: float) -> None:
    chosen = tuple(1.0 if i == position else 0.0 for i in range(5))
    focus = parsed((a_question("focus_element"),), (Reply(chosen, GOOD),)).focus_elements[0]
    assert focus is not None
    assert (focus.status, focus.score) == (status, score)


def test_a_region_is_seen_when_a_change_is_likelier_than_none() -> None:
    text = '{"answer":"changed","description":"A price tag."}'
    replies = (Reply((0.4, 0.6, 0, 0, 0), text), Reply((0.6, 0.4, 0, 0, 0), text), Reply((0.0,) * 5, text))
    questions = tuple(a_question("region", i) for i in range(3))
    regions = parsed(questions, replies).regions
    assert [(region.index, region.seen) for region in regions] == [(0, True), (1, False)]
    assert regions[0].description == "A price tag."


def test_the_summary_is_read() -> None:
    assert parsed((a_question("summary"),), (Reply((), '{"summary":"Two shops."}'),)).summary == "Two shops."


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('{"answer":"small","explanation":"The price has chan', "The price has…"),
        ('{"answer":"small","explanation":"A quo\\', "A…"),
        ('{"explanation":"ends in \\u12', "ends…"),
        ('{"explanation":"价格可能', "价格可能…"),
        ('{"explanation":"whole"', "whole"),
        ('{"explanation":"whole"} and then more', "whole"),
        ('```json\n{"explanation": "fenced"}\n```', "fenced"),
        ('{"explanation":"two\\n  lines\\u0000"}', "two lines"),
        ('{"explanation":"\\ud83d half"}', "half"),
        ('{"explanation":3}', ""),
        ('{"explanation":""}', ""),
        ("[1]", ""),
        ("", ""),
        ("[" * 100_000, ""),
    ],
)
def test_text_is_read_or_mended(reply: str, text: str) -> None:
    assert written.text_of(reply, "explanation") == text


def test_endless_text_is_bounded() -> None:
    assert len(written.text_of('{"explanation":"' + "word " * 5000 + '"}', "explanation")) <= written.MAX_TEXT


@given(
    st.lists(st.tuples(st.lists(st.floats(), max_size=6), st.text()), max_size=4),
    st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), max_size=4),
)
def test_no_reply_raises_and_every_score_is_a_unit(
    replies: list[tuple[list[float], str]], swapped: list[list[float]]
) -> None:
    questions = (a_question(), a_question("focus_element"), a_question("region"), a_question("summary"))
    assessment = parsed(
        questions,
        tuple(Reply(tuple(p), text) for p, text in replies),
        tuple(Reply(tuple(p), "") for p in swapped),
    )
    for scored in (*assessment.aspects, *assessment.focus_elements):
        assert scored is None or 0 <= scored.score <= 1
    assert assessment.order_gap is None or 0 <= assessment.order_gap <= 1


def test_replies_that_are_missing_leave_their_fields_empty() -> None:
    assessment = parsed((a_question(), a_question(index=1)), (Reply((1.0, 0, 0, 0, 0), GOOD),))
    assert assessment.aspects[0] is not None
    assert assessment.aspects[1] is None
