"""What was read in a pair of pictures, in the terms of a report.
Values only: nothing here reads a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve_app.core.pictures import Box
from serve_app.schema import FocusStatus, TextKind, TextStatus

VERSION: Final = "1"  # changes whenever what is read changes
SURE: Final[frozenset[TextKind]] = frozenset({"changed", "added", "removed", "code"})  # other words stand there now


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line as it was read. `box`: in upright original pixels of its picture; `confidence`: of its letters, 0..1."""

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class TextChange:
    """What became of one line, or one code. Strings as they were read; None on the side that has none.

    `reference_word`, `candidate_word`: what of the line changed, grown to whole words; None where the line is the same.
    """

    kind: TextKind
    reference: str | None
    candidate: str | None
    reference_word: str | None
    candidate_word: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class ElementText:
    """A focus element that names or quotes text that stands in a picture.

    `reference`, `candidate`: the lines in which it was found, as read. `box`: in the candidate; in the reference where
    it was removed; None where it is in neither.
    """

    status: FocusStatus
    score: float
    reference: str | None
    candidate: str | None
    box: Box | None


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read of a pair.

    `changes`: for each measured difference, in their order, what became of the text in it, surest first.
    `elements`: for each focus element of the config, None where the text read says nothing of it.
    `unchanged`: share of the letters read that are the same in both, 0..1; None where none were read.
    """

    status: TextStatus
    changes: tuple[tuple[TextChange, ...], ...] = ()
    elements: tuple[ElementText | None, ...] = ()
    num_lines: int = 0
    unchanged: float | None = None
    engine: str | None = None
    model: str | None = None
    read_ms: float = 0.0

    def text_in(self, index: int) -> tuple[TextChange, ...]:
        """What became of the text in `Measurement.differences[index]`."""
        return self.changes[index] if index < len(self.changes) else ()

    def leads(self, index: int) -> bool:
        """Whether the words there are surely others."""
        return any(change.kind in SURE for change in self.text_in(index))

    @property
    def sure(self) -> tuple[TextChange, ...]:
        """All changes of words, in the order of the differences."""
        return tuple(change for found in self.changes for change in found if change.kind in SURE)


UNREAD: Final = Reading("off")
