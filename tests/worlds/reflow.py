"""Text that stands a fraction of a pixel further, and a column that grows beside a fixed one."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.pictures import Pixels
from tests.worlds.known import Kind, KnownPair

FINER = 8  # times: what stands between pixels
_LINES = (
    *("The quick brown fox jumps over", "Payment terms are thirty days", "Order 48213 ships on Tuesday"),
    "Judge my vow, sphinx 0123456789",
)
_NAMES = (
    *("Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel"),
    *("India", "Juliet", "Kilo", "Lima", "Mike", "November", "Oscar"),
)
_THINGS = (
    *("boats", "cars", "trains", "rockets", "bicycles"),
    *("scooters", "canoes", "planes", "skates", "trucks"),
)


@functools.cache
def text(right: float, down: float, size: int, *, dark: bool = False, number: str = "48213") -> Pixels:
    """420x120: four lines, `right` and `down` of their places by fractions of a pixel."""
    ground, ink = ((20, 22, 26), (230, 230, 230)) if dark else ((255, 255, 255), (20, 20, 20))
    image = Image.new("RGB", (420 * FINER, 120 * FINER), ground)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=size * FINER)
    for row, line in enumerate(_LINES):
        at = (round((20 + right) * FINER), round((8 + 27 * row + down) * FINER))
        pen.text(at, line.replace("48213", number), font=font, fill=ink)
    return np.asarray(image.resize((420, 120), Image.Resampling.BOX))


_STEPS = ((0.5, 0.5), (-0.5, 0.5), (0.25, 0.5), (0.5, -0.25), (0.375, 0.625), (-0.5, -0.5))


def nudged_pair(size: float, seed: int) -> KnownPair:
    right, down = _STEPS[seed % len(_STEPS)]
    dark = seed % 2 == 1
    return KnownPair(text(0, 0, int(size), dark=dark), text(right, down, int(size), dark=dark), kinds=("none",))


def two_columns(
    lines: int, at: int | None, rows: int, *, height: int = 600, is_left: bool = False, dark: bool = False
) -> Pixels:
    """900 wide: a fixed column of a manual's sections beside one of `lines` lines; `rows` of further lines inserted
    before line `at`, none where it is None."""
    ground, ink = ((24, 26, 30), (225, 225, 230)) if dark else ((255, 255, 255), (30, 30, 30))
    image = Image.new("RGB", (900, height), ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 900, 54), fill=(37, 99, 235))
    side, main = (620, 24) if is_left else (24, 330)
    small, large = (ImageFont.load_default(size=size) for size in (13, 16))
    for row in range(15):
        pen.text((side, 76 + 34 * row), f"Section {row + 1} of the manual", font=small, fill=ink)
    said = [f"{_NAMES[row]} line about {_THINGS[row % 10]}" for row in range(lines)]
    if at is not None:
        said[at:at] = [f"An extra line number {row + 1} came in here" for row in range(rows)]
    for row, line in enumerate(said):
        pen.text((main, 76 + 44 * row), line, font=large, fill=ink)
    return np.asarray(image)


def grown_pair(rows: float, seed: int) -> KnownPair:
    """So many lines inserted into one column; the other one stays."""
    options = {"is_left": seed % 2 == 1, "dark": seed % 3 == 2}
    at = (3, 1, 5)[seed % 3]
    reference = two_columns(9, None, 0, is_left=options["is_left"], dark=options["dark"])
    candidate = two_columns(9, at, int(rows), is_left=options["is_left"], dark=options["dark"])
    return KnownPair(reference, candidate, kinds=("bands",), says=("added", "moved"))


KINDS = (
    Kind("text half a pixel further both ways", (9, 11, 14, 20), nudged_pair, "px text"),
    Kind("one column grows beside a fixed one", (1, 2), grown_pair, "lines"),
)
