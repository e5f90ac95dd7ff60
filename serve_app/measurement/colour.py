"""Colour difference as CIE Lab and CIEDE2000.
Knows arrays of colours, not pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels

Lab = NDArray[np.float32]

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_XYZ_OF_WHITE = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # in parts of white's: grey stays grey
_LAB = np.array([[0, 116, 0, -16], [500, -500, 0, 0], [0, 200, -200, 0]], np.float32)


def lab(pixels: Pixels) -> Lab:
    """sRGB (height, width, 3) uint8 to CIE Lab (D65), float32.

    Not OpenCV's own conversion: that is off by up to 0.4 and builds tables for 45 ms at its first call.
    """
    parts = np.asarray(cv2.transform(cv2.LUT(pixels, _LINEAR), _XYZ_OF_WHITE), np.float32)
    roots = np.asarray(cv2.pow(parts, 1 / 3), np.float32).reshape(parts.shape)
    linear = parts * np.float32(7.787) + np.float32(16 / 116)
    return np.asarray(cv2.transform(np.where(parts > 0.008856, roots, linear), _LAB), np.float32)


def delta_e(first: Lab, second: Lab) -> NDArray[np.float64]:
    """CIEDE2000 of arrays (..., 3), after Sharma, Wu and Dalal (2005). Symmetric; 1 is just noticeable."""
    l1, a1, b1 = np.moveaxis(first.astype(np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(second.astype(np.float64), -1, 0)
    middle = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(middle / (middle + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)
    turn = np.where(c1 * c2 == 0, 0.0, np.mod(h2 - h1 + np.pi, 2 * np.pi) - np.pi)
    hue = np.where(c1 * c2 == 0, h1 + h2, _mean_angle(h1, h2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    tilt = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    dl = (l2 - l1) / s_l
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * tilt)
    seventh = chroma**7
    degrees = np.degrees(np.mod(hue, 2 * np.pi))
    rotation = np.radians(30 * np.exp(-(((degrees - 275) / 25) ** 2)))
    cross = -2 * np.sqrt(seventh / (seventh + 25.0**7)) * np.sin(2 * rotation)
    return np.asarray(np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 + cross * dc * dh, 0)))


def _mean_angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of the shorter arc; of two opposite hues the one CIEDE2000 prescribes."""
    first, second = np.mod(first, 2 * np.pi), np.mod(second, 2 * np.pi)
    middle = (first + second) / 2
    far = np.abs(first - second) > np.pi
    return np.where(far, np.where(middle < np.pi, middle + np.pi, middle - np.pi), middle)
