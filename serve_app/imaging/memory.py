"""How much memory one image will take at its peak, from its header alone.
Decodes nothing; the constants are measured, a test compares them with real peaks."""

from __future__ import annotations

import math

from serve_app.errors import ImageRole, ImageTooLarge
from serve_app.imaging.header import Header
from serve_app.imaging.orientation import stored_size
from serve_app.settings import MIB, Limits

_STRIP_BYTES = 6 * MIB  # one strip of rows on its way to the raster, with its conversions
_MARGIN, _BUFFERED_MARGIN = 1.03, 1.08  # the allocator's, the latter where a JPEG freed its coefficients before
_SHOWN_SIDE = 1024
# What the heap keeps of pieces that were freed: the service lets it keep more than glibc would (`SERVE_ENVIRONMENT`).
_KEPT_BYTES = 2 * MIB
# Copies of the whole that a frame after the first is composed of, 4 bytes a pixel, held until the image is closed.
_COMPOSED_BYTES = {"GIF": 8.0, "PNG": 6.0, "AVIF": 3.0}
# Bytes a pixel beside Pillow's image, measured with Pillow 13: while decoding, and until the image is closed.
# HEIC: libheif 1.23's planes and RGB beside Pillow's, through pi-heif 1.4: of 12 MP 93 MiB, of 4:4:4 109.
_WHILE_DECODING = {"WEBP": 12.0, "AVIF": 6.0, "HEIC": 5.2}
_UNTIL_CLOSED = {"WEBP": 8.0, "AVIF": 2.5}


def predicted_bytes(header: Header, scale: float, shown_size: tuple[int, int] = (_SHOWN_SIDE, _SHOWN_SIDE)) -> int:
    """Peak memory in bytes, over the encoded upload, to prepare an image at `scale`.

    `scale`: original pixels per measured pixel, >= 1. Includes the raster and the shown copy.
    The largest of the steps: decoding, shrinking to either size, filling the raster.
    """
    width, height = stored_size(header.width, header.height, header.orientation)
    measured = (math.ceil(width / scale), math.ceil(height / scale))
    ratio = min(1.0, shown_size[0] / header.width, shown_size[1] / header.height)
    shown = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    draft = _draft(header, (max(measured[0], shown[0]), max(measured[1], shown[1])), (width, height))
    decoded = width * height / draft**2
    composed = _COMPOSED_BYTES.get(header.format, 0.0) * decoded if header.frame else 0.0
    held = (_held_bytes(header.mode) + _UNTIL_CLOSED.get(header.format, 0.0)) * decoded + composed
    sample = _resampled_bytes(header)
    # Pillow resamples across first: all rows of the source, the width of the target.
    source = held + _widened_bytes(header) * decoded
    copy = 3 * shown[0] * shown[1]
    steps = [
        _decoding_bytes(header, decoded) + composed,
        source + sample * shown[0] * (height / draft + shown[1]),
        held + copy + (3 + header.has_transparency) * measured[0] * measured[1] + _STRIP_BYTES,
    ]
    if scale > 1:
        small = sample * measured[0] * measured[1]
        is_drafted_to_size = draft > 1 and small >= sample * decoded
        rows = 0 if is_drafted_to_size else sample * measured[0] * height / draft
        steps[2] += small - held  # the decoded image is closed before the raster is filled
        steps.append(source + copy + rows + small)
    is_buffered = header.jpeg is not None and header.jpeg.is_buffered
    return math.ceil(max(steps) * (_BUFFERED_MARGIN if is_buffered else _MARGIN)) + _KEPT_BYTES


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


def _decoding_bytes(header: Header, decoded: float) -> float:
    if header.jpeg is not None and header.jpeg.is_buffered:  # all coefficients, whatever the draft
        return 4 * decoded + 2 * header.pixels * header.jpeg.samples_per_pixel
    if header.mode.startswith("I") or header.mode == "F":
        wide = 2 if header.mode.startswith("I;16") else 4
        return (wide + 1 + header.has_transparency) * decoded
    return (_held_bytes(header.mode) + _WHILE_DECODING.get(header.format, 0.0)) * decoded


def _held_bytes(mode: str) -> int:
    """Bytes a pixel of the image that is kept; greys of more bits have become one byte."""
    return 1 if mode in ("1", "L", "P", "F") or mode.startswith("I") else 4


def _resampled_bytes(header: Header) -> int:
    """Bytes a pixel in the mode that is resampled."""
    return 1 if _held_bytes(header.mode) == 1 and header.mode != "P" and not header.has_transparency else 4


def _widened_bytes(header: Header) -> int:
    """Bytes a pixel of the copies made before resampling: palettes to colour, premultiplied alpha."""
    if header.has_transparency:
        return 4 if header.mode in ("RGBA", "LA") else 8
    return {"P": 4, "1": 2}.get(header.mode, 0)
