"""One page drawn at two scales as browsers do, with a digit or a word changed; pictures stretched and turned over."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.pictures import Box, Pixels
from tests.worlds.known import Kind, KnownPair
from tests.worlds.labels import label, photographed
from tests.worlds.pairs import clipped, photographs

FINER_YET = 4  # times: letters stand between pixels
_LINES = (
    *("The quick brown fox jumps over the lazy dog near the river.", "Payment terms are thirty days after the date."),
    *("Order 48213 ships on Tuesday.", "Contact support for any question about this document."),
)


@dataclasses.dataclass(frozen=True)
class Words:
    """What of the page may differ."""

    price: str = "1,284.50"
    total: str = "48.10"
    button: str = "Open"
    order: str = "INV-20031"


class Drawn(NamedTuple):
    picture: Pixels
    boxes: dict[str, Box]  # of each of `Words`, in pixels of the page at 1x


@functools.cache
def page(scale: float, words: Words | None = None, *, dark: bool = False) -> Drawn:
    """640x420 CSS pixels at `scale` device pixels each: a 22 px price, a button, text and numbers of 14 and 13 px."""
    said = words or Words()
    ground, ink, rule = (
        ((24, 26, 30), (225, 225, 230), (70, 72, 78)) if dark else ((255,) * 3, (28, 28, 30), (210,) * 3)
    )
    fine = FINER_YET * scale
    size = (round(640 * scale), round(420 * scale))
    image = Image.new("RGB", (size[0] * FINER_YET, size[1] * FINER_YET), ground)
    pen = ImageDraw.Draw(image)
    boxes = {}

    def put(x: float, y: float, text: str, size: float, colour: tuple[int, ...], name: str = "") -> None:
        font, large = (ImageFont.load_default(size=each) for each in (size * fine, size * 32))
        starts = [x + large.getlength(text[:end]) / 32 for end in range(len(text) + 1)]
        for letter, start in zip(text, starts, strict=False):
            pen.text((round(start * fine), round(y * fine)), letter, font=font, fill=colour)
        _, top, _, bottom = (value / fine for value in pen.textbbox((0, round(y * fine)), text, font=font))
        if name:
            was = getattr(Words(), name)
            first, last = _changed(was, text) if was != text else (0, len(text))
            left, right = starts[first], starts[last]
            boxes[name] = Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)

    def edged(*box: float, fill: tuple[int, ...] | None = None) -> None:
        left, top, right, bottom = (
            round(value * scale) * FINER_YET for value in box
        )  # on whole pixels, as browsers do
        line = max(1, round(scale)) * FINER_YET
        corners = (left, top, right + line - 1, bottom + line - 1)
        pen.rectangle(corners, fill=fill, outline=fill or rule, width=line)

    edged(0, 0, 640, 40, fill=(37, 99, 235))
    put(16, 10, "Acme Store", 18, (255, 255, 255))
    edged(20, 60, 200, 130)
    put(32, 70, "Revenue", 13, ink)
    put(32, 92, said.price, 22, ink, "price")
    edged(220, 60, 400, 130)
    put(232, 70, "Refunds", 13, ink)
    put(232, 96, said.total, 14, ink, "total")
    for row, text in enumerate(_LINES):
        put(20, 150 + 24 * row, text, 14, ink)
    edged(20, 256, 130, 288, fill=(37, 99, 235))
    put(48, 263, said.button, 14, (255, 255, 255), "button")
    for row, number in enumerate((said.order, "INV-20131", "INV-20231")):
        edged(20, 306 + 30 * row, 620, 306 + 30 * row)
        put(24, 312 + 30 * row, number, 13, ink, "order" if row == 0 else "")
        put(300, 312 + 30 * row, "Paid", 13, ink)
        put(500, 312 + 30 * row, f"{127 * (row + 3)}.05", 13, ink)
    return Drawn(np.asarray(image.resize(size, Image.Resampling.BOX)), boxes)


def _changed(one: str, two: str) -> tuple[int, int]:
    """From which letter to before which letter of `two` it isn't `one`."""
    same = [a == b for a, b in zip(one, two, strict=False)]
    first = same.index(False)
    return first, len(two) - (same[::-1].index(False) if len(one) == len(two) else 0)


CHANGES = (
    ("price", Words(price="1,294.50")),
    ("total", Words(total="49.10")),
    ("button", Words(button="Close")),
    ("order", Words(order="INV-20037")),
)


def rescaled_pair(ratio: float, seed: int, *, changes: bool) -> KnownPair:
    """A page at 1x against `ratio`; one thing changed."""
    name, words = CHANGES[seed % len(CHANGES)]
    dark = seed % 3 == 2
    one, two = page(1, dark=dark), page(ratio, words if changes else None, dark=dark)
    return KnownPair(one.picture, two.picture, (two.boxes[name],) if changes else (), 0.0 if changes else 0.9)


def stretched_pair(share: float, seed: int) -> KnownPair:
    """A picture squashed to `share` of its width or height, at another size."""
    pictures = [*photographs().values(), page(1).picture]
    picture = pictures[seed % len(pictures)]
    height, width = picture.shape[:2]
    factor = (0.9, 0.6, 1.3)[seed % 3]
    across, down = (share, 1.0) if seed % 2 else (1.0, share)
    size = (round(width * factor * across), round(height * factor * down))
    other = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return KnownPair(picture, np.asarray(other, np.uint8), (), 0.6, ("stretched",))


def mirrored_pair(noise: float, seed: int) -> KnownPair:
    """A photograph or a label and its mirror image, under noise."""
    pictures = [*photographs().values(), photographed(label()[0], np.eye(3), seed), page(1).picture]
    picture = pictures[seed % len(pictures)]
    other = np.flip(picture, seed % 2)
    other = clipped(other + np.random.default_rng(seed).normal(0, noise, picture.shape))
    return KnownPair(picture, other, (), 0.5, ("mirrored",))


RATIOS = (1.25, 1.5, 2.0, 2.5, 3.0)
KINDS = (
    Kind("page at another scale, nothing changed", RATIOS, lambda r, seed: rescaled_pair(r, seed, changes=False), "x"),
    Kind("page at another scale, a word changed", RATIOS, lambda r, seed: rescaled_pair(r, seed, changes=True), "x"),
    Kind("stretched", (0.5, 0.75, 0.9, 0.95), stretched_pair, "of a side"),
    Kind("mirrored", (0.0, 3.0, 10.0), mirrored_pair, "levels of noise"),
)
