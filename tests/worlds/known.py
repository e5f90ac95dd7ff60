"""Pairs whose truth is known: what changed, and what a report may say of it.
Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve_app.core.measured import MeasuredDifference, Measurement
from serve_app.core.pictures import Box, Pixels

GROWTH = 8.0  # times its area: a larger box doesn't show a change by itself


@dataclass(frozen=True)
class KnownPair:
    """Two pictures and what a person would say of them.

    `changes`: in reference pixels, each to be found by itself, and nothing beside them; none: nothing changed. What
    moved as a whole, and another light on everything, may always be said. `least_similarity`: at least so much.
    `kinds`: of alignment, any where empty.
    `says`: the kinds of all differences instead, sorted.
    """

    reference: Pixels
    candidate: Pixels
    changes: tuple[Box, ...] = ()
    least_similarity: float = 0.0
    kinds: tuple[str, ...] = ()
    growth: float = GROWTH
    ignored: tuple[Box, ...] = ()  # regions of the reference
    says: tuple[str, ...] = ()

    def exchanged(self, changes: tuple[Box, ...]) -> KnownPair:
        """Candidate against reference; `changes`: in the candidate's pixels."""
        return KnownPair(self.candidate, self.reference, changes, self.least_similarity, self.kinds, self.growth)


@dataclass(frozen=True)
class Kind:
    """One kind of pair: `make(strength, seed)` draws one of it."""

    name: str
    strengths: tuple[float, ...]
    make: Callable[[float, int], KnownPair]
    unit: str = ""


def misses(pair: KnownPair, found: Measurement) -> list[str]:
    """What a measurement says otherwise than a person would; empty where all is right."""
    wrong = []
    local = [each for each in found.differences if not _is_frame(each, pair)]
    wrong += [f"{box} isn't listed by itself" for box in pair.changes if not any(_shows(e, box, pair) for e in local)]
    beside = [each for each in local if not any(_touches(each, box) for box in pair.changes)]
    if not pair.says:
        wrong += [f"{each.kind} at {each.reference_box} is nothing" for each in beside]
    elif sorted(each.kind for each in found.differences) != list(pair.says):
        wrong.append(f"{[(each.kind, *(each.reference_box or ())) for each in found.differences]}")
    if found.similarity < pair.least_similarity:
        wrong.append(f"similarity {found.similarity} is under {pair.least_similarity}")
    if pair.kinds and found.alignment.kind not in pair.kinds:
        wrong.append(f"aligned as {found.alignment.kind}")
    return wrong


def _is_frame(found: MeasuredDifference, pair: KnownPair) -> bool:
    """The whole picture moved, or stands in another light."""
    height, width = pair.reference.shape[:2]
    box = found.reference_box
    return (found.kind == "moved" or found.tone is not None) and box is not None and box.area > 0.9 * width * height


def _shows(found: MeasuredDifference, change: Box, pair: KnownPair) -> bool:
    box = found.reference_box
    if box is None or box.area > pair.growth * change.area:
        return False
    shared = box.overlap(change)
    return shared >= 0.5 * min(box.area, change.area) and shared >= 0.3 * change.area


def _touches(found: MeasuredDifference, change: Box) -> bool:
    return found.reference_box is not None and found.reference_box.overlap(change) > 0
