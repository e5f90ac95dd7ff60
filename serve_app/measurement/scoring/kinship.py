"""Whether two pictures are of one kind: the same palette and the same grain, wherever they show it.
Knows small Lab pictures; they need not be of one size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.measurement.colour import Lab
from serve_app.measurement.scoring.tone import blocks

_BINS = (10, 20, 20)  # of L, a and b: 10, 12 and 12 levels wide, blurred by one bin
_GRAINS = np.linspace(-4, 5, 19)  # half octaves of the mean detail around a place


def shared(first: Lab, second: Lab) -> float:
    """0..1: Bhattacharyya's coefficient of the two palettes times that of the two distributions of detail."""
    palette = np.sqrt(_palette(first) * _palette(second)).sum()
    return float(min(1.0, palette * np.sqrt(_grain(first) * _grain(second)).sum()))


def _palette(image: Lab) -> NDArray[np.float64]:
    colours = (blocks(image) + np.array((0, 120, 120))) / np.array((10.1, 12, 12))
    indices = np.clip(colours.astype(np.int64), 0, np.array(_BINS) - 1)
    flat = np.ravel_multi_index(tuple(indices.T), _BINS)
    counts = np.bincount(flat, minlength=int(np.prod(_BINS))).reshape(_BINS).astype(np.float64)
    for axis in range(3):
        counts = _blurred(counts, axis)
    return np.asarray(counts / counts.sum())


def _grain(image: Lab) -> NDArray[np.float64]:
    light = np.ascontiguousarray(image[..., 0])
    detail = np.abs(light - cv2.GaussianBlur(light, (0, 0), 1))
    around = cv2.resize(detail, (32, 32), interpolation=cv2.INTER_AREA)
    counts = np.histogram(np.log2(np.clip(around, 0, 31) + 0.1), bins=_GRAINS)[0].astype(np.float64)
    return np.asarray(_blurred(counts, 0) / counts.sum())


def _blurred(counts: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Weights 1, 2, 1; what would leave at the ends stays."""
    padded = np.pad(counts, [(1, 1) if each == axis else (0, 0) for each in range(counts.ndim)], mode="edge")
    parts = [padded.take(range(start, start + counts.shape[axis]), axis) for start in (0, 1, 2)]
    out = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return np.asarray(out / max(1e-12, out.sum()) * counts.sum())
