"""Pairs under another light, with the truth: one picture, a change of its own at a known place, and one light on all.
Draws everything itself, but for the photographs that scikit-image packages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.pictures import Box, Pixels
from tests.worlds.known import Kind, KnownPair
from tests.worlds.pairs import clipped, encoded, photographs

_Light = Callable[[NDArray[np.float64], float], NDArray[np.float64]]
_Colour = tuple[int, int, int]


def _falling(values: NDArray[np.float64], strength: float, down: float, across: float) -> NDArray[np.float64]:
    """Brighter by half of `strength` at one side, darker by as much at the other."""
    y, x = (np.linspace(-0.5, 0.5, side) for side in values.shape[:2])
    return values * (1 + strength * (down * y[:, None] + across * x[None]))[..., None]


def _vignette(values: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    y, x = (np.linspace(-1, 1, side) for side in values.shape[:2])
    return values * (1 - strength * (y[:, None] ** 2 + x[None] ** 2) / 2)[..., None]


LIGHTS: Mapping[str, _Light] = MappingProxyType(
    {
        "brightness": lambda values, strength: values * (1 + strength),
        "offset": lambda values, strength: values + 255 * strength,
        "contrast": lambda values, strength: (values - 128) * (1 + strength) + 128,
        "gamma": lambda values, strength: 255 * (values / 255) ** (1 + strength),
        "warmth": lambda values, strength: values * (1 + strength * np.array((1.0, 0.0, -1.0))),
        "from the left": lambda values, strength: _falling(values, strength, 0, -1),
        "from below": lambda values, strength: _falling(values, strength, 1, 0),
        "from a corner": lambda values, strength: _falling(values, strength, 0.5, 0.5),
        "vignette": _vignette,
    }
)


def lit(picture: Pixels, light: str, strength: float) -> Pixels:
    """`picture` under one of `LIGHTS`; `strength` in parts: 0.05 are five hundredths, more or less."""
    return clipped(LIGHTS[light](picture.astype(np.float64), strength))


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, the same with a change, and where that is."""

    picture: Pixels
    changed: Pixels
    place: Box


def shop(*, price: str = "1,284.50", width: int = 640, ground: _Colour = (255, 255, 255)) -> Pixels:
    """A page of a shop: bar, side column, cards with rims, text of 13 to 22 px, a button; dark on a dark `ground`."""
    dark = ground[0] < 128
    ink, soft, rim = (
        ((225, 225, 230), (150, 150, 155), (60, 62, 66)) if dark else ((24, 24, 27), (110, 110, 115), (217, 217, 217))
    )
    image = Image.new("RGB", (width, 420), ground)
    pen = ImageDraw.Draw(image)

    def put(x: int, y: int, text: str, size: int, colour: _Colour) -> None:
        pen.text((x, y), text, font=ImageFont.load_default(size=size), fill=colour)

    pen.rectangle((0, 0, width, 43), fill=(37, 99, 235))
    put(16, 10, "Acme Store", 20, (255, 255, 255))
    pen.rectangle((0, 44, 119, 420), fill=(30, 32, 36) if dark else (244, 245, 247))
    for row, word in enumerate(("Dashboard", "Orders", "Products", "Reports")):
        put(14, 60 + 30 * row, word, 14, ink)
    for card, (name, amount) in enumerate((("Revenue", price), ("Orders", "312"), ("Refunds", "48.10"))):
        left = 140 + 165 * card
        pen.rectangle((left, 70, left + 150, 140), outline=rim)
        put(left + 10, 78, name, 13, soft)
        put(left + 10, 102, amount, 22, ink)
    for row in range(6):
        put(140, 160 + 22 * row, f"Line {row}: the quick brown fox jumps over the lazy dog, {37 * row + 11}.", 13, ink)
    pen.rectangle((140, 304, 230, 334), fill=(37, 99, 235))
    put(166, 311, "Open", 14, (255, 255, 255))
    for row in range(3):
        pen.line((140, 350 + 22 * row, width - 20, 350 + 22 * row), fill=rim)
        put(140, 353 + 22 * row, f"INV-2{row}031", 12, ink)
    return np.asarray(image)


@functools.cache
def scenes() -> dict[str, Scene]:
    """By name: two pages and a photograph, each with a small change."""
    out = {}
    for name, ground in (("page", (255, 255, 255)), ("grey page", (238, 240, 243)), ("dark page", (24, 26, 30))):
        first, second = shop(ground=ground), shop(price="1,294.50", ground=ground)
        out[name] = Scene(first, second, _bounds(first, second))
    for name, picture in photographs().items():
        patched = picture.copy()
        patched[60:100, 80:130] = (40, 70, 190)
        out[name] = Scene(picture, patched, _bounds(picture, patched))
    return out


def _bounds(first: Pixels, second: Pixels) -> Box:
    rows, columns = np.nonzero((first != second).any(axis=2))
    left, top = int(columns.min()), int(rows.min())
    return Box(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)


def _under(name: str, light: str, strength: float, *, quality: int | None = None) -> KnownPair:
    scene = scenes()[name]
    pair = (scene.picture, lit(scene.changed, light, strength))
    first, second = pair if quality is None else (encoded(each, quality) for each in pair)
    return KnownPair(first, second, (scene.place,))


def _kind(light: str, strengths: tuple[float, ...], *, quality: int | None = None) -> Kind:
    names = list(scenes())
    through = "" if quality is None else f", JPEG {quality}"
    return Kind(
        f"light: {light}{through}, a digit or a patch changed",
        strengths,
        lambda strength, seed: _under(names[seed % len(names)], light, strength, quality=quality),
    )


KINDS: tuple[Kind, ...] = (
    *(_kind(light, (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)) for light in list(LIGHTS)[:5]),
    *(_kind(light, (0.05, 0.1, 0.2)) for light in list(LIGHTS)[5:]),
    _kind("brightness", (-0.1, 0.1), quality=90),
    _kind("from the left", (0.1, 0.2), quality=90),
)
