"""Ignored regions follow their content: grey where one picture has them, where the other shows the same, and between.
Knows how a pair was placed; what may be ignored is a caller's choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from serve_app.core.pictures import MASK_GREY, Box, Pixels, Raster
from serve_app.measurement.placing import bands
from serve_app.measurement.placing.placed import Placed, within
from serve_app.measurement.tiles import Grid

LEANS = 3  # pixels beside a mask that lean on what it hides where a picture was shrunk or warped


def follow(placed: Placed, pair: tuple[Raster, Raster], own: int, regions: Sequence[Box]) -> Placed:
    """The pair with `regions` ignored, which are in original pixels of picture `own`. Paints the pair's own pixels."""
    raster, other = pair[own], pair[1 - own]
    mine = [box for box in (in_raster(region, raster) for region in regions) if box]
    theirs = []
    for box in mine:
        spot = placed.back(box, own)
        if spot is not None:
            spot = _widened(spot, placed, any(each.width < each.original_width for each in pair))
            _paint_grid(placed.grid, spot)
        there = _on_other(placed, box, spot, own, (pair[0].height, pair[1].height))
        theirs += [] if there is None else [there]
    _paint(raster, mine)
    _paint(other, theirs)
    first, second = (mine, theirs) if own == 0 else (theirs, mine)
    return replace(placed, ignored=((*placed.ignored[0], *first), (*placed.ignored[1], *second)))


def originally(box: Box, raster: Raster) -> Box:
    """A box of a raster in original pixels, outwards."""
    across, down = raster.original_width / raster.width, raster.original_height / raster.height
    left, top = math.floor(box.x * across), math.floor(box.y * down)
    return Box(left, top, math.ceil(box.right * across) - left, math.ceil(box.bottom * down) - top)


def holds(boxes: Iterable[Box], other: Box) -> bool:
    """One of them holds all of the other."""
    return any(other.overlap(box) == other.area for box in boxes)


def in_raster(region: Box, raster: Raster) -> Box | None:
    across, down = raster.width / raster.original_width, raster.height / raster.original_height
    left, top = math.floor(region.x * across + 1e-6), math.floor(region.y * down + 1e-6)
    right, bottom = math.ceil(region.right * across - 1e-6), math.ceil(region.bottom * down - 1e-6)
    return within(Box(left, top, right - left, bottom - top), (raster.width, raster.height))


def _widened(spot: Box, placed: Placed, is_shrunk: bool) -> Box:
    by = LEANS if is_shrunk or placed.is_warped or placed.coarseness > 1 else 0
    wide = Box(spot.x - by, spot.y - by, spot.width + 2 * by, spot.height + 2 * by)
    return within(wide, (placed.grid.width, placed.grid.height)) or spot


def _on_other(placed: Placed, box: Box, spot: Box | None, own: int, heights: tuple[int, int]) -> Box | None:
    """The place in the other picture; with the rows that came in between, where the region is as wide as the page."""
    there = None if spot is None else placed.places(spot)[1 - own]
    if not placed.segments or box.width < placed.grid.width:
        return there
    rows = bands.came_beside(box, own, placed.segments, heights)
    rows += [] if there is None else [(there.y, there.bottom)]
    if not rows:
        return None
    top, bottom = min(start for start, _ in rows), max(end for _, end in rows)
    return Box(box.x, top, box.width, bottom - top)


def _paint_grid(grid: Grid, spot: Box) -> None:
    for pixels, alpha in ((grid.first, grid.first_alpha), (grid.second, grid.second_alpha)):
        _fill(pixels, alpha, spot)


def _paint(raster: Raster, boxes: Sequence[Box]) -> None:
    for box in boxes:
        _fill(raster.pixels, raster.alpha, box)


def _fill(pixels: Pixels, alpha: Pixels | None, box: Box) -> None:
    place = (slice(box.y, box.bottom), slice(box.x, box.right))
    pixels[place] = MASK_GREY
    if alpha is not None:
        alpha[place] = 255
