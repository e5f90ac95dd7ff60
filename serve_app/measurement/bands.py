"""Rows that were inserted or taken out: pages whose content is pushed down or up.
Knows rows of pixels, alike or not: rendered pages, not photographs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core import Pixels

Rows = NDArray[np.uint8]  # (rows, columns, 3): mean colours of a row's columns
Mask = NDArray[np.bool_]
COLUMNS = 24  # of a row's signature
ALIKE = 4  # levels that a signature may be off: what JPEG 75 leaves of a row, on average over a column
STRIP = 24  # rows that are looked for as one: more than a line of text
STRIPS = 32  # of them looked for, evenly from those that show something
MOST_ROWS = 2048  # that a displacement is looked for on: 10 ms
SHOWS = 4.0  # levels of deviation down a strip
LEAST_SHARE = 0.5  # of the rows below must be found again for a band to explain the pair
LEAST_VOTES = 2  # strips that must agree on the displacement


@dataclass(frozen=True, slots=True)
class Band:
    """From row `at` on, what `first` shows is `by` rows further down in `second` (up if negative)."""

    at: int
    by: int

    def overlap(self, first: Pixels, second: Pixels) -> tuple[slice, slice]:
        """The rows after the band, in each picture."""
        one, two = self.at + max(0, -self.by), self.at + max(0, self.by)
        rows = min(first.shape[0] - one, second.shape[0] - two)
        return slice(one, one + rows), slice(two, two + rows)


def find(first: Pixels, second: Pixels) -> Band | None:
    """The one band that explains two pictures of one width; None where there is none.

    Strips of row signatures vote for a displacement, as in block matching; the band lies where most rows fit above
    it in place and below it displaced. Signatures are means: an encoder's noise doesn't reach them.
    """
    if first.shape[1] != second.shape[1] or min(first.shape[0], second.shape[0]) < 32:
        return None
    one, two = _signatures(first), _signatures(second)
    factor = -(-max(len(one), len(two)) // MOST_ROWS)
    rough = _displacement(one[::factor], two[::factor])
    if rough is None:
        return None
    near = range((rough - 1) * factor + 1, (rough + 1) * factor) if factor > 1 else [rough]
    return max((_settled(one, two, by) for by in near if by), key=lambda each: each[1], default=(None, 0.0))[0]


def _signatures(image: Pixels) -> Rows:
    size = (min(COLUMNS, image.shape[1]), image.shape[0])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[1], size[0], 3)


def _displacement(one: Rows, two: Rows) -> int | None:
    """The displacement other than 0 that most strips of `one` have in `two`, where they are found only once."""
    starts = range(0, len(one) - STRIP + 1, STRIP // 2)
    showing = [start for start in starts if float(one[start : start + STRIP].std(axis=0).max()) > SHOWS]
    votes: Counter[int] = Counter()
    for start in showing[:: max(1, len(showing) // STRIPS)]:
        strip = one[start : start + STRIP]
        if len(two) < STRIP:
            return None
        apart = cv2.matchTemplate(two, strip, cv2.TM_SQDIFF).ravel() / strip.size
        place = int(np.argmin(apart))
        again = np.flatnonzero(apart <= max(ALIKE, 1.5 * float(apart[place])))
        if apart[place] <= ALIKE and place != start and int(again[-1] - again[0]) <= 2:
            votes[place - start] += 1
    by, agreed = max(votes.items(), key=lambda item: (item[1], -abs(item[0])), default=(0, 0))
    return by if agreed >= LEAST_VOTES else None


def _settled(one: Rows, two: Rows, by: int) -> tuple[Band | None, float]:
    """The band of this displacement and the share of rows it explains."""
    height = min(len(one), len(two))
    first, second = max(0, -by), max(0, by)
    rows = min(len(one) - first, len(two) - second)
    if rows <= 0:
        return None, 0.0
    above = np.concatenate([[0], np.cumsum(_fit(one[:rows], two[:rows]))])
    moved = np.concatenate([[0], np.cumsum(_fit(one[first : first + rows], two[second : second + rows]))])
    explained = above + (moved[-1] - moved)
    at = rows - int(np.argmax(explained[::-1]))  # the last of the best: a flat row belongs to what stayed
    below = rows - at
    share = float(moved[-1] - moved[at]) / max(1, below)
    still = float(_fit(one[at:height], two[at:height]).mean()) if at < height else 1.0
    if below < STRIP or share < LEAST_SHARE or share <= still + 0.2:
        return None, 0.0
    return Band(at, by), float(explained[at]) / rows


def _fit(one: Rows, two: Rows) -> Mask:
    return np.asarray(cv2.absdiff(one, two).reshape(len(one), -1).max(axis=1) <= ALIKE)
