"""Small pairs with text, drawn in Pillow's own typeface, and what the real networks read of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from serve_app import measurement, ocr
from serve_app.core.clock import Deadline, Stop
from serve_app.core.pictures import Pixels, Raster
from serve_app.core.reading import TextChange

Line = tuple[int, int, int, str]  # x, y, size, text
PAGE: tuple[Line, ...] = (
    (40, 30, 36, "Organic Green Tea"),
    (40, 110, 24, "Price $14.99 each"),
    (40, 170, 20, "LOT A9914"),
    (40, 230, 18, "Best before 2026-05-01"),
)


@functools.cache
def reader() -> ocr.Reader:
    found = ocr.installed("opencv")
    if found is None:
        pytest.skip("needs the networks of the extra `text`")
    return found


def picture(lines: Sequence[Line] = PAGE, size: tuple[int, int] = (480, 300), ground: str = "white") -> Pixels:
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    for x, y, height, text in lines:
        pen.text((x, y), text, font=ImageFont.load_default(height), fill="black" if ground == "white" else "white")
    return np.asarray(image)


def changed(old: str, new: str, lines: Sequence[Line] = PAGE) -> list[Line]:
    return [(x, y, size, text.replace(old, new)) for x, y, size, text in lines]


def raster(pixels: Pixels, alpha: Pixels | None = None) -> Raster:
    return Raster(np.ascontiguousarray(pixels), alpha, pixels.shape[1], pixels.shape[0])


def found(first: Raster, second: Raster, *, whole: bool = False, time_s: float = 60.0) -> tuple[ocr.Found, bool]:
    """What is read of a measured pair, and whether it was turned round for it; nothing where nothing differs."""
    pair = measurement.place(first, second)
    laid = pair.lay(pair.measure())
    if laid is None:
        return ocr.Found(()), False
    return ocr.read(reader(), laid, whole=whole, stop=Stop(Deadline.after(time_s))), laid.is_turned


def said(first: Pixels, second: Pixels) -> list[tuple[str, str | None, str | None]]:
    """Kind and both lines of all that is said, seen from the first picture."""
    read, is_turned = found(raster(first), raster(second))
    changes = [each for changes in read.changes for each in changes]
    return [seen(each) if is_turned else (each.kind, each.reference, each.candidate) for each in changes]


def seen(change: TextChange) -> tuple[str, str | None, str | None]:
    """From the other side."""
    kind = {"added": "removed", "removed": "added"}.get(change.kind, change.kind)
    return kind, change.candidate, change.reference
