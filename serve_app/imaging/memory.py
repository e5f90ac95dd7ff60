"""How much memory one image will take at its peak, from its header alone.
Decodes nothing; the constants are measured, a test compares them with real peaks."""

from __future__ import annotations

import math

from serve_app.errors import ImageRole, ImageTooLarge
from serve_app.imaging.header import Header
from serve_app.imaging.orientation import stored_size
from serve_app.settings import MIB, Limits

_STRIP_BYTES = 6 * MIB  # one strip of rows on its way to the raster, with its conversions
# Bytes a pixel that a decoder holds beside Pillow's image, measured with Pillow 13.
_DECODER_BYTES = {"JPEG": 0.0, "PNG": 0.0, "WEBP": 11.6, "AVIF": 5.2, "GIF": 1.0, "BMP": 0.0, "TIFF": 0.5}
_SHOWN_SIDE = 1024


def predicted_bytes(header: Header, scale: float, shown_size: tuple[int, int] = (_SHOWN_SIDE, _SHOWN_SIDE)) -> int:
    """Peak memory in bytes, over the encoded upload, to prepare an image at `scale`.

    `scale`: original pixels per measured pixel, >= 1. Includes the raster and the shown copy.
    The largest of the steps: decoding, shrinking, filling the raster.
    """
    width, height = stored_size(header.width, header.height, header.orientation)
    measured = (math.ceil(width / scale), math.ceil(height / scale))
    ratio = min(1.0, shown_size[0] / header.width, shown_size[1] / header.height)
    shown = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    draft = _draft(header, (max(measured[0], shown[0]), max(measured[1], shown[1])), (width, height))
    decoded = width * height / draft**2
    held = _pillow_bytes(header.mode) * decoded
    work = _working_bytes(header) * decoded
    raster = (3 + header.has_transparency) * measured[0] * measured[1]
    copies = 12 * shown[0] * shown[1]
    # Pillow resamples across first: all rows of the source, the width of the target.
    rows = 4 * shown[0] * height / draft
    decoding = held + _decoder_bytes(header, decoded)
    shrinking = held + work + rows + copies
    filling = held + raster + copies + _STRIP_BYTES
    if scale > 1:
        small = 4 * measured[0] * measured[1]
        shrinking = max(shrinking, held + work + 4 * measured[0] * height / draft + small)
        filling = max(small + raster + copies + _STRIP_BYTES, held + small)
    return math.ceil(max(decoding, shrinking, filling)) + MIB


def check_decodable(header: Header, scale: float, limits: Limits, role: ImageRole) -> None:
    """Raise `ImageTooLarge` if decoding at `scale` would take more memory than the operator gives one image."""
    needed = predicted_bytes(header, scale)
    if needed > limits.max_decode_bytes:
        raise ImageTooLarge(
            f"The {role} image ({header.file_format}, {header.width}x{header.height}) needs about "
            f"{math.ceil(needed / MIB)} MiB to decode; at most {limits.max_decode_bytes // MIB} MiB are given.",
            image=role,
        )


def _draft(header: Header, target: tuple[int, int], size: tuple[int, int]) -> int:
    """The power of two by which the JPEG decoder shrinks on its way (as Pillow's `draft` chooses it)."""
    if header.format != "JPEG":
        return 1
    ratio = min(size[0] // target[0], size[1] // target[1])
    return next((step for step in (8, 4, 2) if ratio >= step), 1)


def _pillow_bytes(mode: str) -> int:
    """Bytes a pixel of Pillow's own image."""
    if mode in ("1", "L", "P"):
        return 1
    return 2 if mode.startswith("I;16") else 4


def _working_bytes(header: Header) -> float:
    """Bytes a pixel of the copies made before resampling: widened palettes and greys, premultiplied alpha."""
    if header.mode in ("P", "PA", "LA", "La", "1") or (header.has_transparency and header.mode != "RGBA"):
        return 8 if header.has_transparency else 4
    if header.has_transparency:
        return 4
    if header.mode.startswith("I") or header.mode == "F":
        return 2
    return 0


def _decoder_bytes(header: Header, decoded: float) -> float:
    if header.jpeg is not None and header.jpeg.is_buffered:
        return 2 * header.pixels * header.jpeg.samples_per_pixel
    return _DECODER_BYTES[header.format] * decoded
