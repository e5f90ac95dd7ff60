"""Every mode that Pillow decodes to, as one of L, LA, RGB, RGBA or CMYK of 8 bits.
Knows no profiles: the numbers stay as they are in the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from serve_app.core.pictures import Pixels

_STRIP_PIXELS = 1 << 18  # about 1 MiB a strip: fits a core's cache
_GREY_RANGES = (1.0, 255.0, 65535.0, 2.0**31 - 1)


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The image in bands of rows, so that a conversion never needs a second whole copy."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


def is_deep_grey(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def narrowed(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Grey of 16 or 32 bits or floats as L or LA, and a note where the file doesn't say its range.

    16 bits lose their low byte, as Pillow does with 16-bit colour (`convert` would clip them to white).
    For 32 bits and floats white is the first of 1 (floats), 255, 65535 and 2**31 - 1 that no value exceeds.
    """
    white, note = 65535.0, None
    if not image.mode.startswith("I;16"):
        low_high = image.getextrema()
        highest = float(low_high[1]) if isinstance(low_high[1], int | float) else 0.0
        choices = _GREY_RANGES if image.mode == "F" else _GREY_RANGES[1:]
        white = next((limit for limit in choices if highest <= limit), _GREY_RANGES[-1])
        note = f"Its grey values are of unstated range; {white:g} is taken as white."
    key = image.info.get("transparency")
    grey: Pixels = np.empty((image.height, image.width, 2 if isinstance(key, int) else 1), np.uint8)
    for rows, strip in strips(image):
        values = np.asarray(strip)
        if isinstance(key, int):
            grey[rows, :, 1] = np.where(values == key, 0, 255)
        grey[rows, :, 0] = values >> 8 if white == 65535 and values.dtype.kind == "u" else _to_bytes(values, white)
    if isinstance(key, int):
        return Image.fromarray(grey), note
    return Image.fromarray(grey[:, :, 0]), note


def correct_transparent_colour(image: Image.Image, data: bytes) -> None:
    """Bring a PNG's transparent grey or colour to the 8 bits its pixels have: Pillow leaves it as in the file."""
    key = image.info.get("transparency")
    if image.format != "PNG" or len(data) < 25:
        return
    depth = data[24]
    if isinstance(key, int) and image.mode == "L" and depth < 8:
        image.info["transparency"] = key * 255 // (2**depth - 1)
    elif isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)


def plain(image: Image.Image) -> Image.Image:
    """A whole image or a strip as L, LA, RGB, RGBA or CMYK; itself if it is one of them already."""
    mode = image.mode
    if mode in ("LA", "RGBA", "CMYK"):
        return image
    if mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in ("L", "1", "RGB"):
        if "transparency" in image.info:
            return image.convert("RGBA")
        return image.convert("L") if mode == "1" else image
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(lab), ImageCms.ImageCmsProfile(srgb), "LAB", "RGB"
        ).apply(image)
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))


def _to_bytes(values: np.ndarray, white: float) -> Pixels:
    scaled = np.nan_to_num(values.astype(np.float64)) * (255.0 / white)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
