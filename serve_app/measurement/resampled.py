"""What of lightness differs where a picture was resampled to meet the other: the same letters, sampled elsewhere.
Knows one plane of two tiles.

An edge that sits a fraction of a pixel further, or is softer, loses on one side what it gains on the other: in a mean
over what two pixels cover almost nothing is left of it, while a stroke that came or went stays.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels

SLACK = 3.0  # levels: below one just noticeable difference
NEAR = 0.8  # pixels: deviation of the mean
SHARE = 0.33  # of the contrast around: a border that browsers round to another width leaves .31, a digit's stroke .35
MOST = 0.75  # ... that one pixel may be off: half a pixel and another width together leave .69
AROUND = np.ones((5, 5), np.uint8)
LINE = 24  # pixels: so long and straight is no letter

Mask = NDArray[np.bool_]


def differs(one: Pixels, two: Pixels) -> Mask:
    """Pixels of two planes of one size whose lightness differs by more than sampling explains. Symmetric."""
    contrast = cv2.max(*(cv2.subtract(cv2.dilate(each, AROUND), cv2.erode(each, AROUND)) for each in (one, two)))
    apart = two.astype(np.float32) - one
    mean = np.abs(cv2.GaussianBlur(apart, (0, 0), NEAR))
    scaled: NDArray[Any] = contrast.astype(np.float32)
    return np.asarray((mean > SLACK + SHARE * scaled) | (np.abs(apart) > SLACK + MOST * scaled))


def lines(off: Pixels, least: int) -> Mask:
    """Pixels of long straight runs that are off by `least` levels: borders, which have whole pixels at any scale, so
    that one is bolder than the other."""
    strong = (off >= least).view(np.uint8)
    across = cv2.morphologyEx(strong, cv2.MORPH_OPEN, np.ones((1, LINE), np.uint8))
    return np.asarray(cv2.morphologyEx(strong, cv2.MORPH_OPEN, np.ones((LINE, 1), np.uint8)) | across) > 0
