"""What a file is that this service doesn't take, by its first bytes, and what its owner can do.
Decodes nothing; knows nothing of names and content types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from serve_app.imaging import directories

_HEIC: Final = (
    "HEIC, as iPhones and some cameras save photographs, which this service doesn't take",
    "export it as JPEG, on a Mac with sips, elsewhere with heif-dec",
)
_VIDEO: Final = "a video", "save a frame of it as PNG, with ffmpeg for instance"
_RAW: Final = "a camera's RAW file", "develop it to TIFF, PNG or JPEG, with darktable for instance"
_WRITTEN: Final = "save it as PNG or JPEG, with ImageMagick for instance"
_JPEG_2000: Final = "JPEG 2000", "convert it to PNG, with opj_decompress for instance"
# First bytes, where they stand, what that is and what can be done. The first that fits counts.
_MARKS: Final[Sequence[tuple[int, bytes, tuple[str, str]]]] = (
    (0, b"%PDF-", ("a PDF", "save its pages as PNG, or compare two PDFs as a batch")),
    (0, b"8BPS", ("a Photoshop file (PSD)", _WRITTEN)),
    (0, b"\xff\x0a", ("JPEG XL", "convert it to PNG or JPEG, with djxl for instance")),
    (0, b"\0\0\0\x0cJXL ", ("JPEG XL", "convert it to PNG or JPEG, with djxl for instance")),
    (0, b"\0\0\0\x0cjP  ", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (0, b"IIRO", _RAW),
    (0, b"IIRS", _RAW),
    (0, b"MMOR", _RAW),
    (0, b"IIU\0", _RAW),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"FOVb", _RAW),
    (0, b"\0MRM", _RAW),
    (0, b"\x1aE\xdf\xa3", _VIDEO),  # Matroska, WebM
    (8, b"AVI ", _VIDEO),
    (0, b"\0\0\x01\xba", _VIDEO),
    (0, b"\0\0\x01\xb3", _VIDEO),
    (0, b"FLV\x01", _VIDEO),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _VIDEO),  # ASF: WMV
    (0, b"OggS", _VIDEO),
    (4, b"moov", _VIDEO),  # QuickTime before it had brands
    (4, b"mdat", _VIDEO),
    (4, b"wide", _VIDEO),
    (0, b"II\x1a\0\0\0HEAPCCDR", _RAW),  # CRW
    (0, b"\0\0\x01\0", ("an icon (ICO)", _WRITTEN)),
    (0, b"%!PS", ("PostScript", "render it to PNG, with Ghostscript for instance")),
    (0, b"\xc5\xd0\xd3\xc6", ("PostScript", "render it to PNG, with Ghostscript for instance")),
    (0, b"v/1\x01", ("OpenEXR", "convert it to PNG, with ImageMagick for instance")),
    (0, b"#?RADIANCE", ("a Radiance HDR picture", "convert it to PNG, with ImageMagick for instance")),
    (0, b"DDS ", ("a DirectDraw texture (DDS)", "convert it to PNG, with ImageMagick for instance")),
    (0, b"gimp xcf", ("a GIMP file (XCF)", "export it as PNG, with GIMP")),
    (0, b"qoif", ("QOI", "convert it to PNG, with ImageMagick for instance")),
    (0, b"PK\x03\x04", ("a ZIP archive, or a document that is one", "send the pictures themselves")),
    (0, b"\x1f\x8b", ("a gzip archive", "send the picture itself")),
)
# Brands of ISO media files (ISO/IEC 14496-12): AVIF among them is ours.
_BRANDS: Final[Sequence[tuple[frozenset[bytes], tuple[str, str]]]] = (
    (frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}), _HEIC),
    (frozenset({b"crx "}), _RAW),
)
_NETPBM: Final = re.compile(rb"P[1-7][ \t\r\n]")
_MARKUP: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!doctype|<svg|<html|<head|<body)", re.IGNORECASE)
_LOOKED_AT: Final = 4096


def described(data: bytes) -> tuple[str, str] | None:
    """Its name, and what can be done about it; None where nobody knows."""
    if is_camera_raw(data):
        return _RAW
    for at, mark, found in _MARKS:
        if data.startswith(mark, at):
            return found
    if data[4:8] == b"ftyp":
        return next((found for brands, found in _BRANDS if data[8:12] in brands), _VIDEO)
    if _NETPBM.match(data):
        return "a Netpbm picture", "convert it to PNG, with ImageMagick for instance"
    if _MARKUP.match(data):
        is_drawing = b"<svg" in data[:_LOOKED_AT].lower()
        return (
            ("SVG, a drawing of vectors", "render it to PNG, with rsvg-convert for instance")
            if is_drawing
            else ("a web page", "send the picture itself")
        )
    return None


def is_camera_raw(data: bytes) -> bool:
    """Whether what begins as a TIFF is a camera's: its first picture would be a thumbnail (TIFF/EP, DNG 1.7)."""
    return (data[:4] == b"II*\0" and data.startswith(b"CR", 8)) or directories.is_of_thumbnail(data)
