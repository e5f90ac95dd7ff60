"""The facts of an upload that its header gives, and every limit that can be checked with them.
Decodes nothing: microseconds for most files, about 1 ns a byte to count the scans of a JPEG."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from PIL import Image

from serve_app.core.pictures import Unseen, Upload
from serve_app.errors import ImageRejected, ImageRole, ImageTooLarge, InvalidConfig, UnsupportedImageType
from serve_app.imaging import decode, foreign
from serve_app.imaging.animation import count_frames, frame_note, has_pages
from serve_app.imaging.formats.jpeg import JpegStructure, read_structure
from serve_app.imaging.orientation import is_exchanged, read_orientation
from serve_app.imaging.pieces import is_shredded
from serve_app.imaging.signature import format_of
from serve_app.settings import ImageFormat, Limits

_log = logging.getLogger("pairlens.imaging")

# A frame is composed of all before it: at most the work of so many of the largest pictures.
_MOST_PICTURES_BEFORE = 10


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of one upload, nothing of it decoded.

    `width`, `height` are upright. `orientation` is what is left to turn after Pillow has loaded the
    image (Pillow turns a TIFF itself). `frames` is None where there are several and counting is dear; `frame` is the
    one that all of this is about, counted from 0.
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
    frame: int = 0

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def is_progressive(self) -> bool:
        return self.jpeg is not None and self.jpeg.is_progressive

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """The frames, or pages, that are not looked at."""
        if self.frames == 1:
            return ()
        return (Unseen("pages" if self.format == "TIFF" else "frames", str(self.frame)),)


def inspect(upload: Upload, limits: Limits, role: ImageRole, frame: int = 0) -> Header:
    """Check one upload by its header, and that it has this frame or page, counted from 0.

    Raises `UnsupportedImageType` for a format not allowed, `ImageTooLarge` with name and number, `InvalidConfig` for
    a frame that isn't there, and `ImageRejected` for an empty or damaged file. Cheapest first: bytes, format, size,
    scans.
    """
    data = upload.data
    if not data:
        raise ImageRejected(f"The {role} image is empty.", image=role)
    if len(data) > limits.max_image_bytes:
        raise ImageTooLarge(
            f"The {role} image has {len(data)} bytes; at most {limits.max_image_bytes} are taken.", image=role
        )
    kind = _allowed_format(data, limits, role)
    if is_shredded(data, kind, frame):
        raise ImageRejected(f"The {role} image is cut into far too many pieces for its size.", image=role)
    with decode.refusing(role, kind, data), decode.opened(data, kind, limits.max_pixels) as image:
        _check_size(image.width, image.height, limits, role)
        frames = _check_frame(image, data, kind, frame, limits, role)
        _check_size(image.width, image.height, limits, role)
        header = _read(image, data, kind, limits, frame, frames)
    if header.jpeg is not None and header.jpeg.num_scans > limits.max_scans:
        raise ImageTooLarge(
            f"The {role} image is a JPEG of more than {limits.max_scans} scans, which this service doesn't take.",
            image=role,
        )
    return header


def _check_frame(
    image: Image.Image, data: bytes, kind: ImageFormat, frame: int, limits: Limits, role: ImageRole
) -> int | None:
    """How many frames there are, as `count_frames` tells. Leaves a file whose frames have a size each, TIFF and MPO, at
    the one that is asked for."""
    frames = count_frames(image, data, kind)
    if frames is not None and frame >= frames:
        raise _no_such_frame(role, frame)
    if frame and not has_pages(image):
        if frame * image.width * image.height > _MOST_PICTURES_BEFORE * limits.max_pixels:
            raise ImageTooLarge(f"Too much of the {role} image lies before frame {frame}.", image=role)
        return frames
    try:
        decode.select(image, frame, is_elsewhere=kind == "TIFF")
    except EOFError:
        raise _no_such_frame(role, frame) from None
    return frames


def _no_such_frame(role: ImageRole, frame: int) -> InvalidConfig:
    return InvalidConfig(f"The {role} image has no frame {frame}, counted from 0.", field="/config/frame")


def _allowed_format(data: bytes, limits: Limits, role: ImageRole) -> ImageFormat:
    kind = format_of(data)
    if kind == "TIFF" and foreign.is_camera_raw(data):
        kind = None
    if kind is not None and kind in limits.formats:
        return kind
    seen = (f"a {kind} file", "convert it") if kind and kind != "HEIC" else foreign.described(data)
    found, remedy = seen or ("of a format this service doesn't know", "")
    taken = f"taken are {', '.join(limits.formats)}"
    raise UnsupportedImageType(f"The {role} image is {found}; {taken}{f': {remedy}' if remedy else ''}.", image=role)


def _check_size(width: int, height: int, limits: Limits, role: ImageRole) -> None:
    if width < 1 or height < 1:
        raise ImageRejected(f"The {role} image has no pixels: {width}x{height}.", image=role)
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"The {role} image is {width}x{height}: a side is over {limits.max_side} pixels.", image=role
        )
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The {role} image is {width}x{height}: over {limits.max_pixels} pixels.", image=role)


def _read(image: Image.Image, data: bytes, kind: ImageFormat, limits: Limits, frame: int, frames: int | None) -> Header:
    orientation, notes = _orientation(image, data)
    if orientation != 1:
        notes.append("Turned upright as its EXIF orientation says.")
    turned_by_pillow = kind == "TIFF"
    width, height = image.size
    if is_exchanged(orientation) and not turned_by_pillow:
        width, height = height, width
    mode, transparency = image.mode, image.has_transparency_data
    name = image.format or kind
    if frame and kind == "GIF":
        mode, transparency = "RGBA", True  # as its frames after the first are composed
    if (note := frame_note(frames, frame)) is not None:
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
        jpeg=read_structure(data[getattr(image, "offset", 0) :], limits.max_scans) if kind == "JPEG" else None,
        notes=tuple(notes),
        frame=frame,
    )


def _orientation(image: Image.Image, data: bytes) -> tuple[int, list[str]]:
    if image.format == "HEIC":
        return 1, []  # its decoder turns it, and knows better than its EXIF
    try:
        return read_orientation(image, data), []
    except decode.FILE_ERRORS as exc:
        _log.info("unreadable EXIF in a %s: %s", image.format, type(exc).__name__)
        return 1, ["Its EXIF data is damaged and was ignored."]
