"""An ICC profile made of primaries and a curve (ICC.1:2022): what a colour transform takes.
Knows no files and no images."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serve_app.imaging.colour_tags import Chromaticities, Curve

_D50: Final = (0.9642, 1.0, 0.8249)
# Cone response of Bradford (ICC.1:2022, annex E): how a white is adapted to another.
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PARAMETRIC: Final = {1: 0, 5: 3}  # parameters of a curve to its function type


def matrix_profile(chromaticities: Chromaticities, curve: Curve) -> bytes:
    """A display profile of version 4 for RGB: three colorants, one curve."""
    colorants = _colorants(chromaticities)
    tags = {
        b"desc": _text("PairLens"),
        b"cprt": _text("CC0"),
        b"wtpt": _xyz(_D50),
        **{name + b"XYZ": _xyz(tuple(colorants[:, index])) for index, name in enumerate((b"r", b"g", b"b"))},
        **{name + b"TRC": _curve(curve) for name in (b"r", b"g", b"b")},
    }
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at, len(data))
        padded = data + bytes(-len(data) % 4)
        body, at = body + padded, at + len(padded)
    header = struct.pack(">I4xI4s4s4s12x4s28x", at, 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += _fixed(*_D50) + bytes(128 - len(header) - 12)
    return header + struct.pack(">I", len(tags)) + table + body


def _colorants(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """Red, green and blue as columns of XYZ under D50."""
    points = np.array([(x / y, 1.0, (1 - x - y) / y) if y else (0.0, 0.0, 1.0) for x, y in chromaticities]).T
    white, primaries = points[:, 0], points[:, 1:]
    scaled = primaries * np.linalg.solve(primaries, white)
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, gain[:, None] * (_BRADFORD @ scaled))
    return adapted


def _fixed(*values: float) -> bytes:
    """s15Fixed16 numbers."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(curve: Curve) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", _PARAMETRIC[len(curve)], 0) + _fixed(*curve)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
