"""The copy of an image that the model is shown: its size and its bytes.
Makes no decision on colour or orientation: it gets upright sRGB pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from serve_app.core.pictures import Pixels, ShownImage


@dataclass(frozen=True, slots=True)
class ShownSpec:
    """What the model is to see: at most `max_size` (width, height) pixels, as JPEG of `quality` 1..100.

    100 hands the pixels over as they are. Without `encode` only the size is worked out, for the report.
    """

    max_size: tuple[int, int]
    quality: int
    encode: bool = True


# The contract's defaults: the size the report gives where nobody will look.
UNSEEN = ShownSpec((1024, 1024), 85, encode=False)


def fitted(width: int, height: int, max_size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape inside `max_size`, never larger than the image."""
    ratio = min(1.0, max_size[0] / width, max_size[1] / height)
    return max(1, min(max_size[0], round(width * ratio))), max(1, min(max_size[1], round(height * ratio)))


def encode(pixels: Pixels, quality: int) -> ShownImage:
    """Pixels (height, width, 3) as JPEG, or as they are at quality 100. No metadata can come along."""
    height, width = pixels.shape[:2]
    if quality == 100:
        return ShownImage(width, height, "rgb", pixels.tobytes())
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return ShownImage(width, height, "jpeg", buffer.getvalue())
