"""Pairs with a known answer: distortions by strength, and hard pairs that a person would call same or different.
Draws everything itself, but for the photographs that scikit-image packages."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from serve_app.core.pictures import Pixels

TUNED = ("astronaut", "chelsea", "coffee", "rocket")  # what the rules and weights were tuned on
HELD_OUT = (
    *("brick", "camera", "cell", "clock_motion", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon"),
    *("motorcycle_left", "retina"),
)  # photographs that were only ever looked at for a final check


@functools.cache
def packaged() -> dict[str, Pixels]:
    """Every picture of one frame that scikit-image's wheel carries, by its name, RGB."""
    out = {}
    for path in sorted(Path(data.__file__).parent.iterdir()):
        if path.suffix in {".png", ".jpg"}:
            with Image.open(path) as image:
                out[path.stem] = np.ascontiguousarray(image.convert("RGB"))
    return out


def photographs() -> dict[str, Pixels]:
    return {name: packaged()[name] for name in TUNED}


def screenshot(*, offset: float = 0, price: str = "1,284.50", dark: bool = False, smooth: bool = False) -> Pixels:
    """A 640x400 page with a button, rows of text, a rule and a price. `offset`: sub-pixels that text lies further."""
    factor = 8 if offset or smooth else 1
    ground, ink = ((24, 26, 30), (225, 225, 230)) if dark else ((250, 250, 250), (20, 20, 20))
    image = Image.new("RGB", (640 * factor, 400 * factor), ground)
    pen = ImageDraw.Draw(image)
    right = round(offset * factor)

    def put(x: int, y: int, text: str, size: int, colour: tuple[int, int, int]) -> None:
        font = ImageFont.load_default(size=size * factor)
        pen.text((x * factor + right, y * factor), text, font=font, fill=colour)

    pen.rectangle((20 * factor, 20 * factor, 300 * factor, 80 * factor), fill=(30, 90, 200))
    put(40, 35, "Submit order", 20, (255, 255, 255))
    for row in range(8):
        put(20, 110 + 24 * row, f"Row {row}: the quick brown fox jumps over the lazy dog", 14, ink)
    pen.rectangle((20 * factor, 320 * factor, 600 * factor, 321 * factor - 1), fill=(160, 160, 160))
    put(20, 330, f"Total {price} EUR", 16, ink)
    return np.asarray(image if factor == 1 else image.resize((640, 400), Image.Resampling.BOX))


def lettering(
    size: int,
    *,
    thirds: bool = False,
    weight: float = 1,
    ink: tuple[int, int, int] = (20, 20, 20),
    ground: tuple[int, int, int] = (255, 255, 255),
) -> Pixels:
    """Ten lines of text, 600x300; `thirds`: as LCDs show it, each channel from its own third of a pixel, smoothed by
    the weights 1, 2, 3, 2, 1; `weight`: the gamma by which what is covered partly is drawn."""
    image = Image.new("L", (600 * 6, 300 * 6))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=size * 6)
    for line in range(10):
        pen.text((20 * 6, (15 + 27 * line) * 6), f"Line {line}: judge my vow, {37 * line} sphinx", font=font, fill=255)
    if thirds:
        parts = cv2.resize(np.asarray(image), (1800, 300), interpolation=cv2.INTER_AREA) / 255
        shares = cv2.filter2D(parts, -1, np.array([[1, 2, 3, 2, 1]]) / 9).reshape(300, 600, 3)
    else:
        shares = (cv2.resize(np.asarray(image), (600, 300), interpolation=cv2.INTER_AREA) / 255)[..., None]
    shares = shares ** (1 / weight)
    return clipped(np.array(ground) * (1 - shares) + np.array(ink) * shares)


def encoded(picture: Pixels, quality: int) -> Pixels:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def clipped(values: NDArray[Any]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def blurred(picture: Pixels, deviation: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation), np.uint8)


def dithered(picture: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(picture).convert("P", palette=Image.Palette.WEB).convert("RGB"))


def turned_hue(picture: Pixels, degrees: float) -> Pixels:
    """Every hue turned in CIE Lab at the same lightness; chroma gives way where sRGB ends."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    tones = lab[..., 1:] @ turn.T
    share = np.ones(picture.shape[:2], np.float32)
    for _ in range(24):
        turned = np.dstack([lab[..., 0], tones * share[..., None]])
        back = cv2.cvtColor(cv2.cvtColor(turned, cv2.COLOR_Lab2RGB).clip(0, 1), cv2.COLOR_RGB2Lab)
        off = np.abs(back - turned).max(axis=2) > 0.5
        if not off.any():
            break
        share[off] *= 0.9
    turned = np.dstack([lab[..., 0], tones * share[..., None]])
    return clipped(cv2.cvtColor(turned, cv2.COLOR_Lab2RGB) * 255)


def grained(picture: Pixels, levels: float, size: float = 3) -> Pixels:
    """A rough surface: grey grain of `size` pixels, `levels` deep, of mean 0 in every neighbourhood."""
    noise = np.random.default_rng(4).normal(0, 1, picture.shape[:2])
    near, far = (cv2.GaussianBlur(noise, (0, 0), size * factor) for factor in (0.5, 1.5))
    grain = near - far
    return clipped(picture + (levels * grain / grain.std())[..., None])


def replaced(picture: Pixels, share: float) -> Pixels:
    """Another picture's content in the middle, on `share` of the area."""
    out = picture.copy()
    height, width = picture.shape[:2]
    down, across = max(1, int(height * share**0.5)), max(1, int(width * share**0.5))
    y, x = (height - down) // 2, (width - across) // 2
    other = cv2.resize(data.chelsea(), (width, height))
    out[y : y + down, x : x + across] = other[::-1][y : y + down, x : x + across]
    return out


