"""Structural similarity of two pictures of one size.
Knows no colour: luma only."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW, STRIDE = 8, 4
STRIP = 32  # rows worked on at once: their planes (0.5 MB at 1024 pixels a row) stay in a core's cache
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Luma = NDArray[Any]  # (height, width) in 0..255, uint8 or float32
_Moments = NDArray[np.float32]  # (4, down, across): mean of one, of the other, of the sum of squares, of the product


def mean_ssim(first: Luma, second: Luma) -> float:
    """Mean SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) of two luma pictures of one size.

    Uniform windows of 8x8 pixels, 4 apart (the stride costs 0.001 against every window), constants .01 and .03.
    Pictures below 8 pixels a side are one window. Symmetric; -1..1.
    """
    if min(first.shape) < WINDOW:
        return _mean(_sliding(first, second))
    blocks = _blocks(first, second)
    # A window is four blocks; its moments are the means of theirs.
    rows = blocks[:, 1:] + blocks[:, :-1]
    return _mean((rows[..., 1:] + rows[..., :-1]) * np.float32(0.25))


def _mean(moments: _Moments) -> float:
    one, two, squares, product = moments
    both = one * two
    power = one * one + two * two
    variances = np.maximum(squares - power, 0)
    values = (2 * both + _C1) * (2 * (product - both) + _C2) / ((power + _C1) * (variances + _C2))
    return float(np.clip(values.mean(dtype=np.float64), -1, 1))


def _blocks(first: Luma, second: Luma) -> _Moments:
    """Moments of blocks of 4x4 pixels; zero, as good as any, where both pictures are equal all around."""
    down, across = (length // STRIDE for length in first.shape)
    out = np.zeros((4, down, across), np.float32)
    strips = [slice(y, min(y + STRIP, down * STRIDE)) for y in range(0, down * STRIDE, STRIP)]
    off = [not np.array_equal(first[rows], second[rows]) for rows in strips]
    for index, rows in enumerate(strips):
        if any(off[max(0, index - 1) : index + 2]):
            planes = _planes(*(image[rows, : across * STRIDE].astype(np.float32) for image in (first, second)))
            size = (across, (rows.stop - rows.start) // STRIDE)
            for plane, target in zip(planes, out, strict=True):
                shrunk = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
                target[rows.start // STRIDE : rows.stop // STRIDE] = shrunk.reshape(size[::-1])
    return out


def _sliding(first: Luma, second: Luma) -> _Moments:
    window = (min(WINDOW, first.shape[1]), min(WINDOW, first.shape[0]))
    high, wide = first.shape[0] - window[1] + 1, first.shape[1] - window[0] + 1
    planes = _planes(first.astype(np.float32), second.astype(np.float32))
    means = [cv2.boxFilter(plane, -1, window, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE) for plane in planes]
    return np.stack([plane[:high:STRIDE, :wide:STRIDE] for plane in means])


def _planes(one: NDArray[np.float32], two: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    return one, two, one * one + two * two, one * two
