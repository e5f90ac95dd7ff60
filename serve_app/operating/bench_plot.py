"""A picture of a load: latency over time, and how many answers took how long.
Asks nobody: answers in, a picture out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from serve_app.operating.bench import Answer
from serve_app.views.axes import BAD, GOOD, INK, Axes, ceiling, frame

SIZE: Final = (1200, 480)
NUM_BARS: Final = 30
LONG_MS: Final = 10_000  # from there on seconds are read more easily
FEWEST: Final = 4  # answers at the end of an axis: its ticks are whole numbers


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
    frame(draw, times, "seconds since the begin", f"latency, {unit}", font)
    for answer in answers:
        x, y = times.at(answer.at_s, answer.took_ms / ms if answer.refusal is None else 0.0)
        if answer.refusal is None:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=GOOD)
        else:
            draw.line((x, y - 10, x, y), fill=BAD, width=2)
    counts = histogram(took, most)
    bars = Axes((790, 60, 1170, 420), most, ceiling(max([*counts, FEWEST])))
    frame(draw, bars, f"latency, {unit}", "answers", font)
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
