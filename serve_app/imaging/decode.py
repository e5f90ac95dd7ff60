"""Opening and decoding with Pillow, and what its failures mean to a caller.
Knows formats and modes; no limits of its own, no colour."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from serve_app.errors import ImageRejected, ImageRole, ImageTooLarge
from serve_app.imaging.formats import heif
from serve_app.settings import ImageFormat

_log = logging.getLogger("pairlens.imaging")

# Pillow warns of damaged metadata on stderr; what matters of it is in our refusals and decode notes.
warnings.filterwarnings("ignore", module=r"PIL\.")

# What Pillow's plugins and codecs were seen to raise on damaged files, by opening, reading EXIF or decoding.
# `Warning`: where an operator turns warnings into errors, they are refusals, not crashes.
FILE_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # with UnidentifiedImageError
    SyntaxError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A loaded image as stored; `across`, `down`: original pixels per decoded pixel, over 1 where drafted."""

    image: Image.Image
    across: float = 1.0
    down: float = 1.0


@contextmanager
def refusing(role: ImageRole, kind: str, data: bytes) -> Iterator[None]:
    """Turn what a damaged file makes Pillow raise into a refusal; log the cause, never the bytes."""
    try:
        yield
    except (ImageRejected, ImageTooLarge):
        raise
    except FILE_ERRORS as exc:
        digest = hashlib.sha256(data).hexdigest()
        _log.info("can't decode a %s, sha256 %s: %s", kind, digest, type(exc).__name__)
        raise _refusal(exc, role) from exc


def _refusal(exc: Exception, role: ImageRole) -> ImageRejected:
    if isinstance(exc, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageTooLarge(
            f"The {role} image has more than {Image.MAX_IMAGE_PIXELS} pixels by its header.", image=role
        )
    if isinstance(exc, MemoryError):
        return ImageTooLarge(f"The {role} image needs more memory to decode than there is.", image=role)
    return ImageRejected(f"The {role} image can't be decoded: the file is damaged or cut off.", image=role)


@contextmanager
def opened(data: bytes, kind: ImageFormat, max_pixels: int) -> Iterator[Image.Image]:
    """The image of `data` with only its header read; the one place where a file reaches Pillow.

    Only the plugin of `kind` is tried (MPO comes under JPEG). Pillow's own bomb guard warns over
    MAX_IMAGE_PIXELS and raises over twice that; it is process-wide, so it is only ever raised, to what
    our limits let pass, and never turned off.
    """
    if (Image.MAX_IMAGE_PIXELS or 0) < max_pixels:
        Image.MAX_IMAGE_PIXELS = max_pixels
    with heif.opened(data) if kind == "HEIC" else Image.open(io.BytesIO(data), formats=(kind,)) as image:
        _forget_xmp(image)
        yield image


def select(image: Image.Image, frame: int, *, is_elsewhere: bool = False) -> None:
    """Go to a frame or page of an opened, not yet loaded image, counted from 0; `is_elsewhere`: it isn't at the first.

    Pillow composes a GIF's and an APNG's frames one by one up to there. Raises EOFError where there is none.
    """
    if frame or is_elsewhere:
        image.seek(frame)
        _forget_xmp(image)


def _forget_xmp(image: Image.Image) -> None:
    """No orientation is taken from XMP, as in browsers: Pillow looks there where EXIF has none."""
    image.info.pop("xmp", None)
    image.info.pop("XML:com.adobe.xmp", None)


def load(image: Image.Image, kind: ImageFormat, target: tuple[int, int]) -> Decoded:
    """Decode the first frame, at a smaller size where JPEG can give at least `target` at once.

    Draft comes first and in the native mode: after a conversion it silently does nothing.
    """
    width, height = image.size
    if kind == "JPEG" and (target[0] < width or target[1] < height):
        drafted = image.draft(None, target)
        if drafted is not None:
            _, box = drafted
            image.load()
            return Decoded(image, width / box[2], height / box[3])
    image.load()
    return Decoded(image)
