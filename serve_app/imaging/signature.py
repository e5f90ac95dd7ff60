"""Which of the formats we know a file is, by its first bytes.
Knows nothing of names, content types or what an operator allows."""

from __future__ import annotations

from serve_app.settings import ImageFormat

_PREFIXES: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
# ISO/IEC 23008-12, annex B: pictures and sequences in HEVC.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL_BRANDS = {b"mif1", b"msf1"}


def format_of(data: bytes) -> ImageFormat | None:
    """The format `data` claims to be, or None."""
    for prefix, name in _PREFIXES:
        if data.startswith(prefix):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and _AVIF_BRANDS & _brands(data):
        return "AVIF"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS | _STILL_BRANDS and _HEIC_BRANDS & _brands(data):
        return "HEIC"
    return None


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO media file: HEIC and MP4 share the box with AVIF."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12]} | {data[at : at + 4] for at in range(16, end - 3, 4)}
