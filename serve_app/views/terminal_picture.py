"""A pair with the boxes of its differences, side by side, for a terminal: as a picture, or in half blocks.
Knows no server and reads no environment: a finished report and what the terminal is are handed in."""

from __future__ import annotations

import base64
import io
import math
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from serve_app.schema import BoxField, ComparisonReport, ImageComparisonConfig, ImageReport, VisualKind
from serve_app.views.terminal import MOST_DIFFERENCES
from serve_app.views.terminal_graphics import Place, sent

Way = Literal["kitty", "iterm2", "sixel", "blocks"]

VISUALS: Final[tuple[VisualKind, ...]] = ("reference", "candidate")
# As the other pictures of a measurement have them.
COLOURS: Final = {"changed": (230, 0, 70), "added": (0, 130, 60), "removed": (200, 80, 0), "moved": (20, 90, 235)}
GAP_PX: Final = 8
# Both together: more than a terminal shows sharply, and a bound for one that says it is larger.
MOST_PIXELS: Final = 2_000_000
_HALF: Final = "\N{UPPER HALF BLOCK}"
_FONT_PX: Final = 14
_LEGEND: Final = "reference, candidate; numbers as below"


def wanted(config: ImageComparisonConfig) -> ImageComparisonConfig:
    """The config that a report to be shown so is asked for with."""
    return config.model_copy(update={"visuals": tuple(dict.fromkeys((*config.visuals, *VISUALS)))})


def show(report: ComparisonReport, console: Console, way: Way, place: Place) -> None:
    """Nothing where `report` has no pictures: it was not asked for as `wanted` says."""
    if way == "blocks":
        # Two pixels a character, one above the other.
        drawn = pair(report, (place.columns, place.rows * 2), gap=2)
        if drawn is not None:
            console.print(_blocks(drawn), soft_wrap=True)
    else:
        drawn = pair(report, place.size_px, gap=GAP_PX)
        if drawn is not None:
            _write(console, sent(drawn, way, place))
    if drawn is not None:
        console.print(Text(_LEGEND, style="dim"))


def pair(report: ComparisonReport, most: tuple[int, int], *, gap: int) -> Image.Image | None:
    """Both pictures at one scale with their boxes, at most `most` pixels wide and high, never enlarged."""
    told = {each.kind: each.image for each in report.visuals}
    if not set(VISUALS) <= told.keys():
        return None
    sides = (report.images.reference, report.images.candidate)
    share = _share(sides, (max(2, most[0] - gap), most[1]))
    panels = [
        _panel(told[kind], side, share, [_box(report, at, kind) for at in range(_num_shown(report))], report)
        for kind, side in zip(VISUALS, sides, strict=True)
    ]
    whole = Image.new("RGB", (panels[0].width + gap + panels[1].width, max(panel.height for panel in panels)), "white")
    whole.paste(panels[0], (0, 0))
    whole.paste(panels[1], (panels[0].width + gap, 0))
    return whole


def _share(sides: tuple[ImageReport, ImageReport], most: tuple[int, int]) -> float:
    width, height = sides[0].width + sides[1].width, max(side.height for side in sides)
    return min(1.0, most[0] / width, most[1] / height, math.sqrt(MOST_PIXELS / (width * height)))


def _num_shown(report: ComparisonReport) -> int:
    return min(len(report.differences), MOST_DIFFERENCES)


def _box(report: ComparisonReport, at: int, kind: VisualKind) -> BoxField | None:
    found = report.differences[at]
    return found.reference_box if kind == "reference" else found.candidate_box


def _panel(
    url: str, side: ImageReport, share: float, boxes: list[BoxField | None], report: ComparisonReport
) -> Image.Image:
    size = (max(1, int(side.width * share)), max(1, int(side.height * share)))
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])), formats=("PNG", "JPEG")) as opened:
        panel = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    draw = ImageDraw.Draw(panel)
    is_fine = min(size) >= 100  # else a number would hide what it stands at
    for number, box in enumerate(boxes):
        if box is not None:
            colour = COLOURS[report.differences[number].kind]
            _mark(draw, _scaled(box, share, size), number + 1, colour, is_fine=is_fine)
    return panel


def _scaled(box: BoxField, share: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Corners within the panel, at least a pixel apart."""
    left, top, width, height = box
    x, y = min(size[0] - 1, int(left * share)), min(size[1] - 1, int(top * share))
    right, lower = int((left + width) * share), int((top + height) * share)
    return x, y, min(size[0] - 1, max(right, x)), min(size[1] - 1, max(lower, y))


def _mark(
    draw: ImageDraw.ImageDraw,
    corners: tuple[int, int, int, int],
    number: int,
    colour: tuple[int, int, int],
    *,
    is_fine: bool,
) -> None:
    left, top, right, lower = corners
    if not is_fine:
        draw.rectangle(corners, outline=colour)
        return
    draw.rectangle((left - 3, top - 3, right + 3, lower + 3), outline="white")  # on a ground of its own colour too
    draw.rectangle((left - 2, top - 2, right + 2, lower + 2), outline=colour, width=2)
    font = ImageFont.load_default(_FONT_PX)
    wide = int(draw.textlength(str(number), font=font)) + 6
    y = top - 3 - _FONT_PX if top > _FONT_PX + 4 else lower + 3
    x = max(0, left - 2)
    draw.rectangle((x, y, x + wide, y + _FONT_PX + 1), fill=colour)
    draw.text((x + 3, y - 1), str(number), fill="white", font=font)


def _blocks(image: Image.Image) -> Text:
    """The upper pixel as the colour of a half block, the lower one as that of its ground."""
    text = Text(no_wrap=True)
    pixels = image.tobytes()

    def colour(x: int, y: int) -> Color | None:
        at = (y * image.width + x) * 3
        return Color.from_rgb(*pixels[at : at + 3]) if y < image.height else None

    for y in range(0, image.height, 2):
        for x in range(image.width):
            text.append(_HALF, Style(color=colour(x, y), bgcolor=colour(x, y + 1)))
        text.append("\n")
    text.right_crop()
    return text


def _write(console: Console, told: str) -> None:
    """Past rich, which counts what it prints as text."""
    console.file.write(told)
    console.file.flush()
