"""The model's replies in, a validated assessment out.
No model, no pixels, no JSON: what can't be read becomes a missing field and a warning, never an error.

A score is the expectation over the probabilities of the labels, averaged over both orders of the images and rescaled
between the model's two anchors; a number that the model writes is never read, but for the corners of a box. Mass on
other words adds nothing to the score and widens its spread; an order in which no label can be read is all such mass.
A text was written under one label, in one order of the images: where both orders together say something else, it is
about something else, and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from serve_app.comparison import grounding
from serve_app.comparison.dialogue import prompt, reply_text
from serve_app.comparison.sentences import SENTENCES
from serve_app.core.assessed import (
    Anchors,
    AspectAssessment,
    Assessment,
    Finding,
    FocusAssessment,
    PictureBox,
    RegionAssessment,
)
from serve_app.core.habits import UNKNOWN, Convention, Corners, Frame, Habits
from serve_app.core.inquiry import Inquiry, ModelIdentity, ModelOutput, Question, QuestionKind, Reply
from serve_app.schema import FocusStatus, Language

LEVEL_SCORES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the five levels of an aspect, evenly spaced
STATUSES: tuple[FocusStatus, ...] = ("unchanged", "changed", "added", "removed", "absent")
SAMENESS = (1.0, 0.0, 0.0, 0.0, 1.0)  # of the five statuses: a focus element's score is P(nothing changed)
NO_CHANGE = (1.0, 0.0, 0.0, 0.0, 0.0)  # of a region's five kinds
MIN_MASS = 0.1  # under this the labels are noise in the tail of another answer
AGREES = 0.375  # one and a half levels: as far as a text's own level may lie from the score it explains


@dataclass(frozen=True, slots=True)
class _Reading:
    """One question's label probabilities, both orders averaged. `mass`: what lies on labels at all."""

    probabilities: tuple[float, ...]  # summing to 1
    mass: float
    orders: tuple[tuple[float, ...], ...]  # each order's own, summing to at most 1; all zero where unreadable

    @property
    def likeliest(self) -> int:
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)

    def expectation(self, values: Sequence[float]) -> float:
        return _dot(self.probabilities, values)

    def spread(self, values: Sequence[float]) -> float:
        """Standard deviation of the score, the mass outside the labels taken as uniform on 0..1."""
        mean = self.expectation(values)
        inside = _dot(self.probabilities, [(value - mean) ** 2 for value in values])
        outside = 1 / 12 + (0.5 - mean) ** 2
        return min(0.5, math.sqrt(self.mass * inside + (1 - self.mass) * outside))

    @property
    def entropy(self) -> float:
        """Of the labels: 0 where all lies on one, 1 where all are alike."""
        bits = -math.fsum(p * math.log(p) for p in self.probabilities if p > 0)
        return min(1.0, max(0.0, bits / math.log(len(self.probabilities))))

    @property
    def order_gap(self) -> float | None:
        """How much of the probability lies elsewhere in the other order, 0..1, labels and other words alike.

        Scores can't tell: what was added and what was removed score the same. None where only one order was asked.
        """
        if len(self.orders) < 2:
            return None
        first, second = ((*one, 1 - math.fsum(one)) for one in self.orders)
        return min(1.0, math.fsum(abs(p - q) for p, q in zip(first, second, strict=True)) / 2)

    def score_gap(self, values: Sequence[float]) -> float:
        """Between the two orders' scores; 0 where only one can be read."""
        scores = [_dot(_normalized(one), values) for one in self.orders if math.fsum(one) > 0]
        return abs(scores[0] - scores[1]) if len(scores) == 2 else 0.0


@dataclass(frozen=True, slots=True)
class _Answered:
    """`written`: position of the label under which the text was written, None if that can't be told."""

    question: Question
    reading: _Reading | None  # None: not readable, or a question without labels
    written: int | None
    text: str
    reply: str

    def sees_change(self) -> bool:
        """Of a region."""
        return self.reading is not None and self.reading.expectation(NO_CHANGE) < 0.5


