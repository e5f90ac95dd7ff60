"""Labelled pairs on disk: cards whose truth is known, as a CSV and its files."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

COLOURS = ("red", "green", "blue", "orange", "purple", "black", "teal", "brown")
KINDS = ("copy", "lossy", "edit", "tint", "moved")
Row = tuple[str, str, str, str]


def card(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    """A white card with some coloured boxes on it."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = chance.randrange(size[0] * 3 // 4), chance.randrange(size[1] * 3 // 4)
        across, down = (chance.randrange(20, max(21, side // 4)) for side in size)
        draw.rectangle((x, y, x + across, y + down), fill=chance.choice(COLOURS))
    return image


def changed(image: Image.Image, kind: str, chance: random.Random) -> Image.Image:
    """`copy` and `lossy` leave what a person sees; each of the others is seen, some hardly."""
    if kind == "copy":
        return image
    if kind == "lossy":
        return image.filter(ImageFilter.GaussianBlur(0.3))
    if kind == "tint":
        darker = chance.choice((12, 25, 40))
        return image.point(lambda value: max(0, value - darker))
    if kind == "moved":
        moved = Image.new("RGB", image.size, "white")
        moved.paste(image, (chance.randrange(3, 9), 0))
        return moved
    edited = image.copy()
    side = chance.choice((4, 8, 20, 40))
    x, y = (chance.randrange(length - side) for length in image.size)
    ImageDraw.Draw(edited).rectangle((x, y, x + side, y + side), fill=chance.choice(COLOURS))
    return edited


def write(folder: Path, num_pairs: int, *, size: tuple[int, int] = (160, 120), wrong: float = 0.0) -> Path:
    """The CSV of that many pairs beside their files; a share `wrong` of the labels is not what a person would say."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("reference", "candidate", "label", "kind"))
        lines.writerows(_rows(folder, num_pairs, size, wrong))
    return path


def _rows(folder: Path, num_pairs: int, size: tuple[int, int], wrong: float) -> Iterator[Row]:
    chance = random.Random(16)
    for number in range(num_pairs):
        kind = KINDS[number % len(KINDS)]
        image = card(chance, size)
        other = changed(image, kind, chance)
        names = f"{number:04}.reference.png", f"{number:04}.candidate.png"
        image.save(folder / names[0], compress_level=1)
        other.save(folder / names[1], compress_level=1)
        same = (kind in ("copy", "lossy")) != (chance.random() < wrong)
        yield (*names, "match" if same else "mismatch", kind)
