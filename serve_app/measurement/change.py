"""What became of one region: changed, added or removed, how strongly, by how much colour.
Knows one box of two pictures on one grid."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement import colour, presence
from serve_app.measurement.regions import Region
from serve_app.measurement.tiles import Grid
from serve_app.schema import DifferenceKind

SAMPLES = 48  # pixels a side that colour is read from
EMPTY = 4.0  # levels of deviation: a ground with nothing on it
CLEAR = 12.0  # levels: the ground inside a box is the ground around it
RING = 4  # pixels around a box that show its ground


def describe(grid: Grid, region: Region) -> MeasuredDifference:
    """The difference in grid pixels; both boxes are the region's."""
    views = [grid.window(region.box, background) for background in grid.backgrounds]
    delta_e = max(_delta_e(first, second) for first, second in views)
    return MeasuredDifference(
        kind=_kind(grid, region.box, *views[0]),
        reference_box=region.box,
        candidate_box=region.box,
        severity=_severity(grid, region),
        changed_pixels=min(region.pixels, region.box.area),
        delta_e=round(delta_e, 4),
    )


def _severity(grid: Grid, region: Region) -> float:
    """Grows with the strength of the change and with the share of the picture that it takes: but what is small and
    stands out is seen, and half as severe as if it were everywhere."""
    strength = region.level / (region.level + 40)
    share = math.sqrt(region.box.area / (grid.width * grid.height))
    return round(min(1.0, max(0.0001, strength * (0.5 + 0.5 * share))), 4)


def _kind(grid: Grid, box: Box, first: Pixels, second: Pixels) -> DifferenceKind:
    was_empty, is_empty = _is_ground(grid.first, box, first), _is_ground(grid.second, box, second)
    if was_empty == is_empty:
        return "changed" if was_empty else presence.kind(grid, box)
    return "added" if was_empty else "removed"


def _is_ground(picture: Pixels, box: Box, inside: Pixels) -> bool:
    """Nothing stands in the box: it is flat, and of the one colour that surrounds it."""
    if _deviation(inside) > EMPTY:
        return False
    ring = _ring(picture, box)
    ground = np.median(ring, axis=0)
    if np.median(np.abs(ring - ground), axis=0).max() > CLEAR:
        return False  # a flat spot on a rough ground is a thing itself
    return bool(np.abs(np.median(_sampled(inside), axis=0) - ground).max() <= CLEAR)


def surround(picture: Pixels, box: Box) -> NDArray[np.float64]:
    """Median colour of the ring around a box; of the box's own rim where it fills the picture."""
    return np.asarray(np.median(_ring(picture, box), axis=0), np.float64)


def _ring(picture: Pixels, box: Box) -> NDArray[np.float64]:
    top, bottom = max(0, box.y - RING), min(picture.shape[0], box.bottom + RING)
    left, right = max(0, box.x - RING), min(picture.shape[1], box.right + RING)
    sides = [
        picture[top : box.y, left:right],
        picture[box.bottom : bottom, left:right],
        picture[box.y : box.bottom, left : box.x],
        picture[box.y : box.bottom, box.right : right],
    ]
    ring = np.concatenate([side.reshape(-1, 3) for side in sides])
    if not len(ring):
        ring = picture[box.y, box.x : box.right]
    return ring[:: max(1, len(ring) // 4096)].astype(np.float64)


def _deviation(image: Pixels) -> float:
    return float(_sampled(image).std(axis=0).max())


def _sampled(image: Pixels) -> NDArray[np.float32]:
    """At most some ten thousand colours, evenly from everywhere."""
    step = max(1, math.isqrt(image.shape[0] * image.shape[1] // 8192))
    return image[::step, ::step].reshape(-1, 3).astype(np.float32)


def _delta_e(first: Pixels, second: Pixels) -> float:
    """Mean CIEDE2000 of the pixels that are off, from a sample grid of the box."""
    down, across = (max(1, math.ceil(length / SAMPLES)) for length in first.shape[:2])
    one, two = first[::down, ::across], second[::down, ::across]
    off = np.asarray(cv2.absdiff(one, two)).reshape(-1, 3).max(axis=1)
    if not (off > 2).any():
        one, two = first[:SAMPLES, :SAMPLES], second[:SAMPLES, :SAMPLES]
        off = np.asarray(cv2.absdiff(one, two)).reshape(-1, 3).max(axis=1)
    chosen = np.flatnonzero(off > 2)[:512]
    if not len(chosen):
        return 0.0
    labs = [colour.lab(np.ascontiguousarray(image).reshape(1, -1, 3)[:, chosen]) for image in (one, two)]
    return float(colour.delta_e(*labs).mean())
