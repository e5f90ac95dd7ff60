"""How much of what there is to see was exchanged for something else: other words at the same place.
Knows luma pictures at viewing size; a change of tone or sharpness is others' work."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels

STEP = 4  # pixels of the halved picture: windows are two steps a side, one apart
ALIKE = 0.7  # correlation from which on a window shows the same: a blur of 2 pixels leaves words above it
QUIET = 9.0  # levels squared: a window's variance that may be noise, dither or an encoder's residue
LOPSIDED = 0.1  # of the other's variance: below, something stands in one picture only
GROUND = 0.3  # levels of deviation that a flat window counts for

_Plane = NDArray[np.float32]


def exchanged(first: Pixels, second: Pixels) -> float:
    """0..1: share of the detail of two luma pictures of one size that isn't in the other one, windows by deviation.

    At half size, so that a blur or half a pixel of misplacement still correlates while other letters don't.
    """
    one, two = _halved(first), _halved(second)
    if min(one.shape) < 2 * STEP:
        return 0.0
    means = [_windows(plane) for plane in (one, two)]
    variances = [
        np.maximum(_windows(plane * plane) - mean * mean, 0) for plane, mean in zip((one, two), means, strict=True)
    ]
    covariance = _windows(one * two) - means[0] * means[1]
    least, most = np.minimum(*variances), np.maximum(*variances)
    alone = np.where(least < LOPSIDED * (most + QUIET), (most - least) / 4, 0)
    correlation = (covariance + QUIET) / (np.sqrt(least * most) + QUIET + alone)
    weight = np.sqrt(most) + GROUND
    return float((np.clip(1 - correlation / ALIKE, 0, 1) * weight).sum(dtype=np.float64) / weight.sum(dtype=np.float64))


def _halved(image: Pixels) -> _Plane:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    if min(size) < 1:
        return image.astype(np.float32)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[::-1])


def _windows(plane: _Plane) -> _Plane:
    """Means of windows of 8x8 pixels, 4 apart."""
    size = (plane.shape[1] // STEP, plane.shape[0] // STEP)
    whole = np.ascontiguousarray(plane[: size[1] * STEP, : size[0] * STEP])
    blocks = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    rows = blocks[1:] + blocks[:-1]
    return np.asarray((rows[:, 1:] + rows[:, :-1]) / 4, np.float32)
