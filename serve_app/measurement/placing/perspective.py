"""Two photographs of one flat thing from two hands, or a scan that was fed askew: a homography between them.
Knows corners that were matched already, and two pictures; what differs under the homography is others' work."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.placing import features
from serve_app.measurement.placing.features import Matches
from serve_app.measurement.placing.placed import Placed, box_back, box_onto, matrix_rows, nearest_similarity, resampled
from serve_app.measurement.placing.warped import OFF_WARPED, landed_back, onto_one_scale, shown_part, softened, through
from serve_app.measurement.tiles import Grid

SIDE = 2048  # pixels of the longer side that such pairs are measured on: warping 3 megapixels takes 40 ms
SETTLED = 512  # pixels of the longer side that correlation is maximised on
ROUNDS = 15  # of it; five are needed from corners that are 20 pixels off
BENT = 0.4  # pixels that the frame's corners may lie off a turn, zoom and shift before it's a perspective
STILL = 1.5  # pixels by which a turn and zoom must move a corner to be looked for by themselves
GAIN = 13.0  # in square error that the homography takes away, by its mean square error: by chance it is 12
CLOSEST = 0.04  # of a match's reach: what is nearer is as good as there
INLIERS = 24  # matches that agree, at least: two for each number of the matrix, three times over
SHARE = 0.2  # of the matches
TRIES = 400  # of RANSAC: eight points of ten right are found at once, those of an unrelated picture never
FARTHEST = 0.5  # of the longer side that a corner of the frame may be moved beside the turn and zoom
SETTLES = 0.06  # of the longer side that correlation may move a corner: matches say little of what lies around them
UNEXPLAINED = 0.3  # of what `_misfit` counts may be left
BETTER = 0.6  # of what it counts without: a part that changed is off in either case
LEFT = 0.35  # of the score for what only one frame shows: two hands never hold alike, so less than for a crop
Matrix = NDArray[np.float64]
Points = NDArray[np.float64]  # (points, 2)


def find(found: Matches, size: tuple[int, int]) -> Matrix | None:
    """The homography (3x3) from a picture of `size` (width, height) that most matches agree on by RANSAC; None without
    agreement, and where a turn and zoom, or nothing but a shift, explains the matches as well."""
    matrix, agree = cv2.findHomography(found.source, found.target, cv2.RANSAC, found.reach, maxIters=TRIES)
    if matrix is None or int(agree.sum()) < max(INLIERS, SHARE * len(agree)):
        return None
    source, target = (points[agree.ravel() > 0].astype(np.float64) for points in (found.source, found.target))
    matrix, _ = cv2.findHomography(source, target, 0)  # by all of them: twice as near as by RANSAC's four
    if matrix is None or not _is_view(matrix, size):
        return None
    rest = np.square(cv2.perspectiveTransform(source[:, None], matrix)[:, 0] - target).sum(axis=1).mean()
    plain = np.square(_plainly(source, target, size) - target).sum(axis=1).mean()
    least = np.square(CLOSEST * found.reach)
    return np.asarray(matrix, np.float64) if (plain - rest) * len(source) > GAIN * (rest + least) else None


def _plainly(source: Points, target: Points, size: tuple[int, int]) -> Points:
    """Where a turn, zoom and shift, by least squares in the complex plane, lands `source`; a shift alone where they
    do next to nothing."""
    one, two = (points @ np.array([1, 1j]) for points in (source, target))
    centred, there = one - one.mean(), two - two.mean()
    turn = (centred.conj() @ there) / max(1e-9, float((centred.conj() @ centred).real))
    if abs(turn - 1) * max(size) < 2 * STILL:
        turn = 1.0
    landed = turn * centred + two.mean()
    return np.column_stack([landed.real, landed.imag])


def lay(first: Raster, second: Raster, rough: Matrix, *, is_bent: bool = True) -> Placed | None:
    """The second picture laid on the first one's frame; where it shows nothing, the first stands for it. None where
    `rough`, from pixels of the first to pixels of the second, explains the pair no better than their own places; or,
    where it has to be `is_bent`, a turn and zoom explain it as well."""
    scale, _, _ = nearest_similarity(rough, (first.width / 2, first.height / 2))
    one, two, _, _ = onto_one_scale(first, second, scale, SIDE)
    size, other = (one.shape[1], one.shape[0]), (two.shape[1], two.shape[0])
    there, back = (_resized((r.width, r.height), to) for r, to in ((second, other), (first, size)))
    matrix = _settled(one, two, there @ rough @ np.linalg.inv(back))
    if is_bent and not _is_bent(matrix, size):
        return None
    shown = shown_part(np.asarray(np.linalg.inv(matrix), np.float64), size, other)
    seen = cv2.countNonZero(shown.view(np.uint8)) / shown.size
    if seen < 0.25:
        return None
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    laid = np.asarray(cv2.warpPerspective(two, matrix, size, flags=flags), np.uint8)
    soft, rest = softened(one), _misfit(softened(one), softened(laid), shown)
    before = _misfit(soft, softened(resampled(two, size)), shown)
    if rest > min(UNEXPLAINED, BETTER * before):
        return None
    cv2.copyTo(one, (~shown).view(np.uint8), laid)

    whole = np.linalg.inv(there) @ matrix

    def places(box: Box) -> tuple[Box, Box]:
        return box_onto(box, size, first), through(box, whole, 1.0, second)

    def to_grid(box: Box, own: int) -> Box | None:
        return box_back(box, first, size) if own == 0 else landed_back(box, whole, 1.0, second, size)

    found = _alignment(whole @ back, first, second, 1 - rest)
    coarse = max(first.original_width / size[0], second.original_width / other[0])
    return Placed(
        Grid(one, laid, jitter=1), found, places, _geometry(whole @ back, seen, first, second), False, to_grid, coarse
    )


def _alignment(matrix: Matrix, first: Raster, second: Raster, confidence: float) -> Alignment:
    """In original pixels; shift, scale and turn are those of the middle of the first picture."""
    upright = [(raster.original_width, raster.original_height) for raster in (first, second)]
    sizes = [(raster.width, raster.height) for raster in (first, second)]
    native = _resized(sizes[1], upright[1]) @ matrix @ _resized(upright[0], sizes[0])
    scale, turn, shift = nearest_similarity(native, (first.original_width / 2, first.original_height / 2))
    return Alignment(
        "perspective",
        (round(shift[0], 2) + 0.0, round(shift[1], 2) + 0.0),
        round(scale, 4),
        round(turn, 2) + 0.0,
        round(max(0.0, confidence), 4),
        matrix_rows(native),
    )


def _geometry(matrix: Matrix, seen: float, first: Raster, second: Raster) -> float:
    """1 less what only one frame shows."""
    scale, _, _ = nearest_similarity(matrix, (first.width / 2, first.height / 2))
    share = seen * first.width * first.height
    share /= max(first.width * first.height, second.width * second.height / scale**2)
    missing = max(0.0, 1 - share)
    return 0.98 * (1 - LEFT * math.sqrt(missing * math.sqrt(missing)))


def _settled(one: Pixels, two: Pixels, rough: Matrix) -> Matrix:
    """`rough` settled by maximising correlation (ECC, Evangelidis and Psarakis 2008); as it is, where that fails."""
    factor = max(1.0, max(*one.shape[:2], *two.shape[:2]) / SETTLED)
    planes = [features.shrunk(image, factor) for image in (one, two)]
    back, there = (
        _resized(whole.shape[1::-1], plane.shape[::-1]) for whole, plane in zip((one, two), planes, strict=True)
    )
    start = (there @ rough @ np.linalg.inv(back)).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, 1e-5)
    try:
        _, found = cv2.findTransformECC(planes[0], planes[1], start, cv2.MOTION_HOMOGRAPHY, stop, None, 5)
    except cv2.error:  # did not converge: the corners' answer stands
        return rough
    matrix = np.asarray(np.linalg.inv(there) @ found.astype(np.float64) @ back)
    size = (one.shape[1], one.shape[0])
    strayed = np.abs(_frame(matrix, size) - _frame(rough, size)).max()
    return matrix / matrix[2, 2] if strayed <= SETTLES * max(size) else rough


def _resized(size: Sequence[int], to: Sequence[int]) -> Matrix:
    """From pixels of a picture to those of its copy of another size: their centres lie between each other's."""
    across, down = to[0] / size[0], to[1] / size[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def _frame(matrix: Matrix, size: tuple[int, int]) -> NDArray[np.float64]:
    """(4, 2): where the corners of a frame land."""
    width, height = size
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], float) @ matrix.T
    return np.asarray(corners[:, :2] / corners[:, 2:])


