"""Axes on a picture: round numbers at their ticks, and where a value lies.
Knows no figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

INK, FAINT, GOOD, BAD = "#1d2430", "#dfe3ea", "#1f6feb", "#d1242f"
Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Axes:
    """A frame on the picture, and the values at its right and upper ends; both axes begin at 0."""

    box: Box
    right: float
    top: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, upper, right, lower = self.box
        return left + (right - left) * x / self.right, lower - (lower - upper) * y / self.top


def frame(draw: ImageDraw.ImageDraw, axes: Axes, x_label: str, y_label: str, font: Font) -> None:
    """Draw both axes with their ticks and labels."""
    left, upper, right, lower = axes.box
    for value in ticks(axes.top):
        _, y = axes.at(0, value)
        draw.line((left, y, right, y), fill=FAINT)
        draw.text((left - 8, y), f"{value:g}", fill=INK, font=font, anchor="rm")
    for value in ticks(axes.right):
        x, _ = axes.at(value, 0)
        draw.text((x, lower + 8), f"{value:g}", fill=INK, font=font, anchor="mt")
    draw.line((left, upper, left, lower, right, lower), fill=INK)
    draw.text(((left + right) / 2, lower + 30), x_label, fill=INK, font=font, anchor="mt")
    draw.text((left, upper - 6), y_label, fill=INK, font=font, anchor="lb")


def ceiling(value: float) -> float:
    """The next round number: an axis ends there.

    >>> ceiling(0.7), ceiling(12), ceiling(50), ceiling(501)
    (0.8, 20.0, 50.0, 600.0)
    """
    if value <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * times for times in (1, 2, 3, 4, 5, 6, 8, 10) if step * times >= value * (1 - 1e-9))


def ticks(end: float) -> Iterator[float]:
    """Three to five round numbers after 0, the last one `end`, which is a `ceiling`.

    >>> list(ticks(600.0)), list(ticks(8.0)), list(ticks(5.0))
    ([0.0, 200.0, 400.0, 600.0], [0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    """
    num_parts = {"3": 3, "6": 3, "1": 5, "5": 5}.get(f"{end:e}"[0], 4)
    yield from (end * part / num_parts for part in range(num_parts + 1))
