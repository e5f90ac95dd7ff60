"""Both pictures as one sees them whole: at most a megapixel each, averaged down.
No places, no boxes: what is decided here holds for the picture as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from serve_app.measurement import colour, tiles
from serve_app.measurement.scoring import detail, ssim
from serve_app.measurement.tiles import Background, Grid

MOST_PIXELS = 1 << 20  # of one picture for SSIM: Wang's SSIM wants pictures averaged down to viewing size
SHAPE_PIXELS = 1 << 16  # for aspects: 256x256, a few milliseconds
BAND_PIXELS = 1 << 18  # of a band that is compared, then shrunk: 0.8 MB stay in a core's cache


@dataclass(frozen=True, slots=True)
class Look:
    """One pair on one background: SSIM, mean CIEDE2000, the share of detail exchanged, and small Lab pictures."""

    ssim: float
    delta_e: float
    exchanged: float
    first: colour.Lab
    second: colour.Lab


def look(grid: Grid, background: Background) -> Look:
    one, two = _shrunk(grid, background)
    light = [
        np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8).reshape(image.shape[:2]) for image in (one, two)
    ]
    small = [colour.lab(_reduced(image, SHAPE_PIXELS)) for image in (one, two)]
    blocks = [cv2.resize(image, _size(image, 4096), interpolation=cv2.INTER_AREA) for image in small]
    apart = float(colour.delta_e(*(np.asarray(block, np.float32) for block in blocks)).mean())
    return Look(ssim.mean_ssim(*light), apart, detail.exchanged(*light), *small)


def _shrunk(grid: Grid, background: Background) -> tuple[Pixels, Pixels]:
    """Both at `MOST_PIXELS` or less. In bands, so that a copy on black stays small; an equal band is shrunk once."""
    halvings, width, height = 0, grid.width, grid.height
    while width * height > MOST_PIXELS and min(width, height) > 1:
        halvings, width, height = halvings + 1, width // 2, height // 2
    whole = Box(0, 0, grid.width, grid.height)
    if not halvings:
        one, two = grid.window(whole, background)
        return _reduced(one, MOST_PIXELS), _reduced(two, MOST_PIXELS)
    one, two = np.empty((height, width, 3), np.uint8), np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // grid.width >> halvings)
    for y in range(0, height, rows):
        band = whole._replace(y=y << halvings, height=min(rows, height - y) << halvings)
        first, second = grid.window(band, background)
        one[y : y + rows] = _halved(first, halvings)
        two[y : y + rows] = one[y : y + rows] if tiles.same(first, second) else _halved(second, halvings)
    return _reduced(one, MOST_PIXELS), _reduced(two, MOST_PIXELS)


def _halved(image: Pixels, times: int) -> Pixels:
    """Halving is the one averaging that runs at the speed of memory; a last odd row or column can go."""
    for _ in range(times):
        size = (image.shape[1] // 2, image.shape[0] // 2)
        even = image[: 2 * size[1], : 2 * size[0]]
        image = np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(*size[::-1], 3)
    return image


def _size(image: NDArray[np.generic], pixels: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = max(1.0, math.sqrt(width * height / pixels))
    return max(1, round(width / factor)), max(1, round(height / factor))


def _reduced(image: Pixels, pixels: int) -> Pixels:
    """At most so many pixels, and no fewer than it takes: what is fine on one canvas must be so on another."""
    while image.shape[0] * image.shape[1] >= 4 * pixels and min(image.shape[:2]) > 1:
        image = _halved(image, 1)
    size = _size(image, pixels)
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
