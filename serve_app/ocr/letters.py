"""Strings as they were read, held against each other: letters, words, and how alike two lines are.
Knows no pixels and no network."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

# Letters that a few pixels tell apart, or none in some typefaces.
_LOOK_ALIKES: Final = (
    "0OoQD",
    "1lI|i!",
    "8B",
    "5Ss",
    "2Zz",
    "6G",
    "已己巳",
    "日曰",
    "末未",
    "土士",
    "人入八",
    "千干于",
)
_LOOKS: Final = {letter: group for group in _LOOK_ALIKES for letter in group}
_CUT_OFF: Final = frozenset({"%", "96", "9", "6", "°"})  # a per cent sign whose end is cut off reads as digits
_ALONE: Final = frozenset("2345679")
# One sign in two scripts: which one a typeface draws isn't the picture's to say.
_SCRIPTS: Final = str.maketrans("凈減況決沖涼湊淨準", "净减况决冲凉凑净准")


class Stretch(NamedTuple):
    """Where two sequences of letters differ: from and to before, in each."""

    start: int
    end: int
    other_start: int
    other_end: int


def plain(letter: str) -> str:
    """A letter as it is compared: width variants and scripts folded, case kept; empty for a space."""
    return unicodedata.normalize("NFKC", letter).strip().translate(_SCRIPTS)


def folded(text: str) -> str:
    """A text as it is compared: without spaces."""
    return "".join(plain(letter) for letter in text)


def stretches(one: Sequence[str], two: Sequence[str]) -> list[Stretch]:
    """Where two sequences of plain letters differ, from the start, by the fewest letters changed, gained or lost: those
    that changed stay at their place (".00" and ".80" differ in one letter, not in a gained and a lost one).

    Wagner and Fischer, The String-to-String Correction Problem, JACM 1974.
    """
    costs = _costs(one, two)
    found: list[Stretch] = []
    i, j = len(one), len(two)
    while i or j:
        if i and j and one[i - 1] == two[j - 1] and costs[i][j] == costs[i - 1][j - 1]:
            i, j = i - 1, j - 1
            continue
        end = (i, j)
        while (i or j) and not (i and j and one[i - 1] == two[j - 1] and costs[i][j] == costs[i - 1][j - 1]):
            if i and j and costs[i][j] == costs[i - 1][j - 1] + 1:
                i, j = i - 1, j - 1
            elif i and costs[i][j] == costs[i - 1][j] + 1:
                i -= 1
            else:
                j -= 1
        found.append(Stretch(i, end[0], j, end[1]))
    return found[::-1]


def _costs(one: Sequence[str], two: Sequence[str]) -> list[list[int]]:
    """Letters changed, gained or lost between every two beginnings."""
    rows = [list(range(len(two) + 1))]
    for i, letter in enumerate(one, 1):
        above, row = rows[-1], [i]
        for j, other in enumerate(two, 1):
            row.append(min(above[j - 1] + (letter != other), above[j] + 1, row[-1] + 1))
        rows.append(row)
    return rows


def look_alike(one: str, two: str) -> bool:
    """Whether two stretches may be one thing read in two ways."""
    if {one, two} & _CUT_OFF and ({one, two} <= _CUT_OFF or not (one and two)):
        return True
    if one.casefold() == two.casefold():
        return True
    return len(one) == len(two) and all(a == b or b in _LOOKS.get(a, "") for a, b in zip(one, two, strict=True))


def is_ideograph(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or "\u3040" <= letter <= "\u30ff"


def tells(text: str) -> bool:
    """Whether it is surely text: two letters or more. One alone may be an icon, a ring or a bar that reads as one."""
    return sum(letter.isalnum() for letter in text) >= 2


def is_digit(text: str) -> bool:
    """A digit alone, but for those that look like such drawings."""
    return "".join(letter for letter in text if letter.isalnum()) in _ALONE


def word(text: str, start: int, end: int) -> str:
    """What of `text` changed, grown to whole words: to spaces in scripts that have them, as it is in those that don't.

    An empty stretch, where letters are missing, grows to the word that it is in.
    """
    while start > 0 and _grows(text[start - 1], text[start : start + 1]):
        start -= 1
    while end < len(text) and _grows(text[end], text[end - 1 : end]):
        end += 1
    return text[start:end].strip()


def changed_words(one: str, two: str) -> tuple[str, str]:
    """What is between what two texts begin and end with alike, grown to whole words."""
    start = _common(one, two)
    same = min(_common(one[::-1], two[::-1]), len(one) - start, len(two) - start)
    return word(one, start, len(one) - same), word(two, start, len(two) - same)


def _common(one: str, two: str) -> int:
    """Letters that both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def _grows(letter: str, beside: str) -> bool:
    return not letter.isspace() and not is_ideograph(letter) and not is_ideograph(beside)
