"""Rows that were inserted or taken out: pages whose content is pushed down or up.
Knows rows of pixels, exactly equal or not: rendered pages, not photographs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.core import Pixels

Hashes = NDArray[np.int64]
LEAST_SHARE = 0.5  # of the rows below must be found again for a band to explain the pair
LEAST_ROWS = 8  # distinct rows that must agree on the displacement


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
    """The one band that explains two pictures of one width; None where there is none."""
    height = min(first.shape[0], second.shape[0])
    if first.shape[1] != second.shape[1] or height < 32:
        return None
    one, two = _hashes(first), _hashes(second)
    equal = one[:height] == two[:height]
    start = height if equal.all() else int(np.argmin(equal))
    seen = Counter(two.tolist())
    places = {value: row for row, value in enumerate(two.tolist()) if seen[value] == 1}
    own = Counter(one.tolist())
    votes = Counter(
        places[value] - row
        for row, value in enumerate(one.tolist())
        if row >= start and own[value] == 1 and value in places and places[value] != row
    )
    if not votes:
        return None
    by, agreed = max(votes.items(), key=lambda item: (item[1], -abs(item[0])))
    if agreed < LEAST_ROWS:
        return None
    return _settled(one, two, start, by)


def _settled(
    one: Hashes,
    two: Hashes,
    start: int,
    by: int,
) -> Band | None:
    band = Band(start, by)
    first, second = start + max(0, -by), start + max(0, by)
    rows = min(len(one) - first, len(two) - second)
    if rows <= 0:
        return None
    share = float((one[first : first + rows] == two[second : second + rows]).mean())
    unmoved = min(len(one), len(two)) - start
    still = float((one[start : start + unmoved] == two[start : start + unmoved]).mean())
    return band if share >= LEAST_SHARE and share > still + 0.2 else None


def _hashes(image: Pixels) -> Hashes:
    return np.array([hash(row.tobytes()) for row in image], np.int64)
