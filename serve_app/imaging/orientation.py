"""EXIF orientation: read it, and say where a pixel lies before and after turning.
Turns no pixels itself: it gives views and boxes."""

from __future__ import annotations

import zlib

from PIL import ExifTags, Image

from serve_app.core import Box, Pixels

# An upright pixel (x, y) is found in the stored image by exchanging x and y, then mirroring.
_EXCHANGED = {5, 6, 7, 8}
_MIRRORED_ACROSS = {2, 3, 7, 8}
_MIRRORED_DOWN = {3, 4, 6, 7}


def read_orientation(image: Image.Image, data: bytes) -> int:
    """1..8 of an opened, not yet loaded image. What Pillow's EXIF reader raises on nonsense, this raises.

    Called on the base class: the PNG plugin's own `getexif` would decode all pixels to reach an
    eXIf chunk that follows them, so that chunk is looked up here.
    """
    if image.format == "PNG" and "exif" not in image.info:
        late = _late_png_exif(data)
        if late is not None:
            image.info["exif"] = late
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


def stored_view(upright: Pixels, orientation: int) -> Pixels:
    """A view of an upright array (height, width, ...) through which stored rows are written."""
    view = upright.swapaxes(0, 1) if is_exchanged(orientation) else upright
    if orientation in _MIRRORED_ACROSS:
        view = view[:, ::-1]
    if orientation in _MIRRORED_DOWN:
        view = view[::-1]
    return view


def _late_png_exif(data: bytes) -> bytes | None:
    at = data.rfind(b"eXIf")
    if at < 4:
        return None
    size = int.from_bytes(data[at - 4 : at], "big")
    body = data[at + 4 : at + 4 + size]
    checksum = int.from_bytes(data[at + 4 + size : at + 8 + size], "big")
    return b"Exif\0\0" + body if zlib.crc32(b"eXIf" + body) == checksum else None
