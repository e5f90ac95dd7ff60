"""Text that was read in a picture, made fit to be told: one line, bounded, nothing in it that steers a reader.
Knows no language and no report. Whoever drew a picture chose its text, so it is hostile until it has been here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from serve_app.core.reading import SURE, ElementText, Reading, TextChange

MOST_LETTERS: Final = 200  # of a line
ELLIPSIS: Final = "…"
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"


def tidied(reading: Reading) -> Reading:
    """The same with every text fit to be told; of each difference the sure changes first."""
    return replace(
        reading,
        changes=tuple(tuple(sorted(map(_change, found), key=_rank)) for found in reading.changes),
        elements=tuple(None if each is None else _element(each) for each in reading.elements),
    )


def line(text: str) -> str:
    """`text` on one line, without control and format characters (bidi overrides among them), `MOST_LETTERS` at most."""
    told = " ".join("".join(map(_letter, text)).split())
    return told if len(told) <= MOST_LETTERS else told[: MOST_LETTERS - 1].rstrip() + ELLIPSIS


def _letter(letter: str) -> str:
    if letter.isspace():
        return " "
    return letter if letter.isprintable() else _REPLACED


def _optional(text: str | None) -> str | None:
    return None if text is None else line(text)


def _change(found: TextChange) -> TextChange:
    return replace(
        found,
        reference=_optional(found.reference),
        candidate=_optional(found.candidate),
        reference_word=_optional(found.reference_word),
        candidate_word=_optional(found.candidate_word),
    )


def _element(found: ElementText) -> ElementText:
    return replace(found, reference=_optional(found.reference), candidate=_optional(found.candidate))


def _rank(found: TextChange) -> int:
    return 0 if found.kind in SURE else 1 if found.kind == "moved" else 2
