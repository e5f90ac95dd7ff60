"""Pairs in which something changed, and no text did: there is nothing to say about wording.
Knows nothing of scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from serve_app.core.pictures import Pixels
from tests.worlds.pairs import clipped, encoded
from tests.worlds.wording.canvas import Canvas, Colour, Design, Line, Paint
from tests.worlds.wording.colours import ACCENTS, barcode, bars, between, curve, fruit, placed, scene
from tests.worlds.wording.designs import dashboard, dialog, notice
from tests.worlds.wording.packages import label, package
from tests.worlds.wording.shots import PLAIN, Shot, paired, unedited
from tests.worlds.wording.truth import TextPair
from tests.worlds.wording.vocabulary import Chance, one

Sheet = tuple[float, float, float, float]


def other_picture(name: str, group: str, chance: Chance) -> TextPair:
    """Beside the text stands another picture, drawn or photographed."""
    design = label(chance)
    at = (70.0, 206.0, 200.0, 326.0)
    if chance.random() < 0.5:
        before, after = fruit(chance, at), fruit(chance, at)
    else:
        before, after = placed(scene(chance, 130, 120), at), placed(scene(chance, 130, 120), at)
    return _painted(name, group, design, before, after)


def other_barcode(name: str, group: str, chance: Chance) -> TextPair:
    design = label(chance)
    right, low = design.width - 48.0, design.height - 36.0
    at = (right - 170, low - 92, right - 24, low - 34)
    return _painted(name, group, design, barcode(chance, at), barcode(chance, at))


def other_chart(name: str, group: str, chance: Chance) -> TextPair:
    """Of bars, or of one line; alone, or on a dashboard among cards of text."""
    design = dashboard(chance)
    at, accent = (186.0, 200.0, 388.0, 450.0), one(chance, ACCENTS)
    draw = bars if group == "chart" else curve
    before, after = (draw(chance, at, accent, (170, 170, 176)) for _ in range(2))
    return _painted(name, group, replace(design, paints=design.paints[:1]), before, after)


def other_icon(name: str, group: str, chance: Chance) -> TextPair:
    design = notice(chance)
    at = _spot(chance, design, float(chance.integers(26, 54)))
    inks = one(chance, ACCENTS), one(chance, ACCENTS)
    kinds = [int(kind) for kind in chance.permutation(len(ICONS))[:2]]
    return _painted(name, group, design, *(_icon(kind, at, ink) for kind, ink in zip(kinds, inks, strict=True)))


def letter_like(name: str, group: str, chance: Chance) -> TextPair:
    """Rings and upright bars, which aren't the letters O and l: switches, bullets, rules; another place or number."""
    design = one(chance, (notice, dialog))(chance)
    at = _spot(chance, design, float(chance.integers(14, 30)))
    ink, kind = between(one(chance, ACCENTS), (0, 0, 0), 0.3), int(chance.integers(3))
    nothing: Paint = lambda canvas: None  # noqa: E731
    ring, bar = _ring(at, ink), _bar(at, ink)
    before, after = ((ring, _ring(at, ink, is_on=True)), (nothing, one(chance, (ring, bar))), (bar, _bar(at, ink, 7)))[
        kind
    ]
    if chance.random() < 0.5:
        before, after = after, before
    return _painted(name, group, design, before, after)


def noise_beside(name: str, group: str, chance: Chance) -> TextPair:
    """A JPEG's noise: over the whole candidate, or where no text stands."""
    design = one(chance, (package, dashboard, dialog, notice))(chance)
    if chance.random() < 0.5:
        return paired(name, group, design, unedited(design), (PLAIN, Shot(quality=int(chance.integers(60, 91)))))
    clear = [line.box() for line in design.lines]

    def smeared(pixels: Pixels) -> Pixels:
        out = clipped(pixels + np.random.default_rng(5).normal(0, 14, pixels.shape))
        out = encoded(out, 20).copy()
        for left, top, right, bottom in clear:  # text stands as it stood
            rows, columns = slice(max(0, int(top) - 6), int(bottom) + 6), slice(max(0, int(left) - 6), int(right) + 6)
            out[rows, columns] = pixels[rows, columns]
        return out

    return paired(name, group, design, unedited(design), (PLAIN, Shot(after=smeared)))


def _painted(name: str, group: str, design: Design, before: Paint, after: Paint) -> TextPair:
    first = replace(design, paints=(*design.paints, before))
    second = replace(design, paints=(*design.paints, after))
    return paired(name, group, first, unedited(first), other=second)


def _spot(chance: Chance, design: Design, size: float) -> Sheet:
    """A square that no line touches, right of some line or under it."""
    for _ in range(500):
        x, y = chance.uniform(20, design.width - size - 20), chance.uniform(20, design.height - size - 20)
        if not any(_near(line, (x, y, x + size, y + size)) for line in design.lines):
            return float(x), float(y), float(x + size), float(y + size)
    raise AssertionError("no room beside the text")


def _near(line: Line, at: Sheet) -> bool:
    left, top, right, bottom = line.box()
    return left - 5 < at[2] and at[0] < right + 5 and top - 5 < at[3] and at[1] < bottom + 5


def _ring(at: Sheet, ink: Colour, *, is_on: bool = False) -> Paint:
    left, top, right, bottom = at
    inner = (right - left) * 0.3

    def paint(canvas: Canvas) -> None:
        canvas.oval(at, outline=ink, width=max(1.5, (right - left) / 10))
        if is_on:
            canvas.oval((left + inner, top + inner, right - inner, bottom - inner), ink)

    return paint


def _bar(at: Sheet, ink: Colour, shift: float = 0) -> Paint:
    left, top, right, bottom = at
    middle, wide = (left + right) / 2 + shift, max(2.0, (right - left) / 10)
    return lambda canvas: canvas.box((middle - wide / 2, top, middle + wide / 2, bottom), ink)


def _icon(kind: int, at: Sheet, ink: Colour) -> Paint:
    left, top, right, _ = at
    size = right - left

    def paint(canvas: Canvas) -> None:
        for shape in ICONS[kind]:
            canvas.shape([(left + x * size, top + y * size) for x, y in shape], ink)

    return paint


def _star(points: int, inner: float) -> list[tuple[float, float]]:
    steps = [(0.5 if at % 2 == 0 else inner, math.pi * at / points) for at in range(2 * points)]
    return [(0.5 + radius * math.sin(angle), 0.5 - radius * math.cos(angle)) for radius, angle in steps]


ICONS: tuple[tuple[list[tuple[float, float]], ...], ...] = (
    (_star(5, 0.2),),
    (_star(9, 0.36),),
    ([(0.0, 0.5), (0.5, 0.0), (1.0, 0.5)], [(0.15, 0.5), (0.85, 0.5), (0.85, 1.0), (0.15, 1.0)]),
    ([(0.5, 1.0), (0.0, 0.4), (0.2, 0.1), (0.5, 0.3), (0.8, 0.1), (1.0, 0.4)],),
    ([(0.0, 0.2), (1.0, 0.2), (0.5, 0.6)], [(0.0, 0.3), (0.5, 0.7), (1.0, 0.3), (1.0, 0.8), (0.0, 0.8)]),
    ([(0.1, 0.0), (0.9, 0.5), (0.1, 1.0)],),
)
