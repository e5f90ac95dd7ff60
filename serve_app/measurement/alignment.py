"""Brings two pictures onto one grid by the cheapest step that explains the pair.
Decides places only; what differs there is others' work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from serve_app.core import Alignment, Box, Pixels, Raster
from serve_app.measurement.tiles import Grid

ASPECT_SLACK = 0.01  # of the aspect ratio: rounding of a resize
Places = Callable[[Box], tuple[Box, Box]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A pair on one grid. `places`: a box of the grid in raster pixels of each picture.

    `geometry`: 1 for one size, less the more the frames differ. `coarseness`: original pixels per grid pixel.
    `is_same_frame`: the same relative place shows the same thing in both.
    """

    grid: Grid
    alignment: Alignment
    places: Places
    geometry: float
    is_same_frame: bool
    coarseness: float = 1.0


def align(first: Raster, second: Raster) -> Placed:
    """`first` is the smaller picture, or of one size with `second`."""
    if first.pixels.shape == second.pixels.shape:
        grid = Grid(first.pixels, second.pixels, first.alpha, second.alpha)
        return Placed(grid, Alignment("none"), lambda box: (box, box), 1.0, True)
    return _resized(first, second)


def turned(found: Alignment) -> Alignment:
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


def _resized(first: Raster, second: Raster) -> Placed:
    """Both at the smaller resolution: detail that one picture never had is no difference."""
    stretch = (second.width / first.width) / (second.height / first.height)
    rounding = 0.5 / min(first.width, first.height, second.width, second.height)
    same_aspect = abs(math.log(stretch)) <= ASPECT_SLACK + 2 * rounding
    size = (min(first.width, second.width), min(first.height, second.height))
    pixels = [_to(raster.pixels, size) for raster in (first, second)]
    alphas = [None if raster.alpha is None else _to(raster.alpha, size) for raster in (first, second)]
    grid = Grid(pixels[0], pixels[1], alphas[0], alphas[1], jitter=1)
    scale = math.sqrt(second.width * second.height / (first.width * first.height))

    def places(box: Box) -> tuple[Box, Box]:
        return _onto(box, size, first), _onto(box, size, second)

    found = Alignment("resized" if same_aspect else "unaligned", scale=round(scale, 4))
    geometry = 1 - 0.02 * min(1.0, abs(math.log2(scale))) - min(0.15, 0.3 * abs(math.log(stretch)))
    coarse = max(raster.original_width / size[0] for raster in (first, second))
    return Placed(grid, found, places, geometry, same_aspect, coarse)


def _to(image: Pixels, size: tuple[int, int]) -> Pixels:
    if (image.shape[1], image.shape[0]) == size:
        return image
    shape = (size[1], size[0], *image.shape[2:])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(shape)


def _onto(box: Box, size: tuple[int, int], raster: Raster) -> Box:
    across, down = raster.width / size[0], raster.height / size[1]
    left, top = math.floor(box.x * across + 1e-9), math.floor(box.y * down + 1e-9)
    right = min(raster.width, math.ceil(box.right * across - 1e-9))
    bottom = min(raster.height, math.ceil(box.bottom * down - 1e-9))
    return Box(left, top, right - left, bottom - top)
