"""Pictures of a measurement as PNG: overlay, heat map, side by side.
Decides nothing: draws what was measured."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from serve_app.core.measured import MeasuredDifference, Measurement, Visual
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement import visible
from serve_app.measurement.placing.placed import Placed
from serve_app.measurement.tiles import Grid
from serve_app.schema import VisualKind

# Pixels at most of a panel: larger pictures are shown smaller, marks keep their size. By area, because a long page
# brought to so many pixels of height would be too narrow to read.
MOST_PIXELS = 4_000_000
_COLOURS = {"changed": (230, 0, 70), "added": (0, 130, 60), "removed": (200, 80, 0), "moved": (20, 90, 235)}
_TINT = np.array((255, 0, 90), np.float32)
_PAGE = (242, 242, 244)


def draw(
    kind: VisualKind, placed: Placed | None, rasters: tuple[Raster, Raster], measured: Measurement, *, is_turned: bool
) -> Visual:
    """One picture of what was found, at most `MOST_PIXELS` a panel; or of one of the two as it is, as JPEG.

    overlay: the candidate, changed pixels tinted, every difference framed and numbered. heatmap: how far each
    pixel is off, on the faded reference. side_by_side: both pictures with the same numbers.
    `rasters`: reference and candidate. `placed`: both on one grid, None where they are identical; its first picture
    is the candidate where `is_turned`.
    """
    if kind in ("reference", "candidate"):
        return Visual(kind, _jpeg(rasters[kind == "candidate"]), "image/jpeg")
    if kind == "overlay":
        picture = _overlay(placed, 0 if is_turned else 1, rasters[1], measured)
    elif kind == "heatmap":
        picture = _heatmap(placed, 1 if is_turned else 0, rasters[0])
    else:
        picture = _side_by_side(*rasters, measured)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=3)
    return Visual(kind, out.getvalue())


def _jpeg(raster: Raster) -> bytes:
    out = io.BytesIO()
    Image.fromarray(_shown(raster)).save(out, "JPEG", quality=90, subsampling=0)
    return out.getvalue()


def _overlay(placed: Placed | None, own: int, candidate: Raster, measured: Measurement) -> Image.Image:
    shown = _shown(candidate)
    if placed is not None:
        change = _change(placed, own, candidate, shown)
        share = (np.where(change > 0, 0.55, 0) * _inside(shown, candidate, measured))[..., None]
        shown = (shown * (1 - share) + _TINT * share).astype(np.uint8)
    boxes = [each.candidate_box or each.reference_box for each in measured.differences]
    return _marked(shown, candidate, measured.differences, boxes)


def _inside(shown: Pixels, raster: Raster, measured: Measurement) -> NDArray[np.float32]:
    """1 inside the differences' boxes of the candidate, else 0: what was judged too small to see isn't drawn."""
    out = np.zeros(shown.shape[:2], np.float32)
    across, down = shown.shape[1] / raster.original_width, shown.shape[0] / raster.original_height
    for each in measured.differences:
        box = each.candidate_box
        if box is not None:
            rows = slice(math.floor(box.y * down), math.ceil(box.bottom * down))
            out[rows, math.floor(box.x * across) : math.ceil(box.right * across)] = 1
    return out


def _heatmap(placed: Placed | None, own: int, reference: Raster) -> Image.Image:
    shown = _shown(reference)
    grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).astype(np.float32)
    ground = np.repeat((grey * 0.3 + 166)[..., None], 3, axis=2)
    if placed is None:
        return Image.fromarray(ground.astype(np.uint8))
    level = cv2.dilate(_change(placed, own, reference, shown), np.ones((3, 3), np.uint8))
    heat = np.clip(level.astype(np.float32) / 96, 0, 1) ** 0.5
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = np.where(level > 0, 0.25 + 0.75 * heat, 0)[..., None]
    return Image.fromarray((ground * (1 - share) + colours * share).astype(np.uint8))


def _side_by_side(reference: Raster, candidate: Raster, measured: Measurement) -> Image.Image:
    panels = [
        _marked(_shown(reference), reference, measured.differences, [d.reference_box for d in measured.differences]),
        _marked(_shown(candidate), candidate, measured.differences, [d.candidate_box for d in measured.differences]),
    ]
    gap = max(8, max(panel.width for panel in panels) // 60)
    page = Image.new(
        "RGB", (panels[0].width + panels[1].width + 3 * gap, max(p.height for p in panels) + 2 * gap), _PAGE
    )
    page.paste(panels[0], (gap, gap))
    page.paste(panels[1], (panels[0].width + 2 * gap, gap))
    return page


def _shown(raster: Raster) -> Pixels:
    return _small(raster.pixels)


def _small(pixels: Pixels) -> Pixels:
    """(height, width) or (height, width, 3), at most `MOST_PIXELS` of it."""
    height, width = pixels.shape[:2]
    factor = max(1.0, math.sqrt(width * height / MOST_PIXELS))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    if size == (width, height):
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _change(placed: Placed, own: int, raster: Raster, shown: Pixels) -> Pixels:
    """How far visible changes are off, in levels, as a picture like `shown`: the raster that is number `own` of the
    placed pair, brought to at most `MOST_PIXELS`. Nothing is drawn where one picture is turned."""
    levels = _levels(placed.grid)
    down, across = levels.shape[0] / placed.grid.height, levels.shape[1] / placed.grid.width
    out = np.zeros(shown.shape[:2], np.uint8)
    for part in placed.parts:
        source = levels[_span(part.y, part.bottom, down), _span(part.x, part.right, across)]
        box = placed.places(part)[own]
        rows = _span(box.y, box.bottom, shown.shape[0] / raster.height)
        columns = _span(box.x, box.right, shown.shape[1] / raster.width)
        width, height = columns.stop - columns.start, rows.stop - rows.start
        laid = cv2.resize(source, (width, height), interpolation=cv2.INTER_NEAREST)
        out[rows, columns] = laid.reshape(height, width)
    return out


def _span(start: int, end: int, scale: float) -> slice:
    """At least one pixel, as `start` to `end` where nothing is scaled."""
    first = math.floor(start * scale)
    return slice(first, max(first + 1, math.ceil(end * scale - 1e-9)))


def _levels(whole: Grid) -> Pixels:
    """How far visible changes of the grid are off, each picture of it brought to at most `MOST_PIXELS`."""
    alphas = [None if alpha is None else _small(alpha) for alpha in (whole.first_alpha, whole.second_alpha)]
    grid = Grid(_small(whole.first), _small(whole.second), alphas[0], alphas[1], whole.jitter)
    levels = np.zeros((grid.height, grid.width), np.uint8)
    everything = Box(0, 0, grid.width, grid.height)
    for background in grid.backgrounds:
        found, off = visible.mask(*grid.window(everything, background), grid.jitter)
        np.maximum(levels, off * found.view(np.uint8), out=levels)
    return levels


def _marked(
    shown: Pixels, raster: Raster, differences: Sequence[MeasuredDifference], boxes: Sequence[Box | None]
) -> Image.Image:
    """Frames with a white rim (legible on dark and light) and a number at a corner."""
    image = Image.fromarray(shown)
    pen = ImageDraw.Draw(image)
    across, down = image.width / raster.original_width, image.height / raster.original_height
    line = max(1, round(min(image.width, image.height) / 400))
    font = ImageFont.load_default(size=max(11, 9 * line))
    for number, (difference, box) in reversed(list(enumerate(zip(differences, boxes, strict=True), 1))):
        if box is None:
            continue
        frame = _frame(box, across, down, image.size, 2 * line)
        pen.rectangle(frame, outline=(255, 255, 255), width=2 * line)
        pen.rectangle(frame, outline=_COLOURS[difference.kind], width=line)
        _label(pen, str(number), frame, _COLOURS[difference.kind], font, image.size)
    return image


def _frame(box: Box, across: float, down: float, size: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
    left, top = max(0, math.floor(box.x * across) - margin), max(0, math.floor(box.y * down) - margin)
    right = min(size[0] - 1, math.ceil(box.right * across) + margin - 1)
    bottom = min(size[1] - 1, math.ceil(box.bottom * down) + margin - 1)
    return left, top, max(left, right), max(top, bottom)


def _label(
    pen: ImageDraw.ImageDraw,
    text: str,
    frame: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    wide, high = round(right - left) + 6, round(bottom - top) + 6
    x = min(max(0, frame[0]), max(0, size[0] - wide))
    above = frame[1] - high
    y = above if above >= 0 else min(frame[3] + 1, max(0, size[1] - high))
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour, outline=(255, 255, 255))
    pen.text((x + 3 - left, y + 3 - top), text, fill=(255, 255, 255), font=font)
