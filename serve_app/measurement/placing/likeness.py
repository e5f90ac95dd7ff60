"""How well two whole pictures lie on one another as they are, whatever their sizes.
Knows small luma pictures; their tone doesn't count."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels
from serve_app.measurement.placing.shifts import luma

FINE, COARSE = 256, 64  # pixels of the longer side: a hundredth off the frame is 2 of one, and half of one of the other
BLUR = 3.0  # pixels: what is coarser is light, not content


def detail(image: Pixels, size: tuple[int, int]) -> NDArray[np.float32]:
    """Luma at `size` (width, height) less its blur, of mean 0 and length 1; nothing of a flat picture."""
    plane = np.asarray(cv2.resize(luma(image), size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[::-1])
    plane -= cv2.GaussianBlur(plane, (0, 0), BLUR)
    plane -= plane.mean()
    length = float(np.linalg.norm(plane))
    return np.asarray(plane / length if length > 1 else np.zeros_like(plane), np.float32)


def canvas(first: Pixels, second: Pixels, side: int) -> tuple[int, int]:
    """(width, height) that both are shrunk to, the longer `side` at most."""
    height, width = (min(lengths) for lengths in zip(first.shape[:2], second.shape[:2], strict=True))
    factor = max(1.0, max(height, width) / side)
    return max(1, round(width / factor)), max(1, round(height / factor))


def correlation(first: Pixels, second: Pixels, side: int = FINE) -> float:
    """-1..1: of the detail of both, each on the whole of one canvas."""
    size = canvas(first, second, side)
    return float(np.vdot(detail(first, size), detail(second, size)))
