"""What is learnt of a model at its start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from serve_app import vlm
from serve_app.comparison import calibration
from serve_app.comparison.anchors import MARKED_SIZE, MARKS
from serve_app.core.assessed import PictureBox
from serve_app.core.clock import Stop
from serve_app.core.habits import CONVENTIONS, THOUSANDTHS, Convention, Corners, Frame, Habits
from serve_app.core.inquiry import Inquiry, ModelIdentity, ModelOutput, Reply
from serve_app.errors import ModelFailed
from serve_app.settings import ModelSettings, ScriptedSettings


def calibrated(**behaviour: Any) -> Habits:
    model = vlm.load(ModelSettings(engine="scripted", scripted=ScriptedSettings(**behaviour)))
    assert model is not None
    habits = calibration.calibrate(model)
    assert habits["en"] == habits["zh"]
    return habits["en"]


@pytest.mark.parametrize("behaviour", [{}, {"fails": True}, {"delay_s": 60.0}, {"label": 2}])
def test_a_models_anchors_are_its_scores_of_known_pairs(behaviour: dict[str, Any]) -> None:
    ends = calibrated(anchors=(1, 3), **behaviour).anchors
    assert ends is not None
    assert ends.same == pytest.approx(0.74, abs=0.01)
    assert ends.unrelated == pytest.approx(0.26, abs=0.01)


def test_a_model_without_readable_labels_has_no_anchors() -> None:
    habits = calibrated(answers_badly=True)
    assert (habits.anchors, habits.sees_ghosts) == (None, None)


@pytest.mark.parametrize("sees", [True, False])
def test_a_change_between_equal_pictures_is_a_ghost(sees: bool) -> None:
    assert calibrated(sees_ghosts=sees).sees_ghosts is sees


@pytest.mark.parametrize("name", [convention.name for convention in CONVENTIONS])
def test_how_a_model_writes_boxes_is_known_from_a_mark_that_it_was_shown(name: str) -> None:
    boxes = calibrated(boxes=name).boxes
    assert boxes is not None
    assert boxes.name == name


def test_a_model_that_does_not_find_the_mark_is_asked_for_no_boxes() -> None:
    assert calibrated(boxes=None).boxes is None
    assert calibrated(answers_badly=True).boxes is not None  # badly at its work, not at its start


class Placing:
    """A model that answers each question for a box with what it is given, and keeps the words that it was asked in."""

    identity = ModelIdentity("scripted", None, None)

    def __init__(self, *written: PictureBox | Corners | None, size: tuple[int, int] | None = None) -> None:
        self.written = list(written)
        self.size = size
        self.asked: list[tuple[str, str]] = []

    def can_choose(self, labels: Sequence[str]) -> bool:
        return True

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        if not inquiry.questions:
            return ModelOutput((), (), 0, 0)
        told = inquiry.instructions
        pixels, y_first = ("pixels" in told) or ("像素" in told), ("[top," in told) or ("[上," in told)
        unit = "pixels" if pixels else "fractions" if ("fractions" in told or "比例" in told) else "thousandths"
        self.asked.append((inquiry.language, unit + ("_y_first" if y_first else "")))
        corners = self.written.pop(0) if self.written else None
        resized = None if self.size is None else (self.size, self.size)
        return ModelOutput((Reply((), json.dumps({"box": corners and list(corners)})),), (), 0, 0, resized=resized)

    def warm_up(self) -> None: ...


ONE, TWO = MARKS
BESIDE = PictureBox(300, 300, 400, 400)


def test_a_model_that_finds_both_marks_is_asked_twice_a_language() -> None:
    model = Placing(ONE, TWO, ONE, TWO)
    assert {habits.boxes for habits in calibration.calibrate(model).values()} == {THOUSANDTHS}
    assert model.asked == [("en", "thousandths")] * 2 + [("zh", "thousandths")] * 2


def test_a_model_that_always_says_the_same_place_has_found_nothing() -> None:
    model = Placing(*(ONE,) * 20)
    assert {habits.boxes for habits in calibration.calibrate(model).values()} == {None}


def test_a_model_that_finds_nothing_is_tried_in_each_way_once_and_hardly_in_the_next_language() -> None:
    model = Placing(*(BESIDE,) * 20)
    assert {habits.boxes for habits in calibration.calibrate(model).values()} == {None}
    ways = ("thousandths", "thousandths_y_first", "pixels", "fractions")
    assert model.asked == [*(("en", way) for way in ways), ("zh", "thousandths")]


def in_pixels(mark: PictureBox) -> Corners:
    found = Convention("pixels").corners(mark, Frame(MARKED_SIZE))
    assert found is not None
    return found


def test_a_model_that_answers_in_pixels_is_asked_for_pixels_from_then_on() -> None:
    model = Placing(*map(in_pixels, (ONE, TWO, ONE, TWO, ONE, TWO)))
    assert {habits.boxes for habits in calibration.calibrate(model).values()} == {Convention("pixels")}
    assert model.asked == [("en", "thousandths")] * 2 + [("en", "pixels")] * 2 + [("zh", "pixels")] * 2


def test_a_model_that_changes_its_numbers_with_the_question_is_believed_in_none_that_it_was_off_for() -> None:
    """Asked for thousandths it writes pixels, asked for pixels it writes thousandths, and else nothing."""
    model = Placing(*map(in_pixels, MARKS), ONE, TWO, None, ONE, TWO, None)
    assert calibration.calibrate(model)["en"].boxes is None


def test_where_pictures_are_resized_pixels_are_those_of_the_size_that_fits() -> None:
    width, height = MARKED_SIZE
    sizes = Frame(MARKED_SIZE, (width // 2, height // 2))
    for convention in (Convention("pixels"), Convention("resized_pixels")):
        model = Placing(*(convention.corners(mark, sizes) for mark in MARKS * 3), size=sizes.resized)
        assert calibration.calibrate(model)["en"].boxes == convention


class Splitting:
    """A model whose tokenizer knows no word; it keeps what it is asked, and answers none of it."""

    identity = ModelIdentity("scripted", None, None)

    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[Inquiry] = []

    def can_choose(self, labels: Sequence[str]) -> bool:
        return set(labels) <= set(self.known)

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        self.asked.append(inquiry)
        if inquiry.questions:
            raise ModelFailed("It can't write.")
        return ModelOutput((), (Reply((), ""),) * len(inquiry.swapped_questions), 0, 0)

    def warm_up(self) -> None: ...


WORDS = ("none", "small", "medium", "large", "total", "same", "changed", "added", "removed", "moved")


@pytest.mark.parametrize(("known", "letters"), [((*WORDS, "missing"), False), (WORDS, True), ((), True)])
def test_one_list_of_words_that_is_split_makes_letters_of_all(known: tuple[str, ...], letters: bool) -> None:
    model = Splitting(*known)
    habits = calibration.calibrate(model)
    assert (habits["en"].letters, habits["zh"].letters) == (letters, True)
    english = [inquiry for inquiry in model.asked if inquiry.language == "en"]
    shown = {label for inquiry in english for each in inquiry.swapped_questions for label in each.wordings[0].labels}
    assert (shown == set("ABCDE")) is letters