@dataclass(frozen=True, slots=True)
class _Places:
    """What the model's boxes mean. `frames`: of the reference and of the candidate."""

    convention: Convention | None
    frames: Mapping[grounding.Side, Frame]

    @classmethod
    def of(cls, inquiry: Inquiry, output: ModelOutput, convention: Convention | None) -> _Places:
        resized = output.resized or (None, None)
        first, second = (
            Frame((shown.width, shown.height), size)
            for shown, size in zip((inquiry.shown_reference, inquiry.shown_candidate), resized, strict=True)
        )
        return cls(convention, {"reference": first, "candidate": second})

    def place(self, corners: Corners | None, kind: str) -> PictureBox | None:
        """Of something of which this is said to have happened."""
        if corners is None or self.convention is None:
            return None
        return self.convention.place(corners, self.frames[grounding.side_of(kind)])


def parse(output: ModelOutput, inquiry: Inquiry, identity: ModelIdentity, habits: Habits = UNKNOWN) -> Assessment:
    """Read every reply. `assess_ms` is left at 0 for the caller, who holds the clock."""
    anchors = habits.anchors
    warnings = [SENTENCES[inquiry.language].assumed] if output.num_assumed else []
    answered = list(_answered(output, inquiry, warnings))
    regions = _of_kind(answered, "region")
    places = _Places.of(inquiry, output, habits.boxes)
    decoy = next((one for one in regions if one.question.index == inquiry.decoy), None)
    return Assessment(
        model=identity,
        status="answered",
        aspects=tuple(_aspect(one, anchors) for one in _of_kind(answered, "aspect")),
        focus_elements=tuple(_focus(one, places) for one in _of_kind(answered, "focus_element")),
        regions=tuple(_region(one) for one in regions if one.reading is not None and one is not decoy),
        summary=" ".join(one.text for one in _of_kind(answered, "summary")),
        order_gap=_order_gap(answered),
        prompt_tokens=output.prompt_tokens,
        generated_tokens=output.generated_tokens,
        prompt_version=prompt.version(identity, inquiry.prompt_version),
        warnings=tuple(warnings),
        plan=output.plan,
        findings=tuple(each for one in _of_kind(answered, "findings") for each in _findings(one, places)),
        anchors=anchors,
        boxes=None if habits.boxes is None else habits.boxes.name,
        sees_ghosts=decoy.sees_change() if decoy is not None and decoy.reading is not None else habits.sees_ghosts,
    )


def level(output: ModelOutput, inquiry: Inquiry) -> float | None:
    """The mean score of a calibration, not rescaled. None where no label is readable."""
    scores = [reading.expectation(LEVEL_SCORES) for reading in _calibrated(output, inquiry, "aspect")]
    return math.fsum(scores) / len(scores) if scores else None


def sees_change(output: ModelOutput, inquiry: Inquiry) -> bool | None:
    """Whether a calibration's area looks changed to the model. None where its label is not readable."""
    said = [reading.expectation(NO_CHANGE) < 0.5 for reading in _calibrated(output, inquiry, "region")]
    return said[0] if said else None


def placed(output: ModelOutput, inquiry: Inquiry, convention: Convention) -> PictureBox | None:
    """Where the one element of a calibration is, read in this convention."""
    if not output.replies:
        return None
    return _Places.of(inquiry, output, convention).place(reply_text.corners_of(output.replies[0].text), "unchanged")


def _calibrated(output: ModelOutput, inquiry: Inquiry, kind: QuestionKind) -> list[_Reading]:
    """A calibration's labels are those of `swapped_questions` only."""
    asked = zip(inquiry.swapped_questions, output.swapped_replies, strict=False)
    readings = (_read(question, (reply,)) for question, reply in asked if question.kind == kind)
    return [reading for reading in readings if reading is not None]


def _answered(output: ModelOutput, inquiry: Inquiry, warnings: list[str]) -> Iterator[_Answered]:
    nothing = Reply((), "")
    replies = dict(zip(range(len(inquiry.questions)), output.replies, strict=False))
    swapped = {(question.kind, question.index): nothing for question in inquiry.swapped_questions}
    for question, reply in zip(inquiry.swapped_questions, output.swapped_replies, strict=False):
        swapped[question.kind, question.index] = reply
    for position, question in enumerate(inquiry.questions):
        reply, again = replies.get(position, nothing), swapped.get((question.kind, question.index))
        reading = _read(question, (reply,) if again is None else (reply, again))
        text = reply_text.text_of(reply.text, question.text_key)
        readable = reply_text.findings_of(reply.text) is not None if question.shape == "findings" else bool(text)
        if question.kind != "region" or question.index != inquiry.decoy:  # callers know of no such area
            warnings += _unreadable(question, reading, inquiry.language, has_text=readable)
        yield _Answered(question, reading, _label(question, reply), text, reply.text)


