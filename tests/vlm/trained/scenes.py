"""Drawn pairs of which everything is known: grey ground, in some of its 4 x 4 cells a circle, a square, a triangle.
No model, no prompt: pictures and the truth come out.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, replace
from typing import Final, Literal

from PIL import Image, ImageDraw

SIDE: Final = 64
CELLS: Final = 4  # a side: one cell is one visual token, 16 x 16 pixels
SHAPES: Final = ("circle", "square", "triangle")
State = Literal["same", "changed", "added", "removed", "missing"]
STATES: Final[tuple[State, ...]] = ("same", "changed", "added", "removed", "missing")
_WEIGHTS: Final = (0.28, 0.2, 0.18, 0.18, 0.16)
_TURNED: Final[dict[State, State]] = {"added": "removed", "removed": "added"}
# Two for each shape: so small a model tells a circle from a square of 14 pixels by its colour first.
_COLOURS: Final = {
    "circle": ((30, 40, 200), (130, 170, 255)),
    "square": ((15, 15, 15), (250, 250, 250)),
    "triangle": ((20, 130, 40), (240, 220, 20)),
}
_DARKEST, _TONES = 80, 128  # of the ground
_MARGIN: Final = 1  # pixels of its cell around a shape


@dataclass(frozen=True, slots=True)
class Element:
    """`cell`: row by row, also where it is missing. `colours`: in the first and in the second picture."""

    shape: str
    state: State
    cell: int
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]

    @property
    def is_in(self) -> tuple[bool, bool]:
        return self.state in ("same", "changed", "removed"), self.state in ("same", "changed", "added")

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the shape, pixels."""
        left, top = (_cell_side() * place + _MARGIN for place in (self.cell % CELLS, self.cell // CELLS))
        size = _cell_side() - 2 * _MARGIN
        return left, top, left + size, top + size


@dataclass(frozen=True, slots=True)
class Scene:
    """A pair. `tones`: of the ground in both pictures, 0..1."""

    tones: tuple[float, float]
    elements: tuple[Element, ...]

    @property
    def pictures(self) -> tuple[Image.Image, Image.Image]:
        return self._drawn(0), self._drawn(1)

    @property
    def exchanged(self) -> Scene:
        turned = (
            replace(one, state=_TURNED.get(one.state, one.state), colours=(one.colours[1], one.colours[0]))
            for one in self.elements
        )
        return Scene((self.tones[1], self.tones[0]), tuple(turned))

    @property
    def tone_gap(self) -> float:
        """0 where both grounds are alike, 1 where one is as dark and the other as bright as any is."""
        return abs(self.tones[0] - self.tones[1])

    @property
    def num_changed(self) -> int:
        return sum(one.state in ("changed", "added", "removed") for one in self.elements)

    @property
    def scores(self) -> dict[str, float]:
        """How alike they are, 1 to 0, in each quality that is drawn."""
        return {"color": 1 - self.tone_gap, "content": 1 - self.num_changed / 4}

    def state_of(self, shape: str) -> State:
        return next((one.state for one in self.elements if one.shape == shape), "missing")

    def in_cell(self, cell: int) -> Element | None:
        return next((one for one in self.elements if one.cell == cell and one.state != "missing"), None)

    def _drawn(self, side: int) -> Image.Image:
        grey = _DARKEST + round(_TONES * self.tones[side])
        image = Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))
        draw = ImageDraw.Draw(image)
        for one in self.elements:
            if one.is_in[side]:
                _draw(draw, one, one.colours[side])
        return image


def a_scene(rng: random.Random, *, equal_grounds: float = 0.5) -> Scene:
    """Every shape with a state of its own. `equal_grounds`: how likely."""
    first = rng.random()
    tones = (first, first if rng.random() < equal_grounds else rng.random())
    cells = rng.sample(range(CELLS * CELLS), len(SHAPES))
    states = rng.choices(STATES, _WEIGHTS, k=len(SHAPES))
    return Scene(tones, tuple(map(an_element, [rng] * len(SHAPES), SHAPES, states, cells)))


def as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def an_element(rng: random.Random, shape: str, state: State, cell: int) -> Element:
    one, other = rng.sample(_COLOURS[shape], 2)
    return Element(shape, state, cell, (one, other if state == "changed" else one))


def _draw(draw: ImageDraw.ImageDraw, element: Element, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = element.box
    right, bottom = right - 1, bottom - 1  # Pillow's boxes hold their last pixel
    if element.shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif element.shape == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        draw.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=colour)


def _cell_side() -> int:
    return SIDE // CELLS
