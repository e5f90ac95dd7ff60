"""EXIF orientation: read it, and say where a pixel lies before and after turning.
Knows no pixels' meaning: it turns images, and finds boxes and bands."""

from __future__ import annotations

import zlib

from PIL import ExifTags, Image

from serve_app.core.pictures import Box, Pixels
from serve_app.imaging import directories

# An upright pixel (x, y) is found in the stored image by exchanging x and y, then mirroring.
_EXCHANGED = {5, 6, 7, 8}
_MIRRORED_ACROSS = {2, 3, 7, 8}
_MIRRORED_DOWN = {3, 4, 6, 7}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(image: Image.Image, data: bytes) -> int:
    """1..8 of an opened, not yet loaded image. What Pillow's EXIF reader raises on nonsense, this raises.

    Called on the base class: the PNG plugin's own `getexif` would decode all pixels to reach an
    eXIf chunk that follows them, so that chunk is looked up here.
    """
    if image.format == "PNG" and "exif" not in image.info:
        late = _late_png_exif(data)
        if late is not None:
            image.info["exif"] = late
    if directories.is_dear(image.info.get("exif", b"").removeprefix(b"Exif\0\0")):
        raise ValueError("EXIF that promises more than it holds")
    found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def is_exchanged(orientation: int) -> bool:
    """Whether upright width is stored height."""
    return orientation in _EXCHANGED


def stored_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    return (height, width) if is_exchanged(orientation) else (width, height)


def stored_box(box: Box, stored_width: int, stored_height: int, orientation: int) -> Box:
    """Where an upright box lies in the stored image."""
    x, y, width, height = box
    if is_exchanged(orientation):
        x, y, width, height = y, x, height, width
    if orientation in _MIRRORED_ACROSS:
        x = stored_width - x - width
    if orientation in _MIRRORED_DOWN:
        y = stored_height - y - height
    return Box(x, y, width, height)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """A stored image or strip as it looks upright; itself where nothing is to turn."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright_band(upright: Pixels, rows: slice, orientation: int) -> Pixels:
    """The part of an upright array (height, width, ...) that holds these rows of the stored image."""
    length = upright.shape[1 if is_exchanged(orientation) else 0]
    if orientation in _MIRRORED_DOWN:
        rows = slice(length - rows.stop, length - rows.start)
    return upright[:, rows] if is_exchanged(orientation) else upright[rows]


def _late_png_exif(data: bytes) -> bytes | None:
    at = data.rfind(b"eXIf")
    if at < 4:
        return None
    size = int.from_bytes(data[at - 4 : at], "big")
    body = data[at + 4 : at + 4 + size]
    checksum = int.from_bytes(data[at + 4 + size : at + 8 + size], "big")
    return b"Exif\0\0" + body if zlib.crc32(b"eXIf" + body) == checksum else None
