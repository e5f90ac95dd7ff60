"""What is learnt of a model at its start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from serve_app import calibration, vlm
from serve_app.core import Inquiry, ModelIdentity, ModelOutput, Reply, Stop
from serve_app.errors import ModelFailed
from serve_app.habits import Habits
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
