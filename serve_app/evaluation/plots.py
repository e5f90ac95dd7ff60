"""Figures as pictures: ROC, precision over recall, reliability.
Counts nothing and writes no file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from serve_app.evaluation.choosing import RuleName
from serve_app.evaluation.curves import Bin
from serve_app.evaluation.figures import Figures
from serve_app.views.axes import BAD, FAINT, GOOD, INK, Axes, Font, frame

SIZE: Final = (640, 560)
BOX: Final = (80, 70, 600, 470)
# Points of a curve that are drawn: more lie on one pixel.
MOST_POINTS: Final = 2000
COLOURS: Final[dict[RuleName, tuple[str, str]]] = {
    "similarity_threshold": (GOOD, "similarity"),
    "max_changed_ratio": ("#8250df", "changed ratio"),
    "max_differences": ("#bf5b00", "number of differences"),
}
UNIT: Final = Axes(BOX, 1.0, 1.0)
Point = tuple[float, float]


def plots(of: Figures) -> dict[str, Image.Image]:
    """By file name without its ending; curves only where both labels are there."""
    drawn = {"reliability": reliability(of.bins)} if of.bins else {}
    if all(of.labels.values()):
        drawn = {"roc": roc(of), "precision_recall": precision_recall(of), **drawn}
    return drawn


def roc(of: Figures) -> Image.Image:
    image, draw, font = _begun(
        "ROC: mismatches found", "false alarms, of the same pairs", "found, of the different pairs"
    )
    _line(draw, [(0, 0), (1, 1)], FAINT, 1)
    for rule, curve in reversed(list(of.curves.items())):  # that of similarity over the others
        _line(draw, _thinned(zip(curve.false_alarms.tolist(), curve.recall.tolist(), strict=True)), COLOURS[rule][0])
    if of.choice is not None:
        counted = of.choice.counted
        _mark(draw, (counted.false.value or 0.0, counted.found.value or 0.0))
    _legend(draw, of.curves, font)
    return image


def precision_recall(of: Figures) -> Image.Image:
    image, draw, font = _begun("Precision over recall, of mismatches", "recall", "precision")
    for rule, curve in reversed(list(of.curves.items())):  # that of similarity over the others
        steps = zip(curve.recall[1:].tolist(), curve.precision[1:].tolist(), strict=True)
        _line(draw, _thinned(steps), COLOURS[rule][0])
    if of.choice is not None:
        counted = of.choice.counted
        _mark(draw, (counted.found.value or 0.0, counted.right.value or 0.0))
    _legend(draw, of.curves, font)
    return image


def reliability(bins: Sequence[Bin]) -> Image.Image:
    """A point a bin with its 95 % interval; on the diagonal similarity would be the probability of a match."""
    image, draw, _ = _begun("Reliability: what similarity meant", "similarity, mean of a bin", "labelled match")
    _line(draw, [(0, 0), (1, 1)], FAINT, 1)
    for each in bins:
        low, high = each.same.interval
        _line(draw, [(each.mean, low), (each.mean, high)], GOOD, 1)
        x, y = UNIT.at(each.mean, each.same.value or 0.0)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=GOOD)
    return image


def _begun(title: str, across: str, up: str) -> tuple[Image.Image, ImageDraw.ImageDraw, Font]:
    image = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    draw.text((BOX[0], 14), title, fill=INK, font=ImageFont.load_default(16))
    frame(draw, UNIT, across, up, font)
    return image, draw, font


def _line(draw: ImageDraw.ImageDraw, points: Iterable[Point], colour: str, width: int = 2) -> None:
    draw.line([UNIT.at(*point) for point in points], fill=colour, width=width, joint="curve")


def _mark(draw: ImageDraw.ImageDraw, point: Point) -> None:
    """Where the chosen thresholds lie."""
    x, y = UNIT.at(*point)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=BAD, width=2)


def _legend(draw: ImageDraw.ImageDraw, rules: Iterable[RuleName], font: Font) -> None:
    x = BOX[0]
    for rule in rules:
        colour, name = COLOURS[rule]
        draw.rectangle((x, 528, x + 14, 540), fill=colour)
        draw.text((x + 20, 534), name, fill=INK, font=font, anchor="lm")
        x += 40 + int(draw.textlength(name, font=font))
    draw.ellipse((x, 528, x + 12, 540), outline=BAD, width=2)
    draw.text((x + 20, 534), "chosen", fill=INK, font=font, anchor="lm")


def _thinned(points: Iterable[Point]) -> list[Point]:
    every = list(points)
    step = max(1, len(every) // MOST_POINTS)
    return [*every[::step], every[-1]]
