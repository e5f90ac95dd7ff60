"""Boxes that leave nothing when all are ignored: a caller who ignores every difference gets a match."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import MASK_GREY, Box, Raster
from serve_app.measurement import motion, regions
from serve_app.measurement.frames import framed, upscaled, whole_frames
from serve_app.measurement.placing import bands, resized
from serve_app.measurement.placing.placed import Placed
from serve_app.measurement.tiles import Grid


def are_ignorable(first: Raster, second: Raster, placed: Placed, listed: Sequence[MeasuredDifference]) -> bool:
    """Whether nothing is left when all boxes are ignored: two sizes may round a box apart. Always so for one size."""
    if first.pixels.shape == second.pixels.shape:
        return True
    # Callers name places in whichever picture is their reference: both ways must do.
    for own, boxes in (
        (first, [each.reference_box for each in listed]),
        (second, [each.candidate_box for each in listed]),
    ):
        rasters = [_masked(raster, own, [box for box in boxes if box]) for raster in (first, second)]
        if regions.find(resized.resized(*rasters).grid)[0]:
            return False
    return True


def closed(first: Raster, second: Raster, listed: list[MeasuredDifference]) -> list[MeasuredDifference]:
    """`listed`, its boxes so that ignoring them all leaves nothing, of two pictures of one size with bands.

    An encoder's residue on rows that stayed, next to others that didn't, goes with what moved there.
    """
    for _ in range(3):
        boxes = [box for each in listed for box in (each.reference_box, each.candidate_box) if box]
        one, two = (_masked(raster, raster, boxes) for raster in (first, second))
        rest = regions.find(Grid(one.pixels, two.pixels))[0]
        if not rest:
            return listed
        for region in rest:
            listed = _taken_up(listed, region.box, first, second)
    return [*listed, framed("moved", *whole_frames(first, second), first, second, 0.02, 0.0)]


def _taken_up(
    listed: Sequence[MeasuredDifference], box: Box, first: Raster, second: Raster
) -> list[MeasuredDifference]:
    """`box` joined to the nearest that moved, where one is near; else a difference of its own."""
    rest = upscaled(box, first) or box
    moved = [each for each in listed if each.kind == "moved" and each.reference_box and each.candidate_box]
    nearest = min(moved, key=lambda each: _apart(each, rest), default=None)
    if nearest is None or _apart(nearest, rest) > bands.STRIP:
        return [*listed, framed("changed", box, box, first, second, 0.01, 0.0)]
    wider = [motion.around(each, rest) for each in (nearest.reference_box, nearest.candidate_box) if each]
    if _gap(nearest.reference_box, rest) <= _gap(nearest.candidate_box, rest):
        grown = replace(nearest, reference_box=wider[0])
    else:
        grown = replace(nearest, candidate_box=wider[1])
    return [grown if each is nearest else each for each in listed]


def _apart(found: MeasuredDifference, box: Box) -> int:
    return min(_gap(found.reference_box, box), _gap(found.candidate_box, box))


def _gap(box: Box | None, other: Box) -> int:
    """Rows between two boxes."""
    return 1 << 30 if box is None else max(0, other.y - box.bottom, box.y - other.bottom)


def _masked(raster: Raster, own: Raster, boxes: Sequence[Box]) -> Raster:
    """`raster` grey at the relative places of `boxes`, which are in original pixels of `own`: as ignoring does it."""
    across, down = raster.width / own.original_width, raster.height / own.original_height
    pixels = raster.pixels.copy()
    for box in boxes:
        rows = slice(math.floor(box.y * down), math.ceil(box.bottom * down))
        pixels[rows, math.floor(box.x * across) : math.ceil(box.right * across)] = MASK_GREY
    return replace(raster, pixels=pixels)
