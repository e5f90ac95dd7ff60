"""Crops, zooms and turns: the similarity transform between two pictures from their corners, and which corners agree.
Knows small luma pictures; what differs under the transform is others' work."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels
from serve_app.measurement.placing.shifts import luma

SETTLED = 400  # pixels of the longer side that correlation is maximised on
CANVAS = 512  # pixels of the longer side that corners are found on
SMALLEST = 40  # pixels a side: below, a corner's patch doesn't fit
CORNERS = 1000
INLIERS = 12  # matches that agree, at least
SHARE = 0.25  # of the matches
Words = NDArray[np.uint8]  # (corners, 32): what ORB says of each


@dataclass(frozen=True, slots=True)
class Transform:
    """x' = scale * rotation * x + shift: from pixels of the first picture to pixels of the second."""

    scale: float
    rotation_deg: float
    shift: tuple[float, float]
    confidence: float

    def is_still(self, width: int, height: int) -> bool:
        """Nothing moves by a pixel and a half: no transform at all."""
        corners = np.array([(x, y, 1) for x in (0, width) for y in (0, height)], float)
        return bool(np.abs(corners @ self.matrix.T - corners[:, :2]).max() < 1.5)

    @property
    def matrix(self) -> NDArray[np.float64]:
        angle = math.radians(self.rotation_deg)
        cos, sin = self.scale * math.cos(angle), self.scale * math.sin(angle)
        return np.array([[cos, -sin, self.shift[0]], [sin, cos, self.shift[1]]])


@dataclass(frozen=True, slots=True)
class Matches:
    """Corners of two pictures that look alike, in pixels of each; `reach`: how far a match may be off."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    reach: float


def find(first: Pixels, second: Pixels) -> Transform | None:
    """The similarity transform that most corners agree on; None without agreement."""
    found = matches(first, second)
    return None if found is None else similarity(found)


def matches(first: Pixels, second: Pixels) -> Matches | None:
    """ORB corners (Rublee et al. 2011), cross-checked; None where there are too few."""
    if min(*first.shape[:2], *second.shape[:2]) < SMALLEST:
        return None
    one, two = (shrunk(image) for image in (first, second))
    if min(*one.shape, *two.shape) < SMALLEST:
        return None
    orb = cv2.ORB.create(CORNERS, scaleFactor=1.2, nlevels=8, fastThreshold=8)
    (points, words), (others, other_words) = (orb.detectAndCompute(image, None) for image in (one, two))
    if words is None or other_words is None or min(len(words), len(other_words)) < INLIERS:
        return None
    chosen, other, distance = _matches(words, other_words)
    best = np.argsort(distance, kind="stable")[: CORNERS // 2]  # of equal ones the first corner's
    if len(best) < INLIERS:
        return None
    # In pixels of the pictures themselves: the centre of a shrunk pixel lies between theirs.
    source = _native([points[i].pt for i in chosen[best]], first, one)
    target = _native([others[i].pt for i in other[best]], second, two)
    return Matches(source, target, 2.5 * max(second.shape[0] / two.shape[0], second.shape[1] / two.shape[1]))


def similarity(found: Matches) -> Transform | None:
    """By RANSAC (Fischler and Bolles 1981). Deterministic: OpenCV seeds it with a constant."""
    matrix, agree = cv2.estimateAffinePartial2D(
        found.source, found.target, method=cv2.RANSAC, ransacReprojThreshold=found.reach
    )
    if matrix is None or int(agree.sum()) < max(INLIERS, SHARE * len(agree)):
        return None
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if not 0.1 < scale < 10:
        return None
    turn = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    confidence = float(agree.sum()) / len(agree)
    return Transform(scale, turn, (float(matrix[0, 2]), float(matrix[1, 2])), confidence)


def _matches(words: Words, others: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Corners that are each other's nearest by Hamming distance, and that distance: a matrix product of their bits,
    three times faster than `BFMatcher` with the same answer."""
    one, two = (np.unpackbits(each, axis=1).astype(np.float32) * 2 - 1 for each in (words, others))
    alike = one @ two.T  # bits alike less bits apart: whole numbers, so exact
    there, back = alike.argmax(axis=1), alike.argmax(axis=0)
    chosen = np.flatnonzero(back[there] == np.arange(len(there)))
    distance = (one.shape[1] - alike[chosen, there[chosen]]) / 2
    return chosen, there[chosen], distance


def refined(first: Pixels, second: Pixels, rough: Transform) -> Transform:
    """`rough` settled by maximising correlation (ECC, Evangelidis and Psarakis 2008) on pictures of one canvas."""
    factor = max(1.0, max(*first.shape[:2], *second.shape[:2]) / SETTLED)
    planes = [shrunk(image, factor) for image in (first, second)]
    start = rough.matrix
    start[:, 2] = _moved_centre(start, 1 / factor)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(
            planes[0], planes[1], start.astype(np.float32), cv2.MOTION_AFFINE, stop, None, 5
        )
    except cv2.error:  # did not converge: the corners' answer stands
        return rough
    matrix = matrix.astype(np.float64)
    matrix[:, 2] = _moved_centre(matrix, factor)
    scale = math.sqrt(abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))
    turn = math.degrees(math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))
    if abs(math.log(scale / rough.scale)) > 0.03 or abs(turn - rough.rotation_deg) > 2:
        return rough
    return Transform(scale, turn, (float(matrix[0, 2]), float(matrix[1, 2])), rough.confidence)


def _moved_centre(matrix: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """The shift of the same transform on pictures `factor` times larger, whose pixel centres lie elsewhere."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    middle = np.full(2, (factor - 1) / 2)
    return np.asarray(shift * factor + middle - linear @ middle)


def shrunk(image: Pixels, factor: float | None = None) -> Pixels:
    """Luma, `factor` times smaller; on `CANVAS` where none is given."""
    factor = factor or max(image.shape[:2]) / CANVAS
    if factor <= 1:
        return luma(image)
    size = (max(1, round(image.shape[1] / factor)), max(1, round(image.shape[0] / factor)))
    plane = luma(image)
    while plane.shape[0] >= 2 * size[1] and plane.shape[1] >= 2 * size[0] and not (plane.shape[0] | plane.shape[1]) & 1:
        # Halving is four times faster than averaging by any other factor.
        half = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8).reshape(half[::-1])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[::-1])


def _native(points: list[tuple[float, float]], image: Pixels, small: Pixels) -> NDArray[np.float32]:
    factors = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
    return np.asarray((np.array(points) + 0.5) * factors - 0.5, np.float32)
