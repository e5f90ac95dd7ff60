"""A pair on one grid, and where a box of the grid lies in each picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.placing import bands
from serve_app.measurement.placing.bands import Segment
from serve_app.measurement.tiles import Grid

BETTER = 0.5  # of the mismatch without it: what a shift or transform must reach to explain the pair
# to a fraction of a canvas pixel, not of a native one
Places = Callable[[Box], tuple[Box, Box]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A pair on one grid. `places`: a box of the grid in raster pixels of each picture.

    `geometry`: 1 for one frame, less the more the frames differ. `coarseness`: original pixels per grid pixel.
    `is_same_frame`: the same relative place shows the same thing in both. `segments`: of
    rows, from the top, where some were inserted or taken out between them; else none.
    """

    grid: Grid
    alignment: Alignment
    places: Places
    geometry: float
    is_same_frame: bool
    coarseness: float = 1.0
    segments: tuple[Segment, ...] = ()

    @property
    def parts(self) -> list[Box]:
        """Boxes of the grid that lie as rectangles in both pictures; none where one is turned."""
        width, height = self.grid.width, self.grid.height
        if abs(self.alignment.rotation_deg) > 0.2:
            return []
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
    return Alignment(
        found.kind,
        (round(back[0], 2) + 0.0, round(back[1], 2) + 0.0),
        round(scale, 4),
        round(-found.rotation_deg, 2) + 0.0,
        found.confidence,
    )


def resampled(image: Pixels, size: tuple[int, int]) -> Pixels:
    if (image.shape[1], image.shape[0]) == size:
        return image
    shape = (size[1], size[0], *image.shape[2:])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(shape)


def box_onto(box: Box, size: tuple[int, int], raster: Raster) -> Box:
    across, down = raster.width / size[0], raster.height / size[1]
    left, top = math.floor(box.x * across + 1e-9), math.floor(box.y * down + 1e-9)
    right = min(raster.width, math.ceil(box.right * across - 1e-9))
    bottom = min(raster.height, math.ceil(box.bottom * down - 1e-9))
    return Box(left, top, right - left, bottom - top)
