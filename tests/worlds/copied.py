"""Pages and their lossy copies, and strokes in another tone or drawn anew, with the truth. Draws everything itself."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.pictures import Box, Pixels
from tests.worlds.known import Kind, KnownPair

Codec = Literal["JPEG", "WEBP", "AVIF"]
Colour = tuple[int, int, int]

# Ink and ground of pages that people copy.
INKS: Mapping[str, tuple[Colour, Colour]] = MappingProxyType(
    {
        "black": ((24, 24, 27), (255, 255, 255)),
        "grey": ((120, 120, 120), (255, 255, 255)),
        "blue": ((37, 99, 235), (255, 255, 255)),
        "red": ((200, 30, 30), (250, 250, 250)),
        "light on dark": ((220, 220, 225), (24, 26, 30)),
        "grey on dark": ((150, 150, 155), (24, 26, 30)),
    }
)


def copied(picture: Pixels, codec: Codec, quality: int) -> Pixels:
    """What an encoder makes of a picture."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, codec, quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def page(size: int, ink: str, price: str = "1,284.50") -> Pixels:
    """A bar, a price of 22 px in a rim, a button and five lines of text of `size` px; 480x300."""
    colour, ground = INKS[ink]
    image = Image.new("RGB", (480, 300), ground)
    pen = ImageDraw.Draw(image)

    def put(x: int, y: int, text: str, pixels: int, fill: Colour) -> None:
        pen.text((x, y), text, font=ImageFont.load_default(size=pixels), fill=fill)

    pen.rectangle((0, 0, 480, 36), fill=(37, 99, 235))
    put(16, 8, "Acme Store", 18, (255, 255, 255))
    soft = tuple((a + b) // 2 for a, b in zip(colour, ground, strict=True))
    pen.rectangle((20, 50, 200, 110), outline=(soft[0], soft[1], soft[2]))
    put(32, 66, price, 22, colour)
    pen.rectangle((260, 60, 360, 94), fill=(37, 99, 235))
    put(290, 68, "Open", size, (255, 255, 255))
    for row in range(5):
        put(20, 124 + 30 * row, f"Line {row}: the quick brown fox jumps over the lazy dog {379 * row}", size, colour)
    return np.asarray(image)


def line(width: int, before: int, after: int, ground: int, *, down: bool = False) -> tuple[Pixels, Pixels]:
    """A rule of `width` pixels in two tones of grey beside a line of text; 240x120."""
    pair = []
    for tone in (before, after):
        image = Image.new("RGB", (240, 120), (ground,) * 3)
        pen = ImageDraw.Draw(image)
        ink = 20 if ground > 128 else 230
        pen.text((90, 50), "Your name", font=ImageFont.load_default(size=14), fill=(ink,) * 3)
        pen.rectangle((40, 20, 39 + width, 99) if down else (40, 30, 199, 29 + width), fill=(tone,) * 3)
        pair.append(np.asarray(image))
    return pair[0], pair[1]


def words(text: str, size: int, ink: Colour = (24, 24, 27), ground: Colour = (255, 255, 255)) -> Pixels:
    """One line of text of `size` px; 170x40."""
    image = Image.new("RGB", (170, 40), ground)
    ImageDraw.Draw(image).text((12, 12), text, font=ImageFont.load_default(size=size), fill=ink)
    return np.asarray(image)


def digits(sizes: tuple[int, ...]) -> Iterator[tuple[str, Pixels, Pixels]]:
    """One digit of three exchanged for each of five others that look like it, in each size."""
    alike = ((0, 8), (6, 8), (8, 9), (5, 6), (3, 5), (1, 7), (6, 9), (3, 8), (2, 3))
    for size in sizes:
        for one, two in alike:
            yield f"{one} and {two}, {size} px", words(f"Total 4{one}7", size), words(f"Total 4{two}7", size)


def sun_and_say(size: int) -> tuple[Pixels, Pixels]:
    """The strokes of two characters that differ in their shape alone: tall and wide; amid others that stay."""
    pair = []
    for across, down in ((0.6, 0.9), (0.9, 0.7)):
        image = Image.new("RGB", (120, 40), (255, 255, 255))
        pen = ImageDraw.Draw(image)
        for index, (wide, high) in enumerate(((0.8, 0.8), (across, down), (0.7, 0.8))):
            left, top = 12 + 24 * index, 10
            box = (left, top, left + round(wide * size), top + round(high * size))
            pen.rectangle(box, outline=(24, 24, 27))
            pen.line((box[0], (box[1] + box[3]) // 2, box[2], (box[1] + box[3]) // 2), fill=(24, 24, 27))
        pair.append(np.asarray(image))
    return pair[0], pair[1]


def shifted(size: int, right: float, down: float, weight: float = 1.0) -> Pixels:
    """A line of text drawn parts of a pixel elsewhere, or bolder by the gamma `weight`; 240x40."""
    factor = 8
    image = Image.new("L", (240 * factor, 40 * factor))
    at = (round((12 + right) * factor), round((10 + down) * factor))
    ImageDraw.Draw(image).text(at, "Total 4867 amount", font=ImageFont.load_default(size=size * factor), fill=255)
    share = (np.asarray(image.resize((240, 40), Image.Resampling.BOX)) / 255)[..., None] ** (1 / weight)
    return np.clip(np.round(255 - share * 231), 0, 255).astype(np.uint8).repeat(3, axis=2)


def _place(first: Pixels, second: Pixels) -> Box:
    rows, columns = np.nonzero((first != second).any(axis=2))
    left, top = int(columns.min()), int(rows.min())
    return Box(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)


def _copy(codec: Codec, quality: float, seed: int, *, changed: bool) -> KnownPair:
    inks = list(INKS)
    ink, size = inks[seed % len(inks)], 11 + seed % 6
    first, second = page(size, ink), page(size, ink, "1,294.50")
    copy = copied(second if changed else first, codec, round(quality))
    return KnownPair(first, copy, (_place(first, second),)) if changed else KnownPair(first, copy, (), 0.95)


def _copies(codec: Codec, *, changed: bool) -> Kind:
    what = "a digit changed" if changed else "nothing changed"
    return Kind(
        f"page and its {codec}, {what}",
        (75, 80, 90, 95),
        lambda strength, seed: _copy(codec, strength, seed, changed=changed),
        "quality",
    )


def _toned(width: int, levels: float, seed: int) -> KnownPair:
    grounds = ((255, 217), (250, 200), (18, 42), (24, 90), (128, 150), (255, 120))
    ground, tone = grounds[seed % len(grounds)]
    away = round(levels) * (-1 if (tone < ground) != (seed % 2 == 1) else 1)
    first, second = line(width, tone, max(0, min(255, tone + away)), ground, down=seed % 4 > 1)
    return KnownPair(first, second, (_place(first, second),))


def _inked(levels: float, seed: int) -> KnownPair:
    tone = (150, 170, 100, 200, 130, 60)[seed % 6]
    first, second = (words("Enter your email", 14, (each,) * 3) for each in (tone, tone - round(levels)))
    return KnownPair(first, second, (_place(first, second),))


def _digit(size: float, seed: int) -> KnownPair:
    _, first, second = list(digits((round(size),)))[seed % 9]
    return KnownPair(first, second, (_place(first, second),))


KINDS: tuple[Kind, ...] = (
    *(_copies(codec, changed=changed) for codec in ("JPEG", "WEBP", "AVIF") for changed in (False, True)),
    *(
        Kind(f"line of {width} px in another tone", (10, 13, 22, 40), functools.partial(_toned, width), "levels")
        for width in (1, 2)
    ),
    Kind("text of 14 px in another tone", (10, 15, 25, 40), _inked, "levels"),
    Kind("a digit of another", (8, 9, 10, 11, 12), _digit, "px"),
)
