"""One page or frame of a file: the one that is asked for, its own size and turn, what it may cost."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serve_app import imaging
from serve_app.core.pictures import PreparedImage, Unseen, Upload
from serve_app.errors import ImageTooLarge, InvalidConfig
from serve_app.imaging.header import Header
from serve_app.imaging.pieces import is_shredded
from serve_app.settings import Limits
from tests.worlds.imaging_files import exif

COLOURS = ("red", "lime", "blue", "white")
SIZES = ((40, 30), (20, 50), (64, 64), (8, 8))


def frames_of(kind: str, *, sizes: tuple[tuple[int, int], ...] = ((40, 30),) * 4, **options: Any) -> Upload:
    first, *others = [Image.new("RGB", size, colour) for size, colour in zip(sizes, COLOURS, strict=True)]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others, **options)
    return Upload(buffer.getvalue())


KINDS: dict[str, dict[str, Any]] = {
    "GIF": {},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100},
    "TIFF": {},
    "MPO": {"quality": 100},
}


def opened(upload: Upload, frame: int, limits: Limits | None = None) -> tuple[Header, PreparedImage]:
    header = imaging.inspect(upload, limits or Limits(), "candidate", frame)
    return header, imaging.prepare(upload, header, "candidate", scale=1.0, masks=(), shown=None)


# Pillow writes the place of an MPO's fourth picture wrongly.
@pytest.mark.parametrize(("kind", "frame"), [(kind, frame) for kind in KINDS for frame in range(4 - (kind == "MPO"))])
def test_the_frame_that_is_asked_for_is_looked_at(kind: str, frame: int) -> None:
    header, found = opened(frames_of(kind, **KINDS[kind]), frame)
    colour = Image.new("RGB", (1, 1), COLOURS[frame]).getpixel((0, 0))
    assert np.abs(found.raster.pixels.astype(int) - np.array(colour)).max() <= 4
    assert found.facts.unseen == (Unseen("pages" if kind == "TIFF" else "frames", str(frame)),)
    assert ("the first of" if frame == 0 else f"frame {frame}, counted") in found.facts.decode_notes[0]
    assert header.frame == frame


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frame", [4, 5, 9999])
def test_a_frame_that_is_not_there_is_refused(kind: str, frame: int) -> None:
    with pytest.raises(InvalidConfig) as refused:
        imaging.inspect(frames_of(kind, **KINDS[kind]), Limits(), "candidate", frame)
    assert refused.value.field == "/config/frame"
    assert f"no frame {frame}" in refused.value.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_file_of_one_picture_has_no_second(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, kind)
    with pytest.raises(InvalidConfig):
        imaging.inspect(Upload(buffer.getvalue()), Limits(), "candidate", 1)


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
@pytest.mark.parametrize("frame", range(3))
def test_pages_have_a_size_of_their_own(kind: str, frame: int) -> None:
    header, found = opened(frames_of(kind, sizes=SIZES, **KINDS[kind]), frame)
    assert (header.width, header.height) == SIZES[frame]
    assert (found.raster.width, found.raster.height) == SIZES[frame]


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_limits_hold_for_the_page_that_is_asked_for(kind: str) -> None:
    upload = frames_of(kind, sizes=SIZES, **KINDS[kind])
    limits = Limits(max_side=55)
    opened(upload, 1, limits)
    with pytest.raises(ImageTooLarge, match="64x64"):
        imaging.inspect(upload, limits, "candidate", 2)


def test_a_page_of_a_tiff_is_turned_as_it_says_itself() -> None:
    pages = []
    for colour, orientation in (("red", 1), ("lime", 6)):
        page = Image.new("RGB", (40, 30), colour)
        page.encoderinfo = {"tiffinfo": {274: orientation}}
        pages.append(page)
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    for frame, size in ((0, (40, 30)), (1, (30, 40))):
        header, found = opened(Upload(buffer.getvalue()), frame)
        assert (header.width, header.height) == (found.raster.width, found.raster.height) == size


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_a_frame_behind_too_many_others_is_refused(kind: str) -> None:
    first, *others = [Image.new("RGB", (40, 30), (20 * shade, 0, 0)) for shade in range(12)]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others)
    upload, limits = Upload(buffer.getvalue()), Limits(max_pixels=40 * 30)
    opened(upload, 10, limits)
    with pytest.raises(ImageTooLarge, match="lies before frame 11"):
        imaging.inspect(upload, limits, "candidate", 11)


def test_a_page_far_behind_whose_directory_is_dear_is_refused() -> None:
    """Each is read in Python: 4,096 tags are more than any camera writes."""
    head = b"II*\0" + struct.pack("<I", 8)
    at, body = 8, b""
    for page in range(12):
        num_tags = 5000 if page == 10 else 1
        size = 2 + 12 * num_tags + 4
        entries = struct.pack("<HHII", 256, 3, 1, 8) * num_tags
        body += struct.pack("<H", num_tags) + entries + struct.pack("<I", at + size if page < 11 else 0)
        at += size
    assert not is_shredded(head + body, "TIFF", 0)
    assert is_shredded(head + body, "TIFF", 10)


def test_orientation_is_exifs_and_not_xmps() -> None:
    """As browsers have it: a stale tiff:Orientation in XMP alone turns nothing."""
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture = Image.new("RGB", (40, 20))
    for kind, options in (("JPEG", {"xmp": packet}), ("WEBP", {"xmp": packet}), ("TIFF", {"tiffinfo": {700: packet}})):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        header, found = opened(Upload(buffer.getvalue()), 0)
        assert (header.width, header.height) == (found.raster.width, found.raster.height) == (40, 20), kind
        assert found.facts.decode_notes == ()
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", xmp=packet, exif=exif(8))
    assert opened(Upload(buffer.getvalue()), 0)[0].orientation == 8
