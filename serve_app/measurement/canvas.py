"""Both pictures as one sees them whole: at most a megapixel each, averaged down.
No places, no boxes: what is decided here holds for the picture as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core import Box, Pixels
from serve_app.measurement import colour, ssim
from serve_app.measurement.tiles import Background, Grid

MOST_PIXELS = 1 << 20  # of one picture for SSIM: Wang's SSIM wants pictures averaged down to viewing size
SHAPE_PIXELS = 1 << 16  # for aspects: 256x256, a few milliseconds


@dataclass(frozen=True, slots=True)
class Look:
    """One pair on one background: SSIM, mean CIEDE2000, and small Lab pictures for the aspects."""

    ssim: float
    delta_e: float
    first: colour.Lab
    second: colour.Lab


def look(grid: Grid, background: Background) -> Look:
    one, two = (_shrunk(grid, background, which, MOST_PIXELS) for which in (0, 1))
    value = ssim.mean_ssim(*(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (one, two)))
    small = [colour.lab(_reduced(image, SHAPE_PIXELS)) for image in (one, two)]
    blocks = [cv2.resize(image, _size(image, 4096), interpolation=cv2.INTER_AREA) for image in small]
    return Look(value, float(colour.delta_e(*(np.asarray(block, np.float32) for block in blocks)).mean()), *small)


def _shrunk(grid: Grid, background: Background, which: int, pixels: int) -> Pixels:
    whole = Box(0, 0, grid.width, grid.height)
    if background == "white":
        return _reduced(grid.window(whole, background)[which], pixels)
    # On black a copy is made: in bands, so that it stays small.
    factor = max(1, math.isqrt(grid.width * grid.height // pixels))
    rows = max(factor, 512 // factor * factor)
    bands = [
        _band(grid.window(Box(0, y, grid.width, min(rows, grid.height - y)), background)[which], factor)
        for y in range(0, grid.height, rows)
    ]
    return np.concatenate(bands)


def _band(image: Pixels, factor: int) -> Pixels:
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[1], size[0], 3)


def _size(image: NDArray[np.generic], pixels: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = max(1.0, math.sqrt(width * height / pixels))
    return max(1, round(width / factor)), max(1, round(height / factor))


def _reduced(image: Pixels, pixels: int) -> Pixels:
    # Halving is the one averaging that runs at the speed of memory; a last odd row or column can go.
    while image.shape[0] * image.shape[1] > pixels and min(image.shape[:2]) > 1:
        image = _band(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], 2)
    size = _size(image, pixels)
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
