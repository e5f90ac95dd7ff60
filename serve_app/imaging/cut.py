"""Parts of a decoded picture as the model is shown them, at native resolution where they fit.
Knows no differences: a raster and a box in, a shown picture out."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from serve_app.core.pictures import Box, Raster, ShownImage
from serve_app.imaging.shown import encode, fitted


def cut(raster: Raster, box: Box, max_size: tuple[int, int], quality: int) -> ShownImage:
    """The part of `raster` inside `box` (upright original pixels, inside the picture), never enlarged.

    Shrunk to `max_size` (width, height) where it is larger. Masks are in the raster, so they are in its parts.
    """
    across, down = raster.original_width / raster.width, raster.original_height / raster.height
    rows = slice(math.floor(box.y / down), max(math.floor(box.y / down) + 1, math.ceil(box.bottom / down)))
    columns = slice(math.floor(box.x / across), max(math.floor(box.x / across) + 1, math.ceil(box.right / across)))
    part = raster.pixels[rows, columns]
    height, width = part.shape[:2]
    size = fitted(width, height, max_size)
    if size == (width, height):
        return encode(np.ascontiguousarray(part), quality)
    small = Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return encode(np.asarray(small), quality)
