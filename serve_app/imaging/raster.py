"""Images of Pillow as upright arrays: composited on white, alpha beside, masks filled.
Decodes nothing and decides no sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from serve_app.core.pictures import MASK_GREY, Box, Pixels
from serve_app.imaging.colour import Colour
from serve_app.imaging.modes import plain, strips
from serve_app.imaging.orientation import is_exchanged, turned, upright_band

_MASK_INK: dict[str, int | tuple[int, ...]] = {
    "L": MASK_GREY,
    "LA": (MASK_GREY, 255),
    "RGB": (MASK_GREY,) * 3,
    "RGBA": (MASK_GREY,) * 3 + (255,),
    "CMYK": (0, 0, 0, 255 - MASK_GREY),
}


def rasterise(image: Image.Image, colour: Colour, orientation: int) -> tuple[Pixels, Pixels | None]:
    """A stored image as upright sRGB on white, (height, width, 3), and its alpha, or None if all is opaque.

    Strip by strip into an array made before, each strip turned by itself: beside the image only the result
    and one strip are held. (Writing strips through a turned view of the array takes 51 ms for 12 MP, this 18.)
    """
    width, height = image.size
    shape = (width, height) if is_exchanged(orientation) else (height, width)
    pixels: Pixels = np.empty((*shape, 3), np.uint8)
    alpha: Pixels | None = None
    for rows, strip in strips(image):
        values = np.asarray(turned(colour.to_srgb(plain(strip)), orientation))
        values = values if values.ndim == 3 else values[:, :, None]
        band = upright_band(pixels, rows, orientation)
        if values.shape[2] in (1, 3):
            band[:] = values
            continue
        cover = values[:, :, -1]
        lowest = int(cover.min())
        band[:] = values[:, :, :-1] if lowest == 255 else on_white(values[:, :, :-1], cover)
        if alpha is None and lowest < 255:
            alpha = np.full(shape, 255, np.uint8)
        if alpha is not None:
            upright_band(alpha, rows, orientation)[:] = cover
    return pixels, alpha


def on_white(values: Pixels, alpha: Pixels) -> Pixels:
    """Composite (height, width, bands) on white: round(value * alpha / 255) + (255 - alpha).

    The first term is the composite on black, so `on_white - (255 - alpha)` gives it back exactly, and
    where alpha is 0 no hidden colour is left. Rounded exactly by Blinn's (t + (t >> 8)) >> 8, t = v * a + 128.
    """
    cover = alpha[:, :, None]
    product = values.astype(np.uint16) * cover
    product += 128
    product += product >> 8
    product >>= 8
    return product.astype(np.uint8) + (255 - cover)


def fill_masks(pixels: Pixels, alpha: Pixels | None, masks: Sequence[Box], size: tuple[int, int]) -> None:
    """Fill every pixel that a mask touches with opaque grey; masks are in an image of `size`, perhaps larger."""
    height, width = pixels.shape[:2]
    for mask in masks:
        left, top, right, bottom = touched(mask, width / size[0], height / size[1], width, height)
        pixels[top:bottom, left:right] = MASK_GREY
        if alpha is not None:
            alpha[top:bottom, left:right] = 255


def paint_masks(image: Image.Image, masks: Sequence[Box], across: float, down: float) -> None:
    """Fill masks of the original in a stored image whose pixels are `across` x `down` originals.

    Done before an image is shrunk, because resampling would carry masked pixels out of their box.
    """
    for mask in masks:
        box = touched(mask, 1 / across, 1 / down, image.width, image.height)
        if box[0] < box[2] and box[1] < box[3]:
            image.paste(_MASK_INK[image.mode], box)


def touched(box: Box, across: float, down: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all pixels that a scaled box touches, inside width x height."""
    # The epsilon keeps a box that ends on a pixel's edge from touching the next one by rounding.
    left, top = math.floor(box.x * across + 1e-6), math.floor(box.y * down + 1e-6)
    right, bottom = math.ceil(box.right * across - 1e-6), math.ceil(box.bottom * down - 1e-6)
    return max(0, left), max(0, top), max(0, min(width, right)), max(0, min(height, bottom))
