"""Whether an encoder made a difference: what re-encoding makes of one picture is the other.
Knows small places of two pictures on one grid.

JPEG works on blocks of 8 or 16 pixels that start at the picture's corner, so a place can be encoded alone and shows
what the whole would. Words on a strong colour ring and bleed by twenty levels at quality 80, and nobody drew that;
one pixel that somebody did draw stays when the encoder has had its say. So nothing is guessed from blockiness: the
place is encoded at common qualities, and its change is residue where one of them explains it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import MASK_GREY, Box, Pixels
from serve_app.measurement.tiles import Grid

BLOCK = 16  # pixels of a block whose colour is kept at half size
BUDGET = 1 << 16  # pixels encoded for one pair: 2 ms; residue is small, and one encoder made all of it
QUALITIES = (75, 85, 90, 80, 95, 92, 70, 65, 60, 50)
SAMPLINGS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
OUTSIDE = 0.02  # of the pixels around a place are off too: encoders leave nothing around it alone, people do
REST = 0.5  # of the change's mean and peak may stay: the next quality of the list is near
REST_LEVELS = 2.0  # ... or so many levels of mean
ROUNDED = 1.5  # levels that lightness may be off for the rounding of colours

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Encoder:
    quality: int
    sampling: int
    is_second: bool  # the second picture is the copy

    def copy(self, picture: Pixels) -> Pixels:
        """What this encoder makes of BGR, or of lightness alone."""
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, self.sampling]
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, options)[1], cv2.IMREAD_UNCHANGED), np.uint8)


class _Place:
    """A place of both pictures (RGB), and which of its pixels an encoder would have to explain."""

    def __init__(self, first: Pixels, second: Pixels, changed: Mask) -> None:
        self._changed = changed
        self._pictures = tuple(cv2.cvtColor(each, cv2.COLOR_RGB2BGR) for each in (first, second))
        self._light = tuple(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (first, second))
        change = cv2.absdiff(first, second)[changed].max(axis=1)
        self._mean = max(REST_LEVELS, REST * float(change.mean()))
        self._most = REST * int(change.max()) + REST_LEVELS

    def may_come_from(self, encoder: _Encoder) -> bool:
        """Whether lightness alone rules it out: a third of the work, and most are."""
        rest = np.abs(self._left(self._light, encoder))
        return bool(rest.mean() <= self._mean + ROUNDED and rest.max() <= self._most + ROUNDED)

    def comes_from(self, encoder: _Encoder) -> bool:
        left = self._left(self._pictures, encoder)
        if np.abs(left.mean(axis=0)).max() > REST_LEVELS:  # a tint
            return False
        rest = np.abs(left).max(axis=1)
        return bool(rest.mean() <= self._mean and rest.max() <= self._most)

    def _left(self, pictures: Sequence[Pixels], encoder: _Encoder) -> NDArray[np.int16]:
        one, two = pictures if encoder.is_second else reversed(pictures)
        return np.asarray(two[self._changed].astype(np.int16) - encoder.copy(one)[self._changed])


class Residue:
    """Tells residue from change on one grid; remembers the encoders that explained something, and what was spent."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known: list[_Encoder] = []
        self._left = BUDGET if not grid.jitter and grid.first_alpha is None and grid.second_alpha is None else 0

    def among(self, boxes: Sequence[Box], masks: Sequence[Box] = ()) -> set[Box]:
        """Which of the boxes hold nothing but what JPEG leaves. `masks` are grey in both pictures."""
        return {box for box in sorted(boxes, key=lambda each: (each.area, each)) if self._is_residue(box, masks)}

    def _is_residue(self, box: Box, masks: Sequence[Box]) -> bool:
        place = _blocks_around(self._grid, box)
        if place.area > self._left:
            return False
        first, second = (_masked(image, place, masks) for image in (self._grid.first, self._grid.second))
        off = cv2.absdiff(first, second).max(axis=2) > 0
        inside: Mask = np.zeros(off.shape, bool)
        inside[box.y - place.y : box.bottom - place.y, box.x - place.x : box.right - place.x] = True
        if np.count_nonzero(off & ~inside) < OUTSIDE * np.count_nonzero(~inside) or not (off & inside).any():
            return False
        pictures = _Place(first, second, off & inside)
        ruled_out: dict[tuple[int, bool], bool] = {}  # by lightness, which no sampling changes
        for encoder in [*self._known, *(each for each in _ENCODERS if each not in self._known)]:
            if place.area > self._left:
                break
            kind = encoder.quality, encoder.is_second
            if kind not in ruled_out:
                self._left -= place.area // 2
                ruled_out[kind] = not pictures.may_come_from(encoder)
            if ruled_out[kind]:
                continue
            self._left -= place.area
            if pictures.comes_from(encoder):
                self._known = [encoder, *(each for each in self._known if each != encoder)]
                return True
        return False


_ENCODERS = [_Encoder(*each) for each in itertools.product(QUALITIES, SAMPLINGS, (True, False))]


def _blocks_around(grid: Grid, box: Box) -> Box:
    """Whole blocks that hold the box, and one more on each side: smooth upsampling looks across."""
    left, top = (max(0, (start // BLOCK - 1) * BLOCK) for start in (box.x, box.y))
    right, bottom = (-(-end // BLOCK) * BLOCK + BLOCK for end in (box.right, box.bottom))
    return Box(left, top, min(grid.width, right) - left, min(grid.height, bottom) - top)


def _masked(picture: Pixels, place: Box, masks: Sequence[Box]) -> Pixels:
    view = picture[place.y : place.bottom, place.x : place.right].copy()
    for mask in masks:
        rows = slice(max(0, mask.y - place.y), max(0, mask.bottom - place.y))
        view[rows, max(0, mask.x - place.x) : max(0, mask.right - place.x)] = MASK_GREY
    return view
