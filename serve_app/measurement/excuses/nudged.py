"""Letters and lines that stand a fraction of a pixel further in one picture: a browser's rounding, no difference.
Knows small places of two pictures on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import MASK_GREY, Box, Pixels
from serve_app.measurement import visible
from serve_app.measurement.tiles import Grid

FARTHEST = 0.8  # pixels along either axis: more is a move
NEAREST = 0.1  # ... in all: less explains nothing
LEFT = 0.55  # of the change's energy that a nudge may leave: of letters of 9 px .51, another digit .7 and more
MARGIN = 4  # pixels around what is looked at, so that what is nudged into it is there
AROUND = 8  # pixels around a place that must be nudged with it: one letter never is
ROUNDS = 6  # of Lucas and Kanade's step: letters aren't linear
STRIDE = 0.4  # pixels of one at most
BUDGET = 1 << 19  # pixels looked at for one pair: 20 ms
ONE_WAY = 0.25  # of the change's deviation that its mean may be
LEAST = 4.0  # levels squared that a place differs by on average, at least


class Nudges:
    """Tells nudged places of one grid; remembers what was spent."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._left = BUDGET if not grid.jitter and grid.first_alpha is None and grid.second_alpha is None else 0

    def among(self, boxes: Sequence[Box], masks: Sequence[Box] = ()) -> set[Box]:
        """Which of the boxes hold nothing but what stands a little further. `masks` are grey in both pictures."""
        return {box for box in sorted(boxes, key=lambda each: (each.area, each)) if self._is_nudged(box, masks)}

    def _is_nudged(self, box: Box, masks: Sequence[Box]) -> bool:
        near = self._grown(box, AROUND)
        place = self._grown(near, MARGIN)
        if place.area > self._left or min(place.width, place.height) < 2 * MARGIN:
            return False
        self._left -= place.area
        one, two = (_masked(image, place, masks) for image in (self._grid.first, self._grid.second))
        by = _nudge(one, two, _within(near, place))
        return by is not None and not visible.mask(_nudged(one, by), two, 1)[0][_within(box, place)].any()

    def _grown(self, box: Box, by: int) -> Box:
        left, top = max(0, box.x - by), max(0, box.y - by)
        right, bottom = min(self._grid.width, box.right + by), min(self._grid.height, box.bottom + by)
        return Box(left, top, right - left, bottom - top)


def _within(box: Box, place: Box) -> tuple[slice, slice]:
    return (slice(box.y - place.y, box.bottom - place.y), slice(box.x - place.x, box.right - place.x))


def _nudge(one: Pixels, two: Pixels, inside: tuple[slice, slice]) -> tuple[float, float] | None:
    """How far right and down of itself the second picture shows the first, by Lucas and Kanade (1981); None where
    that leaves too much, or is too far, or hardly any way."""
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (one, two))
    apart = (second - first)[inside].ravel()
    before = float(apart @ apart) / apart.size
    # What is lost on one side is gained on the other: or it's no nudge.
    if before < LEAST or abs(float(apart.mean())) > ONE_WAY * math.sqrt(before):
        return None
    x = y = 0.0
    moved = first
    for index in range(ROUNDS):
        step = _step(moved, second, inside)
        if step is None or (not index and math.hypot(*step) < NEAREST):
            return None
        x, y = x + min(STRIDE, max(-STRIDE, step[0])), y + min(STRIDE, max(-STRIDE, step[1]))
        moved = _nudged(first, (x, y))
    if max(abs(x), abs(y)) > FARTHEST:
        return None
    rest = float(np.square(second - moved)[inside].mean())
    return (x, y) if math.hypot(x, y) >= NEAREST and rest <= LEFT * before else None


def _step(
    one: NDArray[np.float32], two: NDArray[np.float32], inside: tuple[slice, slice]
) -> tuple[float, float] | None:
    mean = (one + two) / 2
    right, down = (cv2.Sobel(mean, -1, dx, dy, ksize=3, scale=1 / 8)[inside].ravel() for dx, dy in ((1, 0), (0, 1)))
    apart = (one - two)[inside].ravel()
    slopes = np.array([[right @ right, right @ down], [right @ down, down @ down]], np.float64)
    slopes += np.eye(2) * 1e-3 * np.trace(slopes)  # along a straight line nothing says how far
    if np.trace(slopes) < 1:
        return None
    x, y = np.linalg.solve(slopes, np.array([right @ apart, down @ apart], np.float64))
    return float(x), float(y)


def _nudged(image: NDArray[np.generic], by: tuple[float, float]) -> Pixels:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]])
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def _masked(picture: Pixels, place: Box, masks: Sequence[Box]) -> Pixels:
    view = picture[place.y : place.bottom, place.x : place.right].copy()
    for mask in masks:
        rows = slice(max(0, mask.y - place.y), max(0, mask.bottom - place.y))
        view[rows, max(0, mask.x - place.x) : max(0, mask.right - place.x)] = MASK_GREY
    return view
