"""What differs about the frames themselves: everything moved, or a band came between.
Also boxes of the grid in original pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box, Raster
from serve_app.measurement.lighting import light
from serve_app.measurement.lighting.light import Relit
from serve_app.measurement.order import rounded
from serve_app.measurement.placing.bands import Segment
from serve_app.measurement.placing.columns import Column
from serve_app.measurement.placing.masking import holds
from serve_app.measurement.placing.placed import Placed
from serve_app.schema import DifferenceKind

FARTHEST_WHOLE = 5  # pixels: at 1.25 times the size each fourth is whole in both


def whole_frames(first: Raster, second: Raster) -> tuple[Box, Box]:
    return Box(0, 0, first.width, first.height), Box(0, 0, second.width, second.height)


def are_blank(first: Raster, second: Raster) -> bool:
    """Both pictures are one same flat colour, as after ignoring everything: sizes alone are nothing to see."""
    one, two = first.pixels[0, 0], second.pixels[0, 0]
    return bool(np.array_equal(one, two) and (first.pixels == one).all() and (second.pixels == two).all())


def framing(first: Raster, second: Raster, placed: Placed, ratio: float) -> list[MeasuredDifference]:
    """What differs about the frames themselves: everything moved, or a band came between."""
    frames = whole_frames(first, second)
    severity = max(0.02, 1 - placed.geometry)
    if not placed.segments and not placed.columns:
        kind: DifferenceKind = "changed" if placed.alignment.kind in ("unaligned", "resized", "none") else "moved"
        return [framed(kind, frames[0], frames[1], first, second, severity, ratio)]
    one_size = first.pixels.shape == second.pixels.shape
    listed, displaced = [], [] if one_size else [frames]
    for left, right, segments in placed.columns or (Column(0, first.width, placed.segments),):
        widths = [Box(left, 0, right - left, frame.height) for frame in frames]
        listed += [(kind, one, two) for kind, one, two in _came(segments, widths) if not _is_ignored(placed, one, two)]
        if one_size:
            moved = [_displaced(each, each is segments[-1], widths[0]) for each in segments if each.by]
            displaced += [each for each in moved if not holds(placed.ignored[0], each[0])]
    return [
        *(framed(*each, first, second, severity, 0.0) for each in listed),
        *(framed("moved", *boxes, first, second, severity / 2, 0.0) for boxes in displaced),
    ]


def _is_ignored(placed: Placed, one: Box, two: Box) -> bool:
    return holds(placed.ignored[0], one) or holds(placed.ignored[1], two)


def _came(segments: Sequence[Segment], frames: Sequence[Box]) -> Iterator[tuple[DifferenceKind, Box, Box]]:
    """Rows between segments, of one picture; the other has them nowhere: one row there says where."""
    ends = (0, 0)
    for each in segments:
        for own, kind in enumerate(_CAME):
            start, height = ends[own], each[own] - ends[own]
            if height > 0:
                boxes = [
                    frame._replace(y=min(end, frame.height - 1), height=1)
                    for end, frame in zip(ends, frames, strict=True)
                ]
                boxes[own] = frames[own]._replace(y=start, height=height)
                yield kind, boxes[0], boxes[1]
        ends = (each.first + each.rows, each.second + each.rows)


_CAME: tuple[DifferenceKind, DifferenceKind] = ("removed", "added")


def _displaced(segment: Segment, is_last: bool, frame: Box) -> tuple[Box, Box]:
    """Its places in two pictures of one size. What the last one pushed out of the frame belongs to it."""
    ends = [frame.height if is_last else start + segment.rows for start in segment[:2]]
    one, two = (frame._replace(y=start, height=end - start) for start, end in zip(segment[:2], ends, strict=True))
    return one, two


def framed(
    kind: DifferenceKind, one: Box, two: Box, first: Raster, second: Raster, severity: float, ratio: float
) -> MeasuredDifference:
    return MeasuredDifference(
        kind, upscaled(one, first), upscaled(two, second), rounded(severity), round(ratio * one.area), 0.0
    )


def widened(found: MeasuredDifference, placed: Placed, first: Raster, second: Raster) -> MeasuredDifference:
    """Of two sizes of one frame, its boxes wider by a pixel, and to where both pictures have whole pixels: where the
    same place is hidden in a picture of another size, a rim that cuts through letters or pixels would show."""
    if placed.alignment.kind not in ("resized", "stretched"):
        return found
    grid = placed.grid
    across, down = (
        [length / size for length in lengths]
        for lengths, size in (((first.width, second.width), grid.width), ((first.height, second.height), grid.height))
    )

    def wider(box: Box | None) -> Box | None:
        if box is None:
            return None
        left, right = _whole(box.x - 1, -1, grid.width, across), _whole(box.right + 1, 1, grid.width, across)
        top, bottom = _whole(box.y - 1, -1, grid.height, down), _whole(box.bottom + 1, 1, grid.height, down)
        return Box(left, top, right - left, bottom - top)

    return replace(found, reference_box=wider(found.reference_box), candidate_box=wider(found.candidate_box))


def _whole(start: int, step: int, length: int, scales: Sequence[float]) -> int:
    """The next place at or beyond `start`, outwards, that is whole in both pictures; `start` itself where none is."""
    for at in range(start, start + FARTHEST_WHOLE * step, step):
        if not 0 < at < length:
            return min(length, max(0, at))
        if all(abs(at * scale - round(at * scale)) < 0.01 for scale in scales):
            return at
    return start


def lit(first: Raster, second: Raster, found: Relit) -> MeasuredDifference:
    """Another light on everything: one difference of the whole frame, as strong as most of it shows it."""
    one, two = whole_frames(first, second)
    whole = framed("changed", one, two, first, second, light.strength(found.tone), found.share)
    return replace(whole, tone=found.tone)


def in_original(found: MeasuredDifference, first: Raster, second: Raster, placed: Placed) -> MeasuredDifference:
    """Boxes of the grid in upright original pixels of each picture."""
    one, two = found.reference_box, found.candidate_box
    return replace(
        found,
        reference_box=None if one is None else upscaled(placed.places(one)[0], first),
        candidate_box=None if two is None else upscaled(placed.places(two)[1], second),
    )


def upscaled(box: Box | None, raster: Raster) -> Box | None:
    """A box of raster pixels in original ones, outwards, inside the picture."""
    if box is None:
        return None
    across, down = raster.original_width / raster.width, raster.original_height / raster.height
    left = min(max(0, math.floor(box.x * across + 1e-9)), raster.original_width - 1)
    top = min(max(0, math.floor(box.y * down + 1e-9)), raster.original_height - 1)
    right = min(raster.original_width, max(left + 1, math.ceil(box.right * across - 1e-9)))
    bottom = min(raster.original_height, max(top + 1, math.ceil(box.bottom * down - 1e-9)))
    return Box(left, top, right - left, bottom - top)
