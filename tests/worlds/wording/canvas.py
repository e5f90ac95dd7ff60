"""A picture as a list of what is drawn on it, so that one line of it can be another and nothing else.
Knows no vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from serve_app.core.pictures import Box, Pixels
from tests.worlds.wording.faces import Face, font

Colour = tuple[int, int, int]


class Canvas:
    """A picture that grows: all that is given in the design's pixels is drawn `scale` times as large."""

    def __init__(self, width: int, height: int, ground: Colour, scale: float) -> None:
        self.scale = scale
        self.image = Image.new("RGB", (round(width * scale), round(height * scale)), ground)
        self._pen = ImageDraw.Draw(self.image)

    def box(
        self,
        at: Sequence[float],
        fill: Colour | None = None,
        *,
        outline: Colour | None = None,
        width: float = 1,
        radius: float = 0,
    ) -> None:
        """`at`: left, top, right, bottom."""
        corners = [round(each * self.scale) for each in at]
        corners[2:] = [max(corners[0], corners[2] - 1), max(corners[1], corners[3] - 1)]
        wide = max(1, round(width * self.scale))
        self._pen.rounded_rectangle(corners, radius * self.scale, fill, outline, wide)

    def oval(
        self, at: Sequence[float], fill: Colour | None = None, *, outline: Colour | None = None, width: float = 1
    ) -> None:
        wide = max(1, round(width * self.scale))
        self._pen.ellipse([each * self.scale for each in at], fill, outline, wide)

    def line(self, points: Sequence[tuple[float, float]], ink: Colour, width: float = 1) -> None:
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self._pen.line(scaled, ink, max(1, round(width * self.scale)), joint="curve")

    def shape(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        self._pen.polygon([(x * self.scale, y * self.scale) for x, y in points], fill)

    def picture(self, pixels: Pixels, at: Sequence[float]) -> None:
        left, top, right, bottom = (round(each * self.scale) for each in at)
        shown = Image.fromarray(pixels).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        self.image.paste(shown, (left, top))

    def write(self, line: Line) -> None:
        face = font(line.face, line.size * self.scale)
        for text, x, y in line.parts():
            at = (x * self.scale, y * self.scale)
            self._pen.text(at, text, line.ink, face, anchor=line.anchor)


Paint = Callable[[Canvas], None]


@dataclass(frozen=True)
class Line:
    """Text that stands on one row, or down one column. `x`, `y`: its anchor; `size`: of its em, in pixels.

    `role`: "free" lines stand alone and may go or move, "set" ones never change.
    """

    text: str
    x: float
    y: float
    face: Face
    size: float
    ink: Colour
    align: Literal["left", "right", "middle"] = "left"
    is_vertical: bool = False
    role: Literal["", "free", "set"] = ""

    @property
    def anchor(self) -> str:
        return {"left": "l", "right": "r", "middle": "m"}[self.align] + "a"

    def parts(self) -> list[tuple[str, float, float]]:
        if not self.is_vertical:
            return [(self.text, self.x, self.y)]
        return [(letter, self.x, self.y + 1.12 * self.size * row) for row, letter in enumerate(self.text)]

    def box(self, scale: float = 1) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of its ink in a picture `scale` times as large."""
        face, pen = font(self.face, self.size * scale), ImageDraw.Draw(Image.new("L", (1, 1)))
        boxes = [pen.textbbox((x * scale, y * scale), text, face, self.anchor) for text, x, y in self.parts()]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)

    def at(self, x: float, y: float) -> Line:
        return replace(self, x=x, y=y)

    def saying(self, text: str) -> Line:
        return replace(self, text=text)


@dataclass(frozen=True)
class Design:
    """All that is drawn, in its order: ground, paints, lines."""

    width: int
    height: int
    ground: Colour
    paints: tuple[Paint, ...] = ()
    lines: tuple[Line, ...] = ()

    def rendered(self, scale: float = 1) -> Pixels:
        canvas = Canvas(self.width, self.height, self.ground, scale)
        for paint in self.paints:
            paint(canvas)
        for line in self.lines:
            canvas.write(line)
        return np.asarray(canvas.image)


def touch(one: Line, other: Line, gap: float = 0) -> bool:
    """Their ink is nearer than `gap`."""
    a, b = one.box(), other.box()
    return a[0] - gap < b[2] and b[0] - gap < a[2] and a[1] - gap < b[3] and b[1] - gap < a[3]


def whole(left: float, top: float, right: float, bottom: float) -> Box:
    """The least box of whole pixels around it."""
    x, y = int(np.floor(left)), int(np.floor(top))
    return Box(x, y, int(np.ceil(right)) - x, int(np.ceil(bottom)) - y)
