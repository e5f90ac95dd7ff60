"""The model's replies in, a validated assessment out.
No model, no pixels, no JSON: what can't be read becomes a missing field and a warning, never an error.

A score is the expectation over the probabilities of the labels, averaged over both orders of the images and rescaled
between the model's two anchors; a number that the model writes is never read, but for the corners of a box. Mass on
other words adds nothing to the score and widens its spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from serve_app import wording, written
from serve_app.core import (
    Anchors,
    AspectAssessment,
    Assessment,
    FocusAssessment,
    Inquiry,
    ModelIdentity,
    ModelOutput,
    Question,
    QuestionKind,
    RegionAssessment,
    Reply,
)
from serve_app.schema import FocusStatus

LEVEL_SCORES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the five levels of an aspect, evenly spaced
STATUSES: tuple[FocusStatus, ...] = ("unchanged", "changed", "added", "removed", "absent")
SAMENESS = (1.0, 0.0, 0.0, 0.0, 1.0)  # of the five statuses: a focus element's score is P(nothing changed)
NO_CHANGE = (1.0, 0.0, 0.0, 0.0, 0.0)  # of a region's five kinds
MIN_MASS = 0.1  # under this the labels are noise in the tail of another answer


@dataclass(frozen=True, slots=True)
class _Reading:
    """One question's label probabilities, both orders averaged. `mass`: what lies on labels at all."""

    probabilities: tuple[float, ...]  # summing to 1
    mass: float
    gap_of: tuple[tuple[float, ...], tuple[float, ...]] | None  # each order's own, summing to 1

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

    def gap(self, values: Sequence[float], rescaled: Callable[[float], float]) -> float | None:
        if self.gap_of is None:
            return None
        first, second = (rescaled(_dot(one, values)) for one in self.gap_of)
        return abs(first - second)


@dataclass(frozen=True, slots=True)
class _Answered:
    question: Question
    reading: _Reading | None  # None: not readable, or a question without labels
    text: str
    reply: str


def parse(output: ModelOutput, inquiry: Inquiry, identity: ModelIdentity, anchors: Anchors | None = None) -> Assessment:
    """Read every reply. `assess_ms` is left at 0 for the caller, who holds the clock."""
    warnings = [wording.stated(inquiry.language)] if output.num_stated else []
    answered = list(_answered(output, inquiry, warnings))
    return Assessment(
        model=identity,
        status="answered",
        aspects=tuple(_aspect(one, anchors) for one in _of_kind(answered, "aspect")),
        focus_elements=tuple(_focus(one) for one in _of_kind(answered, "focus_element")),
        regions=tuple(region for one in _of_kind(answered, "region") if (region := _region(one))),
        summary=" ".join(one.text for one in _of_kind(answered, "summary")),
        order_gap=_order_gap(answered, anchors),
        prompt_tokens=output.prompt_tokens,
        generated_tokens=output.generated_tokens,
        prompt_version=inquiry.prompt_version,
        warnings=tuple(warnings),
        plan=output.plan,
        findings=tuple(each for one in _of_kind(answered, "findings") for each in written.findings_of(one.reply) or ()),
        anchors=anchors,
    )


def level(output: ModelOutput, inquiry: Inquiry) -> float | None:
    """The mean score of a calibration, not rescaled: its labels are those of `swapped_questions` only.

    None where no label is readable.
    """
    asked = zip(inquiry.swapped_questions, output.swapped_replies, strict=False)
    readings = [reading for question, reply in asked if (reading := _read(question, reply, None)) is not None]
    return math.fsum(one.expectation(LEVEL_SCORES) for one in readings) / len(readings) if readings else None


def _answered(output: ModelOutput, inquiry: Inquiry, warnings: list[str]) -> Iterator[_Answered]:
    swapped = {
        (question.kind, question.index): reply
        for question, reply in zip(inquiry.swapped_questions, output.swapped_replies, strict=False)
    }
    missing = Reply((), "")
    for position, question in enumerate(inquiry.questions):
        reply = output.replies[position] if position < len(output.replies) else missing
        reading = _read(question, reply, swapped.get((question.kind, question.index)))
        if reading is None and question.num_labels:
            warnings.append(wording.unreadable_choice(question.kind, question.index, inquiry.language))
        text = written.text_of(reply.text, question.text_key)
        readable = written.findings_of(reply.text) is not None if question.shape == "findings" else bool(text)
        if not readable:
            warnings.append(wording.unreadable_text(question.kind, question.index, inquiry.language))
        yield _Answered(question, reading, text, reply.text)


def _read(question: Question, reply: Reply, swapped: Reply | None) -> _Reading | None:
    orders = [
        one.probabilities for one in (reply, swapped) if one is not None and _plausible(one.probabilities, question)
    ]
    if not question.num_labels or not orders:
        return None
    averaged = [sum(column) / len(orders) for column in zip(*orders, strict=True)]
    mass = min(1.0, math.fsum(averaged))
    both = (_normalized(orders[0]), _normalized(orders[1])) if len(orders) == 2 else None
    return _Reading(_normalized(averaged), mass, both)


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
    stretch = 1 / (anchors.same - anchors.unrelated) if anchors is not None and anchors.tell_apart else 1.0
    return AspectAssessment(
        score=_rescaling(anchors)(reading.expectation(LEVEL_SCORES)),
        spread=min(0.5, stretch * reading.spread(LEVEL_SCORES)),
        explanation=one.text,
        entropy=reading.entropy,
        outside_mass=1 - reading.mass,
    )


def _rescaling(anchors: Anchors | None) -> Callable[[float], float]:
    return float if anchors is None else anchors.rescaled


def _focus(one: _Answered) -> FocusAssessment | None:
    if one.reading is None:
        return None
    likeliest = max(range(len(STATUSES)), key=one.reading.probabilities.__getitem__)
    status = STATUSES[likeliest]
    box = None if status == "absent" else written.box_of(one.reply)
    return FocusAssessment(status, one.reading.expectation(SAMENESS), one.text, box)


def _region(one: _Answered) -> RegionAssessment | None:
    if one.reading is None:
        return None
    return RegionAssessment(one.question.index, one.reading.expectation(NO_CHANGE) < 0.5, one.text)


_VALUES = {"aspect": LEVEL_SCORES, "focus_element": SAMENESS, "region": NO_CHANGE}


def _order_gap(answered: Sequence[_Answered], anchors: Anchors | None) -> float | None:
    """Mean absolute gap of the scores between the two orders; None where only one order was asked."""
    gaps = []
    for one in answered:
        rescaled = _rescaling(anchors if one.question.kind == "aspect" else None)
        gap = None if one.reading is None else one.reading.gap(_VALUES[one.question.kind], rescaled)
        if gap is not None:
            gaps.append(gap)
    return math.fsum(gaps) / len(gaps) if gaps else None
