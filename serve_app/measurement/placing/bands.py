"""Rows that were inserted or taken out: pages whose content is pushed down or up.
Knows rows of pixels, alike or not: rendered pages, not photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels

Rows = NDArray[np.uint8]  # (rows, columns, 3): mean colours of a row's columns
Counts = NDArray[np.float64]
Mask = NDArray[np.bool_]
COLUMNS = 24  # of a row's signature
ALIKE = 4  # levels that a signature may be off: what JPEG 75 leaves of a row, on average over a column
STRIP = 24  # rows that are looked for as one: more than a line of text
STRIPS = 32  # of them looked for, evenly from those that show something
MOST_ROWS = 16_384  # that a displacement is looked for on, else each second: 20 ms for 9,000
SHOWS = 4.0  # levels of deviation down a strip
LEAST_SHARE = 0.5  # of a displaced segment's rows must be found again for bands to explain the pair
LEAST_VOTES = 2  # strips that must agree on a displacement
MOST_PLACES = 5  # displacements followed on one page
MOST_SEGMENTS = 7
TURN = 12.0  # rows that show something which a further segment must gain
FLAT = 0.005  # of a row that shows something: what one that shows nothing counts
AROUND = 9  # rows in which a row must see something to count as showing it


class Segment(NamedTuple):
    """Rows that both pictures show: from `first` on in one, from `second` on in the other."""

    first: int
    second: int
    rows: int

    @property
    def by(self) -> int:
        """How far further down the second picture shows them."""
        return self.second - self.first


def find(first: Pixels, second: Pixels) -> tuple[Segment, ...]:
    """The segments, from the top, that explain two pictures of one width; none where nothing was displaced.

    Strips of row signatures vote for displacements, as in block matching; then a monotone path through these, by
    dynamic programming over the rows (as in aligning two texts), takes the most rows along with the fewest turns.
    Between two segments rows were inserted or taken out. Signatures are means: an encoder's noise doesn't reach them.
    """
    if first.shape[1] != second.shape[1] or min(first.shape[0], second.shape[0]) < 32:
        return ()
    one, two = _signatures(first), _signatures(second)
    factor = -(-max(len(one), len(two)) // MOST_ROWS)
    weight = _weights(one)
    places = [
        max(range((by - 1) * factor + 1, (by + 1) * factor), key=lambda near: _gain(one, two, near, weight)[-1])
        for by in _displacements(one[::factor], two[::factor])
    ]
    places = [by for by in dict.fromkeys(places) if by]
    while places:
        segments = _path(one, two, [0, *places], weight)
        wrong = {each.by for each in segments if each.by and not _holds(one, two, each, weight)}
        if not wrong:
            return tuple(segments) if any(each.by for each in segments) else ()
        places = [by for by in places if by not in wrong]
    return ()


def tops(segments: Sequence[Segment]) -> list[int]:
    """Where each segment begins when they are laid one below the other."""
    return [0, *accumulate(each.rows for each in segments[:-1])]


def on_grid(box: Box, own: int, segments: Sequence[Segment], width: int) -> Box | None:
    """Where the rows of a box of one picture (0: the first) lie when the segments are laid one below the other."""
    left, right = max(0, box.x), min(width, box.right)
    rows = []
    for top, each in zip(tops(segments), segments, strict=True):
        start, end = max(box.y, each[own]), min(box.bottom, each[own] + each.rows)
        rows += [top + start - each[own], top + end - each[own]] if start < end else []
    if not rows or right <= left:
        return None
    return Box(left, min(rows), right - left, max(rows) - min(rows))


def came_beside(box: Box, own: int, segments: Sequence[Segment], heights: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows (start, end) of the other picture that came where the rows of `box`, of picture `own`, say so: what was
    inserted before one of them, or is pushed in or out below the last."""
    other, found = 1 - own, []
    last = segments[-1]
    ends = [(0, 0), *((each.first + each.rows, each.second + each.rows) for each in segments)]
    starts = [*((each.first, each.second) for each in segments), heights]
    for end, start in zip(ends, starts, strict=True):
        marker = min(end[own], heights[own] - 1)
        is_last = end == (last.first + last.rows, last.second + last.rows)
        if start[other] > end[other] and (box.y <= marker < box.bottom or (is_last and box.bottom >= heights[own])):
            found.append((end[other], start[other]))
    return found


def _signatures(image: Pixels) -> Rows:
    size = (min(COLUMNS, image.shape[1]), image.shape[0])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[1], size[0], 3)


