"""One line as both pictures have it: whether its wording changed, said only where the pictures' own networks agree.
Knows readings and where pixels changed along the line; no places, no other lines.

A network reads one blurred letter so and the next time otherwise. So a change counts where its letters stand on changed
pixels, and where each picture's output holds its own string likelier than the other's, by a gap in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from serve_app.core.quotes import likeness
from serve_app.ocr import letters
from serve_app.ocr.letters import Stretch
from serve_app.ocr.recognition import Read

READABLE: Final = 0.8  # mean probability of a line's letters
SURE: Final = 0.9  # ... of a line that only one picture has
ALONE: Final = 0.97  # ... of a digit that stands alone
LETTER: Final = 0.5  # least probability of each letter that changed
ROUGH_LETTER: Final = 0.7  # ... where a picture was resampled or compressed
BESIDE: Final = 1  # letter between two stretches of one change
NOTHING: Final = 0.5  # mean probability below which a place reads as nothing
GAP: Final = 6.0  # nats: readings of one line differ by less, true changes nearly always by 11 and more
CLOSE_GAP: Final = 3.0  # ... where nothing but these letters changed: 0 and O, 末 and 未 differ by 3 to 6
ROUGH_LOOK_ALIKE: Final = 2.0  # times the gap, for letters that look alike where a picture was resampled or compressed
HALF: Final = 0.5  # alike: less is another line at the same place

Changed = Callable[[float, float], bool]  # whether pixels differ visibly between two shares of the line's length


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch of the line that changed. `start`, `end`: shares of its length, in whichever picture is wider there."""

    one: tuple[int, int]  # from and to before, of the letters of the first text
    two: tuple[int, int]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Judged:
    """`verdict`: same words; changed ones, `changes` from the left; another line at the place; a line in one alone."""

    verdict: Literal["same", "changed", "replaced", "removed", "added"]
    one: str
    two: str
    confidence: float
    changes: tuple[Change, ...] = ()


def judge(one: Read, two: Read, is_changed: Changed, *, is_rough: bool, is_close: bool = False) -> Judged | None:
    """What became of the line; None where it can't be said. `is_close`: most of its pixels are what they were."""
    readable = [each.confidence >= READABLE and bool(letters.folded(each.text)) for each in (one, two)]
    if all(readable):
        if not (_tells(one) and _tells(two)):
            return None
        return _both(one, two, is_changed, is_rough=is_rough, is_close=is_close)
    if readable[0] and is_sure(one) and _is_nothing(two):
        return Judged("removed", one.text, "", least(one))
    if readable[1] and is_sure(two) and _is_nothing(one):
        return Judged("added", "", two.text, least(two))
    return None


def _tells(read: Read) -> bool:
    """A digit alone may count something: where both pictures have one, it is no part of a drawing."""
    return letters.tells(read.text) or (letters.is_digit(read.text) and read.confidence >= ALONE)


def is_sure(read: Read) -> bool:
    """A line that may be said to stand in one picture alone."""
    own = [each.chance for each in read.letters if each.symbol != " "]
    return read.confidence >= SURE and min(own, default=0.0) >= LETTER and letters.tells(read.text)


def least(read: Read) -> float:
    return round(min(1.0, read.confidence), 4)


def _is_nothing(read: Read) -> bool:
    return not letters.folded(read.text) or read.confidence < NOTHING


def _both(one: Read, two: Read, is_changed: Changed, *, is_rough: bool, is_close: bool) -> Judged | None:
    sides = (_Side(one), _Side(two))
    own, other = (letters.folded(each.text) for each in (one, two))
    if own == other:
        return Judged("same", one.text, two.text, min(least(one), least(two)))
    if likeness(own, other) < HALF:
        return Judged("replaced", one.text, two.text, min(least(one), least(two)))
    found = letters.stretches(sides[0].plain, sides[1].plain)
    letter = ROUGH_LETTER if is_rough else LETTER
    sure = [each for each in found if _least(sides, each) >= letter]
    seen = [each for each in sure if is_changed(*_span(sides, each))]
    # "cold" to "hot" is one change, though its c and h may differ by less than is seen: half of it would be no word.
    held = [each for each in sure if any(_is_beside(each, other) for other in seen)]
    texts = _agreed(sides, found, held)
    gaps = {each: _gap(sides, texts, each) for each in held}
    least_gap = CLOSE_GAP if is_close and not is_rough else GAP
    held = [each for each in held if gaps[each] >= least_gap * _look_alike_factor(sides, each, is_rough=is_rough)]
    if not held:
        return None
    texts = _agreed(sides, found, held)
    surest = min(min(_least(sides, each), 1 - math.exp(-gaps[each])) for each in held)
    changes = tuple(Change(texts.places[0][each], texts.places[1][each], *_span(sides, each)) for each in held)
    return Judged("changed", texts.one, texts.two, round(min(1.0, surest), 4), changes)


