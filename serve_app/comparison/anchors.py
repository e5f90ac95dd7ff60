"""What a model is shown at its start: two drawn pictures that have nothing in common, the ends between which its scores
lie, and a mark at a known place.
No model, no questions: pictures come out."""

from __future__ import annotations

from functools import cache

from PIL import Image, ImageDraw

from serve_app.core.assessed import PictureBox
from serve_app.core.pictures import ShownImage

SIDE = 336  # a whole number of patches of 14, 16 and 28 pixels: small, and large enough to be seen
MARKED_SIZE = 672, 448  # as whole, not square, and not near 1000: a place has other numbers in each convention
# Two squares: no two conventions have numbers for one of them that mean a place near it in another.
MARKS = PictureBox(100, 600, 300, 900), PictureBox(600, 150, 800, 450)
RED = 220, 30, 30


@cache
def page() -> ShownImage:
    """A bright page: a bar, a round mark, lines of text."""
    image = Image.new("RGB", (SIDE, SIDE), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIDE, 48), fill=(20, 60, 140))
    draw.ellipse((24, 76, 104, 156), fill=(220, 120, 30))
    for line, width in enumerate((180, 150, 170, 90)):
        draw.rectangle((130, 84 + 20 * line, 130 + width, 92 + 20 * line), fill=(60, 60, 60))
    for line in range(6):
        draw.rectangle((24, 190 + 22 * line, 312 - 20 * (line % 3), 198 + 22 * line), fill=(120, 120, 120))
    return _shown(image)


@cache
def landscape() -> ShownImage:
    """A dark landscape: a night sky, mountains, a moon on water."""
    image = Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for y in range(SIDE):
        draw.line((0, y, SIDE, y), fill=(10 + y // 12, 8 + y // 10, 40 + y // 6))
    draw.polygon(
        [(0, 230), (70, 120), (130, 200), (210, 80), (300, 210), (SIDE, 160), (SIDE, 260), (0, 260)], (16, 34, 28)
    )
    draw.rectangle((0, 260, SIDE, SIDE), fill=(8, 40, 66))
    draw.ellipse((236, 26, 284, 74), fill=(238, 236, 200))
    for y in range(268, SIDE, 10):
        draw.line((250 - y % 30, y, 276 + y % 20, y), fill=(160, 170, 150), width=2)
    return _shown(image)


@cache
def marked(place: PictureBox) -> ShownImage:
    """A bright page with a few dark lines and one red square."""
    width, height = MARKED_SIZE
    image = Image.new("RGB", MARKED_SIZE, (246, 246, 240))
    draw = ImageDraw.Draw(image)
    for line in range(6):
        draw.rectangle((40, 30 + 70 * line, width - 60 - 90 * (line % 3), 40 + 70 * line), fill=(110, 110, 115))
    left, right = place.left * width // 1000, place.right * width // 1000
    draw.rectangle((left, place.top * height // 1000, right - 1, place.bottom * height // 1000 - 1), fill=RED)
    return _shown(image)


def _shown(image: Image.Image) -> ShownImage:
    return ShownImage(image.width, image.height, "rgb", image.tobytes())
