"""What a file says of its colours beside an ICC profile: PNG's cICP, gAMA and cHRM, AVIF's and HEIC's nclx.
Reads bytes only; `profiles` makes of it what a colour transform takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve_app.imaging.pieces import png_chunks
from serve_app.settings import ImageFormat

Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)
_SRGB: Final[Chromaticities] = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
# Coding-independent code points (ITU-T H.273): white, red, green, blue by `ColourPrimaries`.
_PRIMARIES: Final[dict[int, Chromaticities]] = {
    1: _SRGB,
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
# g, a, b, c, d of Y = (aX + b)^g from X = d on, below it cX (ICC.1:2022, 10.18), by H.273's `TransferCharacteristics`.
Curve = tuple[float, ...]
SRGB_CURVE: Final[Curve] = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Final[Curve] = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: Final[dict[int, Curve]] = {
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}
_HIGH_DYNAMIC_RANGE: Final = {16: "PQ", 18: "HLG"}
_UNSPECIFIED: Final = 2
# A gAMA of 1/2.2 is what programs write for sRGB; so near to it browsers take both alike.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.01


@dataclass(frozen=True, slots=True)
class ColourTag:
    """White, red, green and blue in CIE xy, and the curve from samples to light.

    `high_dynamic_range`: "PQ" or "HLG", whose brightness no sRGB holds. `unknown`: a code point that is none of those
    above. In both cases nothing else of the tag counts.
    `is_over_profile`: it counts where an ICC profile is given, too (cICP in PNG third edition, 4.3).
    """

    chromaticities: Chromaticities = _SRGB
    curve: Curve = SRGB_CURVE
    high_dynamic_range: str | None = None
    unknown: str | None = None
    is_over_profile: bool = False

    @property
    def is_srgb(self) -> bool:
        return self == ColourTag(is_over_profile=self.is_over_profile)


def read_colour_tag(data: bytes, kind: ImageFormat) -> ColourTag | None:
    """What the file says, or None; a damaged chunk or box counts as none."""
    if kind == "PNG":
        return _of_png(data)
    if kind in ("AVIF", "HEIC"):
        return _of_media(data)
    return None


def _of_png(data: bytes) -> ColourTag | None:
    """cICP before sRGB before gAMA and cHRM: all stand before the first IDAT."""
    found: dict[bytes, bytes] = {}
    for at in png_chunks(data):
        name = data[at + 4 : at + 8]
        if name == b"IDAT":
            break
        found.setdefault(name, data[at + 8 : at + 8 + min(64, int.from_bytes(data[at : at + 4], "big"))])
    if len(code := found.get(b"cICP", b"")) == 4:
        return _of_code_points(code[0], code[1], "cICP", is_over_profile=True)
    if b"sRGB" in found:
        return None
    gamma, chromaticities = _gamma(found.get(b"gAMA", b"")), _chromaticities(found.get(b"cHRM", b""))
    if gamma is None and chromaticities is None:
        return None
    return ColourTag(chromaticities or _SRGB, SRGB_CURVE if gamma is None else (1 / gamma,))


def _gamma(chunk: bytes) -> float | None:
    """The exponent that the samples were encoded with, or None where they are as sRGB's."""
    value = int.from_bytes(chunk, "big") / 100_000 if len(chunk) == 4 else 0.0
    if not 0.05 <= value <= 20 or abs(value - _SRGB_GAMMA) <= _GAMMA_TOLERANCE:
        return None
    return value


def _chromaticities(chunk: bytes) -> Chromaticities | None:
    if len(chunk) != 32:
        return None
    values = [int.from_bytes(chunk[at : at + 4], "big") / 100_000 for at in range(0, 32, 4)]
    white, red, green, blue = ((values[at], values[at + 1]) for at in range(0, 8, 2))
    area = (green[0] - red[0]) * (blue[1] - red[1]) - (blue[0] - red[0]) * (green[1] - red[1])
    if abs(area) < 0.01 or white[1] < 0.01 or max(values) > 1:  # of no triangle, or none that holds a white
        return None
    return white, red, green, blue


def _of_media(data: bytes) -> ColourTag | None:
    """The first `colr` box of type nclx, which lies in the box `meta` (ISO/IEC 14496-12, 12.1.5)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"meta":
            found = data.find(b"colrnclx", at, min(len(data), at + size))
            code = data[found + 8 : found + 12]
            if found < 0 or len(code) < 4:
                return None
            return _of_code_points(int.from_bytes(code[:2], "big"), int.from_bytes(code[2:], "big"), "nclx")
        if size < 8:
            return None
        at += size
    return None


def _of_code_points(primaries: int, transfer: int, where: str, *, is_over_profile: bool = False) -> ColourTag | None:
    if transfer in _HIGH_DYNAMIC_RANGE:
        return ColourTag(high_dynamic_range=_HIGH_DYNAMIC_RANGE[transfer], is_over_profile=is_over_profile)
    if primaries == transfer == _UNSPECIFIED:
        return None
    chromaticities = _PRIMARIES.get(primaries, _SRGB if primaries == _UNSPECIFIED else None)
    curve = _CURVES.get(transfer, SRGB_CURVE if transfer == _UNSPECIFIED else None)
    if chromaticities is None or curve is None:
        return ColourTag(unknown=f"{where} {primaries}/{transfer}", is_over_profile=is_over_profile)
    return ColourTag(chromaticities, curve, is_over_profile=is_over_profile)