def cropped(picture: Pixels, keep: float) -> Pixels:
    height, width = picture.shape[:2]
    y, x = int(height * (1 - keep) / 2), int(width * (1 - keep) / 2)
    return np.ascontiguousarray(picture[y : height - y, x : width - x])


def turned(picture: Pixels, degrees: float) -> Pixels:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)


def scrambled(picture: Pixels, blocks: int) -> Pixels:
    """`blocks` pairs of tiles exchanged: another layout of the same content."""
    out = picture.copy()
    down, across = picture.shape[0] // 6, picture.shape[1] // 6
    places = [(y * down, x * across) for y in range(6) for x in range(6)]
    order = np.random.default_rng(5).permutation(len(places))
    for one, two in zip(order[:blocks], order[::-1][:blocks], strict=True):
        (y, x), (v, u) = places[one], places[two]
        out[y : y + down, x : x + across] = picture[v : v + down, u : u + across]
        out[v : v + down, u : u + across] = picture[y : y + down, x : x + across]
    return out


def distortions(picture: Pixels) -> Iterator[tuple[str, float, Pixels]]:
    """Name, strength and distorted picture; each name with growing strength."""
    values = picture.astype(np.float64)
    random = np.random.default_rng(0).normal(0, 1, picture.shape)
    yield from (("jpeg", 100 - q, encoded(picture, q)) for q in (95, 75, 40))
    yield from (("shift", s, np.roll(picture, (s, s), (0, 1))) for s in (1, 5, 20))
    yield from (("brightness", s, clipped(values * (1 + s))) for s in (0.05, 0.15, 0.4))
    yield from (("contrast", s, clipped((values - values.mean()) * (1 - s) + values.mean())) for s in (0.1, 0.25, 0.5))
    yield from (("blur", s, np.asarray(cv2.GaussianBlur(picture, (0, 0), s), np.uint8)) for s in (0.8, 1.5, 4))
    yield from (("noise", s, clipped(values + s * random)) for s in (3, 12, 30))
    yield from (("hue", s, turned_hue(picture, s)) for s in (10, 30, 90))
    yield from (("grain", s, grained(picture, s)) for s in (4, 10, 20))
    yield from (("layout", s, scrambled(picture, s)) for s in (1, 3, 8))
    yield from (("local", s, replaced(picture, s)) for s in (0.01, 0.05, 0.2))
    yield from (("crop", round(1 - s, 2), cropped(picture, s)) for s in (0.95, 0.8, 0.6))
    yield from (("turn", s, turned(picture, s)) for s in (1, 3, 6))


def hard_pairs() -> Iterator[tuple[str, Pixels, Pixels, bool]]:
    """Name, the two pictures, and whether a person would call them different."""
    photo, page = photographs()["coffee"], screenshot()
    smooth = screenshot(smooth=True)
    yield from ((f"text moved {s} px", smooth, screenshot(offset=s), False) for s in (0.125, 0.25, 0.375, 0.5))
    for name, picture in photographs().items():
        yield from ((f"{name}, JPEG {q}", picture, encoded(picture, q), False) for q in (95, 85, 75, 60))
        yield f"{name}, dithered to 216 colours", picture, dithered(picture), False
        yield f"{name}, 8 levels darker", np.maximum(picture, 8), np.maximum(picture, 8) - np.uint8(8), True
        yield f"{name}, noise of 2 levels", picture, _noisy(picture, 2), False
    for quality in (95, 90, 85, 80, 75):
        yield f"page, JPEG {quality}", page, encoded(page, quality), False
        yield f"page, JPEG {quality} of a JPEG 88", encoded(page, 88), encoded(encoded(page, 88), quality), False
        changed = screenshot(price="1,294.50")
        yield f"one digit of a price, JPEG {quality}", page, encoded(changed, quality), True
        dark = screenshot(dark=True)
        yield f"dark page, JPEG {quality}", dark, encoded(dark, quality), False
    # As strong as the dither to 216 colours above: whoever calls one the same must call the other so.
    yield "coffee, noise of 12 levels", photo, _noisy(photo, 12), False
    yield "page, noise of 12 levels", page, _noisy(page, 12), False
    yield "gradient, dithered", *_gradients(), False
    for size in (11, 14, 28):
        grey = lettering(size)
        yield f"letters of {size} px, grey and by thirds of a pixel", grey, lettering(size, thirds=True), False
        yield f"letters of {size} px, black and dark red", grey, lettering(size, ink=(90, 20, 20)), True
        faded = lettering(size, ink=(60, 60, 60))
        yield f"letters of {size} px, black and dark grey", grey, faded, True
        yield f"letters of {size} px, black and dark grey, JPEG 85", encoded(grey, 85), encoded(faded, 85), True
        yield f"letters of {size} px, a little bolder", grey, lettering(size, weight=1.2), False
        yield f"letters of {size} px, a little thinner", grey, lettering(size, weight=0.85), False
        night = [lettering(size, thirds=each, ink=(230, 230, 230), ground=(20, 22, 26)) for each in (False, True)]
        yield f"light letters of {size} px by thirds", night[0], night[1], False
    red = lettering(14, thirds=True, ink=(90, 20, 20))
    yield "letters by thirds of a pixel, black and dark red", lettering(14, thirds=True), red, True
    yield "a red rim beside a line", *_rims(), True
    yield "disc, drawn with and without anti-aliasing", *_discs(), False
    yield "line at 17 degrees, with and without anti-aliasing", *_lines(), False
    yield "one digit of a price", page, screenshot(price="1,294.50"), True
    yield "a comma for a dot", page, screenshot(price="1.284.50"), True
    yield "dark mode", page, screenshot(dark=True), True
    yield from _edits(page, photo)


