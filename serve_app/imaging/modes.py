"""Every mode that Pillow decodes to, as one of L, LA, RGB, RGBA or CMYK of 8 bits.
Knows no profiles: the numbers stay as they are in the file."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, ImageCms

_STRIP_PIXELS = 1 << 18  # about 1 MiB a strip: fits a core's cache


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The image in bands of rows, so that a conversion never needs a second whole copy."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


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
