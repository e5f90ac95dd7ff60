"""One flat thing photographed twice: a label, tilted as two hands hold it, or skewed as a scanner feeds it."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.pictures import Box, Pixels
from tests.worlds.known import Kind, KnownPair
from tests.worlds.pairs import clipped, encoded, photographs

FINER = 2  # times: what is photographed has more detail than its photograph
TABLE = (92, 88, 84)
Matrix = NDArray[np.float64]


@functools.cache
def label(width: int = 600, weight: str = "500 g") -> tuple[Pixels, Box]:
    """A label on a table, `FINER` times as large as its photograph of `width` x 1.25 `width` will be, and where in
    the photograph the first digit of its weight stands."""
    factor = FINER * width / 600
    size = (round(600 * factor), round(750 * factor))
    image = Image.new("RGB", size, TABLE)
    pen = ImageDraw.Draw(image)

    def put(x: float, y: float, text: str, points: float, ink: tuple[int, int, int]) -> tuple[float, ...]:
        font = ImageFont.load_default(size=points * factor)
        pen.text((x * factor, y * factor), text, font=font, fill=ink)
        return pen.textbbox((x * factor, y * factor), text[:1], font=font)

    pen.rectangle([v * factor for v in (70, 80, 530, 670)], fill=(250, 246, 236), outline=(130, 90, 40), width=4)
    pen.rectangle([v * factor for v in (74, 84, 526, 220)], fill=(200, 30, 60))
    put(100, 120, "Harvest Farm", 48, (255, 255, 255))
    put(100, 240, "Strawberry jam", 40, (60, 20, 30))
    digit = put(100, 300, weight, 32, (60, 20, 30))
    random = np.random.default_rng(7)
    for _ in range(40):
        x, y, radius = random.uniform((110, 365, 6), (490, 490, 22)) * factor
        ink = tuple(int(v) for v in random.integers(60, 220, 3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    for line, text in enumerate(("Ingredients: fruit, sugar, pectin, citric acid.", "Energy per 100 g: 250 kcal")):
        put(100, 520 + 27 * line, text, 17, (40, 40, 40))
    for line, text in enumerate(("Store in a cool and dry place.", "Best before: 2026-11-28   Lot L48213")):
        put(100, 580 + 27 * line, text, 17, (40, 40, 40))
    left, top, right, bottom = (round(v / FINER) for v in digit)
    return np.asarray(image), Box(left, top, right - left, bottom - top)


def photographed(thing: Pixels, matrix: Matrix, seed: int, *, quality: int | None = 90, noise: float = 2.0) -> Pixels:
    """`thing` at 1/`FINER` of its size as a camera shows it: `matrix` places its pixels (3x3), noise, JPEG."""
    size = (thing.shape[1] // FINER, thing.shape[0] // FINER)
    down = np.diag([1 / FINER, 1 / FINER, 1.0])
    soft = cv2.GaussianBlur(thing, (0, 0), 0.45 * FINER)
    seen = cv2.warpPerspective(soft, matrix @ down, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out = clipped(seen + np.random.default_rng(seed).normal(0, noise, seen.shape))
    return out if quality is None else encoded(out, quality)


def tilt(width: int, height: int, off: float, seed: int) -> Matrix:
    """A homography that moves each corner of a frame by up to `off` of its width along both axes, one by all of it."""
    random = np.random.default_rng(seed)
    moves = random.uniform(-1, 1, (4, 2))
    moves *= off * width / np.abs(moves).max()
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, (corners + moves).astype(np.float32)), np.float64)


def skew(width: int, height: int, share: float, seed: int) -> Matrix:
    """A shear that moves both ends by `share` of the width, along either axis and in either direction."""
    along, sign = seed % 2, 1 if seed % 4 < 2 else -1
    matrix = np.eye(3)
    matrix[along, 1 - along] = 2 * sign * share * width / (height if along == 0 else width)
    matrix[along, 2] = -matrix[along, 1 - along] * (height if along == 0 else width) / 2
    return matrix


def tilted_pair(
    off: float, seed: int, *, changes: bool, width: int = 600, both: bool = False, quality: int | None = 90
) -> KnownPair:
    """Two photographs of a label; `both`: the reference is tilted as well, half as much."""
    thing, digit = label(width)
    other = label(width, "300 g")[0] if changes else thing
    height = thing.shape[0] // FINER
    start = tilt(width, height, off / 2, seed + 50) if both else np.eye(3)
    reference = photographed(thing, start, 2 * seed, quality=quality)
    candidate = photographed(other, tilt(width, height, off, seed), 2 * seed + 1, quality=quality)
    at = (moved(digit, start),) if changes else ()
    # What one hand's picture shows of the table the other's doesn't.
    return KnownPair(reference, candidate, at, 0.0 if changes else 0.85)


def two_sizes_pair(off: float, seed: int, *, changes: bool, width: int = 480) -> KnownPair:
    """Two photographs of a label of two sizes, the second tilted."""
    thing, digit = label(width)
    other = label(width, "300 g")[0] if changes else thing
    factor = (1.07, 1.33, 1.8, 0.75)[seed % 4]
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    other = np.asarray(cv2.resize(other, None, fx=factor, fy=factor, interpolation=shrinks), np.uint8)
    matrix = tilt(other.shape[1] // FINER, other.shape[0] // FINER, off, seed + 20)
    one, two = photographed(thing, np.eye(3), 2 * seed), photographed(other, matrix, 2 * seed + 1)
    return KnownPair(one, two, (digit,) if changes else (), 0.0 if changes else 0.85)


def moved(box: Box, matrix: Matrix) -> Box:
    """The upright box around where `matrix` lands the corners of `box`."""
    corners = np.array([[(x, y)] for x in (box.x, box.right) for y in (box.y, box.bottom)], np.float64)
    landed = cv2.perspectiveTransform(corners, matrix).reshape(-1, 2)
    (left, top), (right, bottom) = np.floor(landed.min(axis=0)), np.ceil(landed.max(axis=0))
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def skewed_pair(share: float, seed: int, *, changes: bool) -> KnownPair:
    """A photograph, and its copy sheared by `share` of its width; a mark on it where it `changes`."""
    names = sorted(photographs())
    picture = photographs()[names[seed % len(names)]]
    picture = cv2.resize(picture, (picture.shape[1] * FINER, picture.shape[0] * FINER), interpolation=cv2.INTER_CUBIC)
    height, width = picture.shape[0] // FINER, picture.shape[1] // FINER
    other, at = picture, Box(width // 3, height // 2, 40, 30)
    if changes:
        other = picture.copy()
        view = other[at.y * FINER : at.bottom * FINER, at.x * FINER : at.right * FINER]
        view[...] = (40, 60, 220)
    one = photographed(picture, np.eye(3), 2 * seed)
    two = photographed(other, skew(width, height, share, seed), 2 * seed + 1)
    return KnownPair(one, two, (at,) if changes else (), 0.0 if changes else 0.85)


OFFS = (0.003, 0.007, 0.015, 0.025, 0.04)
SKEWS = (0.003, 0.01, 0.02, 0.04)
WIDTH = "of the width"
KINDS = (
    Kind("label tilted, nothing changed", OFFS, lambda off, seed: tilted_pair(off, seed, changes=False), WIDTH),
    Kind("label tilted, 500 g to 300 g", OFFS, lambda off, seed: tilted_pair(off, seed, changes=True), WIDTH),
    Kind(
        "both labels tilted, JPEG 80, 500 g to 300 g",
        OFFS,
        lambda off, seed: tilted_pair(off, seed, changes=True, both=True, quality=80),
        WIDTH,
    ),
    Kind(
        "label of 2 megapixels tilted, 500 g to 300 g",
        OFFS,
        lambda off, seed: tilted_pair(off, seed, changes=True, width=1265),
        WIDTH,
    ),
    Kind("two sizes, tilted, nothing changed", OFFS, lambda off, seed: two_sizes_pair(off, seed, changes=False), WIDTH),
    Kind("two sizes, tilted, 500 g to 300 g", OFFS, lambda off, seed: two_sizes_pair(off, seed, changes=True), WIDTH),
    Kind("photograph skewed, nothing changed", SKEWS, lambda off, seed: skewed_pair(off, seed, changes=False), WIDTH),
    Kind("photograph skewed, a patch on it", SKEWS, lambda off, seed: skewed_pair(off, seed, changes=True), WIDTH),
)
