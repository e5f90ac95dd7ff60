"""Encoded images for the tests of imaging: hostile headers, odd modes, photographs."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from serve_app import imaging
from serve_app.core.pictures import Box, Pixels, PreparedImage, Upload
from serve_app.settings import Limits

GREY = 128


def noise(width: int, height: int, bands: int = 3, seed: int = 0) -> Pixels:
    shape = (height, width) if bands == 1 else (height, width, bands)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(width: int, height: int) -> Image.Image:
    """A colourful gradient: what survives JPEG nearly unchanged."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> Upload:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Upload(buffer.getvalue())


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags.tobytes()


def prepared(
    upload: Upload,
    *,
    scale: float = 1.0,
    masks: tuple[Box, ...] = (),
    size: tuple[int, int] = (1024, 1024),
    quality: int = 100,
    limits: Limits | None = None,
) -> PreparedImage:
    header = imaging.inspect(upload, limits or Limits(), "candidate")
    return imaging.prepare(
        upload, header, "candidate", scale=scale, masks=masks, shown=imaging.ShownSpec(size, quality)
    )


def shown_pixels(image: PreparedImage) -> Pixels:
    assert image.shown is not None
    if image.shown.encoding == "jpeg":
        return np.asarray(Image.open(io.BytesIO(image.shown.data), formats=("JPEG",)))
    return np.frombuffer(image.shown.data, np.uint8).reshape(image.shown.height, image.shown.width, 3)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, body: bytes, *chunks: bytes) -> Upload:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return Upload(data)


def tiny_webp_of(side: int) -> Upload:
    """A lossless WebP of one colour whose 34 bytes decode to side x side pixels."""
    bits = (side - 1) | (side - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + bytes.fromhex("0788fd8f") + b"\0" * 5
    return Upload(b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body)


def scan_bomb(scans: int) -> Upload:
    """A progressive JPEG whose last scan is repeated."""
    data = saved(smooth(64, 64), "JPEG", progressive=True).data
    last = data.rfind(b"\xff\xda")
    return Upload(data[:last] + data[last:-2] * scans + data[-2:])
