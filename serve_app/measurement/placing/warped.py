"""A picture that was turned or zoomed, laid on the other one's frame."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.placing import features, shifts
from serve_app.measurement.placing.features import Transform
from serve_app.measurement.placing.placed import BETTER, Placed, box_back, box_onto, resampled, within
from serve_app.measurement.tiles import Grid

OFF_WARPED = 20  # levels that a pixel of a warped pair may be off: interpolation softens
HARDLY = 1.08  # times: resampling by less only blurs
WARPED_SIDE = 1024  # pixels of the longer side that turned and zoomed pairs are measured on: corners are known


def warp(first: Raster, second: Raster, rough: Transform, off: float) -> Placed | None:
    """The second picture laid on the first one's frame; where it shows nothing, the first stands for it."""
    one, two, fx, fy = onto_one_scale(first, second, rough.scale, WARPED_SIDE)
    size, other = (one.shape[1], one.shape[0]), (two.shape[1], two.shape[0])
    start = Transform(rough.scale * fx / fy, rough.rotation_deg, (rough.shift[0] / fy, rough.shift[1] / fy), 0)
    fine = features.refined(one, two, start)
    if first.pixels.shape == second.pixels.shape and fine.is_still(size[0], size[1]):
        return None  # a fraction of a pixel: nothing moved
    matrix = fine.matrix
    laid = np.asarray(cv2.warpAffine(two, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP), np.uint8)
    shown = shown_part(cv2.invertAffineTransform(matrix), size, other)
    seen = cv2.countNonZero(shown.view(np.uint8)) / shown.size
    if seen < 0.05:
        return None
    soft = softened(one)
    rest = _mismatch_where(soft, softened(laid), shown)
    before = off
    if first.pixels.shape == second.pixels.shape:
        before = _mismatch_where(soft, softened(resampled(two, size)), shown)
    if rest > min(0.4, BETTER * max(before, 0.02)):
        return None
    cv2.copyTo(one, (~shown).view(np.uint8), laid)

    def places(box: Box) -> tuple[Box, Box]:
        return box_onto(box, size, first), through(box, matrix, fy, second)

    def back(box: Box, own: int) -> Box | None:
        return box_back(box, first, size) if own == 0 else landed_back(box, matrix, fy, second, size)

    scale = fine.scale * fy / fx
    share = seen * first.width * first.height
    share /= max(first.width * first.height, second.width * second.height / max(scale, 1e-6) ** 2)
    turn = fine.rotation_deg
    geometry = (1 - 0.6 * (1 - min(1.0, share)) ** 0.75) * (1 - min(0.3, abs(turn) / 60)) * 0.98
    original = first.original_width / first.width
    found = Alignment(
        "features",
        (round(fine.shift[0] * fy * original, 2), round(fine.shift[1] * fy * original, 2)),
        round(scale, 4),
        round(turn, 2) + 0.0,
        round(max(0.0, 1 - rest), 4),
    )
    coarse = max(fx * original, fy * second.original_width / second.width)
    return Placed(Grid(one, laid, jitter=2), found, places, geometry, False, back, coarse)


def onto_one_scale(first: Raster, second: Raster, scale: float, side: int) -> tuple[Pixels, Pixels, float, float]:
    """Both at the resolution of the poorer one, the first at most `side` pixels long, and by how much each was shrunk.

    `scale`: pixels of the second for one of the first. What would hardly be shrunk stays as it is.
    """
    factor = _sensible(max(max(first.width, first.height) / side, 1 / scale))
    size = (max(8, round(first.width / factor)), max(8, round(first.height / factor)))
    shrink = _sensible(scale * factor)
    other = (max(8, round(second.width / shrink)), max(8, round(second.height / shrink)))
    one, two = resampled(first.pixels, size), resampled(second.pixels, other)
    return one, two, first.width / size[0], second.width / other[0]


def _sensible(factor: float) -> float:
    return factor if factor > HARDLY else 1.0


def shown_part(back: NDArray[np.float64], size: tuple[int, int], other: tuple[int, int]) -> NDArray[np.bool_]:
    """Where on a canvas of `size` a picture of `other` size lies, both (width, height); `back`: from it to the canvas,
    2x3 or 3x3."""
    right, bottom = other[0] - 2, other[1] - 2
    frame = np.array([(1, 1, 1), (right, 1, 1), (right, bottom, 1), (1, bottom, 1)], float)
    corners = frame @ back.T
    if corners.shape[1] == 3:
        corners = corners[:, :2] / corners[:, 2:]
    covered = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(covered, np.round(corners * 256).astype(np.int32), 1, shift=8)
    # Two pixels further in, so that every pixel that a cubic one leans on is shown too.
    return np.asarray(cv2.erode(covered, np.ones((5, 5), np.uint8)) > 0)


def _mismatch_where(one: Pixels, two: Pixels, shown: NDArray[np.bool_]) -> float:
    """Share of shown pixels of two softened pictures that don't fit."""
    apart = (one.astype(np.int16) - two)[shown[::2, ::2][: one.shape[0], : one.shape[1]]]
    return float((np.abs(apart - np.int16(np.median(apart[::7]))) > OFF_WARPED).mean())


def softened(image: Pixels) -> Pixels:
    """Luma at half size, by a blur that forgives a pixel of misplacement."""
    plane = shifts.luma(image)
    size = (max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2))
    half = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[::-1])
    return np.asarray(cv2.GaussianBlur(half, (0, 0), 0.7), np.uint8)


def landed_back(
    box: Box, matrix: NDArray[np.float64], factor: float, second: Raster, size: tuple[int, int]
) -> Box | None:
    """The box of a canvas of `size` around what lands on the corners of `box`, a box of the second picture, by
    `matrix` and `factor` as `through` has them; None outside."""
    inside = within(box, (second.width, second.height))
    if inside is None:
        return None
    whole = np.diag([factor, factor, 1.0]) @ np.vstack([matrix, [(0, 0, 1)]])[:3]
    corners = np.array([(x, y, 1) for x in (inside.x, inside.right) for y in (inside.y, inside.bottom)], float)
    landed = corners @ np.linalg.inv(whole).T
    landed = landed[:, :2] / landed[:, 2:]
    (left, top), (right, bottom) = np.floor(landed.min(axis=0)), np.ceil(landed.max(axis=0))
    return within(Box(int(left), int(top), int(right - left), int(bottom - top)), size)


def through(box: Box, matrix: NDArray[np.float64], factor: float, second: Raster) -> Box:
    """The upright box in the second picture around where the box's corners land: by `matrix`, 2x3 or 3x3, `factor`
    times larger."""
    corners = np.array([(x, y, 1) for x in (box.x, box.right) for y in (box.y, box.bottom)], float)
    landed = corners @ matrix.T
    landed = (landed[:, :2] / landed[:, 2:] if landed.shape[1] == 3 else landed) * factor
    left, top = (math.floor(value + 1e-6) for value in landed.min(axis=0))
    right, bottom = (math.ceil(value - 1e-6) for value in landed.max(axis=0))
    left, top = min(max(0, left), second.width - 1), min(max(0, top), second.height - 1)
    right, bottom = min(second.width, max(left + 1, right)), min(second.height, max(top + 1, bottom))
    return Box(left, top, right - left, bottom - top)