def _is_view(matrix: Matrix, size: tuple[int, int]) -> bool:
    """The frame lands as one sees it in life: unfolded, unmirrored, not from its edge."""
    width, height = size
    depth = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], float) @ matrix[2]
    if abs(matrix[2, 2]) < 1e-9 or not (depth / matrix[2, 2] > 0.2).all():
        return False
    corners = _frame(matrix, size)
    sides = np.roll(corners, -1, axis=0) - corners
    turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
    scale, _, _ = nearest_similarity(matrix, (width / 2, height / 2))
    return bool((turns > 0).all() and 0.3 < scale < 3.3 and not _is_bent(matrix, size, FARTHEST * max(size) * scale))


def _is_bent(matrix: Matrix, size: tuple[int, int], least: float = BENT) -> bool:
    """The corners of the frame land more than `least` pixels off the turn, zoom and shift that fit them best."""
    width, height = size
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    target = _frame(matrix, size)
    return bool(np.hypot(*(_plainly(source, target, size) - target).T).max() > least)


def _misfit(one: Pixels, two: Pixels, shown: NDArray[np.bool_]) -> float:
    """0..1: mean square of what shown pixels of two softened pictures are off after one gain and offset (two
    exposures), `OFF_WARPED` levels or more counting 1."""
    view = shown[::2, ::2][: one.shape[0], : one.shape[1]]
    first, second = one[view].astype(np.float32), two[view].astype(np.float32)
    x, y = first[::7], second[::7]
    gain, offset = 1.0, float(np.median(y - x)) if len(x) else 0.0
    for _ in range(2):
        near = np.abs(y - gain * x - offset) <= OFF_WARPED
        if np.count_nonzero(near) < 16 or float(x[near].std()) < 1:
            break
        gain = float(np.clip(np.cov(x[near], y[near])[0, 1] / x[near].var(), 0.7, 1.4))
        offset = float(np.mean(y[near] - gain * x[near]))
    apart = (second - gain * first - offset) / OFF_WARPED
    return float(np.mean(np.minimum(apart * apart, 1)))
