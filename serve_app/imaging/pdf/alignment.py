"""Which page of one document is which of the other, where pages were put in or taken out.
Sees small grey renderings only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

# Distances: 0 the same, 1 nothing in common. Drawn pages of one layout with other text lie at 0.3 to 0.6, a page with a
# changed paragraph under 0.2 (tests/worlds/pdfs.py): two pages farther apart than two gaps are no pair.
GAP: Final = 0.15
# Between pages that are surely the same, the others are one another's new versions, for as many as there are.
NO_GAP: Final = 1.0
_FLAT: Final = 1.0  # grey values: an empty page

Pages = tuple[int | None, int | None]
_Floats = npt.NDArray[np.float64]


def aligned(reference: Sequence[bytes], candidate: Sequence[bytes]) -> list[Pages]:
    """Pages from 1, in reading order; None where there is no such page on this side. `reference`, `candidate`: of each
    page as many grey values.

    Needleman and Wunsch (1970) over the pages' distances, then once more for what lies between the pages found, as a
    page that was written anew stands where the old one stood.
    """
    distances = _distances(reference, candidate)
    pages: list[Pages] = []
    done = (0, 0)
    for row, column in [*_matched(distances, GAP), (len(reference), len(candidate))]:
        pages += _between(distances, done, (row, column))
        if row < len(reference):
            pages.append((row + 1, column + 1))
        done = row + 1, column + 1
    return pages


def _between(distances: _Floats, begin: tuple[int, int], end: tuple[int, int]) -> list[Pages]:
    block = distances[begin[0] : end[0], begin[1] : end[1]]
    pages: list[Pages] = []
    row, column = begin
    pairs = [(begin[0] + one, begin[1] + other) for one, other in _matched(block, NO_GAP)]
    for pair in [*pairs, end]:
        pages += [(each + 1, None) for each in range(row, pair[0])]
        pages += [(None, each + 1) for each in range(column, pair[1])]
        if pair != end:
            pages.append((pair[0] + 1, pair[1] + 1))
        row, column = pair[0] + 1, pair[1] + 1
    return pages


def _matched(distances: _Floats, gap: float) -> list[tuple[int, int]]:
    """The pairs of the cheapest way through, each side in its order; a page left out costs `gap`."""
    rows, columns = distances.shape
    costs = np.empty((rows + 1, columns + 1))
    costs[0], costs[:, 0] = np.arange(columns + 1) * gap, np.arange(rows + 1) * gap
    for row in range(1, rows + 1):
        above, this = costs[row - 1], costs[row]
        pair, without = above[:-1] + distances[row - 1], above[1:] + gap
        for column in range(1, columns + 1):
            this[column] = min(pair[column - 1], without[column - 1], this[column - 1] + gap)
    found: list[tuple[int, int]] = []
    row, column = rows, columns
    while row and column:
        if costs[row, column] == costs[row - 1, column - 1] + distances[row - 1, column - 1]:
            row, column = row - 1, column - 1
            found.append((row, column))
        elif costs[row, column] == costs[row - 1, column] + gap:
            row -= 1
        else:
            column -= 1
    return found[::-1]


def _distances(reference: Sequence[bytes], candidate: Sequence[bytes]) -> _Floats:
    """1 less the correlation of two pages' ink, from 0 to 1; an empty page is like an empty page alone."""
    one, one_is_flat = _normalised(reference)
    other, other_is_flat = _normalised(candidate)
    distances = np.clip(1 - one @ other.T, 0, 1)
    distances[np.ix_(one_is_flat, other_is_flat)] = 0
    distances[distances < 1e-9] = 0  # rounding
    return distances


def _normalised(pages: Sequence[bytes]) -> tuple[_Floats, npt.NDArray[np.bool_]]:
    grey = np.array([np.frombuffer(page, np.uint8) for page in pages], np.float64)
    centred = grey - grey.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    is_flat = lengths[:, 0] < _FLAT * np.sqrt(grey.shape[1])
    return np.where(is_flat[:, None], 0, centred / np.maximum(lengths, 1e-9)), is_flat
