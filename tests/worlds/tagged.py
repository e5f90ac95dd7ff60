"""Pictures of sRGB encoded in other colours, and files that say so; the formulas are the standards' own."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serve_app.core.pictures import Pixels, Upload
from tests.worlds.imaging_files import chunk

# Linear sRGB to linear Display P3 (CSS Color 4, 10.3 and 17: both matrices of its sample code, multiplied).
_SRGB_TO_P3 = np.array([[0.8224620, 0.1775380, 0.0], [0.0331942, 0.9668058, 0.0], [0.0170826, 0.0723974, 0.9105199]])


def as_linear(picture: Pixels) -> Pixels:
    return _stored(_light(picture))


def as_bt709(picture: Pixels) -> Pixels:
    """ITU-R BT.709-6, item 1.2."""
    light = _light(picture)
    return _stored(np.where(light < 0.018, 4.5 * light, 1.099 * np.maximum(light, 1e-9) ** 0.45 - 0.099))


def as_display_p3(picture: Pixels) -> Pixels:
    light = _light(picture) @ _SRGB_TO_P3.T
    return _stored(np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055))


def png_of(picture: Pixels, *chunks: bytes) -> Upload:
    """A PNG with these chunks behind its header."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    data = buffer.getvalue()
    return Upload(data[:33] + b"".join(chunks) + data[33:])


def chromaticities(*points: tuple[float, float]) -> bytes:
    """The chunk cHRM: white, red, green, blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for point in points for value in point)))


def avif_of(picture: Pixels, *, primaries: int, transfer: int) -> Upload:
    """Its `colr` box, which names sRGB, is written over."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "AVIF", quality=95, subsampling="4:4:4")
    data = buffer.getvalue()
    at = data.index(b"colrnclx") + 8
    return Upload(data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :])


def _light(picture: Pixels) -> NDArray[np.float64]:
    """Linear light of sRGB (IEC 61966-2-1), 0..1."""
    values = picture / 255.0
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _stored(values: NDArray[np.float64]) -> Pixels:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
