"""What a model's answer is worth, in the terms of a report.
Values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from serve_app.core.inquiry import MemoryPlan, ModelIdentity
from serve_app.core.pictures import Box
from serve_app.schema import DifferenceKind, FocusStatus, ModelStatus


@dataclass(frozen=True, slots=True)
class Anchors:
    """A model's mean aspect score of a picture against itself and against an unrelated one, before rescaling."""

    same: float
    unrelated: float

    LEAST_GAP: ClassVar[float] = 0.1  # less is the noise of one label more or less, and rescaling would blow it up

    @property
    def tell_apart(self) -> bool:
        """Whether this model's scores say anything: those of random weights don't."""
        return self.same - self.unrelated >= self.LEAST_GAP

    @property
    def stretch(self) -> float:
        """By how much rescaling spreads scores out."""
        return 1 / (self.same - self.unrelated) if self.tell_apart else 1.0

    def rescaled(self, score: float) -> float:
        """`score` where 0 is an unrelated picture and 1 the same one; as it is where they can't be told apart."""
        if not self.tell_apart:
            return score
        return min(1.0, max(0.0, (score - self.unrelated) * self.stretch))


@dataclass(frozen=True, slots=True)
class AspectAssessment:
    score: float
    spread: float  # standard deviation of the score under the label probabilities
    explanation: str
    entropy: float = 0.0  # of the label probabilities, 0 one label to 1 all alike
    outside_mass: float = 0.0  # probability of anything but the labels
    gap: float = 0.0  # between the scores of the two orders of the pictures


class PictureBox(NamedTuple):
    """A place that a model names, in thousandths of the picture's width and height, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def fit(self, other: PictureBox) -> float:
        """Intersection over union, 0..1."""
        one, two = (Box(box[0], box[1], box[2] - box[0], box[3] - box[1]) for box in (self, other))
        return one.fit(two)


@dataclass(frozen=True, slots=True)
class FocusAssessment:
    """`box`: where the element is, in the candidate; in the reference where it was removed."""

    status: FocusStatus
    score: float
    explanation: str
    box: PictureBox | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A change that the model names by itself. `box`: in the candidate; in the reference where it was removed."""

    kind: DifferenceKind
    box: PictureBox
    description: str


@dataclass(frozen=True, slots=True)
class RegionAssessment:
    """What the model says of `Measurement.differences[index]`: whether it sees a change, and its name."""

    index: int
    seen: bool
    description: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the model says of a pair. Without an answer all tuples are empty and `status` says why.

    `order_gap`: how far apart its answers lie in the two orders of the pictures, 0..1. `sees_ghosts`: whether it sees
    a change where nothing changed; None where that wasn't asked. `boxes`: name of the convention in which it places
    what it sees, None where it places nothing.
    """

    model: ModelIdentity
    status: ModelStatus
    aspects: tuple[AspectAssessment | None, ...] = ()
    focus_elements: tuple[FocusAssessment | None, ...] = ()
    regions: tuple[RegionAssessment, ...] = ()
    summary: str = ""
    order_gap: float | None = None
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prompt_version: str = ""
    assess_ms: float = 0.0
    warnings: tuple[str, ...] = field(default=())
    plan: MemoryPlan | None = None
    findings: tuple[Finding, ...] = ()
    anchors: Anchors | None = None
    sees_ghosts: bool | None = None
    boxes: str | None = None