def _noisy(picture: Pixels, levels: float) -> Pixels:
    return clipped(picture + np.random.default_rng(2).normal(0, levels, picture.shape))


def _gradients() -> tuple[Pixels, Pixels]:
    ramp = np.repeat(np.linspace(30.4, 90.6, 500)[None, :, None], 300, axis=0).repeat(3, axis=2)
    random = np.random.default_rng(1).uniform(-0.5, 0.5, ramp.shape[:2])[..., None]
    return clipped(ramp), clipped(ramp + 4 * random)


def _discs() -> tuple[Pixels, Pixels]:
    """One disc, once by coverage in 64 steps and once by whether a pixel's coverage is over a half."""
    y, x = np.mgrid[0:2400, 0:2400] / 8
    inside = ((x - 150.3) ** 2 + (y - 149.6) ** 2 < 100**2).reshape(300, 8, 300, 8).mean(axis=(1, 3))[..., None]
    ground, ink = np.array((255.0, 255, 255)), np.array((40.0, 40, 160))
    return clipped(ground + (inside > 0.5) * (ink - ground)), clipped(ground + inside * (ink - ground))


def _rims() -> tuple[Pixels, Pixels]:
    """A black line, and the same with a reddish pixel all along its right: more colour than a fringe leaves."""
    first = np.full((200, 200, 3), 255, np.uint8)
    first[20:180, 100] = 0
    second = first.copy()
    second[20:180, 101] = (255, 225, 225)
    return first, second


def _lines() -> tuple[Pixels, Pixels]:
    pictures = []
    for kind in (cv2.LINE_8, cv2.LINE_AA):
        picture = np.full((300, 300, 3), 255, np.uint8)
        cv2.line(picture, (20, 60), (280, 140), (0, 0, 0), 3, kind)
        pictures.append(picture)
    return pictures[0], pictures[1]


def _edits(page: Pixels, photo: Pixels) -> Iterator[tuple[str, Pixels, Pixels, bool]]:
    def edit(picture: Pixels, rows: slice, columns: slice, colour: tuple[int, int, int]) -> Pixels:
        out = picture.copy()
        out[rows, columns] = colour
        return out

    one = slice(200, 201)
    yield "one black pixel on flat ground", page, edit(page, one, slice(610, 611), (0, 0, 0)), True
    yield "one grey pixel on flat ground", page, edit(page, one, slice(610, 611), (210, 210, 210)), True
    yield "a thin grey line", page, edit(page, slice(380, 381), slice(20, 600), (235, 235, 235)), True
    yield "a thin faint line, 5 levels", page, edit(page, slice(380, 381), slice(20, 600), (245, 245, 245)), True
    yield "another hue of equal luma", *_hues(), True
    tinted = page.copy()
    tinted[100:300] = np.maximum(tinted[100:300], 4) - 4
    yield "a tint of 4 levels on half of a page", page, tinted, True
    spot = photo.copy()
    spot[150:210, 150:260] = np.minimum(spot[150:210, 150:260], 245) + 10
    yield "a tint of 10 levels on a part of a photograph", photo, spot, True
    yield "a scratch on a photograph", photo, edit(photo, slice(250, 252), slice(100, 400), (20, 20, 20)), True
    yield "a re-encoded photograph with a patch", photo, encoded(replaced(photo, 0.01), 80), True
    yield "a rule moved by 2 pixels", page, _rule_moved(page), True


def _hues() -> tuple[Pixels, Pixels]:
    first = np.full((200, 200, 3), (200, 100, 100), np.uint8)
    second = first.copy()
    second[50:150, 50:150] = (100, 151, 100)  # luma 129.9 and 130.0
    return first, second


def _rule_moved(page: Pixels) -> Pixels:
    out = page.copy()
    out[320:323] = out[318]
    out[322, 20:601] = (160, 160, 160)
    return out