class _Side:
    """One reading by its plain letters: spaces aside."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.symbols = [each.symbol for each in read.letters]
        self.places = [i for i, symbol in enumerate(self.symbols) if letters.plain(symbol)]
        self.plain = [letters.plain(self.symbols[i]) for i in self.places]

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of plain letters among all letters; an empty one lies behind the letter before it."""
        if start < end:
            return self.places[start], self.places[end - 1] + 1
        at = self.places[start - 1] + 1 if start else 0
        return at, at

    def text(self, start: int, end: int) -> str:
        first, last = self.whole(start, end)
        return "".join(self.symbols[first:last])

    def least(self, start: int, end: int) -> float:
        return min((self.read.letters[i].chance for i in self.places[start:end]), default=1.0)

    def span(self, start: int, end: int) -> tuple[float, float]:
        """Shares of the line's length; from the letter before to the one after a stretch that is empty."""
        middles = [self.read.letters[i].middle for i in self.places]
        half = 0.5 / max(1, len(middles))
        if start < end:
            return max(0.0, middles[start] - half), min(1.0, middles[end - 1] + half)
        before = middles[start - 1] if start else 0.0
        after = middles[start] if start < len(middles) else 1.0
        return before, after


_Sides = tuple[_Side, _Side]


def _least(sides: _Sides, stretch: Stretch) -> float:
    return min(sides[0].least(stretch.start, stretch.end), sides[1].least(stretch.other_start, stretch.other_end))


def _is_beside(one: Stretch, other: Stretch) -> bool:
    return max(one.start - other.end, other.start - one.end) <= BESIDE


def _span(sides: _Sides, stretch: Stretch) -> tuple[float, float]:
    spans = []
    if stretch.start < stretch.end:
        spans.append(sides[0].span(stretch.start, stretch.end))
    if stretch.other_start < stretch.other_end:
        spans.append(sides[1].span(stretch.other_start, stretch.other_end))
    return min(start for start, _ in spans), max(end for _, end in spans)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Both lines with one reading of what is the same. `places`: of each stretch that changed, in each text."""

    one: str
    two: str
    places: tuple[dict[Stretch, tuple[int, int]], dict[Stretch, tuple[int, int]]]


def _agreed(sides: _Sides, found: list[Stretch], held: list[Stretch]) -> _Texts:
    """Where readings differ and the pictures don't, the surer reading is taken for both."""
    texts = []
    places: list[dict[Stretch, tuple[int, int]]] = []
    for own, side in enumerate(sides):
        text, at, where = "", 0, {}
        for each in found:
            ranges = (each.start, each.end), (each.other_start, each.other_end)
            first, last = side.whole(*ranges[own])
            text += "".join(side.symbols[at:first])
            if each in held:
                said = "".join(side.symbols[first:last])
                where[each] = (len(text), len(text) + len(said))
            else:
                surer = max((0, 1), key=lambda i: (sides[i].least(*ranges[i]), ranges[i][1] - ranges[i][0]))
                said = sides[surer].text(*ranges[surer])
            text, at = text + said, last
        texts.append(text + "".join(side.symbols[at:]))
        places.append(where)
    return _Texts(texts[0], texts[1], (places[0], places[1]))


def _gap(sides: _Sides, texts: _Texts, stretch: Stretch) -> float:
    """By how many nats each picture's own output prefers its own letters in the stretch: the less of both."""
    said = (sides[0].text(stretch.start, stretch.end), sides[1].text(stretch.other_start, stretch.other_end))
    gaps = []
    for own, text in enumerate((texts.one, texts.two)):
        start, end = texts.places[own][stretch]
        exchanged = text[:start] + said[1 - own] + text[end:]
        read = sides[own].read
        gaps.append(read.log_likelihood(text) - read.log_likelihood(exchanged))
    return min(gaps)


def _look_alike_factor(sides: _Sides, stretch: Stretch, *, is_rough: bool) -> float:
    one = "".join(sides[0].plain[stretch.start : stretch.end])
    two = "".join(sides[1].plain[stretch.other_start : stretch.other_end])
    return ROUGH_LOOK_ALIKE if is_rough and letters.look_alike(one, two) else 1.0
