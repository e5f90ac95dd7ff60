"""Strokes that were drawn anew, and strokes drawn in another tone: what an edge's jitter would hide.
Knows planes of lightness of one tile of two pictures.

A digit of 9 px differs from another in a few pixels, all beside edges; a line of one pixel is an edge all along.
Two tests tell them from anti-aliasing, which excuses such pixels elsewhere:
- Where an edge only sits elsewhere, the change, smoothed, is what the slope of the smoothed picture gives for the
  distance (the brightness constancy of optical flow, Horn and Schunck 1981). A stroke that came or went leaves more;
  and edges that jitter do so together, along rows or down columns, while beside another digit all others stay.
- In another tone, a stroke's change is one share of its contrast to the ground, in every pixel, its core included.
  A bolder or thinner stroke changes at its edges most.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels
from serve_app.measurement.tiles import CELL, HALO, by_cell, cell_means, spread, whole_cells

# Drawn anew
LEAST = 20  # levels that a pixel must be off
QUIET = 0.5  # of the pixels around, at least, are the same: what differs everywhere was rendered otherwise
QUIET_WINDOW = (5, 5)  # cells
JITTER = 0.75  # pixels that an edge may sit elsewhere, half a pixel along both axes
LEFT_STEADY, LEFT = 0.06, 0.2  # of the contrast left beyond that: where the edges around stay, and where they don't
STEADY = 0.45  # of the edges around stay, of those along rows and of those down columns
STEADY_WINDOW = (25, 25)  # pixels
EDGE, STAYS = 40, 1  # levels of an edge's contrast; levels that it may be off
LEAST_CONTRAST = 40.0  # levels

# In another tone
ONE_WAY = 0.85  # of what changed around goes in one direction
ONE_WAY_LEAST = 0.25  # levels, in the mean of the window: ten along a line of one pixel make 0.4
TONE_WINDOW = (3, 3)  # cells
TONE_PIXEL = 5  # levels from which a pixel shows it
TONE_LEAST = 8  # levels that the strongest must be off: ten in the ink, less its covering
UNLIKE = 0.1  # of the change that one share of the contrast may leave unexplained

Mask = NDArray[np.bool_]
_Plane = NDArray[np.float32]
_SMOOTH = np.array([1, 2, 1], np.float32) / 4
_NEAR = np.ones((3, 3), np.uint8)
_WIDE = np.ones((5, 5), np.uint8)


def redrawn(one: Pixels, two: Pixels, off: Pixels) -> Mask:
    """Pixels of strokes that came or went. `one`, `two`: lightness; `off`: how far it is off. Symmetric."""
    found = np.zeros(off.shape, bool)
    same = cell_means((off == 0).view(np.uint8))
    cells = cv2.blur(same, QUIET_WINDOW) >= QUIET
    cells &= by_cell(whole_cells(off), np.maximum) >= LEAST
    if not cells.any():
        return found
    rows, columns = _around(cells)
    part = _left(one[rows, columns], two[rows, columns])
    part &= off[rows, columns] >= LEAST
    found[rows, columns] = part
    return np.asarray(found & spread(cells, off.shape))


def _around(cells: Mask) -> tuple[slice, slice]:
    """Pixels of the cells and of what is looked at around them."""
    left, top, wide, high = (each * CELL for each in cv2.boundingRect(cells.view(np.uint8)))
    return slice(max(0, top - HALO), top + high + HALO), slice(max(0, left - HALO), left + wide + HALO)


def _left(one: Pixels, two: Pixels) -> Mask:
    """Pixels whose change is more than edges that jitter explain."""
    before, after = one.astype(np.float32), two.astype(np.float32)
    change, middle = (cv2.sepFilter2D(each, -1, _SMOOTH, _SMOOTH) for each in (after - before, (before + after) / 2))
    slope = np.hypot(cv2.Sobel(middle, -1, 1, 0, ksize=1), cv2.Sobel(middle, -1, 0, 1, ksize=1)) / 2
    contrast = np.maximum(*(_range(plane, _WIDE) for plane in (one, two))).astype(np.float32)
    share = (np.abs(change) - JITTER * slope) / np.maximum(contrast, LEAST_CONTRAST)
    found = share > LEFT_STEADY
    if found.any():
        found &= (share > LEFT) | _steady(one, two)
    return np.asarray(cv2.dilate(found.view(np.uint8), _NEAR) > 0)


def _steady(one: Pixels, two: Pixels) -> Mask:
    """Where most edges around stay as they are, those along rows and those down columns."""
    stays = cv2.absdiff(one, two) <= STAYS
    steady = np.ones(one.shape, bool)
    for window in (np.ones((3, 1), np.uint8), np.ones((1, 3), np.uint8)):
        edges = np.maximum(_range(one, window), _range(two, window)) >= EDGE
        all_of_them, staying = (cv2.blur(each.astype(np.float32), STEADY_WINDOW) for each in (edges, edges & stays))
        steady &= staying >= STEADY * all_of_them
    return steady


def _range(plane: Pixels, window: Pixels) -> Pixels:
    return np.asarray(cv2.subtract(cv2.dilate(plane, window), cv2.erode(plane, window)), np.uint8)


def toned(one: Pixels, two: Pixels, off: Pixels, drift: _Plane, amount: _Plane) -> Mask:
    """Pixels of strokes in another tone. `one`, `two`: one plane of both; `off`: how far it is off; `drift`, `amount`:
    means of the cells' differences, with and without their signs. Symmetric."""
    found = np.zeros(off.shape, bool)
    total = cv2.blur(amount, TONE_WINDOW)
    cells = (total >= ONE_WAY_LEAST) & (np.abs(cv2.blur(drift, TONE_WINDOW)) >= ONE_WAY * total)
    cells &= by_cell(whole_cells(off), np.maximum) >= TONE_LEAST
    if not cells.any():
        return found
    # The side of a stem lies between its ink and the ground; the core of a stroke doesn't.
    core = np.where(_is_end(one) & _is_end(two), off, np.uint8(0))
    cells &= cv2.dilate(by_cell(whole_cells(core), np.maximum), np.ones(TONE_WINDOW, np.uint8)) >= TONE_LEAST
    left, top, wide, high = cv2.boundingRect(cells.view(np.uint8))
    left, top, right, bottom = max(0, left - 1), max(0, top - 1), left + wide + 1, top + high + 1
    rows, columns = slice(top * CELL, bottom * CELL), slice(left * CELL, right * CELL)
    alike = _of_one_share(one[rows, columns], two[rows, columns], off[rows, columns])
    cells[top:bottom, left:right] &= alike[: cells[top:bottom].shape[0], : cells[:, left:right].shape[1]]
    return np.asarray(spread(cells, off.shape) & (off >= TONE_PIXEL))