def _unreadable(question: Question, reading: _Reading | None, language: Language, *, has_text: bool) -> Iterator[str]:
    say = SENTENCES[language]
    asked = say.asked(question.kind, question.index)
    if question.num_labels and reading is None:
        yield say.unreadable_choice.format(asked=asked)
    elif reading is not None and not all(math.fsum(one) > 0 for one in reading.orders):
        yield say.unreadable_order.format(asked=asked)
    if not has_text:
        yield say.unreadable_text.format(asked=asked)


def _label(question: Question, reply: Reply) -> int | None:
    """Which label the text was written under: the one it names, else the likeliest of its own order."""
    said = reply_text.answer_of(reply.text)
    for labels in (each.labels for each in question.wordings):
        if said in labels:
            return labels.index(said)
    if not _plausible(reply.probabilities, question):
        return None
    return max(range(question.num_labels), key=reply.probabilities.__getitem__, default=None)


def _read(question: Question, replies: Sequence[Reply]) -> _Reading | None:
    """The orders that were asked, as one; None where none of them can be read."""
    if not question.num_labels:
        return None
    unread = (0.0,) * question.num_labels
    orders = tuple(one.probabilities if _plausible(one.probabilities, question) else unread for one in replies)
    averaged = [sum(column) / len(orders) for column in zip(*orders, strict=True)]
    mass = min(1.0, math.fsum(averaged))
    return _Reading(_normalized(averaged), mass, orders) if mass > 0 else None


def _plausible(probabilities: Sequence[float], question: Question) -> bool:
    if len(probabilities) != question.num_labels or not all(math.isfinite(p) and p >= 0 for p in probabilities):
        return False
    return MIN_MASS <= math.fsum(probabilities) <= 1.01  # rounding of half precision


def _normalized(probabilities: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(probabilities)
    return tuple(p / total for p in probabilities)


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    return min(1.0, math.fsum(w * v for w, v in zip(weights, values, strict=True)))


def _of_kind(answered: Sequence[_Answered], kind: QuestionKind) -> list[_Answered]:
    return [one for one in answered if one.question.kind == kind]


def _aspect(one: _Answered, anchors: Anchors | None) -> AspectAssessment | None:
    reading = one.reading
    if reading is None:
        return None
    stretch = 1.0 if anchors is None else anchors.stretch
    score = reading.expectation(LEVEL_SCORES)
    agrees = one.written in (None, reading.likeliest) or abs(LEVEL_SCORES[one.written] - score) <= AGREES
    return AspectAssessment(
        score=score if anchors is None else anchors.rescaled(score),
        spread=min(0.5, stretch * reading.spread(LEVEL_SCORES)),
        explanation=one.text if agrees else "",
        entropy=reading.entropy,
        outside_mass=1 - reading.mass,
        gap=min(1.0, stretch * reading.score_gap(LEVEL_SCORES)),
    )


def _focus(one: _Answered, places: _Places) -> FocusAssessment | None:
    if one.reading is None:
        return None
    status = STATUSES[one.reading.likeliest]
    agrees = one.written in (None, one.reading.likeliest)
    box = places.place(reply_text.corners_of(one.reply), status) if agrees and status != "absent" else None
    return FocusAssessment(status, one.reading.expectation(SAMENESS), one.text if agrees else "", box)


def _findings(one: _Answered, places: _Places) -> Iterator[Finding]:
    for said in reply_text.findings_of(one.reply) or ():
        box = places.place(said.corners, said.kind)
        if box is not None:
            yield Finding(said.kind, box, said.description)


def _region(one: _Answered) -> RegionAssessment:
    """A description that says that nothing changed names no change, though the other order may have seen one."""
    is_change = one.written != NO_CHANGE.index(1.0)
    return RegionAssessment(one.question.index, one.sees_change(), one.text if is_change else "")


def _order_gap(answered: Sequence[_Answered]) -> float | None:
    """The questions' mean; None where only one order was asked."""
    gaps = [gap for one in answered if one.reading is not None and (gap := one.reading.order_gap) is not None]
    return math.fsum(gaps) / len(gaps) if gaps else None
