"""The facts of an upload that its header gives, and every limit that can be checked with them.
Decodes nothing: microseconds for most files, about 1 ns a byte to count the scans of a JPEG."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from PIL import Image

from serve_app.core.pictures import Upload
from serve_app.errors import ImageRejected, ImageRole, ImageTooLarge, UnsupportedImageType
from serve_app.imaging import decode
from serve_app.imaging.animation import count_frames, first_frame_note
from serve_app.imaging.jpeg import JpegStructure, read_structure
from serve_app.imaging.orientation import is_exchanged, read_orientation
from serve_app.imaging.pieces import is_shredded
from serve_app.imaging.signature import format_of
from serve_app.settings import ImageFormat, Limits

_log = logging.getLogger("pairlens.imaging")


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of one upload, nothing of it decoded.

    `width`, `height` are upright. `orientation` is what is left to turn after Pillow has loaded the
    image (Pillow turns a TIFF itself). `frames` is None where there are several and counting is dear.
    `jpeg` is given for JPEG only. `file_format` is the name for people: MPO is a kind of JPEG.
    """

    format: ImageFormat
    file_format: str
    width: int
    height: int
    num_bytes: int
    mode: str
    orientation: int = 1
    frames: int | None = 1
    has_transparency: bool = False
    jpeg: JpegStructure | None = None
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def is_progressive(self) -> bool:
        return self.jpeg is not None and self.jpeg.is_progressive


def inspect(upload: Upload, limits: Limits, role: ImageRole) -> Header:
    """Check one upload by its header.

    Raises `UnsupportedImageType` for a format not allowed, `ImageTooLarge` with name and number, and
    `ImageRejected` for an empty or damaged file. Cheapest first: bytes, format, size, scans.
    """
    data = upload.data
    if not data:
        raise ImageRejected(f"The {role} image is empty.", image=role)
    if len(data) > limits.max_image_bytes:
        raise ImageTooLarge(
            f"The {role} image has {len(data)} bytes; at most {limits.max_image_bytes} are taken.", image=role
        )
    kind = _allowed_format(data, limits, role)
    if is_shredded(data, kind):
        raise ImageRejected(f"The {role} image is cut into far too many pieces for its size.", image=role)
    with decode.refusing(role, kind, data), decode.opened(data, kind, limits.max_pixels) as image:
        _check_size(image.width, image.height, limits, role)
        header = _read(image, data, kind, limits)
    if header.jpeg is not None and header.jpeg.num_scans > limits.max_scans:
        raise ImageTooLarge(
            f"The {role} image is a JPEG of more than {limits.max_scans} scans, which this service doesn't take.",
            image=role,
        )
    return header


def _allowed_format(data: bytes, limits: Limits, role: ImageRole) -> ImageFormat:
    kind = format_of(data)
    if kind is not None and kind in limits.formats:
        return kind
    found = f"a {kind} file" if kind else "of a format this service doesn't know"
    raise UnsupportedImageType(f"The {role} image is {found}; taken are {', '.join(limits.formats)}.", image=role)


def _check_size(width: int, height: int, limits: Limits, role: ImageRole) -> None:
    if width < 1 or height < 1:
        raise ImageRejected(f"The {role} image has no pixels: {width}x{height}.", image=role)
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"The {role} image is {width}x{height}: a side is over {limits.max_side} pixels.", image=role
        )
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The {role} image is {width}x{height}: over {limits.max_pixels} pixels.", image=role)


def _read(image: Image.Image, data: bytes, kind: ImageFormat, limits: Limits) -> Header:
    orientation, notes = _orientation(image, data)
    if orientation != 1:
        notes.append("Turned upright as its EXIF orientation says.")
    turned_by_pillow = kind == "TIFF"
    width, height = image.size
    if is_exchanged(orientation) and not turned_by_pillow:
        width, height = height, width
    mode, transparency = image.mode, image.has_transparency_data
    name = image.format or kind
    frames = count_frames(image, data, kind)
    if (note := first_frame_note(frames)) is not None:
        notes.append(note)
    return Header(
        format=kind,
        file_format=name,
        width=width,
        height=height,
        num_bytes=len(data),
        mode=mode,
        orientation=1 if turned_by_pillow else orientation,
        frames=frames,
        has_transparency=transparency,
        jpeg=read_structure(data, limits.max_scans) if kind == "JPEG" else None,
        notes=tuple(notes),
    )


def _orientation(image: Image.Image, data: bytes) -> tuple[int, list[str]]:
    try:
        return read_orientation(image, data), []
    except decode.FILE_ERRORS as exc:
        _log.info("unreadable EXIF in a %s: %s", image.format, type(exc).__name__)
        return 1, ["Its EXIF data is damaged and was ignored."]