def _is_end(plane: Pixels) -> Mask:
    """The darkest or the lightest of the pixels around."""
    return np.asarray((plane <= cv2.erode(plane, _NEAR)) | (plane >= cv2.dilate(plane, _NEAR)))


def _of_one_share(one: Pixels, two: Pixels, off: Pixels) -> Mask:
    """Cells around which every change is one share of the contrast to the ground: what is beside it and stayed."""
    changed = off > STAYS
    beside = ((cv2.dilate(changed.view(np.uint8), _NEAR) > 0) & ~changed).astype(np.float32)
    before, after, weight = one.astype(np.float32), two.astype(np.float32), changed.astype(np.float32)
    change, middle = (after - before) * weight, (before + after) * np.float32(0.5)
    ground = _sums(middle * beside) / np.maximum(1, _sums(beside))
    count, level, square = _sums(weight), _sums(middle * weight), _sums(middle * middle * weight)
    product = _sums(change * middle) - ground * _sums(change)
    power = square - 2 * ground * level + ground * ground * count
    energy = _sums(change * change)
    explained = np.square(product) / np.maximum(power, 1)
    return np.asarray((energy > 0) & (energy - explained <= UNLIKE * energy))


def _sums(plane: _Plane) -> _Plane:
    """Over windows of cells, one a cell."""
    whole = np.asarray(whole_cells(plane), np.float32)
    size = (whole.shape[1] // CELL, whole.shape[0] // CELL)
    means = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    return np.asarray(cv2.blur(means, TONE_WINDOW, borderType=cv2.BORDER_REFLECT_101) * CELL * CELL, np.float32)
