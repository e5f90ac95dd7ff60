"""Focus elements that text in the pictures tells of: those that quote or name a text, or name a kind of it.
Strings and boxes; no pixels. A change is told only as far as one was said of a line (`TextChange`): two readings of one
line differ without one, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from serve_app.core.pictures import Box
from serve_app.core.quotes import likeness, quotes
from serve_app.core.reading import SURE, ElementText, TextChange, TextLine
from serve_app.ocr import letters
from serve_app.ocr.kinds import Kind, kind_of
from serve_app.schema import FocusStatus

NEARLY: Final = 0.85  # alike: a text with a letter typed or read wrong
UNLIKE: Final = 0.5  # nothing alike more than this: a quoted text stands nowhere
WHOLE: Final = 0.5  # of a line's letters, that a name without quotation marks must be, to be that line
STRETCHES: Final = 8  # of letters that two texts have in common, tried as the middle of a window
FEW: Final = 4  # lines of one kind: with more, a name that tells the kind tells none of them

Lines = Sequence[TextLine]


def look_up(
    name: str, reference_lines: Lines, candidate_lines: Lines, changes: Sequence[TextChange]
) -> ElementText | None:
    """What became of the element called `name`; None where the text says nothing of it, or nothing for sure.

    The lines are all that stand in each picture: of a part, none is known to be absent.
    """
    page = _Page(tuple(reference_lines), tuple(candidate_lines), tuple(changes))
    quoted = quotes(name)
    if not quoted:
        kind = kind_of(name)
        return _of_text(_Wanted.of(name, is_quoted=False), page) if kind is None else _of_kind(kind, page)
    found = [_of_text(_Wanted.of(each, is_quoted=True), page) for each in quoted]
    # Of several texts the one that changed; "unchanged" and "absent" only where all of them are.
    first = min((each for each in found if each is not None), key=lambda each: each.score, default=None)
    if first is None or first.status not in ("unchanged", "absent"):
        return first
    return first if all(each is not None and each.status == first.status for each in found) else None


@dataclass(frozen=True, slots=True)
class _Page:
    """All that was read of a pair. Sides: 0 the reference, 1 the candidate."""

    reference: tuple[TextLine, ...]
    candidate: tuple[TextLine, ...]
    changes: tuple[TextChange, ...]

    @property
    def sides(self) -> tuple[tuple[TextLine, ...], tuple[TextLine, ...]]:
        return self.reference, self.candidate

    @property
    def sure(self) -> Iterator[TextChange]:
        return (each for each in self.changes if each.kind in SURE)

    def strings(self) -> Iterator[str]:
        yield from (line.text for side in self.sides for line in side)
        yield from (text for each in self.changes for text in (each.reference, each.candidate) if text)

    def box(self, side: int, text: str | None) -> Box | None:
        """Of the line that reads most like `text`."""
        own = _folded(text or "")
        alike = [(likeness(own, _folded(line.text)), line.box) for line in self.sides[side]]
        best = max(alike, key=lambda each: each[0], default=None)
        return best[1] if own and best is not None and best[0] > UNLIKE else None

    def told(self, change: TextChange) -> ElementText:
        """An element that a sure change is of."""
        if change.candidate is None:
            return self.ended("removed", change)
        return self.ended("added" if change.reference is None else "changed", change)

    def ended(self, status: FocusStatus, change: TextChange) -> ElementText:
        """The score is the chance that nothing changed, as a model's is."""
        side, text = (0, change.reference) if status == "removed" else (1, change.candidate)
        score = round(1 - min(1.0, change.confidence), 4)
        return ElementText(status, score, change.reference, change.candidate, self.box(side, text))

    def kept(self, reference: TextLine, candidate: TextLine) -> ElementText:
        return ElementText("unchanged", 1.0, reference.text, candidate.text, candidate.box)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A text that a name quotes, or is."""

    folded: str
    is_quoted: bool

    @classmethod
    def of(cls, text: str, *, is_quoted: bool) -> _Wanted:
        return cls(_folded(text), is_quoted)

    def stands_in(self, text: str | None) -> bool:
        """Whether it is all of `text`, or whole words of it."""
        if not text or not self.folded:
            return False
        spaced = _Spaced.of(text)
        if not self.is_quoted and (not letters.tells(self.folded) or len(self.folded) < WHOLE * len(spaced.folded)):
            return False
        start = spaced.folded.find(self.folded)
        while start >= 0:
            if spaced.is_whole(start, start + len(self.folded)):
                return True
            start = spaced.folded.find(self.folded, start + 1)
        return False

    def likeness(self, text: str) -> float:
        """To the window of `text` that fits best, 0..1; to all of it where it isn't quoted.

        Of the windows, those in which one of the longest stretches that both have lies at its own place.
        """
        other, size = _folded(text), len(self.folded)
        if not self.is_quoted or len(other) <= size:
            return likeness(self.folded, other)
        common = SequenceMatcher(None, self.folded, other, autojunk=False).get_matching_blocks()
        longest = sorted(common, key=lambda block: block.size)[-STRETCHES:]
        starts = {min(max(0, there - here), len(other) - size) for here, there, _ in longest}
        return max(likeness(self.folded, other[at : at + size]) for at in starts)

    def is_nearly(self, text: str | None) -> bool:
        """All of it, or whole words of it, but for a letter or two; never for a digit: that is another number."""
        return any(
            _digits(window) == _digits(self.folded) and _is_alike(self.folded, window)
            for window in self._words_of(text or "")
        )

    def _words_of(self, text: str) -> Iterator[str]:
        spaced = _Spaced.of(text)
        if not self.is_quoted:
            yield spaced.folded
            return
        for size in range(len(self.folded) - 1, len(self.folded) + 2):
            for at in range(len(spaced.folded) - size + 1):
                if spaced.is_whole(at, at + size):
                    yield spaced.folded[at : at + size]


class _Spaced(NamedTuple):
    """A line without its spaces that knows where they were."""

    folded: str
    begins: frozenset[int]  # places in `folded` before which there was a space

    @classmethod
    def of(cls, text: str) -> _Spaced:
        parts, begins, length = [], set(), 0
        for part in text.split():
            begins.add(length)
            parts.append(_folded(part))
            length += len(parts[-1])
        return cls("".join(parts), frozenset(begins))

    def is_whole(self, start: int, end: int) -> bool:
        """Whether nothing of a word or number goes on beyond either end."""
        return not self._goes_on(start) and not self._goes_on(end)

    def _goes_on(self, at: int) -> bool:
        before, after = self.folded[at - 1 : at] if at else "", self.folded[at : at + 1]
        if not before or not after or at in self.begins:
            return False
        if before.isdigit() and after in ".,:/-":
            return self.folded[at + 1 : at + 2].isdigit() and at + 1 not in self.begins
        if before in ".,:/-" and after.isdigit():
            return self.folded[at - 2 : at - 1].isdigit() and at - 1 not in self.begins
        if letters.is_ideograph(before) or letters.is_ideograph(after):
            return False
        return before.isalnum() and after.isalnum() and before.isdigit() == after.isdigit()


def _of_text(wanted: _Wanted, page: _Page) -> ElementText | None:
    if not wanted.folded:
        return None
    here = [[line for line in side if wanted.stands_in(line.text)] for side in page.sides]
    change = _changed(wanted, page, len(here[0]), len(here[1]))
    if change is not None:
        return page.told(change)
    if here[0] and here[1]:
        return page.kept(*_best_pair(here[0], here[1]))
    near = [[line for line in side if wanted.is_nearly(line.text)] for side in page.sides]
    for one in near[0]:
        for two in near[1]:
            if _folded(one.text) == _folded(two.text):
                return page.kept(one, two)
    return _nowhere(wanted, page)


def _changed(wanted: _Wanted, page: _Page, num_before: int, num_after: int) -> TextChange | None:
    """The sure change by which the text came or went; none where it stands as often as before, elsewhere perhaps."""
    if num_before == num_after and num_before:
        return None
    sure = tuple(page.sure)
    for each in sure:
        if wanted.stands_in(each.reference) != wanted.stands_in(each.candidate):
            return each
    if num_before or num_after:
        return None  # it was read to the letter: what is only like it is another text
    return next((each for each in sure if wanted.is_nearly(each.reference) or wanted.is_nearly(each.candidate)), None)


def _best_pair(reference: Lines, candidate: Lines) -> tuple[TextLine, TextLine]:
    """Of lines that hold one text, two that are alike in all else."""
    pairs = [(one, two) for one in reference for two in candidate]
    return max(pairs, key=lambda pair: likeness(_folded(pair[0].text), _folded(pair[1].text)))


def _nowhere(wanted: _Wanted, page: _Page) -> ElementText | None:
    """A quoted text like which nothing was read, in a pair of which something was."""
    texts = set(page.strings())
    if not wanted.is_quoted or not texts or any(wanted.likeness(text) > UNLIKE for text in texts):
        return None
    return ElementText("absent", 1.0, None, None, None)


def _of_kind(kind: Kind, page: _Page) -> ElementText | None:
    """All that is of the kind counts as one element, where it is not much."""
    here = [[line for line in side if kind.found_in(line.text)] for side in page.sides]
    if not any(here) and (barely := kind.barely()) is not None:
        return _of_kind(barely, page)
    if not any(here) or max(map(len, here)) > FEW:
        return None
    before, after = (Counter(_found(kind, (line.text for line in side))) for side in here)
    if before == after:
        return page.kept(*_best_pair(here[0], here[1]))
    for each in page.sure:
        gone = (before - after) & Counter(kind.found_in(each.reference or ""))
        came = (after - before) & Counter(kind.found_in(each.candidate or ""))
        if gone or came:
            return page.ended("changed" if before and after else "removed" if before else "added", each)
    return None


def _found(kind: Kind, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from kind.found_in(text)


def _is_alike(one: str, two: str) -> bool:
    matcher = SequenceMatcher(None, one, two, autojunk=False)
    return matcher.real_quick_ratio() >= NEARLY <= matcher.quick_ratio() and matcher.ratio() >= NEARLY


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())


def _folded(text: str) -> str:
    return letters.folded(text).casefold()
