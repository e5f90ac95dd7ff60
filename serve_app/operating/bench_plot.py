"""A picture of a load: latency over time, and how many answers took how long.
Asks nobody: answers in, a picture out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from serve_app.operating.bench import Answer

SIZE: Final = (1200, 480)
INK, FAINT, GOOD, BAD = "#1d2430", "#dfe3ea", "#1f6feb", "#d1242f"
NUM_BARS: Final = 30
LONG_MS: Final = 10_000  # from there on seconds are read more easily
FEWEST: Final = 4  # answers at the end of an axis: its ticks are whole numbers
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


def plot(answers: Sequence[Answer], seconds: float, title: str) -> Image.Image:
    """Refusals stand as red marks at the time when they came."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    draw.text((70, 12), title, fill=INK, font=ImageFont.load_default(16))
    refused = sum(answer.refusal is not None for answer in answers)
    if refused:
        draw.text((1170, 12), f"red: {refused} refused", fill=BAD, font=font, anchor="ra")
    took = [answer.took_ms for answer in answers if answer.refusal is None]
    unit, ms = ("s", 1000) if max(took, default=0.0) > LONG_MS else ("ms", 1)
    took = [each / ms for each in took]
    most = ceiling(max(took, default=1.0))
    times = Axes((70, 60, 690, 420), ceiling(max([seconds, *(answer.at_s for answer in answers)], default=1.0)), most)
    _frame(draw, times, "seconds since the begin", f"latency, {unit}", font)
    for answer in answers:
        x, y = times.at(answer.at_s, answer.took_ms / ms if answer.refusal is None else 0.0)
        if answer.refusal is None:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=GOOD)
        else:
            draw.line((x, y - 10, x, y), fill=BAD, width=2)
    counts = histogram(took, most)
    bars = Axes((790, 60, 1170, 420), most, ceiling(max([*counts, FEWEST])))
    _frame(draw, bars, f"latency, {unit}", "answers", font)
    for number, count in enumerate(counts):
        left, upper = bars.at(most * number / NUM_BARS, count)
        right, lower = bars.at(most * (number + 1) / NUM_BARS, 0)
        if count:
            draw.rectangle((left, upper, right - 1, lower), fill=GOOD)
    return image


def histogram(values: Sequence[float], most: float) -> list[int]:
    """How many lie in each of `NUM_BARS` equal parts of 0 to `most`."""
    counts = [0] * NUM_BARS
    for value in values:
        counts[min(NUM_BARS - 1, int(value / most * NUM_BARS))] += 1
    return counts


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


def _frame(draw: ImageDraw.ImageDraw, axes: Axes, x_label: str, y_label: str, font: Font) -> None:
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
