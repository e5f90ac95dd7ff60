"""Rows that were inserted or taken out in one column of a page, beside others that stayed.
Knows pages whose columns stand apart on one ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.placing import bands, shifts
from serve_app.measurement.placing.bands import Segment

ROWS = 1024  # of a page that its columns are told by
GUTTER = 12  # pixels without anything between two columns: more than between two words
RIM = 4  # pixels beside a column that its letters' smoothed edges may reach
LEAST = 40  # pixels of width: less is no column
WIDEST = 0.85  # of the page: more is the page
MOST = 3  # columns looked at
INK = 24  # levels a pixel stands out of its column's ground
BETTER = 0.4  # of the column's mismatch that its rows, displaced, may leave


class Column(NamedTuple):
    """From `left` to before `right` of both pictures; `segments`: of rows that both show, as in `bands`."""

    left: int
    right: int
    segments: tuple[Segment, ...]


def find(first: Pixels, second: Pixels) -> tuple[Column, ...]:
    """Columns whose rows moved, of two pages of one width; none where none did, or where all of the page changed."""
    rows = min(len(first), len(second))
    step = -(-rows // ROWS)
    one, two = (shifts.luma(image[:rows:step]) for image in (first, second))
    apart = (cv2.absdiff(one, two) > shifts.OFF).any(axis=0)
    if rows < 2 * bands.STRIP or not apart.any() or apart.mean() > WIDEST:
        return ()
    found = []
    for left, right in _strips(one, two, apart)[:MOST]:
        if not LEAST <= right - left <= WIDEST * first.shape[1]:
            continue
        strips = [np.ascontiguousarray(image[:, left:right]) for image in (first, second)]
        segments = bands.find(strips[0], strips[1])
        if segments and _explains(segments, strips[0], strips[1]):
            found.append(Column(left, right, segments))
    return tuple(found)


def _strips(first: Pixels, second: Pixels, apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Columns with something `apart` in them, of two planes of lightness: runs of what isn't empty from top to bottom,
    gutters between them."""
    filled = apart.copy()
    for image in (first, second):
        # A bar across the whole page is no column: what is one colour along its row is ground.
        ground = np.sort(image[:, :: max(1, image.shape[1] // 32)], axis=1)
        middle = ground[:, ground.shape[1] // 2, None]
        filled |= (cv2.absdiff(image, np.repeat(middle, image.shape[1], axis=1)) > INK).any(axis=0)
    closed = cv2.morphologyEx(filled.view(np.uint8)[None], cv2.MORPH_CLOSE, np.ones((1, GUTTER), np.uint8))[0] > 0
    edges = np.flatnonzero(np.diff(np.r_[False, closed, False].astype(np.int8)))
    width = len(apart)
    return [
        (max(0, int(a) - RIM), min(width, int(b) + RIM))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if apart[a:b].any()
    ]


def _explains(segments: Sequence[Segment], one: Pixels, two: Pixels) -> bool:
    rows = min(len(one), len(two))
    before = shifts.mismatch(one[:rows], two[:rows])
    there, here = (
        np.concatenate([image[each[own] : each[own] + each.rows] for each in segments])
        for own, image in enumerate((one, two))
    )
    return shifts.mismatch(there, here) <= BETTER * before


def laid(first: Pixels, second: Pixels, columns: Sequence[Column]) -> Pixels:
    """The second page with its columns' rows where the first has them; what only one of them shows is the first's."""
    rows = min(len(first), len(second))
    out = first.copy()
    out[:rows] = second[:rows]
    for each in columns:
        across = slice(each.left, each.right)
        out[:, across] = first[:, across]
        for segment in each.segments:
            target = slice(segment.first, segment.first + segment.rows)
            out[target, across] = second[segment.second : segment.second + segment.rows, across]
    return out


def moved(box: Box, columns: Sequence[Column], own: int) -> Box:
    """A box of one page (0: the first) on the other: its rows go where the column goes that holds it."""
    for each in columns:
        if each.left < box.right and box.x < each.right:
            rows = [
                (start[1 - own] + max(0, box.y - start[own]), start[1 - own] + min(start.rows, box.bottom - start[own]))
                for start in each.segments
                if start[own] < box.bottom and box.y < start[own] + start.rows
            ]
            if rows and not (each.left <= box.x and box.right <= each.right):
                rows.append((box.y, box.bottom))  # the rest of it stays
            if rows:
                top, bottom = min(start for start, _ in rows), max(end for _, end in rows)
                return box._replace(y=top, height=bottom - top)
    return box
