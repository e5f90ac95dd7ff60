"""The refusal of a file that isn't taken names what it is and what to do."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, TiffImagePlugin

from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.errors import UnsupportedImageType
from serve_app.settings import Limits
from tests.worlds.imaging_files import saved, smooth


def refusal(data: bytes) -> str:
    with pytest.raises(UnsupportedImageType) as refused:
        imaging.inspect(Upload(data), Limits(), "candidate")
    assert "The candidate image is" in refused.value.detail
    assert "taken are JPEG, PNG" in refused.value.detail
    return refused.value.detail


def media(brand: bytes, *others: bytes) -> bytes:
    body = brand + b"\0\0\0\0" + b"".join(others)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body


@pytest.mark.parametrize(
    ("data", "name", "remedy"),
    [
        (media(b"heic", b"mif1"), "HEIC", "JPEG"),
        (media(b"mif1", b"heic"), "HEIC", "JPEG"),
        (media(b"heix"), "HEIC", "JPEG"),
        (media(b"hevc", b"msf1"), "HEIC", "JPEG"),
        (media(b"mif1"), "HEIC", "JPEG"),
        (media(b"crx "), "RAW", "develop"),
        (b"\0\0\0\x20moov", "video", "ffmpeg"),
        (b"OggS\0", "video", "ffmpeg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "ffmpeg"),
        (b"II\x1a\0\0\0HEAPCCDR", "RAW", "darktable"),
        (b"8BPS\0\2", "PSD", "ImageMagick"),
        (media(b"isom", b"mp42"), "video", "frame"),
        (media(b"qt  "), "video", "frame"),
        (b"\x1aE\xdf\xa3\x9f", "video", "frame"),
        (b"RIFF\0\0\0\0AVI LIST", "video", "frame"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL", "convert"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "convert"),
        (b"%PDF-1.7\n", "PDF", "pages"),
        (b"8BPS\0\1", "PSD", "save"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "render"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<SVG/>", "SVG", "render"),
        (b"<!DOCTYPE html><html>", "web page", "picture itself"),
        (b"FUJIFILMCCD-RAW 0201", "RAW", "develop"),
        (b"IIU\0\x08\0\0\0", "RAW", "develop"),
        (b"II*\0\x10\0\0\0CR\x02\0", "RAW", "develop"),
        (b"PK\x03\x04\x14", "ZIP", "pictures"),
        (b"P6\n2 2\n255\n", "Netpbm", "convert"),
        (b"%!PS-Adobe-3.0", "PostScript", "render"),
    ],
)
def test_it_is_named_with_what_to_do(data: bytes, name: str, remedy: str) -> None:
    told = refusal(data)
    assert name in told
    assert remedy in told.split("taken are")[1]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("tags", "is_raw"),
    [
        ({254: 1, 330: 8}, True),  # a thumbnail before the rest: NEF, ARW, PEF
        ({50706: 0x01040000}, True),  # DNG
        ({254: 1}, False),
        ({254: 0, 330: 8}, False),
        ({330: 8}, False),
        ({254: 2, 330: 8}, False),  # a page of several
    ],
)
def test_a_tiff_that_begins_with_a_thumbnail_is_a_cameras(order: str, tags: dict[int, int], is_raw: bool) -> None:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    data = head + struct.pack(order + "H", len(tags)) + entries + bytes(4)
    if is_raw:
        assert "RAW" in refusal(data)
    else:
        with pytest.raises(Exception) as refused:  # noqa: PT011 - of a TIFF without a picture
            imaging.inspect(Upload(data), Limits(), "candidate")
        assert not isinstance(refused.value, UnsupportedImageType)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_short_number_is_read_in_either_order(order: str) -> None:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    kinds = struct.pack(order + "HHIHH", 254, 3, 1, 1, 0) + struct.pack(order + "HHII", 330, 4, 1, 8)
    assert "RAW" in refusal(head + struct.pack(order + "H", 2) + kinds + bytes(4))


def test_an_honest_tiff_is_none() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[254] = 0
    buffer = io.BytesIO()
    smooth(9, 9).save(buffer, "TIFF", tiffinfo=directory)
    assert imaging.inspect(Upload(buffer.getvalue()), Limits(), "candidate").width == 9


def test_nobody_knows_what_noise_is() -> None:
    assert "of a format this service doesn't know" in refusal(b"hello, I am text")
    assert refusal(b"hello, I am text").endswith("AVIF.")


def test_one_that_the_operator_left_out_is_to_be_converted() -> None:
    with pytest.raises(UnsupportedImageType, match="is a GIF file; taken are JPEG: convert it"):
        imaging.inspect(saved(Image.new("L", (8, 8)), "GIF"), Limits(formats=("JPEG",)), "candidate")
