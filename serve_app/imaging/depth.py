"""Samples of more than 8 bits: which files have them, and what is lost when they become 8.
Knows no colours: grey is scaled here, colour is reduced by Pillow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from serve_app.core.pictures import Pixels, Unseen
from serve_app.imaging.modes import strips
from serve_app.settings import ImageFormat

_BITS_TAG: Final = 258  # TIFF's BitsPerSample
_WHITE_TAGS: Final = (281, 341)  # its MaxSampleValue and SMaxSampleValue
_DEEPEST: Final = 65535
# Samples that all lie below this many of 16 bits may be of a camera or scanner that has no more.
_FULL_BITS: Final = 15
_GREY_RANGES: Final = (1.0, 255.0, 65535.0, 2.0**31 - 1)
_REDUCED: Final = "Reduced to 8 bits a sample; finer differences are not seen."


@dataclass(frozen=True, slots=True)
class Reduced:
    """An image of at most 8 bits a sample, and what it doesn't hold; `samples_sha256`: see `ImageFacts`."""

    image: Image.Image
    notes: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    samples_sha256: str | None = None


def reduced(image: Image.Image, data: bytes, kind: ImageFormat) -> Reduced:
    """A loaded image with samples of 8 bits: grey as L or LA, where they were wider; all else is itself.

    16 bits lose their low byte, as Pillow does with 16-bit colour (`convert` would clip them to white), but where the
    header of a TIFF names another value as white. For 32 bits and floats white is the first of 1 (floats), 255, 65535
    and 2**31 - 1 that no value exceeds.
    """
    if image.mode.startswith("I;16"):
        return _of_sixteen_bits(image)
    if image.mode.startswith("I") or image.mode == "F":
        highest = _highest(image)
        choices = _GREY_RANGES if image.mode == "F" else _GREY_RANGES[1:]
        white = next((limit for limit in choices if highest <= limit), _GREY_RANGES[-1])
        note = f"Its grey values are of unstated range; {white:g} is taken as white."
        if white == 255 and all(np.array_equal(values, np.rint(values)) for values in map(np.asarray, _bands(image))):
            return Reduced(_narrowed(image, white), (note,))
        return Reduced(_narrowed(image, white), (note, _REDUCED), (Unseen("bits"),), _digest(image))
    if _is_deep_colour(image, data, kind):
        return Reduced(image, (_REDUCED,), (Unseen("bits"),))
    return Reduced(image)


def _of_sixteen_bits(image: Image.Image) -> Reduced:
    stated = _stated_white(image)
    if stated is None and _is_eight_bits(image):
        return Reduced(_narrowed(image, _DEEPEST))
    notes, unseen = [_REDUCED], [Unseen("bits")]
    bits = int(_highest(image)).bit_length()
    if stated is not None:
        notes.append(f"Its header names {stated} as white, and so it is taken.")
    elif 0 < bits < _FULL_BITS:
        notes.append(f"No sample needs more than {bits} of its 16 bits: it is compared as it is, nearly black.")
        unseen.append(Unseen("range", str(bits)))
    return Reduced(_narrowed(image, stated or _DEEPEST), tuple(notes), tuple(unseen), _digest(image))


def _is_eight_bits(image: Image.Image) -> bool:
    """Whether 8 bits stand in 16, each level 257 times itself: then nothing is lost."""
    return all(np.array_equal(values, (values >> 8) * 257) for values in map(np.asarray, _bands(image)))


def _is_deep_colour(image: Image.Image, data: bytes, kind: ImageFormat) -> bool:
    """Whether the file has more bits a sample than Pillow hands on."""
    if kind == "PNG":
        return data[24:25] == b"\x10"
    if kind == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_TAG, 8)
        return max(bits if isinstance(bits, tuple) else (bits,), default=8) > 8
    if kind == "AVIF":
        at = data.find(b"av1C")  # AV1CodecConfigurationRecord: its third byte's second bit is high_bitdepth
        return at >= 0 and bool(int.from_bytes(data[at + 6 : at + 7], "big") & 0x40)
    if kind == "HEIC":
        return int(image.info.get("bit_depth", 8)) > 8
    return False


def _stated_white(image: Image.Image) -> int | None:
    """What a TIFF's header calls white, where that is less than the deepest sample."""
    tags = getattr(image, "tag_v2", {})
    found = next((tags[tag] for tag in _WHITE_TAGS if tag in tags), None)
    value = found[0] if isinstance(found, tuple) and found else found
    return int(value) if isinstance(value, int | float) and 1 <= value < _DEEPEST else None


def _highest(image: Image.Image) -> float:
    return max(float(np.nanmax(np.asarray(strip), initial=0)) for strip in _bands(image))


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    return (strip for _, strip in strips(image))


def _digest(image: Image.Image) -> str:
    """SHA-256 of all samples in one order of bytes, of their size, and of what is transparent."""
    digest = hashlib.sha256(f"{image.size} {image.info.get('transparency')}".encode())
    for values in map(np.asarray, _bands(image)):
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _narrowed(image: Image.Image, white: float) -> Image.Image:
    """Grey as L, or as LA where one value is transparent."""
    key = image.info.get("transparency")
    grey: Pixels = np.empty((image.height, image.width, 2 if isinstance(key, int) else 1), np.uint8)
    for rows, strip in strips(image):
        values = np.asarray(strip)
        if isinstance(key, int):
            grey[rows, :, 1] = np.where(values == key, 0, 255)
        is_shifted = white == _DEEPEST and values.dtype.kind == "u"
        grey[rows, :, 0] = values >> 8 if is_shifted else _to_bytes(values, white)
    return Image.fromarray(grey if isinstance(key, int) else grey[:, :, 0])


def _to_bytes(values: np.ndarray, white: float) -> Pixels:
    scaled = np.nan_to_num(values.astype(np.float64)) * (255.0 / white)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
