"""A picture under the light of another, made where it is read.
Knows no pair and estimates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import MASK_GREY, Pixels
from serve_app.measurement.tiles import HALO, TILE

ROWS_AT_ONCE = 32  # of a light that falls off: in floating point
MOST_ROWS = TILE + 2 * HALO  # lit at once and kept, for the tiles that are read of them


@dataclass(frozen=True, slots=True)
class Light:
    """value -> (gain x value ** gamma + offset) x light(x, y), channel by channel; values in parts of 255.

    `falls_off`: coefficients of `POWERS` for the frame, x and y in -1..1.
    """

    gain: NDArray[np.float64]
    gamma: NDArray[np.float64]
    offset: NDArray[np.float64]
    falls_off: NDArray[np.float64]

    def curve(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, 3) of (n, 3) or (n, 1)."""
        return np.asarray(self.gain * np.maximum(values, 1e-3) ** self.gamma + self.offset)


POWERS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))  # of x and y: a lamp at one side, and corners that fall off


class Lit:
    """A picture under the light of another, made where it is read: memory doesn't grow with the picture.

    In the place of an array: `shape`, and views by rows and columns. What is ignored stays grey in both.
    """

    def __init__(self, picture: Pixels, other: Pixels, light: Light) -> None:
        self.shape = picture.shape
        self._picture, self._other = picture, other
        levels = light.curve(np.arange(256)[:, None] / 255) * 255
        self._table = np.clip(np.round(levels), 0, 255).astype(np.uint8)[None]
        self._levels = np.maximum(levels, 0).astype(np.float32)[None]
        self._light = light.falls_off if np.abs(light.falls_off).sum() * 255 >= 1 else None
        self._strip: tuple[int, Pixels] = (0, np.empty((0, *picture.shape[1:]), np.uint8))

    def __getitem__(self, key: tuple[slice | int, slice]) -> Pixels:
        rows, columns = key
        if not isinstance(rows, slice):
            return np.asarray(self[rows : rows + 1, columns][0])
        top, bottom, step = rows.indices(self.shape[0])
        left, right, stride = columns.indices(self.shape[1])
        start, strip = self._strip  # once: another thread may read elsewhere
        if not (start <= top and bottom <= start + len(strip)):
            if right - left < self.shape[1] or bottom - top > MOST_ROWS:
                return self._made(slice(top, bottom, step), slice(left, right, stride))
            start, end = max(0, top - HALO), min(self.shape[0], bottom + HALO)
            strip = self._made(slice(start, end, 1), slice(0, self.shape[1], 1))
            self._strip = start, strip
        return strip[top - start : bottom - start : step, left:right:stride]

    def _made(self, rows: slice, columns: slice) -> Pixels:
        view, other = (np.ascontiguousarray(each[rows, columns]) for each in (self._picture, self._other))
        if not view.size:
            return view  # beside a box at the picture's edge: OpenCV makes None of nothing
        out = cv2.LUT(view, self._table) if self._light is None else self._fallen_off(view, rows, columns)
        same = (view == MASK_GREY) & (other == MASK_GREY)
        if same.any():
            out[same.all(axis=2)] = MASK_GREY
        return np.asarray(out, np.uint8)

    def _fallen_off(self, view: Pixels, rows: slice, columns: slice) -> Pixels:
        assert self._light is not None
        y, x = (
            np.linspace(-1, 1, side, dtype=np.float32)[part]
            for side, part in zip(self.shape[:2], (rows, columns), strict=True)
        )
        out = np.empty_like(view)
        for top in range(0, len(view), ROWS_AT_ONCE):
            part = slice(top, top + ROWS_AT_ONCE)
            light = sum(c * np.outer(y[part] ** j, x**i) for c, (i, j) in zip(self._light, POWERS, strict=True)) + 1
            planes = [
                cv2.multiply(cv2.LUT(plane, levels), np.asarray(light, np.float32))
                for plane, levels in zip(cv2.split(view[part]), cv2.split(self._levels), strict=True)
            ]
            out[part] = cv2.convertScaleAbs(cv2.merge(planes))
        return out
