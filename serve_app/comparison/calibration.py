"""What is learnt of a loaded model before it is asked about anything: a few questions about drawn pictures.
No Ray, no callers: a model in, its habits out, in each language.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, get_args

from serve_app import vlm
from serve_app.comparison import anchors
from serve_app.comparison.dialogue import answer, prompt
from serve_app.core.assessed import Anchors
from serve_app.core.clock import Deadline, Stop
from serve_app.core.habits import ASKED, CONVENTIONS, Convention, Habits
from serve_app.core.inquiry import Inquiry, ModelOutput
from serve_app.errors import ComparisonError
from serve_app.schema import Language

logger = logging.getLogger("pairlens.calibration")
EACH_S: Final = 300.0  # for one small inquiry, on a CPU too
LEAST_FIT: Final = 0.5  # intersection over union of a mark and the box written of it


def calibrate(model: vlm.VisionLanguageModel) -> dict[Language, Habits]:
    """How this model is to be asked and read.

    Whatever it fails in, or answers with none of the labels, stays unknown, with a line in the log: without anchors
    its scores stay as they are, without a convention for boxes it is asked for none.
    """
    found: dict[Language, Habits] = {}
    for language in get_args(Language):
        found[language] = _habits(model, language, [habits.boxes for habits in found.values()])
    return found


def _habits(model: vlm.VisionLanguageModel, language: Language, known: Sequence[Convention | None]) -> Habits:
    """`known`: how it places things in other languages."""
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
    boxes = _boxes(model, language, known, letters=letters)
    return Habits(letters, _anchors(ends[0], ends[1], language), ghosts, boxes)


def _anchors(same: float | None, unrelated: float | None, language: Language) -> Anchors | None:
    if same is None or unrelated is None:
        logger.warning("no anchors in %s: the model's scores are not rescaled", language)
        return None
    found = Anchors(same, unrelated)
    logger.info("anchors in %s: the same %.3f, unrelated %.3f", language, same, unrelated)
    if not found.tell_apart:
        logger.warning("the model can't tell equal pictures from unrelated ones in %s", language)
    return found


def _boxes(
    model: vlm.VisionLanguageModel, language: Language, known: Sequence[Convention | None], *, letters: bool
) -> Convention | None:
    """The convention in which it finds a mark, where it is asked for that one.

    A model that is asked for thousandths and writes the pixels that it was trained on tells that by its answer, and is
    asked for pixels. What it can't do in one language is hardly tried in the next.
    """
    for wanted in _wanted(known):
        found = _found(model, language, wanted, letters=letters)
        if found is not None and not found.is_asked_like(wanted):
            wanted, found = found, _found(model, language, found, letters=letters)
        if found is not None and found.is_asked_like(wanted):
            logger.info("in %s the model writes boxes in %s", language, found.name)
            return found
    logger.warning("in %s the model doesn't find a mark that it is shown: it is asked for no boxes", language)
    return None


def _wanted(known: Sequence[Convention | None]) -> Sequence[Convention]:
    if not known:
        return ASKED
    first = known[0]
    return ASKED[:1] if first is None else (first, *(one for one in ASKED if not one.is_asked_like(first)))


def _found(
    model: vlm.VisionLanguageModel, language: Language, wanted: Convention, *, letters: bool
) -> Convention | None:
    """The convention in which its answers about both marks are right, if there is one. None is tried on the second
    mark that failed on the first."""
    fits = dict.fromkeys(CONVENTIONS, 1.0)
    for mark in anchors.MARKS:
        inquiry = prompt.placing(anchors.marked(mark), language, Habits(letters, boxes=wanted))
        output = _asked(model, inquiry)
        for convention in tuple(fits):
            place = None if output is None else answer.placed(output, inquiry, convention)
            fits[convention] = min(fits[convention], 0.0 if place is None else place.fit(mark))
            if fits[convention] <= LEAST_FIT:
                del fits[convention]
        if not fits:
            return None
    return max(fits, key=fits.__getitem__)


def _asked(model: vlm.VisionLanguageModel, inquiry: Inquiry) -> ModelOutput | None:
    try:
        return model.answer(inquiry, Stop(Deadline.after(EACH_S)))
    except ComparisonError as exc:
        logger.warning("a question of the calibration failed: %s", exc.type)
        return None
