"""What truly became of the lines of text in a pair of pictures.
Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import cv2

from serve_app.core.pictures import Box, Pixels

CURRENCIES = "¥$€"
EventKind = Literal["changed", "added", "removed", "moved"]


@dataclass(frozen=True)
class Event:
    """One line that changed, came, went or moved. Strings are whole lines as they were drawn, `*_word` what of them
    changed; None on the side that has none. Boxes: around the ink, upright, each in its own picture."""

    kind: EventKind
    reference: str | None
    candidate: str | None
    reference_word: str | None
    candidate_word: str | None
    reference_box: Box | None
    candidate_box: Box | None


@dataclass(frozen=True)
class Placed:
    """A line that is the same in both pictures, and where."""

    text: str
    reference_box: Box
    candidate_box: Box


@dataclass(frozen=True)
class TextPair:
    """Two pictures, and all that a person would say of the words in them.

    `also`: true as well, but nothing that has to be said: lines pushed down by an inserted one.
    `jpegs`: the file of each picture where it went through JPEG; the pixels are then what the file decodes to.
    """

    name: str
    group: str
    reference: Pixels
    candidate: Pixels
    events: tuple[Event, ...] = ()
    also: tuple[Event, ...] = ()
    unchanged: tuple[Placed, ...] = ()
    jpegs: tuple[bytes | None, bytes | None] = field(default=(None, None), repr=False)

    def files(self) -> tuple[bytes, bytes]:
        """Both as somebody would upload them: PNG, or the JPEG that they came from."""
        return self.jpegs[0] or _png(self.reference), self.jpegs[1] or _png(self.candidate)


def is_han(letter: str) -> bool:
    """A Chinese character; its own word."""
    return "\u3400" <= letter <= "\u9fff"


def stretch(reference: str, candidate: str) -> tuple[int, int, int]:
    """The least part that differs: where it starts in both, and where it ends in each."""
    start = 0
    while start < min(len(reference), len(candidate)) and reference[start] == candidate[start]:
        start += 1
    same = 0
    most = min(len(reference), len(candidate)) - start
    while same < most and reference[-1 - same] == candidate[-1 - same]:
        same += 1
    return start, len(reference) - same, len(candidate) - same


def changed_words(reference: str, candidate: str) -> tuple[str, str]:
    """What differs, grown to whole words: to spaces in Latin, by nothing in Chinese."""
    start, end, other_end = stretch(reference, candidate)
    while not (can_be_cut(reference, start) and can_be_cut(candidate, start)):
        start -= 1
    while not (can_be_cut(reference, end) and can_be_cut(candidate, other_end)):
        end, other_end = end + 1, other_end + 1
    if start and reference[start - 1] in CURRENCIES:
        start -= 1
    return reference[start:end], candidate[start:other_end]


def can_be_cut(text: str, at: int) -> bool:
    """No word is torn where `text` is cut before its letter `at`."""
    if at in (0, len(text)):
        return True
    before, after = text[at - 1], text[at]
    if before.isspace() or after.isspace() or is_han(before) or is_han(after):
        return True
    if before.isdigit() and text[at : at + 2][-1:].isdigit():
        return False  # 12:30, 12.80, 2026-01-02
    if after.isdigit() and text[max(0, at - 2) : at - 1].isdigit():
        return False
    if after in ".,;!?" and (at + 1 == len(text) or text[at + 1].isspace()):
        return True  # of a sentence, no part of its last word
    return before in f"{CURRENCIES}:：(（×" or after in ":：)）×"


def _png(picture: Pixels) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
