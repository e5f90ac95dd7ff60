"""What is learnt of a loaded model before it is asked about anything: a few questions about drawn pictures.
No Ray, no callers: a model in, its habits out, in each language.
"""

from __future__ import annotations

import logging
from typing import Final, get_args

from serve_app import anchors, answer, prompt, vlm
from serve_app.core import Anchors, Deadline, Inquiry, ModelOutput, Stop
from serve_app.errors import ComparisonError
from serve_app.habits import Habits
from serve_app.schema import Language

logger = logging.getLogger("pairlens.calibration")
EACH_S: Final = 300.0  # for one small inquiry, on a CPU too


def calibrate(model: vlm.VisionLanguageModel) -> dict[Language, Habits]:
    """How this model is to be asked and read.

    Whatever it fails in, or answers with none of the labels, stays unknown, with a line in the log: without anchors
    its scores stay as they are.
    """
    return {language: _habits(model, language) for language in get_args(Language)}


def _habits(model: vlm.VisionLanguageModel, language: Language) -> Habits:
    letters = not all(model.can_choose(labels) for labels in prompt.labels(language))
    if letters:
        logger.info("in %s the model answers in letters: its tokenizer splits the words", language)
    equal = prompt.calibration(anchors.page(), anchors.page(), language, letters=letters)
    other = prompt.calibration(anchors.page(), anchors.landscape(), language, letters=letters)
    same, unrelated = _asked(model, equal), _asked(model, other)
    ghosts = None if same is None else answer.sees_change(same, equal)
    if ghosts:
        logger.warning("the model sees a change between equal pictures in %s: it confirms no differences", language)
    ends = [None if said is None else answer.level(said, asked) for said, asked in ((same, equal), (unrelated, other))]
    return Habits(letters, _anchors(ends[0], ends[1], language), ghosts)


def _anchors(same: float | None, unrelated: float | None, language: Language) -> Anchors | None:
    if same is None or unrelated is None:
        logger.warning("no anchors in %s: the model's scores are not rescaled", language)
        return None
    found = Anchors(same, unrelated)
    logger.info("anchors in %s: the same %.3f, unrelated %.3f", language, same, unrelated)
    if not found.tell_apart:
        logger.warning("the model can't tell equal pictures from unrelated ones in %s", language)
    return found


def _asked(model: vlm.VisionLanguageModel, inquiry: Inquiry) -> ModelOutput | None:
    try:
        return model.answer(inquiry, Stop(Deadline.after(EACH_S)))
    except ComparisonError as exc:
        logger.warning("a question of the calibration failed: %s", exc.type)
        return None
