"""Grounds, inks and drawn pictures for designs.
Knows no text."""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np

from serve_app.core.pictures import Pixels
from tests.worlds.pairs import clipped, packaged
from tests.worlds.wording.canvas import Canvas, Colour, Paint
from tests.worlds.wording.vocabulary import Chance, one

WHITE: Final[Colour] = (255, 255, 255)
PAPERS: Final[tuple[Colour, ...]] = (
    (255, 255, 255),
    (250, 247, 238),
    (244, 246, 249),
    (238, 244, 236),
    (252, 240, 228),
)
INKS: Final[tuple[Colour, ...]] = ((20, 20, 24), (45, 45, 60), (70, 35, 20), (15, 45, 90), (25, 70, 45))
ACCENTS: Final[tuple[Colour, ...]] = (
    *((196, 30, 58), (20, 90, 170), (22, 120, 80), (120, 60, 150), (200, 95, 20), (30, 110, 120)),
)
NIGHTS: Final[tuple[Colour, ...]] = ((24, 26, 31), (13, 17, 23), (32, 33, 48), (40, 44, 52), (0, 0, 0))
PALES: Final[tuple[Colour, ...]] = ((236, 236, 240), (201, 209, 217), (255, 255, 255), (190, 230, 200), (255, 214, 102))
# No lettering in them, and none that only final checks of the measurement look at.
_WORDLESS: Final = ("chelsea", "coffee")


def between(one_colour: Colour, other: Colour, share: float) -> Colour:
    mixed = [round(a + (b - a) * share) for a, b in zip(one_colour, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def lightness(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def photograph(chance: Chance, width: int, height: int) -> Pixels:
    """A part of a photograph without lettering."""
    picture = packaged()[one(chance, _WORDLESS)]
    share = chance.uniform(0.55, 0.95)
    high = int(min(picture.shape[0], picture.shape[1] * height / width) * share)
    wide = int(high * width / height)
    top, left = int(chance.integers(picture.shape[0] - high + 1)), int(chance.integers(picture.shape[1] - wide + 1))
    return np.asarray(cv2.resize(picture[top : top + high, left : left + wide], (width, height)), np.uint8)


@functools.lru_cache(64)
def texture(seed: int, width: int, height: int) -> Pixels:
    """Wood, cloth or stone, or what looks like it: soft noise at several sizes, drawn long along one axis."""
    chance = np.random.default_rng(seed)
    tone, depth = np.zeros((height, width)), 1.0
    for size in (4, 9, 24, 70):
        across, down = (size, max(2, size // 7)) if seed % 2 else (size, size)
        coarse = chance.normal(0, 1, (height // down + 2, width // across + 2))
        tone += depth * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        depth *= 1.3
    base = np.array([one(chance, ((150, 110, 75), (90, 100, 110), (60, 85, 60), (170, 160, 150), (120, 60, 55)))])
    return clipped(base[None] * (1 + 0.09 * tone[..., None]))


def scene(chance: Chance, width: int, height: int) -> Pixels:
    """A photograph's part, or a texture."""
    if chance.random() < 0.6:
        return photograph(chance, width, height)
    return texture(int(chance.integers(1000)), width, height)


def placed(pixels: Pixels, at: tuple[float, float, float, float]) -> Paint:
    return lambda canvas: canvas.picture(pixels, at)


def fruit(chance: Chance, at: tuple[float, float, float, float], count: int = 26) -> Paint:
    """A drawn picture: balls in the colours of fruit, each with its light."""
    left, top, right, bottom = at
    most = min(right - left, bottom - top) / 5
    tone = one(chance, ACCENTS)
    balls = []
    for _ in range(count):
        radius = chance.uniform(most / 2, most)
        x, y = chance.uniform(left + radius, right - radius), chance.uniform(top + radius, bottom - radius)
        balls.append((x, y, radius, between(tone, one(chance, ACCENTS), float(chance.uniform(0, 0.5)))))

    def paint(canvas: Canvas) -> None:
        canvas.box(at, between(tone, WHITE, 0.8))
        for x, y, radius, colour in balls:
            canvas.oval((x - radius, y - radius, x + radius, y + radius), colour)
            x, y, radius = x - radius / 3, y - radius / 3, radius / 4
            canvas.oval((x - radius, y - radius, x + radius, y + radius), between(colour, WHITE, 0.6))

    return paint


def barcode(chance: Chance, at: tuple[float, float, float, float], ink: Colour = (10, 10, 10)) -> Paint:
    """Bars of one to four units; no digits."""
    left, top, right, bottom = at
    widths = chance.integers(1, 5, 60)
    unit = max(1.0, (right - left) // widths.sum())

    def paint(canvas: Canvas) -> None:
        canvas.box((left - 6, top - 4, right + 6, bottom + 4), WHITE)
        x = left
        for at, wide in enumerate(widths):
            if at % 2 == 0 and x + wide * unit <= right:
                canvas.box((x, top, x + wide * unit, bottom), ink)
            x += wide * unit

    return paint


def bars(chance: Chance, at: tuple[float, float, float, float], colour: Colour, rule: Colour, count: int = 9) -> Paint:
    """A chart of bars on a rule."""
    left, top, right, bottom = at
    heights = chance.uniform(0.15, 1, count) * (bottom - top)
    step = (right - left) / count

    def paint(canvas: Canvas) -> None:
        for row, high in enumerate(heights):
            canvas.box((left + row * step + 3, bottom - high, left + (row + 0.75) * step, bottom), colour)
        canvas.line([(left, bottom), (right, bottom)], rule)

    return paint


def curve(chance: Chance, at: tuple[float, float, float, float], colour: Colour, rule: Colour) -> Paint:
    """A chart of one line, with rules behind it."""
    left, top, right, bottom = at
    steps = np.cumsum(chance.normal(0, 1, 40))
    steps = (steps - steps.min()) / max(1e-6, float(np.ptp(steps)))
    points = [(left + (right - left) * x / 39, bottom - (bottom - top) * float(y)) for x, y in enumerate(steps)]

    def paint(canvas: Canvas) -> None:
        for row in range(5):
            canvas.line([(left, top + row * (bottom - top) / 4), (right, top + row * (bottom - top) / 4)], rule)
        canvas.line(points, colour, 2)

    return paint
