"""Scores are read from probabilities, and a wrong answer costs its own field only."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.comparison.dialogue import answer, reply_text
from serve_app.core.assessed import Anchors, AspectAssessment, Assessment, Finding, PictureBox
from serve_app.core.habits import CONVENTIONS, Convention, Frame, Habits
from serve_app.core.inquiry import (
    AnswerShape,
    Inquiry,
    ModelIdentity,
    ModelOutput,
    Question,
    QuestionKind,
    Reply,
    Wording,
)
from serve_app.core.pictures import ShownImage
from serve_app.schema import Language

LABELS = ("none", "small", "medium", "large", "total")
ME = ModelIdentity("scripted", None, None)
GOOD = '{"answer":"none","explanation":"All alike."}'


SHAPES: dict[QuestionKind, AnswerShape] = {"focus_element": "boxed_text", "findings": "findings"}


def a_question(kind: QuestionKind = "aspect", index: int = 0) -> Question:
    labels = () if kind in ("summary", "findings") else LABELS
    return Question(kind, index, (Wording("?", labels),), SHAPES.get(kind, "text"))


def parsed(
    questions: tuple[Question, ...],
    replies: tuple[Reply, ...],
    swapped: tuple[Reply, ...] = (),
    *,
    anchors: Anchors | None = None,
    language: Language = "en",
    decoy: int | None = None,
) -> Assessment:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    again = tuple(question for question in questions if question.num_labels) if swapped else ()
    inquiry = Inquiry(shown, shown, "", questions, again, language, "7", decoy=decoy)
    return answer.parse(ModelOutput(replies, swapped, 12, 34), inquiry, ME, Habits(anchors=anchors))


def level(*probabilities: float, anchors: Anchors | None = None) -> AspectAssessment:
    aspect = parsed((a_question(),), (Reply(probabilities, GOOD),), anchors=anchors).aspects[0]
    assert aspect is not None
    return aspect


@pytest.mark.parametrize(("language", "said"), [("en", "gives no probabilities"), ("zh", "不提供概率")])
def test_scores_that_no_server_computed_are_told_as_assumed(language: Language, said: str) -> None:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    inquiry = Inquiry(shown, shown, "", (a_question(),), (), language, "7")
    output = ModelOutput((Reply((0.9, 0, 0, 0, 0), GOOD),), (), 12, 34, num_assumed=1)
    assert [said in warning for warning in answer.parse(output, inquiry, ME).warnings] == [True]
    assert answer.parse(replace(output, num_assumed=0), inquiry, ME).warnings == ()


def test_a_score_is_the_expectation_over_the_labels() -> None:
    assessment = parsed((a_question(),), (Reply((0.5, 0.0, 0.0, 0.0, 0.5), GOOD),))
    aspect = assessment.aspects[0]
    assert aspect is not None
    assert aspect.score == pytest.approx(0.5)
    assert aspect.spread == pytest.approx(0.5)
    assert aspect.explanation == "All alike."
    assert (assessment.prompt_tokens, assessment.generated_tokens, assessment.prompt_version) == (12, 34, "7")
    assert assessment.warnings == ()


def test_the_version_tells_what_the_model_may_write_before_it_is_asked() -> None:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    inquiry = Inquiry(shown, shown, "", (a_question(),), (), "en", "7")
    output = ModelOutput((Reply((1.0, 0, 0, 0, 0), GOOD),), (), 12, 34)
    assert answer.parse(output, inquiry, replace(ME, thought_tokens=9)).prompt_version == "7+thought9"


def test_both_orders_are_averaged_and_their_gap_is_told() -> None:
    assessment = parsed((a_question(),), (Reply((1.0, 0, 0, 0, 0), GOOD),), (Reply((0, 0, 1.0, 0, 0), ""),))
    aspect = assessment.aspects[0]
    assert aspect is not None
    assert aspect.score == pytest.approx(0.75)
    assert aspect.spread == pytest.approx(0.25)
    assert aspect.gap == pytest.approx(0.5)
    assert assessment.order_gap == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("second", "gap"),
    [((0, 0, 0.9, 0, 0), 0.0), ((0, 0, 0, 0.9, 0), 0.9), ((0, 0, 0.6, 0.3, 0), 0.3), ((0, 0, 0.5, 0, 0), 0.4)],
)
def test_a_model_that_says_added_whichever_picture_is_first_has_a_gap(second: tuple[float, ...], gap: float) -> None:
    """`added` and `removed` score the same: only the probabilities themselves tell a direction."""
    replies = Reply((0, 0, 0.9, 0, 0), GOOD), Reply(second, "")
    assessment = parsed((a_question("focus_element"),), replies[:1], replies[1:])
    assert assessment.order_gap == pytest.approx(gap)


def test_the_gap_is_the_mean_of_all_questions_with_labels() -> None:
    questions = a_question(), a_question("focus_element"), a_question("summary")
    replies = Reply((1.0, 0, 0, 0, 0), GOOD), Reply((1.0, 0, 0, 0, 0), GOOD), Reply((), '{"summary":"Alike."}')
    again = Reply((1.0, 0, 0, 0, 0), ""), Reply((0.5, 0.5, 0, 0, 0), "")
    assert parsed(questions, replies, again).order_gap == pytest.approx(0.25)


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


def test_entropy_tells_a_sure_model_from_one_that_guesses() -> None:
    assert level(1.0, 0, 0, 0, 0).entropy == 0
    assert level(0.2, 0.2, 0.2, 0.2, 0.2).entropy == pytest.approx(1.0)
    assert level(0.4, 0, 0, 0, 0).outside_mass == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("probabilities", "score"),
    [((0, 1.0, 0, 0, 0), 1.0), ((0, 0, 1.0, 0, 0), 0.5), ((0, 0, 0, 1.0, 0), 0.0), ((0, 0, 0, 0, 1.0), 0.0)],
)
def test_a_score_is_rescaled_between_the_anchors(probabilities: tuple[float, ...], score: float) -> None:
    assert level(*probabilities, anchors=Anchors(0.75, 0.25)).score == pytest.approx(score)


def test_rescaling_stretches_the_spread_and_the_gap() -> None:
    ends = Anchors(0.75, 0.25)
    assert level(0, 0.5, 0.5, 0, 0, anchors=ends).spread == pytest.approx(0.25)
    replies = Reply((0, 1.0, 0, 0, 0), GOOD), Reply((0, 0, 1.0, 0, 0), "")
    aspect = parsed((a_question(),), replies[:1], replies[1:], anchors=ends).aspects[0]
    assert aspect is not None
    assert aspect.gap == pytest.approx(0.5)


@pytest.mark.parametrize("ends", [Anchors(0.5, 0.45), Anchors(0.3, 0.6), Anchors(0.5, 0.5)])
def test_between_anchors_too_close_together_nothing_is_rescaled(ends: Anchors) -> None:
    assert level(0, 1.0, 0, 0, 0, anchors=ends).score == pytest.approx(0.75)


def test_the_level_of_a_calibration_is_the_mean_over_its_labels() -> None:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    inquiry = Inquiry(shown, shown, "", (), (a_question(), a_question(index=1)), "en", "7")
    replies = Reply((1.0, 0, 0, 0, 0), ""), Reply((0, 0, 1.0, 0, 0), "")
    assert answer.level(ModelOutput((), replies, 0, 0), inquiry) == pytest.approx(0.75)
    assert answer.level(ModelOutput((), (Reply((0.0,) * 5, ""),), 0, 0), inquiry) is None
    assert answer.level(ModelOutput((), (), 0, 0), inquiry) is None


@pytest.mark.parametrize(
    "probabilities", [(), (0.0,) * 5, (0.01,) * 5, (math.nan,) * 5, (-1.0, 2.0, 0, 0, 0), (0.9,) * 5, (1.0,)]
)
def test_unreadable_probabilities_leave_the_field_empty_and_warn(probabilities: tuple[float, ...]) -> None:
    assessment = parsed((a_question(),), (Reply(probabilities, GOOD),))
    assert assessment.aspects == (None,)
    assert assessment.status == "answered"
    assert assessment.warnings == ("The model chose none of the answers offered for aspect 1.",)


@pytest.mark.parametrize("unreadable", [(0.0,) * 5, (math.nan,) * 5, (0.01,) * 5, ()])
@pytest.mark.parametrize("is_first", [True, False])
def test_an_order_that_cannot_be_read_is_mass_outside_the_labels(unreadable: tuple[float, ...], is_first: bool) -> None:
    readable = (0, 1.0, 0, 0, 0)
    orders = (unreadable, readable) if is_first else (readable, unreadable)
    assessment = parsed((a_question(),), (Reply(orders[0], GOOD),), (Reply(orders[1], ""),))
    aspect = assessment.aspects[0]
    assert aspect is not None
    assert (aspect.score, aspect.outside_mass, assessment.order_gap) == pytest.approx((0.75, 0.5, 1.0))
    assert aspect.spread > 0.2
    assert len(assessment.warnings) == 1
    assert assessment.warnings[0].startswith("In one order of the pictures")


def test_an_order_that_was_not_answered_is_one_that_cannot_be_read() -> None:
    questions = a_question(), a_question(index=1)
    replies = Reply((1.0, 0, 0, 0, 0), GOOD), Reply((1.0, 0, 0, 0, 0), GOOD)
    assessment = parsed(questions, replies, (Reply((1.0, 0, 0, 0, 0), ""),))
    assert [aspect.outside_mass for aspect in assessment.aspects if aspect] == [0.0, 0.5]
    assert assessment.order_gap == pytest.approx(0.5)


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


@pytest.mark.parametrize(
    ("reply", "box"),
    [
        ('{"answer":"same","box":[1,2,30,40],"explanation":"Here."}', PictureBox(1, 2, 30, 40)),
        ('{"answer":"same","box":[0,0,1000,1000],"expl', PictureBox(0, 0, 1000, 1000)),
        ('{"box": [ 10.4, 2, 30, 40 ]}', PictureBox(10, 2, 30, 40)),
        ('{"answer":"same","box":null,"explanation":"Nowhere."}', None),
        ('{"box":[1,2,30]}', None),
        ('{"box":[1,2,30,40,50]}', None),
        ('{"box":[30,2,1,40]}', None),
        ('{"box":[1,2,30,1001]}', None),
        ('{"box":[1,2,30,-4]}', None),
        ('{"box":[1,2,true,40]}', None),
        ('{"box":[1,2,1e999,NaN]}', None),
        ('{"box":["1",2,30,40]}', None),
        ('{"box":[1,2,30', None),
        ('{"box":[' + "1" * 5000 + "]}", None),
        ("", None),
    ],
)
def test_a_box_is_read_or_there_is_none(reply: str, box: PictureBox | None) -> None:
    focus = parsed((a_question("focus_element"),), (Reply((1.0, 0, 0, 0, 0), reply),)).focus_elements[0]
    assert focus is not None
    assert focus.box == box


def test_an_element_that_is_in_neither_picture_has_no_place() -> None:
    reply = Reply((0, 0, 0, 0, 1.0), '{"answer":"none","box":[1,2,30,40],"explanation":"No."}')
    focus = parsed((a_question("focus_element"),), (reply,)).focus_elements[0]
    assert focus is not None
    assert (focus.status, focus.box) == ("absent", None)


SQUARE = PictureBox(100, 600, 300, 900)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("position", "frame"), [(1, 1), (2, 1), (3, 0)])
def test_a_place_is_read_in_the_models_convention_and_in_its_own_picture(
    convention: Convention, position: int, frame: int
) -> None:
    """Added and changed elements are in the second picture, removed ones in the first, of another size."""
    first, second = ShownImage(800, 600, "jpeg", b""), ShownImage(400, 500, "jpeg", b"")
    frames = Frame((800, 600), (784, 588)), Frame((400, 500), (392, 504))
    corners = convention.corners(SQUARE, frames[frame])
    assert corners is not None
    labels = ("same", "changed", "added", "removed", "missing")
    question = Question("focus_element", 0, (Wording("?", labels),), "boxed_text")
    kind = labels[position]
    finding = {"kind": kind, "box": list(corners), "description": "A tag."}
    replies = (
        Reply(
            tuple(float(i == position) for i in range(5)),
            json.dumps({"answer": kind, "box": list(corners), "explanation": "Here."}),
        ),
        Reply((), json.dumps({"findings": [finding]})),
    )
    inquiry = Inquiry(first, second, "", (question, a_question("findings")), (), "en", "7")
    output = ModelOutput(replies, (), 0, 0, resized=((784, 588), (392, 504)))
    assessment = answer.parse(output, inquiry, ME, Habits(boxes=convention))
    (element,), (found,) = assessment.focus_elements, assessment.findings
    assert element is not None
    assert element.box is not None
    assert element.box.fit(SQUARE) > 0.97
    assert found.box.fit(SQUARE) > 0.97
    assert assessment.boxes == convention.name
    nowhere = answer.parse(output, inquiry, ME, Habits(boxes=None))
    assert (nowhere.findings, nowhere.boxes) == ((), None)
    assert [each.box for each in nowhere.focus_elements if each] == [None]


TAG = '{"kind":"added","box":[1,2,3,4],"description":"A tag."}'
A_TAG = Finding("added", PictureBox(1, 2, 3, 4), "A tag.")


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"findings":[]}', ()),
        (f'{{"findings":[{TAG}]}}', (A_TAG,)),
        (f'{{"findings": [\n {TAG} , {TAG}]}}', (A_TAG,)),
        (f'{{"findings":[{TAG},{{"kind":"changed","box":[1,2,3', (A_TAG,)),
        (f'{{"findings":[{TAG[:-3]}', ()),
        ('{"findings":[{"kind":"burnt","box":[1,2,3,4],"description":"A tag."}]}', ()),
        ('{"findings":[{"kind":["added"],"box":[1,2,3,4],"description":"A tag."}]}', ()),
        ('{"findings":[{"kind":"added","box":null,"description":"A tag."}]}', ()),
        ('{"findings":[{"kind":"added","box":[1,2,3,4],"description":" "}]}', ()),
        ('{"findings":[3,{}]}', ()),
        ('{"findings":[{"a":' + "[" * 50_000, ()),
        ('{"findings":"none"}', None),
        ("<garbage>", None),
        ("", None),
    ],
)
def test_findings_are_read_as_far_as_they_are_whole(reply: str, found: tuple[Finding, ...] | None) -> None:
    assert (reply_text.findings_of(reply) is None) is (found is None)
    assessment = parsed((a_question("findings"),), (Reply((), reply),))
    assert assessment.findings == (found or ())
    expected = ("The model wrote nothing readable for other findings.",) if found is None else ()
    assert assessment.warnings == expected


def test_at_most_four_findings_are_read() -> None:
    many = ",".join(TAG.replace("[1,", f"[{i},") for i in range(3)) + "," + ",".join([TAG.replace("A tag", "B")] * 9)
    more = ",".join(TAG.replace("A tag", str(i)) for i in range(9))
    assert len(reply_text.findings_of(f'{{"findings":[{many},{more}]}}') or ()) == 4


def test_warnings_are_in_the_callers_language() -> None:
    questions = tuple(a_question(kind) for kind in ("aspect", "focus_element", "region", "findings", "summary"))
    warnings = parsed(questions, (), language="zh").warnings
    assert len(warnings) == 8
    assert all(warning.startswith("对") for warning in warnings)


def test_a_region_is_seen_when_a_change_is_likelier_than_none() -> None:
    text = '{"answer":"changed","description":"A price tag."}'
    replies = (Reply((0.4, 0.6, 0, 0, 0), text), Reply((0.6, 0.4, 0, 0, 0), text), Reply((0.0,) * 5, text))
    questions = tuple(a_question("region", i) for i in range(3))
    regions = parsed(questions, replies).regions
    assert [(region.index, region.seen) for region in regions] == [(0, True), (1, False)]
    assert regions[0].description == "A price tag."


NOTHING = '{"answer":"same","description":"No visible change."}'
A_CHANGE = '{"answer":"changed","description":"The tag is red."}'
SURELY = Reply((0.05, 0.9, 0.05, 0, 0), "")
HARDLY = (0.55, 0.45, 0, 0, 0)  # the first order tends to no change, both together to a change


def a_region(index: int = 0) -> Question:
    return Question("region", index, (Wording("?", ("same", "changed", "added", "removed", "moved")),))


def test_a_description_of_no_change_names_none_whatever_the_other_order_saw() -> None:
    (region,) = parsed((a_region(),), (Reply(HARDLY, NOTHING),), (SURELY,)).regions
    assert (region.seen, region.description) == (True, "")


@pytest.mark.parametrize(
    ("probabilities", "text"),
    [
        ((0.2, 0.8, 0, 0, 0), A_CHANGE),
        (HARDLY, A_CHANGE),  # an engine that writes under the average of both orders
        (HARDLY, '{"answer":"moved","description":"The tag is red."}'),
        ((0.2, 0.8, 0, 0, 0), '{"description":"The tag is red."}'),
    ],
)
def test_a_description_written_under_a_change_names_it(probabilities: tuple[float, ...], text: str) -> None:
    (region,) = parsed((a_region(),), (Reply(probabilities, text),), (SURELY,)).regions
    assert (region.seen, region.description) == (True, "The tag is red.")


def test_without_a_label_in_its_text_the_likeliest_of_its_own_order_counts() -> None:
    (region,) = parsed((a_region(),), (Reply(HARDLY, '{"description":"No visible change."}'),), (SURELY,)).regions
    assert (region.seen, region.description) == (True, "")


def test_an_element_is_explained_and_placed_by_a_text_about_its_own_status() -> None:
    def focus(label: str) -> tuple[object, ...]:
        text = f'{{"answer":"{label}","box":[1,2,30,40],"explanation":"Why."}}'
        asked = Question("focus_element", 0, (Wording("?", ("same", "changed", "added", "removed", "missing")),))
        element = parsed((asked,), (Reply(HARDLY, text),), (SURELY,)).focus_elements[0]
        assert element is not None
        return element.status, element.explanation, element.box

    assert focus("changed") == ("changed", "Why.", PictureBox(1, 2, 30, 40))
    assert focus("same") == ("changed", "", None)


@pytest.mark.parametrize(("label", "explanation"), [("none", ""), ("small", "Why."), ("medium", "Why."), ("total", "")])
def test_an_explanation_far_from_the_score_is_left_out(label: str, explanation: str) -> None:
    reply = Reply((0, 0.5, 0.5, 0, 0), f'{{"answer":"{label}","explanation":"Why."}}')
    aspect = parsed((a_question(),), (reply,), (Reply((0, 0, 1.0, 0, 0), ""),)).aspects[0]
    assert aspect is not None
    assert aspect.score == pytest.approx(0.5625)
    assert aspect.explanation == explanation


@pytest.mark.parametrize(("probabilities", "seen"), [((0.1, 0.9, 0, 0, 0), True), ((0.9, 0.1, 0, 0, 0), False)])
def test_the_decoy_is_no_region_and_tells_whether_the_model_sees_ghosts(
    probabilities: tuple[float, ...], seen: bool
) -> None:
    replies = Reply((0.1, 0.9, 0, 0, 0), A_CHANGE), Reply(probabilities, A_CHANGE)
    assessment = parsed((a_region(), a_region(1)), replies, decoy=1)
    assert [region.index for region in assessment.regions] == [0]
    assert assessment.sees_ghosts is seen


def test_a_decoy_that_cannot_be_read_is_no_news_and_no_warning() -> None:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    inquiry = Inquiry(shown, shown, "", (a_region(),), (), "en", "7", decoy=0)
    for known in (None, True, False):
        assessment = answer.parse(ModelOutput((), (), 0, 0), inquiry, ME, Habits(sees_ghosts=known))
        assert (assessment.sees_ghosts, assessment.warnings) == (known, ())


def test_a_calibration_tells_whether_its_area_looks_changed() -> None:
    shown = ShownImage(1, 1, "rgb", b"\0\0\0")
    inquiry = Inquiry(shown, shown, "", (), (a_question(), a_region()), "en", "7")
    aspect = Reply((1.0, 0, 0, 0, 0), "")
    for reply, seen in ((SURELY, True), (Reply((0.9, 0.1, 0, 0, 0), ""), False), (Reply((), ""), None)):
        output = ModelOutput((), (aspect, reply), 0, 0)
        assert (answer.level(output, inquiry), answer.sees_change(output, inquiry)) == (1.0, seen)


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
    assert reply_text.text_of(reply, "explanation") == text


def test_endless_text_is_bounded() -> None:
    assert len(reply_text.text_of('{"explanation":"' + "word " * 5000 + '"}', "explanation")) <= reply_text.MAX_TEXT


JSON = (
    '{"answer":"same",|"box":|[1,2,30,40]|null|,|"explanation":"|a quotation|"}|}|]|[|{|{"findings":[|{"kind":"added",'
)
pieces = st.sampled_from([*JSON.split("|"), TAG, '"description":"', "1e999", "\\u12", "\ud83d", "</think>", "\x00"])
replies = st.one_of(st.text(), st.lists(pieces, max_size=12).map("".join))
unit = st.floats(0, 1)


@given(
    st.lists(st.tuples(st.lists(st.floats(), max_size=6) | st.just([1.0, 0, 0, 0, 0]), replies), max_size=5),
    st.lists(st.lists(unit, min_size=5, max_size=5), max_size=4),
    st.none() | st.builds(Anchors, unit, unit),
    st.sampled_from(["en", "zh"]),
)
def test_no_reply_raises_and_every_value_is_one_that_a_report_can_hold(
    written_replies: list[tuple[list[float], str]],
    swapped: list[list[float]],
    ends: Anchors | None,
    language: Language,
) -> None:
    kinds: tuple[QuestionKind, ...] = ("aspect", "focus_element", "region", "findings", "summary")
    assessment = parsed(
        tuple(a_question(kind) for kind in kinds),
        tuple(Reply(tuple(p), text) for p, text in written_replies),
        tuple(Reply(tuple(p), "") for p in swapped),
        anchors=ends,
        language=language,
    )
    for scored in (*assessment.aspects, *assessment.focus_elements):
        assert scored is None or 0 <= scored.score <= 1
    for aspect in assessment.aspects:
        assert aspect is None or (
            0 <= aspect.spread <= 0.5 and 0 <= aspect.entropy <= 1 and 0 <= aspect.outside_mass <= 1
        )
    places = [focus.box for focus in assessment.focus_elements if focus] + [each.box for each in assessment.findings]
    for box in places:
        assert box is None or (0 <= box.left < box.right <= 1000 and 0 <= box.top < box.bottom <= 1000)
    assert assessment.order_gap is None or 0 <= assessment.order_gap <= 1
    assert all(text.isprintable() for text in (assessment.summary, *(each.description for each in assessment.findings)))


def test_replies_that_are_missing_leave_their_fields_empty() -> None:
    assessment = parsed((a_question(), a_question(index=1)), (Reply((1.0, 0, 0, 0, 0), GOOD),))
    assert assessment.aspects[0] is not None
    assert assessment.aspects[1] is None
