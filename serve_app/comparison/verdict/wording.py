"""What the text read says of what a model said, and of the aspect that is the text.
No pixels: a model's words and what was read in, what may be told out.

A model that quotes a text misread it where other letters were read there: much alike and not the same, or, at a place
smaller than the picture, none of what it quotes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from serve_app.comparison.grounding import FRAME, Grounded
from serve_app.core.assessed import Assessment
from serve_app.core.measured import Examination
from serve_app.core.quotes import folded, likeness, quotes
from serve_app.core.reading import Reading, TextChange
from serve_app.ocr import letters

ALIKE: Final = 0.5  # a quotation is of a text that was read from here on
_ASPECTS: Final = frozenset(["text", "texts", "wording", "words", "lettering", "文字", "文案", "文本", "措辞"])


@dataclass(frozen=True, slots=True)
class Told:
    """What of the model's words is left. `misquoted`: what it said of places where other text was read."""

    assessment: Assessment
    found: tuple[Grounded, ...]
    misquoted: tuple[str, ...]


def held_against(reading: Reading, assessment: Assessment, found: Sequence[Grounded], examination: Examination) -> Told:
    """Descriptions that quote other text than what was read at their place are no description of it."""
    against: dict[str, None] = {}
    regions, kept = [], []
    for region in assessment.regions:
        if _is_misquoted(region.description, reading, region.index, examination):
            against[region.description] = None
            region = replace(region, description="")
        regions.append(region)
    for each in found:
        if each.index is not None and _is_misquoted(each.finding.description, reading, each.index, examination):
            against[each.finding.description] = None
        else:
            kept.append(each)
    return Told(replace(assessment, regions=tuple(regions)), tuple(kept), tuple(against))


def is_text(aspect: str) -> bool:
    """Whether a caller means the wording: "Text", "文案"."""
    return "".join(unicodedata.normalize("NFKC", aspect).casefold().split()) in _ASPECTS


def _is_misquoted(description: str, reading: Reading, index: int, examination: Examination) -> bool:
    texts = reading.text_in(index)
    return bool(texts) and misquotes(description, texts, is_frame=_is_frame(examination, index))


def misquotes(description: str, texts: Sequence[TextChange], *, is_frame: bool = False) -> bool:
    """Whether `description` quotes what doesn't stand there. `is_frame`: the place holds much that wasn't read."""
    read = {_bare(text) for each in texts for text in _strings(each)} - {""}
    said = [each for each in map(_bare, quotes(description)) if each]
    missed = [each for each in said if not any(_names(each, text) for text in read)]
    if any(likeness(each, text) >= ALIKE for each in missed for text in read):
        return True
    return bool(said) and len(missed) == len(said) and not is_frame


def _strings(found: TextChange) -> tuple[str, ...]:
    parts = (found.reference, found.candidate, found.reference_word, found.candidate_word)
    return tuple(part for part in parts if part)


def _bare(text: str) -> str:
    """Folded, 净 for 凈, without signs of currency, and without the stop or comma before a closing mark."""
    kept = "".join(letter for letter in folded(letters.folded(text)) if unicodedata.category(letter) != "Sc")
    return kept.strip(".,;:!?。、…")


def _names(said: str, read: str) -> bool:
    """A part of what was read, or all of it with more around; never some digits of a longer number."""
    if said in read:
        return True
    start = said.find(read)
    if start < 0 or len(read) < 2:
        return False
    before, after = said[start - 1 : start], said[start + len(read) :][:1]
    return not (before.isdigit() and read[0].isdigit()) and not (after.isdigit() and read[-1].isdigit())


def _is_frame(examination: Examination, index: int) -> bool:
    found, facts = examination.measurement.differences[index], examination.reference
    box = found.reference_box
    return box is not None and box.area >= FRAME * facts.width * facts.height
