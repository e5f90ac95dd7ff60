"""Where lines of text lie: a network's map of text, and the rectangles drawn from it.
Knows nothing of what they say. Method: Liao et al., Real-time Scene Text Detection with Differentiable Binarization,
AAAI 2020; its shrunken areas grow back by area times 1.6 over perimeter, here as rectangles."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from serve_app.core.pictures import Pixels
from serve_app.ocr.network import SIDES, Network, Numbers
from serve_app.ocr.quads import Quad, from_rectangle, joined

MOST_PIXELS: Final = 384 * 1024  # of one call, after enlarging: 110 MB of the network's buffers
TEXT: Final = 0.3  # of the map: a pixel of text
SURE: Final = 0.5  # mean of the map over a line
GROWTH: Final = 1.6
LEAST: Final = 3.0  # pixels of the map: a line lower than this is none


def find_lines(network: Network, pixels: Pixels, scale: int = 1) -> list[Quad]:
    """Lines in pixels of `pixels` (height, width, 3), RGB. `scale`: looked for so many times as large: small letters.

    At most `MOST_PIXELS` after enlarging: larger pictures come in parts.
    """
    chances = _chances(network, pixels, scale)
    found = []
    contours, _ = cv2.findContours((chances > TEXT).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        middle, sides, angle = cv2.minAreaRect(contour)
        if min(sides) < LEAST or _mean(chances, contour) < SURE:
            continue
        by = sides[0] * sides[1] * GROWTH / (sides[0] + sides[1])  # twice: area * growth / perimeter
        found.append(from_rectangle((middle, (sides[0] + by, sides[1] + by), angle)) / np.float32(scale))
    return joined(found)


def _chances(network: Network, pixels: Pixels, scale: int) -> Numbers:
    height, width = pixels.shape[:2]
    if scale > 1:
        pixels = np.asarray(cv2.resize(pixels, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC))
    down, right = (-side % SIDES for side in pixels.shape[:2])
    padded = cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_REPLICATE)
    batch = cv2.dnn.blobFromImage(padded, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True)
    return network(batch)[0, 0, : height * scale, : width * scale]


def _mean(chances: Numbers, contour: Numbers) -> float:
    left, top, width, height = cv2.boundingRect(contour)
    mask = np.zeros((height, width), np.uint8)
    cv2.drawContours(mask, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    return float(cv2.mean(chances[top : top + height, left : left + width], mask)[0])
