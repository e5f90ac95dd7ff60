"""One checked upload to a `PreparedImage`: the order of the steps.
Knows no limits: `inspect` and `check_decodable` came before. Safe in several threads at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from serve_app.core.pictures import Box, ImageFacts, Pixels, PreparedImage, Raster, ShownImage, Unseen, Upload
from serve_app.errors import ImageRejected, ImageRole
from serve_app.imaging import decode, depth, modes
from serve_app.imaging.colour import Colour, colour_of
from serve_app.imaging.colour_tags import read_colour_tag
from serve_app.imaging.header import Header
from serve_app.imaging.orientation import stored_box, stored_size
from serve_app.imaging.raster import fill_masks, paint_masks, rasterise
from serve_app.imaging.shown import UNSEEN, ShownSpec, encode, fitted

# Box-averages first where the picture is to shrink more than this many times: at 3 a screenshot
# keeps its quality, at 1 it falls to 31 dB (JPEG shrinks while it decodes instead).
_REDUCING_GAP = 3.0

Size = tuple[int, int]


def prepare(
    upload: Upload, header: Header, role: ImageRole, *, scale: float, masks: Sequence[Box], shown: ShownSpec | None
) -> PreparedImage:
    """Decode one upload for the measurement and for the model.

    `scale`: original pixels per measured pixel, >= 1; at 1 the raster is the native pixels exactly.
    `masks`: upright original pixels, filled with opaque grey in raster and shown copy. Raises `ImageRejected`.
    """
    spec = shown or UNSEEN
    measured = (math.ceil(header.width / scale), math.ceil(header.height / scale))
    small = fitted(header.width, header.height, spec.max_size)
    native, pixels, alpha, copy = _decode(upload.data, header, role, masks, measured, small if spec.encode else None)
    notes = [*header.notes, *native.notes]
    unseen = (*header.unseen, *native.unseen)
    if measured != (header.width, header.height):
        notes.append(f"Measured at {measured[0]}x{measured[1]}, 1/{scale:.3g} of its size.")
    facts = ImageFacts(
        width=header.width,
        height=header.height,
        format=header.file_format,
        bytes=len(upload.data),
        sha256=upload.digest,
        shown_width=small[0],
        shown_height=small[1],
        decode_notes=tuple(notes),
        unseen=unseen,
        samples_sha256=native.samples_sha256,
    )
    made: ShownImage | None = None if copy is None else encode(copy, spec.quality)
    return PreparedImage(facts, Raster(pixels, alpha, header.width, header.height), made)


@dataclass(frozen=True, slots=True)
class _Native:
    """The decoded image as stored, what its numbers mean and how many originals a pixel of it stands for."""

    image: Image.Image
    colour: Colour
    across: float
    down: float
    notes: tuple[str, ...]
    unseen: tuple[Unseen, ...] = ()
    samples_sha256: str | None = None


def _decode(
    data: bytes, header: Header, role: ImageRole, masks: Sequence[Box], measured: Size, shown: Size | None
) -> tuple[_Native, Pixels, Pixels | None, Pixels | None]:
    """Pixels and alpha at `measured`, and the pixels at `shown` (upright sizes); decoded once."""
    upright = (header.width, header.height)
    target = measured if shown is None else (max(measured[0], shown[0]), max(measured[1], shown[1]))
    with decode.refusing(role, header.format, data), decode.opened(data, header.format, header.pixels) as image:
        native = _load(image, data, header, role, target)
        copy = None
        if shown is not None and shown != measured:
            copy, _ = rasterise(_shrunk(shown, native, header, masks), native.colour, header.orientation)
            fill_masks(copy, None, masks, upright)
        source = native.image
        if measured != upright:
            source = _shrunk(measured, native, header, masks)
            native.image.close()  # frees its pixels before the raster needs memory
        pixels, alpha = rasterise(source, native.colour, header.orientation)
        source.close()
    fill_masks(pixels, alpha, masks, upright)
    return native, pixels, alpha, pixels if shown == measured else copy


def _load(image: Image.Image, data: bytes, header: Header, role: ImageRole, target: Size) -> _Native:
    size = stored_size(header.width, header.height, header.orientation)
    decode.select(image, header.frame)
    decoded = decode.load(image, header.format, stored_size(*target, header.orientation))
    if decoded.across == 1 and decoded.image.size != size:
        raise ImageRejected(f"The {role} image can't be decoded: its header gives another size.", image=role)
    modes.correct_transparent_colour(image, data)
    profile = image.info.get("icc_profile")
    narrow = depth.reduced(decoded.image, data, header.format)
    if narrow.image is not decoded.image:
        image.close()  # frees the wide pixels
    plain_mode = modes.plain(narrow.image.crop((0, 0, 1, 1))).mode
    colour = colour_of(profile, read_colour_tag(data, header.format), plain_mode)
    return _Native(
        narrow.image,
        colour,
        decoded.across,
        decoded.down,
        (*narrow.notes, *((colour.note,) if colour.note else ())),
        (*narrow.unseen, *((colour.unseen,) if colour.unseen else ())),
        narrow.samples_sha256,
    )


def _shrunk(size: Size, native: _Native, header: Header, masks: Sequence[Box]) -> Image.Image:
    """The stored image for an upright `size`: masks first, then LANCZOS; turning and colour come after."""
    stored = stored_size(header.width, header.height, header.orientation)
    image = modes.plain(native.image)
    paint_masks(image, [stored_box(mask, *stored, header.orientation) for mask in masks], native.across, native.down)
    box = (0.0, 0.0, stored[0] / native.across, stored[1] / native.down)
    target = stored_size(*size, header.orientation)
    return image.resize(target, Image.Resampling.LANCZOS, box=box, reducing_gap=_REDUCING_GAP)
