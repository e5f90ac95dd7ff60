"""In which of two pictures a thing stands, over a ground of any texture: the other one shows the ground there.
Knows one box of two pictures on one grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.tiles import Grid
from serve_app.schema import DifferenceKind

SIDE = 256  # pixels that the box and its surroundings are shrunk to: 0.5 ms
WIDE = 1 << 20  # pixels read of a larger box
LARGEST = 0.4  # of the picture: more has no surroundings to go by
MARGIN = 0.3  # of the box's longer side, seen around it
LEAST_MARGIN, MOST_MARGIN = 8, 64  # pixels
CLEAR = 12  # levels by which the two pictures differ where the thing is
CORE = 0.3  # of the change's median: what is less is an encoder's ringing around it
HOLES = 5  # pixels: less is where the thing has its ground's colour by chance
LAG = 3  # pixels across its outline: more than anti-aliasing and an encoder blur
STANDS_OUT = 2.0  # times the step across the outline that the ground has there
ALONE = 3.0  # times: enough, though the ground be rougher here than around
CONTINUES = (1.5, 4.0)  # times the ground's own steps, plus levels: no outline to be seen
LEAST_PAIRS = 24  # across the outline: fewer tell nothing
FAMILIAR = 0.9  # of the ground uncovered must have colours that are around too
BINS = 16  # a channel


def kind(grid: Grid, box: Box) -> DifferenceKind:
    """`added` or `removed` where just one picture has an outline around what differs, else `changed`.

    The test for abandoned and removed objects in surveillance (Spagnolo et al., 2006: edges along the outline of the
    change) with two guards: across the outline the bare ground should be as smooth as around, and the other picture
    must not be; and what the ground shows inside must have its surroundings' colours. A thing replaced by another
    has outlines in both.
    """
    if box.area > LARGEST * grid.width * grid.height:
        return "changed"
    one, two = _seen(grid, box)
    apart = _strongest(cv2.absdiff(one, two))
    clear = apart[apart > CLEAR]
    core = (apart > max(CLEAR, CORE * float(np.median(clear)) if len(clear) else 0.0)).astype(np.uint8)
    thing = cv2.morphologyEx(core, cv2.MORPH_CLOSE, np.ones((HOLES, HOLES), np.uint8)) > 0
    first, second = _outline(one, thing), _outline(two, thing)
    if first is None or second is None:
        return "changed"
    if _stands_on(first, second) and _is_familiar(one, thing):
        return "added"
    if _stands_on(second, first) and _is_familiar(two, thing):
        return "removed"
    return "changed"


@dataclass(frozen=True, slots=True)
class _Outline:
    """Mean levels between pixels LAG apart: across the outline of what differs, and on the ground away from it."""

    across: float
    ground: float

    @property
    def is_smooth(self) -> bool:
        return self.across <= CONTINUES[0] * self.ground + CONTINUES[1]


def _stands_on(bare: _Outline, other: _Outline) -> bool:
    least = STANDS_OUT if bare.is_smooth else ALONE
    return not other.is_smooth and other.across >= max(CLEAR, least * bare.across)


def _seen(grid: Grid, box: Box) -> tuple[Pixels, Pixels]:
    """The box and some of what surrounds it in both pictures, at most SIDE wide and high."""
    margin = min(MOST_MARGIN, max(LEAST_MARGIN, round(MARGIN * max(box.width, box.height))))
    left, top = max(0, box.x - margin), max(0, box.y - margin)
    right, bottom = min(grid.width, box.right + margin), min(grid.height, box.bottom + margin)
    step = max(1, math.isqrt((right - left) * (bottom - top) // WIDE))
    views = [picture[top:bottom:step, left:right:step] for picture in (grid.first, grid.second)]
    height, width = views[0].shape[:2]
    shrink = max(1.0, max(width, height) / SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    one, two = (np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8) for view in views)
    return one, two


def _strongest(apart: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.max(cv2.max(*cv2.split(apart)[:2]), cv2.split(apart)[2]), np.uint8)


def _outline(picture: Pixels, thing: NDArray[np.bool_]) -> _Outline | None:
    """None where there are too few pixels of either kind."""
    near = cv2.dilate(thing.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    across: list[NDArray[np.uint8]] = []
    beside: list[NDArray[np.uint8]] = []
    for turned in (False, True):
        image, inside, close = (each.swapaxes(0, 1) if turned else each for each in (picture, thing, near))
        if len(image) <= LAG:
            continue
        apart = _strongest(cv2.absdiff(np.ascontiguousarray(image[LAG:]), np.ascontiguousarray(image[:-LAG])))
        across.append(apart[inside[LAG:] != inside[:-LAG]])
        beside.append(apart[~(close[LAG:] | close[:-LAG])])
    outline, ground = np.concatenate(across or [_NOTHING]), np.concatenate(beside or [_NOTHING])
    if min(len(outline), len(ground)) < LEAST_PAIRS:
        return None
    return _Outline(float(outline.mean()), float(ground.mean()))


_NOTHING = np.zeros(0, np.uint8)


def _is_familiar(picture: Pixels, thing: NDArray[np.bool_]) -> bool:
    """Nearly all that `picture` shows where the other has the thing has a colour that is found around it."""
    coarse = picture.astype(np.int32) // (256 // BINS)
    index = (coarse[..., 0] * BINS + coarse[..., 1]) * BINS + coarse[..., 2]
    around = np.bincount(index[~thing], minlength=BINS**3).reshape(BINS, BINS, BINS) > 0
    for axis in range(3):
        padded = np.pad(around, [(1, 1) if each == axis else (0, 0) for each in range(3)])
        around = np.logical_or.reduce([padded.take(range(at, at + BINS), axis=axis) for at in range(3)])
    return bool(around.ravel()[index[thing]].mean() >= FAMILIAR)
