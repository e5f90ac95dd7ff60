"""Draws pairs of images that a person would compare, each with the true box of its one change.
Needs Pillow only, downloads nothing, and draws the same pixels on every run.

    python examples/draw_pairs.py [FOLDER]        (examples/pairs by default)

writes label_a.png/label_b.png (a price), dashboard_a.png/dashboard_b.png (a card that moved),
scene_a.jpg/scene_b.jpg (a boat that is gone) and truth.json: for each pair `kind` and the boxes
[x, y, width, height] in both images.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Box = tuple[int, int, int, int]
INK = "#1d2430"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures and what differs; a box is None where the thing is absent."""

    name: str
    suffix: str
    kind: str
    reference: Image.Image
    candidate: Image.Image
    reference_box: Box | None
    candidate_box: Box | None


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own scalable font: the same on every machine."""
    return ImageFont.load_default(size)


def changed_box(a: Image.Image, b: Image.Image) -> Box:
    """The smallest box [x, y, width, height] around all pixels that differ."""
    left, top, right, bottom = ImageChops.difference(a, b).getbbox() or (0, 0, 0, 0)
    return left, top, right - left, bottom - top


# A product label: one digit of the price.


def label(price: str) -> Image.Image:
    image = Image.new("RGB", (900, 1200), "#e9e2d3")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((50, 50, 850, 1150), 36, fill="#fffdf7", outline="#c9bda3", width=3)
    draw.rounded_rectangle((50, 50, 850, 380), 36, fill="#24483e", corners=(True, True, False, False))
    draw.text((450, 150), "ALPENHOF", font=font(92), fill="#f6ecd2", anchor="mm")
    draw.text((450, 245), "mountain dairy since 1911", font=font(34), fill="#c7d6c4", anchor="mm")
    for index, height in enumerate((52, 84, 62, 96, 48)):
        x = 190 + index * 110
        draw.polygon([(x, 380), (x + 75, 380 - height), (x + 150, 380)], fill="#2f5d4f")
    draw.text((450, 470), "Aged Cheese", font=font(76), fill=INK, anchor="mm")
    draw.text((450, 545), "matured 18 months, 45 % fat in dry matter", font=font(30), fill="#6b6454", anchor="mm")
    _nutrition(draw)
    _barcode(draw)
    draw.rounded_rectangle((500, 900, 810, 1100), 24, fill="#b3261e")
    draw.text((655, 945), "250 g", font=font(34), fill="#ffdad4", anchor="mm")
    draw.text((655, 1030), price, font=font(88), fill="white", anchor="mm")
    return image


def _nutrition(draw: ImageDraw.ImageDraw) -> None:
    rows = (("Energy", "1 645 kJ"), ("Fat", "32.6 g"), ("Protein", "26.1 g"), ("Salt", "1.5 g"))
    for index, (name, amount) in enumerate(rows):
        y = 630 + index * 56
        draw.text((130, y), name, font=font(32), fill=INK, anchor="lm")
        draw.text((770, y), amount, font=font(32), fill=INK, anchor="rm")
        draw.line((130, y + 28, 770, y + 28), fill="#ddd3bd", width=2)


def _barcode(draw: ImageDraw.ImageDraw) -> None:
    dice = random.Random(7)
    x = 100
    while x < 420:
        width = dice.choice((3, 3, 5, 8))
        draw.rectangle((x, 900, x + width - 1, 1050), fill=INK)
        x += width + dice.choice((3, 5, 7))
    draw.text((262, 1080), "7 612345 678900", font=font(30), fill=INK, anchor="mm")


def label_pair() -> Pair:
    reference, candidate = label("12.99"), label("14.99")
    box = changed_box(reference, candidate)
    return Pair("label", "png", "changed", reference, candidate, box, box)


# A dashboard: one card stands lower.

CARD = (330, 170)


def dashboard(card_at: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", (1440, 900), "#f3f5f9")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 219, 900), fill="#182033")
    draw.text((36, 48), "Harbour", font=font(34), fill="white", anchor="lm")
    for index, entry in enumerate(("Overview", "Shipments", "Fleet", "Invoices", "Settings")):
        y = 130 + index * 58
        if index == 0:
            draw.rounded_rectangle((18, y - 24, 202, y + 24), 10, fill="#2f6fed")
        draw.text((40, y), entry, font=font(24), fill="white" if index == 0 else "#9fabc4", anchor="lm")
    draw.text((260, 52), "Overview", font=font(40), fill=INK, anchor="lm")
    draw.text((1400, 52), "Week 47", font=font(24), fill="#66718a", anchor="rm")
    _card(draw, (260, 110), "Revenue", "84 210", "#1f9d61", "+4.1 %")
    _card(draw, (630, 110), "Shipments", "1 342", "#1f9d61", "+1.7 %")
    _chart(draw, (260, 320, 960, 860))
    _list(draw, (1000, 480, 1400, 860))
    _card(draw, card_at, "Delayed", "27", "#c2410c", "+9")
    return image


def _panel(draw: ImageDraw.ImageDraw, box: Box) -> None:
    draw.rounded_rectangle(box, 16, fill="white", outline="#dfe4ee", width=2)


def _card(draw: ImageDraw.ImageDraw, at: tuple[int, int], title: str, value: str, colour: str, trend: str) -> None:
    x, y = at
    _panel(draw, (x, y, x + CARD[0], y + CARD[1]))
    draw.text((x + 26, y + 38), title, font=font(24), fill="#66718a", anchor="lm")
    draw.text((x + 26, y + 106), value, font=font(58), fill=INK, anchor="lm")
    draw.text((x + CARD[0] - 26, y + 110), trend, font=font(26), fill=colour, anchor="rm")


def _chart(draw: ImageDraw.ImageDraw, box: Box) -> None:
    left, top, right, bottom = box
    _panel(draw, box)
    draw.text((left + 26, top + 38), "Arrivals per day", font=font(24), fill="#66718a", anchor="lm")
    for line in range(5):
        y = bottom - 60 - line * 95
        draw.line((left + 26, y, right - 26, y), fill="#eef1f6", width=2)
    for day, (name, share) in enumerate(zip("MTWTFSS", (0.55, 0.72, 0.61, 0.88, 0.97, 0.42, 0.3), strict=True)):
        x = left + 50 + day * 90
        draw.rounded_rectangle((x, bottom - 60 - int(share * 380), x + 54, bottom - 60), 8, fill="#2f6fed")
        draw.text((x + 27, bottom - 34), name, font=font(22), fill="#66718a", anchor="mm")


def _list(draw: ImageDraw.ImageDraw, box: Box) -> None:
    left, top, right, _ = box
    _panel(draw, box)
    draw.text((left + 26, top + 38), "Latest", font=font(24), fill="#66718a", anchor="lm")
    rows = (("Rotterdam", "08:14"), ("Gdynia", "09:02"), ("Bergen", "09:47"), ("Porto", "10:30"), ("Malmo", "11:05"))
    for index, (port, time) in enumerate(rows):
        y = top + 96 + index * 54
        draw.ellipse((left + 26, y - 7, left + 40, y + 7), fill="#1f9d61" if index % 2 else "#2f6fed")
        draw.text((left + 58, y), port, font=font(24), fill=INK, anchor="lm")
        draw.text((right - 26, y), time, font=font(24), fill="#66718a", anchor="rm")


def dashboard_pair() -> Pair:
    before, after = (1000, 110), (1000, 290)
    size = (CARD[0] + 1, CARD[1] + 1)
    return Pair("dashboard", "png", "moved", dashboard(before), dashboard(after), (*before, *size), (*after, *size))


# A lake at dusk, grainy as a photograph: the boat is gone.


def scene(*, boat: bool) -> Image.Image:
    image = _sky_and_lake()
    _hills(image)
    _reflection_of_sun(image)
    if boat:
        _boat(image)
    _shore(image)
    return _photographed(image)


def _sky_and_lake() -> Image.Image:
    sky = _gradient((1280, 470), ["#27406b", "#7f7aa8", "#f0a987", "#fbd9a6"])
    lake = _gradient((1280, 490), ["#e8b892", "#8a86a8", "#3b4f74", "#1d2c48"])
    image = Image.new("RGB", (1280, 960))
    image.paste(sky, (0, 0))
    image.paste(lake, (0, 470))
    glow = Image.new("L", image.size)
    ImageDraw.Draw(glow).ellipse((270, 290, 530, 550), fill=255)
    image.paste("#fff0c9", mask=glow.filter(ImageFilter.GaussianBlur(60)))
    ImageDraw.Draw(image).ellipse((355, 375, 445, 465), fill="#fff6dc")
    return image


def _gradient(size: tuple[int, int], colours: list[str]) -> Image.Image:
    strip = Image.new("RGB", (1, len(colours)))
    strip.putdata([_rgb(colour) for colour in colours])
    return strip.resize(size, Image.Resampling.BICUBIC)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[index : index + 2], 16) for index in (1, 3, 5))


def _hills(image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    for colour, base, height, wave in (("#6f6c93", 400, 46, 190), ("#48507a", 425, 34, 120), ("#2a3557", 446, 24, 77)):
        ridge = [(x, base - height * math.sin(x / wave + base) - 9 * math.sin(x / 23)) for x in range(0, 1285, 5)]
        draw.polygon([(0, 472), *ridge, (1285, 472)], fill=colour)


def _reflection_of_sun(image: Image.Image) -> None:
    dice = random.Random(3)
    light = Image.new("L", image.size)
    draw = ImageDraw.Draw(light)
    for _ in range(900):
        y = 474 + int(480 * dice.random() ** 1.6)
        x = dice.gauss(400, 12 + (y - 470) * 0.22)
        length = 6 + (y - 470) * 0.09
        draw.line((x - length, y, x + length, y), fill=dice.randrange(40, 170), width=1 + (y - 470) // 180)
    image.paste("#ffe7b8", mask=light.filter(ImageFilter.GaussianBlur(1.2)))


def _boat(image: Image.Image) -> None:
    mirrored = Image.new("L", image.size)
    ImageDraw.Draw(mirrored).polygon([(800, 700), (1000, 700), (965, 748), (835, 748)], fill=120)
    image.paste("#16203a", mask=mirrored.filter(ImageFilter.GaussianBlur(3)))
    draw = ImageDraw.Draw(image)
    draw.polygon([(792, 668), (1006, 668), (970, 704), (828, 704)], fill="#7a2b22")
    draw.line((792, 668, 1006, 668), fill="#e9c9a0", width=5)
    draw.line((896, 668, 896, 562), fill="#3a2a20", width=6)
    draw.polygon([(904, 566), (904, 656), (982, 656)], fill="#f4ead6")
    draw.polygon([(888, 580), (888, 656), (832, 656)], fill="#dccdb4")


def _shore(image: Image.Image) -> None:
    dice = random.Random(5)
    draw = ImageDraw.Draw(image)
    bank = [(x, 915 - 26 * math.sin(x / 170) - 60 * max(0.0, 1 - x / 420)) for x in range(0, 1290, 10)]
    draw.polygon([(0, 960), *bank, (1290, 960)], fill="#141a26")
    for _ in range(170):
        x, height = dice.randrange(0, 420), dice.randrange(50, 190)
        lean = dice.randrange(-26, 26)
        draw.line((x, 940, x + lean // 3, 940 - height // 2, x + lean, 940 - height), fill="#10151f", width=3)


def _photographed(image: Image.Image) -> Image.Image:
    """Slightly soft, with grain that is the same in both pictures."""
    dice = random.Random(11)
    grain = Image.frombytes("L", image.size, dice.randbytes(image.width * image.height))
    grain = grain.filter(ImageFilter.GaussianBlur(0.8)).point([int(128 + (value - 128) * 0.16) for value in range(256)])
    return ImageChops.overlay(image.filter(ImageFilter.GaussianBlur(0.7)), Image.merge("RGB", (grain, grain, grain)))


def scene_pair() -> Pair:
    reference, candidate = scene(boat=True), scene(boat=False)
    return Pair("scene", "jpg", "removed", reference, candidate, changed_box(reference, candidate), None)


PAIRS: tuple[Callable[[], Pair], ...] = (label_pair, dashboard_pair, scene_pair)


def draw_all(folder: Path) -> Iterator[str]:
    """Write every pair and truth.json; yields the names of pairs as they are done."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for draw in PAIRS:
        pair = draw()
        files = [f"{pair.name}_{side}.{pair.suffix}" for side in "ab"]
        for file, image in zip(files, (pair.reference, pair.candidate), strict=True):
            image.save(folder / file, **({"quality": 92} if pair.suffix == "jpg" else {}))
        truth[pair.name] = {
            "reference": files[0],
            "candidate": files[1],
            "kind": pair.kind,
            "reference_box": pair.reference_box,
            "candidate_box": pair.candidate_box,
        }
        yield pair.name
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pairs"
    print(f"{', '.join(draw_all(target))} drawn in {target}")
