"""Lines of text as four corners: made, joined, mapped and cut out.
Knows geometry only: nothing here reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels

Quad = NDArray[np.float32]  # (4, 2): x and y of the corners where the line begins above, ends above, ends, begins below
VERTICAL: Final = 1.5  # times as high as wide: a line that is read downwards
UPRIGHT: Final = 0.5  # degrees: less leans by no pixel in a line of a hundred
APART: Final = 0.5  # of the height: pieces of one row that are nearer are one line
SAME_ROW: Final = 0.6  # of the lower one's height that both have in common


def quad_of(box: Box) -> Quad:
    corners = [(box.x, box.y), (box.right, box.y), (box.right, box.bottom), (box.x, box.bottom)]
    return np.array(corners, np.float32)


def from_rectangle(rectangle: tuple[tuple[float, float], tuple[float, float], float]) -> Quad:
    """The corners of a rectangle as OpenCV has it (middle, sides, angle), begun at the upper left."""
    corners = cv2.boxPoints(rectangle)
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def bounds(quad: Quad) -> Box:
    """The upright box that holds it, in whole pixels."""
    left, top = (math.floor(value) for value in quad.min(axis=0))
    right, bottom = (math.ceil(value) for value in quad.max(axis=0))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def size(quad: Quad) -> tuple[float, float]:
    """Width along the line and height across it."""
    above, below = quad[1] - quad[0], quad[2] - quad[3]
    left, right = quad[3] - quad[0], quad[2] - quad[1]
    return (
        (float(np.hypot(*above)) + float(np.hypot(*below))) / 2,
        (float(np.hypot(*left)) + float(np.hypot(*right))) / 2,
    )


def is_vertical(quad: Quad) -> bool:
    width, height = size(quad)
    return height >= VERTICAL * width


def lean(quad: Quad) -> float:
    """Degrees, -90..90: how far it leans against the rows of pixels."""
    x, y = quad[1] - quad[0] + quad[2] - quad[3]
    return math.degrees(math.atan2(y, x))


def is_upright(quad: Quad) -> bool:
    return abs(lean(quad)) < UPRIGHT


def union(quads: Sequence[Quad]) -> Quad:
    """The smallest quad of the first one's lean that holds all."""
    if all(is_upright(each) for each in quads):
        points = np.concatenate(quads)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    angle = math.radians(lean(quads[0]))
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))], np.float32)
    points = np.concatenate(quads) @ turn.T
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    return np.asarray(corners @ turn, np.float32)


def part(quad: Quad, start: float, end: float) -> Quad:
    """What lies between two shares of its length, 0..1; downwards where it is vertical."""
    one, two = (quad[[0, 1]], quad[[3, 2]]) if not is_vertical(quad) else (quad[[0, 3]], quad[[1, 2]])
    first, second = one[1] - one[0], two[1] - two[0]
    corners = [one[0] + start * first, one[0] + end * first, two[0] + end * second, two[0] + start * second]
    return np.array(corners, np.float32)


def longer(quad: Quad, by: float) -> Quad:
    """The same, `by` pixels longer at its end and as much at its start."""
    width, _ = size(quad)
    along = (quad[1] - quad[0]) / max(1.0, width) * np.float32(by)
    if is_vertical(quad):
        along = (quad[3] - quad[0]) / max(1.0, size(quad)[1]) * np.float32(by)
        return quad + np.array([-along, -along, along, along], np.float32)
    return quad + np.array([-along, along, along, -along], np.float32)


def cut(pixels: Pixels, quad: Quad) -> Pixels:
    """The line as an upright strip, left to right; a vertical one lies on its side. Beyond the picture: its edge."""
    width, height = (max(1, round(side)) for side in size(quad))
    if is_upright(quad):
        left, top = (round(float(value)) for value in quad[0])
        strip = _window(pixels, Box(left, top, width, height))
    else:
        target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        matrix = cv2.getPerspectiveTransform(quad, target)
        strip = np.asarray(
            cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        )
    return np.ascontiguousarray(np.rot90(strip)) if height >= VERTICAL * width else strip


def _window(pixels: Pixels, box: Box) -> Pixels:
    rows = np.clip(np.arange(box.y, box.bottom), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(box.x, box.right), 0, pixels.shape[1] - 1)
    return pixels[rows[:, None], columns]


def joined(quads: Sequence[Quad]) -> list[Quad]:
    """Pieces of one row that nearly touch, as one line, left to right."""
    lines: list[Quad] = []
    for piece in sorted(quads, key=lambda each: float(each[:, 0].min())):
        before = next((i for i, line in enumerate(lines) if _continues(line, piece)), None)
        if before is None:
            lines.append(piece)
        else:
            lines[before] = union([lines[before], piece])
    return lines


def _continues(line: Quad, piece: Quad) -> bool:
    if is_vertical(line) or is_vertical(piece) or abs(lean(line) - lean(piece)) > 10:
        return False
    one, two = bounds(line), bounds(piece)
    lower = min(size(line)[1], size(piece)[1])
    common = min(one.bottom, two.bottom) - max(one.y, two.y)
    higher = max(size(line)[1], size(piece)[1])
    near = two.x - one.right <= APART * lower and two.right > one.x
    return near and common >= SAME_ROW * lower and higher <= 1.8 * lower
