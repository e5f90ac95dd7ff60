"""The model's replies in, a validated assessment out.
No model, no pixels: what can't be read becomes a missing field and a warning, never an error.

A score is the expectation over the probabilities of the labels, averaged over both orders of the images; a number
that the model writes is never read. Mass on other words adds nothing to the score and widens its spread.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from serve_app.core import (
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
MAX_TEXT = 600
ELLIPSIS = "…"


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

    def gap(self, values: Sequence[float]) -> float | None:
        if self.gap_of is None:
            return None
        first, second = self.gap_of
        return abs(_dot(first, values) - _dot(second, values))


@dataclass(frozen=True, slots=True)
class _Answered:
    question: Question
    reading: _Reading | None  # None: not readable, or a question without labels
    text: str


def parse(output: ModelOutput, inquiry: Inquiry, identity: ModelIdentity) -> Assessment:
    """Read every reply. `assess_ms` is left at 0 for the caller, who holds the clock."""
    warnings: list[str] = []
    answered = list(_answered(output, inquiry, warnings))
    return Assessment(
        model=identity,
        status="answered",
        aspects=tuple(_aspect(one) for one in _of_kind(answered, "aspect")),
        focus_elements=tuple(_focus(one) for one in _of_kind(answered, "focus_element")),
        regions=tuple(region for one in _of_kind(answered, "region") if (region := _region(one))),
        summary=" ".join(one.text for one in _of_kind(answered, "summary")),
        order_gap=_order_gap(answered),
        prompt_tokens=output.prompt_tokens,
        generated_tokens=output.generated_tokens,
        prompt_version=inquiry.prompt_version,
        warnings=tuple(warnings),
    )


def text_of(reply: str, key: str) -> str:
    """The string under `key` in a reply that should be one JSON object; "" if there is none.

    A reply cut off by the token limit is mended: the unfinished word goes and an ellipsis says so.
    """
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return _mended(reply, key)
    text = value.get(key) if isinstance(value, dict) else None
    return _tidy(text) if isinstance(text, str) else ""


def _answered(output: ModelOutput, inquiry: Inquiry, warnings: list[str]) -> Iterator[_Answered]:
    swapped = {
        (question.kind, question.index): reply
        for question, reply in zip(inquiry.swapped_questions, output.swapped_replies, strict=False)
    }
    missing = Reply((), "")
    for position, question in enumerate(inquiry.questions):
        reply = output.replies[position] if position < len(output.replies) else missing
        name = f"{question.kind.replace('_', ' ')} {question.index + 1}"
        reading = _read(question, reply, swapped.get((question.kind, question.index)))
        if reading is None and question.num_labels:
            warnings.append(f"The model chose none of the answers offered for {name}.")
        text = text_of(reply.text, question.text_key)
        if not text:
            warnings.append(f"The model wrote nothing readable for {name}.")
        yield _Answered(question, reading, text)


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


def _aspect(one: _Answered) -> AspectAssessment | None:
    if one.reading is None:
        return None
    return AspectAssessment(one.reading.expectation(LEVEL_SCORES), one.reading.spread(LEVEL_SCORES), one.text)


def _focus(one: _Answered) -> FocusAssessment | None:
    if one.reading is None:
        return None
    likeliest = max(range(len(STATUSES)), key=one.reading.probabilities.__getitem__)
    return FocusAssessment(STATUSES[likeliest], one.reading.expectation(SAMENESS), one.text)


def _region(one: _Answered) -> RegionAssessment | None:
    if one.reading is None:
        return None
    return RegionAssessment(one.question.index, one.reading.expectation(NO_CHANGE) < 0.5, one.text)


_VALUES = {"aspect": LEVEL_SCORES, "focus_element": SAMENESS, "region": NO_CHANGE}


def _order_gap(answered: Sequence[_Answered]) -> float | None:
    """Mean absolute gap of the scores between the two orders; None where only one order was asked."""
    gaps = [
        gap
        for one in answered
        if one.reading is not None and (gap := one.reading.gap(_VALUES[one.question.kind])) is not None
    ]
    return math.fsum(gaps) / len(gaps) if gaps else None


def _mended(reply: str, key: str) -> str:
    opening = re.search(rf'"{re.escape(key)}"\s*:\s*"', reply)
    if opening is None:
        return ""
    body = re.match(r'(?:[^"\\]|\\.)*', reply[opening.end() :], re.DOTALL)
    written = body.group(0) if body else ""
    closed = reply[opening.end() + len(written) :].startswith('"')
    written = re.sub(r"\\u[0-9a-fA-F]{0,3}$", "", written)
    try:
        text = json.loads(f'"{written}"', strict=False)
    except ValueError:
        return ""
    return _tidy(text) if closed else _cut(_tidy(text))


def _tidy(text: str) -> str:
    """One line of printable text, bounded; a lone surrogate (half an emoji) can't be sent as UTF-8."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_TEXT else _cut(line[:MAX_TEXT])


def _cut(text: str) -> str:
    """Without its last, perhaps unfinished word; Chinese has no spaces, so it keeps what there is."""
    words, _, _ = text.rpartition(" ")
    kept = (words or text).rstrip(" ,;:，、；：")
    return kept + ELLIPSIS if kept else ""
