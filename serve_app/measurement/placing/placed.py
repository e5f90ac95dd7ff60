"""A pair on one grid, and where a box of the grid lies in each picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.placing import bands
from serve_app.measurement.placing.bands import Segment
from serve_app.measurement.placing.columns import Column
from serve_app.measurement.tiles import Grid

BETTER = 0.5  # of the mismatch without it: what a shift or transform must reach to explain the pair
# to a fraction of a canvas pixel, not of a native one
PART = 32  # pixels of a part of a tilted picture: as good as upright
TURNED = 6.0  # degrees: more, and no such part is
Places = Callable[[Box], tuple[Box, Box]]
Back = Callable[[Box, int], Box | None]
Boxes = tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A pair on one grid. `places`: a box of the grid in raster pixels of each picture. `back`: the box of the grid
    that holds a box of one picture (0: the first) in its raster pixels; None where all of it lies off the grid.

    `geometry`: 1 for one frame, less the more the frames differ. `coarseness`: original pixels per grid pixel.
    `is_same_frame`: the same relative place shows the same thing in both. `segments`: of
    rows, from the top, where some were inserted or taken out between them; else none. `columns`: those in which rows
    were, beside others that stayed; the grid is then the first picture's frame. `ignored`: boxes of each
    picture, in its raster pixels, in which nothing counts; the grid is grey there already.
    """

    grid: Grid
    alignment: Alignment
    places: Places
    geometry: float
    is_same_frame: bool
    back: Back
    coarseness: float = 1.0
    segments: tuple[Segment, ...] = ()
    columns: tuple[Column, ...] = ()
    ignored: tuple[Boxes, Boxes] = ((), ())

    @property
    def is_warped(self) -> bool:
        """One picture was turned, zoomed or tilted to meet the other: no pixel is equal to the last level."""
        return self.alignment.kind in ("features", "perspective")

    @property
    def parts(self) -> list[Box]:
        """Boxes of the grid that lie as rectangles in both pictures, nearly; none where one is turned, or over."""
        width, height = self.grid.width, self.grid.height
        if self.alignment.kind == "perspective" and abs(self.alignment.rotation_deg) < TURNED:
            return [
                Box(x, y, min(PART, width - x), min(PART, height - y))
                for y in range(0, height, PART)
                for x in range(0, width, PART)
            ]
        if abs(self.alignment.rotation_deg) > 0.2 or self.alignment.kind == "mirrored":
            return []
        if self.columns:
            edges = [0, *(x for each in self.columns for x in (each.left, each.right)), width]
            beside = [Box(a, 0, b - a, height) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
            within_them = [
                Box(each.left, segment.first, each.right - each.left, segment.rows)
                for each in self.columns
                for segment in each.segments
            ]
            return beside + within_them
        if not self.segments:
            return [Box(0, 0, width, height)]
        tops = bands.tops(self.segments)
        return [Box(0, top, width, each.rows) for top, each in zip(tops, self.segments, strict=True)]


def turned_alignment(found: Alignment) -> Alignment:
    """The same alignment seen from the other picture."""
    scale = 1 / found.scale
    angle = math.radians(found.rotation_deg)
    x, y = found.shift
    back = (-(x * math.cos(angle) + y * math.sin(angle)) * scale, (x * math.sin(angle) - y * math.cos(angle)) * scale)
    turn = found.rotation_deg if found.kind == "mirrored" else -found.rotation_deg  # turned over, it turns the same way
    return Alignment(
        found.kind,
        (round(back[0], 2) + 0.0, round(back[1], 2) + 0.0),
        round(scale, 4),
        round(turn, 2) + 0.0,
        found.confidence,
        None if found.matrix is None else matrix_rows(np.linalg.inv(np.array(found.matrix))),
        None if found.scales is None else (round(1 / found.scales[0], 4), round(1 / found.scales[1], 4)),
    )


def matrix_of(found: Alignment) -> NDArray[np.float64]:
    """3x3, from pixels of one picture to pixels of the other, of an alignment by one transform."""
    if found.matrix is not None:
        return np.array(found.matrix)
    across, down = found.scales or (found.scale, found.scale)
    angle = math.radians(found.rotation_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array(
        [[across * cos, -across * sin, found.shift[0]], [down * sin, down * cos, found.shift[1]], [0, 0, 1.0]]
    )


def matrix_rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    """A homography as reports have it: its last number 1, eight digits each."""
    return tuple((float(f"{a:.8g}"), float(f"{b:.8g}"), float(f"{c:.8g}")) for a, b, c in matrix / matrix[2, 2])


def nearest_similarity(
    matrix: NDArray[np.float64], at: tuple[float, float]
) -> tuple[float, float, tuple[float, float]]:
    """Scale, turn in degrees and shift of a homography around one point."""
    x, y, depth = matrix @ (*at, 1.0)
    landed = np.array([x, y]) / depth
    slope = (matrix[:2, :2] - np.outer(landed, matrix[2, :2])) / depth
    scale = math.sqrt(abs(float(np.linalg.det(slope))))
    turn = math.atan2(slope[1, 0] - slope[0, 1], slope[0, 0] + slope[1, 1])
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    shift = (float(landed[0] - cos * at[0] + sin * at[1]), float(landed[1] - sin * at[0] - cos * at[1]))
    return scale, math.degrees(turn), shift


def within(box: Box, size: tuple[int, int]) -> Box | None:
    """What of a box lies in a frame of `size` (width, height); None where nothing does."""
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(size[0], box.right), min(size[1], box.bottom)
    return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


def resampled(image: Pixels, size: tuple[int, int]) -> Pixels:
    if (image.shape[1], image.shape[0]) == size:
        return image
    shape = (size[1], size[0], *image.shape[2:])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(shape)


def box_onto(box: Box, size: tuple[int, int], raster: Raster) -> Box:
    """A box of a grid of `size` in pixels of a raster that fills it."""
    return _scaled(box, size, (raster.width, raster.height))


def box_back(box: Box, raster: Raster, size: tuple[int, int]) -> Box | None:
    """A box of a raster on a grid of `size` that it fills; None outside."""
    inside = within(box, (raster.width, raster.height))
    return None if inside is None else _scaled(inside, (raster.width, raster.height), size)


def _scaled(box: Box, size: tuple[int, int], to: tuple[int, int]) -> Box:
    across, down = to[0] / size[0], to[1] / size[1]
    left, top = math.floor(box.x * across + 1e-9), math.floor(box.y * down + 1e-9)
    right = min(to[0], math.ceil(box.right * across - 1e-9))
    bottom = min(to[1], math.ceil(box.bottom * down - 1e-9))
    return Box(left, top, right - left, bottom - top)
