"""What is said of one line of a pair, and of which measured difference.
Knows strings and boxes; reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from serve_app.core.laid import Spot
from serve_app.core.pictures import Box
from serve_app.core.reading import TextChange
from serve_app.ocr import letters
from serve_app.schema import TextKind

MOST_EACH: Final = 12  # said of one difference
_FIRST: Final[tuple[TextKind, ...]] = ("changed", "code", "added", "removed", "moved", "same")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What changed of a line. `one`, `two`: from and to before, of the letters of each text; `box`: on the grid."""

    one: tuple[int, int]
    two: tuple[int, int]
    box: Box


@dataclass(frozen=True, slots=True)
class Statement:
    """Of a line, seen from the first picture. `at`: its places on the grid. `spot`: the difference that it is of, where
    that is known without a place; `stretches`: what changed, where a part did."""

    kind: TextKind
    one: str
    two: str
    confidence: float
    at: tuple[Box, ...] = ()
    spot: int | None = None
    stretches: tuple[Stretch, ...] = ()

    def of(self, index: int, spot: Spot) -> TextChange | None:
        """What it says of one difference; None where it is of another."""
        if self.spot is not None:
            return self._change(self.stretches) if self.spot == index else None
        if not any(box.overlap(place) for box in self.at for place in spot.at):
            return None
        if not self.stretches:
            return self._change(())
        here = tuple(each for each in self.stretches if any(each.box.overlap(place) for place in spot.at))
        return self._change(here) if here else None

    def _change(self, here: Sequence[Stretch]) -> TextChange:
        words: tuple[str | None, str | None] = (None, None)
        if 0 < len(here) < len(self.stretches):
            words = (
                letters.word(self.one, min(each.one[0] for each in here), max(each.one[1] for each in here)),
                letters.word(self.two, min(each.two[0] for each in here), max(each.two[1] for each in here)),
            )
        elif self.kind == "changed":
            words = letters.changed_words(self.one, self.two)
        return TextChange(self.kind, self.one or None, self.two or None, words[0], words[1], self.confidence)


def settled(statements: Iterable[Statement]) -> list[Statement]:
    """What was removed here and added there with the same words has moved."""
    rest = list(statements)
    for removed in [each for each in rest if each.kind == "removed"]:
        text = letters.folded(removed.one)
        there = next((each for each in rest if each.kind == "added" and letters.folded(each.two) == text), None)
        if there is None:
            continue
        rest = [each for each in rest if each is not removed and each is not there]
        surest = min(removed.confidence, there.confidence)
        for part in (removed, there):
            moved = replace(part, kind="moved", one=removed.one, two=there.two, confidence=surest)
            rest.append(moved)
    return rest


def by_spot(statements: Sequence[Statement], spots: Sequence[Spot]) -> tuple[tuple[TextChange, ...], ...]:
    """What is said of each difference: of changed wording first, then the surest; each thing once."""
    found = []
    for index, spot in enumerate(spots):
        own = [] if spot.is_whole else [said for each in statements if (said := each.of(index, spot)) is not None]
        own.sort(key=lambda each: (_FIRST.index(each.kind), -each.confidence))
        found.append(tuple(dict.fromkeys(own))[:MOST_EACH])
    return tuple(found)