def _displacements(one: Rows, two: Rows) -> list[int]:
    """Those other than 0 that most strips of `one` have in `two`, where they are found only once."""
    if len(two) < STRIP:
        return []
    starts = range(0, len(one) - STRIP + 1, STRIP // 2)
    showing = [start for start in starts if float(one[start : start + STRIP].std(axis=0).max()) > SHOWS]
    chosen = showing[:: max(1, len(showing) // STRIPS)]
    votes: Counter[int] = Counter()
    for start, apart in zip(chosen, _apart(one, two, chosen), strict=True):
        place = int(np.argmin(apart))
        again = np.flatnonzero(apart <= max(ALIKE, 1.5 * float(apart[place])))
        if apart[place] <= ALIKE and place != start and int(again[-1] - again[0]) <= 2:
            votes[place - start] += 1
    agreed = sorted((by for by, count in votes.items() if count >= LEAST_VOTES), key=lambda by: (-votes[by], abs(by)))
    apart_ones: list[int] = []
    for by in agreed:
        if all(abs(by - other) > 2 for other in apart_ones):
            apart_ones.append(by)
    return apart_ones[:MOST_PLACES]


def _apart(one: Rows, two: Rows, starts: Sequence[int]) -> NDArray[np.float32]:
    """(strips, places): mean squared difference of the strips of `one` that start there at every place in `two`.

    As sums of squares less twice the products, row by row of the strips: a tenth of `matchTemplate`'s time.
    """
    lines, others = ((rows.reshape(len(rows), -1).astype(np.float32) - 128) / 16 for rows in (one, two))
    count = len(two) - STRIP + 1
    at = np.asarray(starts, np.int64)
    products = np.zeros((len(at), count), np.float32)
    for row in range(STRIP):
        products += lines[at + row] @ others[row : row + count].T
    squares = [
        np.concatenate([[0.0], np.cumsum(np.square(rows, dtype=np.float64).sum(axis=1))]) for rows in (lines, others)
    ]
    whole = [sums[STRIP:] - sums[:-STRIP] for sums in squares]
    apart = (whole[0][at, None] + whole[1][None] - 2 * products) * (16**2 / (STRIP * lines.shape[1]))
    return np.asarray(np.maximum(apart, 0), np.float32)


def _weights(rows: Rows) -> Counts:
    """What each row counts: little where nothing is to be seen around it, for that fits anywhere."""
    values = rows.reshape(len(rows), -1).astype(np.float32)
    mean, square = (cv2.blur(each, (1, AROUND), borderType=cv2.BORDER_REPLICATE) for each in (values, values**2))
    shows = (square - mean**2).max(axis=1) > SHOWS**2
    return np.where(shows, 1.0, FLAT)


def _gain(one: Rows, two: Rows, by: int, weight: Counts) -> Counts:
    """Sum of the weights of the rows above each, of those that lie `by` rows further down in `two`."""
    first, rows = max(0, -by), min(len(one), len(two) - by)
    fits = np.zeros(len(one))
    if rows > first:
        fits[first:rows] = _fit(one[first:rows], two[first + by : rows + by]) * weight[first:rows]
    return np.concatenate([[0.0], np.cumsum(fits)])


def _holds(one: Rows, two: Rows, segment: Segment, weight: Counts) -> bool:
    """Enough of a displaced segment is found again, and not as well in place."""
    rows = slice(segment.first, segment.first + segment.rows)
    whole = float(weight[rows].sum())
    moved, still = (
        float(gain[rows.stop] - gain[rows.start]) / max(1e-9, whole)
        for gain in (_gain(one, two, by, weight) for by in (segment.by, 0))
    )
    return segment.rows >= STRIP and moved >= LEAST_SHARE and moved > still + 0.2


@dataclass(frozen=True, slots=True)
class _Leg:
    """Paths of so many segments whose last one has one displacement, by the row of `one` where they end."""

    best: Counts
    entered: NDArray[np.int64]  # the row where that segment began
    before: NDArray[np.int64]  # the state of the segment before, by the row where this one begins


def _path(one: Rows, two: Rows, places: Sequence[int], weight: Counts) -> list[Segment]:
    """The best monotone path: it starts in place (maybe for no row) and ends where a picture does."""
    gains = [_gain(one, two, by, weight) for by in places]
    ends = [min(len(one), len(two) - by) for by in places]
    start = np.full(len(one) + 1, -np.inf)
    start[: ends[0] + 1] = gains[0][: ends[0] + 1]
    nothing = np.zeros(len(one) + 1, np.int64)
    legs = [[_Leg(start if not by else np.full_like(start, -np.inf), nothing, nothing) for by in places]]
    for _ in range(MOST_SEGMENTS - 1):
        legs.append([_leg(legs[-1], places, to, gains[to], ends[to]) for to in range(len(places))])
    reached = [
        (float(leg.best[end]) - 1e-6 * level, level, state)
        for level, row in enumerate(legs)
        for state, (leg, end) in enumerate(zip(row, ends, strict=True))
        if end >= 0
    ]
    _, level, state = max(reached)
    return list(_traced(legs, places, level, state, ends[state]))[::-1]


def _leg(last: Sequence[_Leg], places: Sequence[int], to: int, gain: Counts, end: int) -> _Leg:
    entry = np.full(len(gain), -np.inf)
    before = np.zeros(len(gain), np.int64)
    for state, (leg, by) in enumerate(zip(last, places, strict=True)):
        skipped = max(0, by - places[to])  # rows of `one` that were taken out
        if state == to or skipped >= len(gain):
            continue
        value = np.full(len(gain), -np.inf)
        value[skipped:] = leg.best[: len(gain) - skipped] - TURN
        before[value > entry] = state
        np.maximum(entry, value, out=entry)
    ahead = entry - gain
    highest = np.maximum.accumulate(ahead)
    # The last of the best: a row that shows nothing belongs to what came before.
    entered = np.maximum.accumulate(np.where(ahead >= highest - 1e-9, np.arange(len(gain)), 0))
    best = highest + gain
    best[max(0, end + 1) :] = -np.inf
    return _Leg(best, entered, before)


def _traced(
    legs: Sequence[Sequence[_Leg]], places: Sequence[int], level: int, state: int, end: int
) -> Iterator[Segment]:
    while True:
        leg = legs[level][state]
        begin = int(leg.entered[end]) if level else 0
        if end > begin:
            yield Segment(begin, begin + places[state], end - begin)
        if not level:
            return
        before = int(leg.before[begin])
        level, state, end = level - 1, before, begin - max(0, places[before] - places[state])


def _fit(one: Rows, two: Rows) -> Mask:
    return np.asarray(cv2.absdiff(one, two).reshape(len(one), -1).max(axis=1) <= ALIKE)
