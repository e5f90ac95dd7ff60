"""Web pages as one would screenshot them: bars, cards of text, tables, photographs, stacked.
Draws everything itself, but for the photographs that scikit-image packages."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from serve_app.core.pictures import Pixels

WIDTH = 640
WORDS = (
    *("order", "price", "total", "stock", "market", "river", "stone", "cloud"),
    *("paper", "light", "train", "coffee", "winter", "garden", "signal", "engine"),
)
_Colour = tuple[int, int, int]


def _canvas(height: int, ground: _Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, height), ground)
    return image, ImageDraw.Draw(image)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def bar(text: str, height: int = 56, ground: _Colour = (30, 60, 120)) -> Pixels:
    """A header or a footer: one line on a strong ground."""
    image, pen = _canvas(height, ground)
    pen.text((24, height // 2 - 10), text, font=_font(18), fill=(255, 255, 255))
    return np.asarray(image)


def card(seed: int, lines: int = 5, *, dark: bool = False) -> Pixels:
    """A heading, lines of text and a rule: like every other card, and yet another text."""
    random = np.random.default_rng(seed)
    ground, ink = ((24, 26, 30), (225, 225, 230)) if dark else ((250, 250, 250), (30, 30, 30))
    image, pen = _canvas(58 + 22 * lines, ground)
    pen.text((24, 12), f"Chapter {seed}: {' '.join(random.choice(WORDS, 3))}", font=_font(20), fill=ink)
    for line in range(lines):
        words = " ".join(random.choice(WORDS, int(random.integers(6, 11))))
        pen.text((24, 44 + 22 * line), words, font=_font(14), fill=ink)
    pen.line((24, image.height - 6, WIDTH - 24, image.height - 6), fill=(128, 128, 128))
    return np.asarray(image)


def table(seed: int, rows: int = 12) -> Pixels:
    """Rows of words and numbers in columns of their own width."""
    random = np.random.default_rng(seed)
    starts = np.cumsum([30, *random.integers(70, 140, 4)])
    image, pen = _canvas(24 * rows + 20, (255, 255, 255))
    for row in range(rows):
        pen.rectangle((20, 10 + 24 * row, WIDTH - 20, 34 + 24 * row), fill=(242, 245, 250) if row % 2 else None)
        for column in range(len(starts)):
            value = f"{random.integers(1, 99999):,}" if column else str(random.choice(WORDS))
            pen.text((int(starts[column]), 14 + 24 * row), value, font=_font(13), fill=(40, 40, 50))
    return np.asarray(image)


def photo(seed: int, height: int = 180) -> Pixels:
    """A strip of a photograph beside white margins."""
    out = np.full((height, WIDTH, 3), 250, np.uint8)
    source = data.coffee()
    top = seed * 37 % (source.shape[0] - height)
    out[:, 40:600] = source[top : top + height, 20:580]
    return out


def stacked(*blocks: Pixels) -> Pixels:
    return np.concatenate(blocks)


@functools.cache
def screens() -> dict[str, tuple[Pixels, Pixels]]:
    """By name a screen, and another screen of the same application."""
    header, footer = bar("Northwind  Orders  Stock  Reports"), bar("Imprint  Privacy", 40, (70, 70, 70))

    def page(*blocks: Pixels) -> Pixels:
        return stacked(header, *blocks, footer)

    return {
        "cards": (page(card(1), card(2, 7), card(3, 3)), page(card(4, 6), card(5, 4), card(6, 5))),
        "dark cards": (
            page(card(1, dark=True), card(2, 7, dark=True), card(3, 3, dark=True)),
            page(card(4, 6, dark=True), card(5, 4, dark=True), card(6, 5, dark=True)),
        ),
        "table": (page(table(1)), page(table(2))),
        "article": (page(card(7, 3), photo(1), card(8, 4)), page(photo(4), card(9, 4), card(10, 3))),
    }
