"""Whole-pixel shifts between two pictures, and how well a shift explains a pair.
Knows luma arrays only."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels

CANVAS = 512  # pixels of the longer side that shifts are first looked for on
WINDOW = 256  # pixels of the native window that settles a shift to one pixel
OFF = 12  # levels beyond the common offset: a pixel that doesn't fit
ROWS = 256  # rows of a picture that mismatch is counted on
Shift = tuple[int, int]


def luma(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8).reshape(image.shape[:2])


def mismatch(first: Pixels, second: Pixels, shift: Shift = (0, 0)) -> float:
    """Share of pixels that don't fit where `second` lies `shift` = (dx, dy) further, from a sample of rows.

    A common offset of lightness is taken out first. 1 where less than a tenth of a picture overlaps.
    """
    views = overlapping(first, second, shift)
    if views is None:
        return 1.0
    one, two = views
    step = max(1, one.shape[0] // ROWS)
    apart = luma(one[::step]).astype(np.int16) - luma(two[::step])
    return float((np.abs(apart - np.int16(np.median(apart[::4, ::4]))) > OFF).mean())


def mismatch_inside(first: Pixels, second: Pixels, shift: Shift) -> float:
    """The lesser mismatch without the shift of what it leaves in view: a shift mustn't win by pushing change out."""
    dx, dy = shift
    height, width = first.shape[:2]
    least = 1.0
    for x, y in ((dx, dy), (-dx, -dy)):
        rows, columns = slice(max(0, -y), min(height, height - y)), slice(max(0, -x), min(width, width - x))
        least = min(least, mismatch(first[rows, columns], second[rows, columns]))
    return least


def overlapping(first: Pixels, second: Pixels, shift: Shift) -> tuple[Pixels, Pixels] | None:
    """Views of what both show when pixel (x, y) of `first` is (x + dx, y + dy) of `second`; None below a tenth."""
    dx, dy = shift
    left, top = max(0, -dx), max(0, -dy)
    right = min(first.shape[1], second.shape[1] - dx)
    bottom = min(first.shape[0], second.shape[0] - dy)
    least = 0.1 * min(first.shape[0] * first.shape[1], second.shape[0] * second.shape[1])
    if right - left < 1 or bottom - top < 1 or (right - left) * (bottom - top) < least:
        return None
    return first[top:bottom, left:right], second[top + dy : bottom + dy, left + dx : right + dx]


def find(first: Pixels, second: Pixels) -> Shift | None:
    """The shift of two pictures of one size by phase correlation (Kuglin and Hines 1975), settled at native size."""
    height, width = first.shape[:2]
    if min(height, width) < 32:
        return None
    factor = max(1.0, max(height, width) / CANVAS)
    size = (max(16, round(width / factor)), max(16, round(height / factor)))
    one, two = (luma(cv2.resize(image, size, interpolation=cv2.INTER_AREA)) for image in (first, second))
    (dx, dy), _ = cv2.phaseCorrelate(_edges(one), _edges(two), cv2.createHanningWindow(size, cv2.CV_32F))
    rough = (round(dx * width / size[0]), round(dy * height / size[1]))
    return settled(first, second, rough, math.ceil(factor) + 1)


def place(first: Pixels, second: Pixels) -> Shift | None:
    """Where in the larger `second` all of `first` lies, by normalised correlation; None where it can't fit."""
    (height, width), (tall, wide) = first.shape[:2], second.shape[:2]
    factor = max(1.0, max(tall, wide) / CANVAS)
    small, large = ((round(w / factor), round(h / factor)) for w, h in ((width, height), (wide, tall)))
    if height > tall or width > wide or min(small) < 16:
        return None
    one = luma(cv2.resize(first, small, interpolation=cv2.INTER_AREA))
    two = luma(cv2.resize(second, large, interpolation=cv2.INTER_AREA))
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(two, one, cv2.TM_CCOEFF_NORMED))
    rough = (min(round(x * factor), wide - width), min(round(y * factor), tall - height))
    return settled(first, second, rough, math.ceil(factor) + 1)


def _edges(image: Pixels) -> NDArray[np.float32]:
    """Luma less its blur: a change of exposure or a soft gradient doesn't pull the correlation."""
    plane = image.astype(np.float32)
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), 4))


def settled(first: Pixels, second: Pixels, rough: Shift, reach: int) -> Shift | None:
    """The shift within `reach` of `rough` under which the busiest native window of `first` lies on `second`."""
    views = overlapping(first, second, rough)
    if views is None or min(views[0].shape[:2]) < 16:
        return None
    one, two = views
    side = min(WINDOW, *(length - 2 * reach for length in one.shape[:2]))
    if side < 8:
        return rough
    x, y = _busiest(one, side, reach)
    template = luma(one[y : y + side, x : x + side])
    area = luma(two[y - reach : y + side + reach, x - reach : x + side + reach])
    if float(template.std()) < 1:
        return rough
    scores = cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED)
    _, _, _, (right, down) = cv2.minMaxLoc(scores)
    return rough[0] + right - reach, rough[1] + down - reach


def _busiest(image: Pixels, side: int, margin: int) -> Shift:
    """Top left corner of the window with most detail, on a coarse lattice."""
    height, width = image.shape[:2]
    step = max(1, min(height, width) // 256)
    plane = luma(np.ascontiguousarray(image[::step, ::step])).astype(np.float32)
    detail = cv2.boxFilter(
        cv2.absdiff(plane, cv2.blur(plane, (3, 3))),
        -1,
        (max(1, side // step), max(1, side // step)),
        anchor=(0, 0),
        borderType=cv2.BORDER_REPLICATE,
    )
    rows, columns = (height - side - margin) // step + 1, (width - side - margin) // step + 1
    first = -(-margin // step)
    part = detail[first:rows, first:columns]
    if not part.size:
        return margin, margin
    y, x = np.unravel_index(int(np.argmax(part)), part.shape)
    return min(width - side - margin, (int(x) + first) * step), min(height - side - margin, (int(y) + first) * step)
