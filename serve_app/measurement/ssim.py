"""Structural similarity of two pictures of one size.
Knows no colour: luma only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW, STRIDE = 8, 4
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def mean_ssim(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Mean SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) of (height, width) float32 luma in 0..255.

    Uniform windows of 8x8 pixels, 4 apart (the stride costs 0.001 against every window), constants .01 and .03.
    Pictures below 8 pixels a side are one window. Symmetric; -1..1.
    """
    window = (min(WINDOW, first.shape[1]), min(WINDOW, first.shape[0]))
    moments = [_means(image, window) for image in (first, second, first * first, second * second, first * second)]
    one, two = moments[0], moments[1]
    variances = np.maximum(moments[2] - one * one, 0) + np.maximum(moments[3] - two * two, 0)
    covariance = moments[4] - one * two
    values = (2 * one * two + _C1) * (2 * covariance + _C2) / ((one * one + two * two + _C1) * (variances + _C2))
    return float(np.clip(values.mean(dtype=np.float64), -1, 1))


def _means(image: NDArray[np.float32], window: tuple[int, int]) -> NDArray[np.float32]:
    width, height = window
    means = cv2.boxFilter(image, cv2.CV_32F, window, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(means[: image.shape[0] - height + 1 : STRIDE, : image.shape[1] - width + 1 : STRIDE])
