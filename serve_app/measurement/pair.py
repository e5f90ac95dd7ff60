"""Two rasters placed on one another, and what is asked of them: the order of the steps.
Knows no pixels: every step is a module of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from serve_app.core.measured import Alignment, Box, MeasuredDifference, Measurement, Raster, Visual
from serve_app.measurement import change, charts, motion, overlay, regions, tiles
from serve_app.measurement.cells import CellMap, collect
from serve_app.measurement.placing import align, bands
from serve_app.measurement.placing.bands import Segment
from serve_app.measurement.scoring import aspects, canvas, kinship, similarity, tone
from serve_app.measurement.tiles import Grid
from serve_app.schema import DifferenceKind, VisualKind

VERSION = "11"  # changes whenever results change


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a person would see of a pair on one grid."""

    differences: tuple[MeasuredDifference, ...]
    found: int
    changed_ratio: float


@dataclass(frozen=True)
class Pair:
    """Two upright sRGB rasters, laid on one another once; all that is asked of them is asked of that.

    The pair is placed in one order, whichever way it comes, and each answer turned round: so (a, b) and (b, a) agree
    to the last digit. `first` is `candidate` where `is_turned`. `placed`: None where both are identical.
    """

    reference: Raster
    candidate: Raster
    is_turned: bool
    placed: align.Placed | None

    @property
    def first(self) -> Raster:
        return self.candidate if self.is_turned else self.reference

    @property
    def second(self) -> Raster:
        return self.reference if self.is_turned else self.candidate

    @cached_property
    def cells(self) -> CellMap:
        """Visible change on the grid of a pair that isn't identical."""
        assert self.placed is not None
        return collect(self.placed.grid)

    def measure(self, *, beside: Executor | None = None) -> Measurement:
        """What the pixels prove. Pure, thread-safe, deterministic, symmetric; raises nothing.

        With `beside`, threads that wait for none of ours, the aspects are worked out there while regions are found
        here.
        """
        if self.placed is None:
            return _identity(self.reference, self.candidate)
        found = _measure(self, self.placed, beside)
        return _turned(found) if self.is_turned else found

    def chart(self, measured: Measurement) -> Measurement:
        """`measured`, of this pair, with charts of both pictures; without, where nothing visible differs."""
        if self.placed is None or not measured.differences:
            return measured
        one, two = charts.charts(self.placed, self.cells, self.first, self.second)
        return replace(measured, charts=(two, one) if self.is_turned else (one, two))

    def draw(self, kind: VisualKind, measured: Measurement) -> Visual:
        """`measured`, of this pair, as a picture: see `overlay`."""
        return overlay.draw(kind, self.placed, (self.reference, self.candidate), measured, is_turned=self.is_turned)


def place(reference: Raster, candidate: Raster) -> Pair:
    """The pair on one grid. Raises nothing for any two rasters of at least one pixel."""
    if _identical(reference, candidate):
        return Pair(reference, candidate, False, None)
    if ordered(reference, candidate):
        return Pair(reference, candidate, False, align.align(reference, candidate))
    return Pair(reference, candidate, True, align.align(candidate, reference))


def measure(reference: Raster, candidate: Raster, *, beside: Executor | None = None) -> Measurement:
    """`Pair.measure`, where nothing else is asked of the pair."""
    return place(reference, candidate).measure(beside=beside)


def working_bytes(width: int, height: int) -> int:
    """Predicted peak memory above the two rasters, for a pair whose larger picture has this size.

    Measured at 12 megapixels: 1 to 3 bytes a pixel where both have one size, 7 to 9 where two sizes or an inserted
    band need copies on one grid. The rest works in tiles and on at most a megapixel: 40 MiB.
    """
    pixels = width * height
    return 9 * pixels + 40 * min(pixels, canvas.MOST_PIXELS) + 8 * tiles.MIB


def _identical(reference: Raster, candidate: Raster) -> bool:
    return tiles.same(reference.pixels, candidate.pixels) and _same_alpha(reference, candidate)


def _same_alpha(reference: Raster, candidate: Raster) -> bool:
    if reference.alpha is None or candidate.alpha is None:
        return all(raster.alpha is None or bool((raster.alpha == 255).all()) for raster in (reference, candidate))
    return bool(np.array_equal(reference.alpha, candidate.alpha))


def _identity(reference: Raster, candidate: Raster) -> Measurement:
    return Measurement(
        identical=True,
        similarity=1.0,
        similarity_interval=(1.0, 1.0),
        changed_ratio=0.0,
        ssim=1.0,
        color_delta_e=0.0,
        alignment=Alignment("identical"),
        smallest_visible_px=_smallest(reference, candidate),
        aspects=dict.fromkeys(aspects.NAMES, 1.0),
        differences=(),
        further_differences=0,
        version=VERSION,
    )


def _smallest(reference: Raster, candidate: Raster) -> float:
    return round(max(1.0, reference.scale, candidate.scale), 4)


def ordered(reference: Raster, candidate: Raster) -> bool:
    """A fixed order of the two: the smaller picture first, of one size the one whose first differing byte is less."""
    ours, theirs = ((r.width * r.height, r.width) for r in (reference, candidate))
    if ours != theirs:
        return ours < theirs
    for one, two in ((reference.pixels, candidate.pixels), (reference.alpha, candidate.alpha)):
        if one is None or two is None:
            if one is not two:
                return one is None
            continue
        for y in range(0, one.shape[0], 64):
            band, other = one[y : y + 64].ravel(), two[y : y + 64].ravel()
            if not tiles.same(band, other):
                at = int(np.argmax(band != other))
                return bool(band[at] < other[at])
    return True


def _measure(pair: Pair, placed: align.Placed, beside: Executor | None) -> Measurement:
    looking = None if beside is None else beside.submit(_look, placed)
    try:
        seen = _see(pair, placed)
    finally:
        if looking is not None and not looking.cancel():
            wait([looking])  # whatever became of the rest, its memory is in use until here
    looks, charts = _look(placed) if looking is None or looking.cancelled() else looking.result()
    value = similarity.score(charts, differs=bool(seen.differences))
    value = _rounded(min(value, 0.9999))  # 1 is for what is identical
    low, high = similarity.interval(value)
    return Measurement(
        identical=False,
        similarity=value,
        similarity_interval=(_rounded(low), _rounded(high)),
        changed_ratio=_rounded(seen.changed_ratio),
        ssim=round(min(look.ssim for look in looks), 4),
        color_delta_e=round(max(look.delta_e for look in looks), 4),
        alignment=placed.alignment,
        smallest_visible_px=round(max(_smallest(pair.first, pair.second), placed.coarseness), 4),
        aspects={name: _rounded(score) for name, score in charts.aspects.items()},
        differences=seen.differences,
        further_differences=max(0, seen.found - len(seen.differences)),
        version=VERSION,
    )


def _look(placed: align.Placed) -> tuple[list[canvas.Look], similarity.Evidence]:
    """The whole pair on every background, and what of it counts: the worse of both."""
    looks = [canvas.look(placed.grid, background) for background in placed.grid.backgrounds]
    scores = [aspects.scores(look.first, look.second) for look in looks]
    return looks, similarity.Evidence(
        {name: min(score[name] for score in scores) for name in aspects.NAMES},
        max(tone.unexplained(look.first, look.second) for look in looks),
        max(look.exchanged for look in looks),
        min(kinship.shared(look.first, look.second) for look in looks),
        placed.geometry,
    )


def _rounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


def _see(pair: Pair, placed: align.Placed) -> _Seen:
    first, second, grid = pair.first, pair.second, placed.grid
    found, counted = regions.find(grid, pair.cells)
    whole = grid.width * grid.height
    ratio = min(1.0, sum(min(region.pixels, region.box.area) for region in found) / whole)
    local = _told_apart(grid, [change.describe(grid, region) for region in found])
    listed = [_in_original(each, first, second, placed) for each in local]
    moved = not placed.is_same_frame and (listed or not _blank(first, second))
    if moved or (listed and not _ignorable(first, second, placed, listed)):
        # What moved as a whole is a difference too, and its boxes hold every other: ignoring them all gives a match.
        listed += _framing(first, second, placed, ratio)
        counted += 1
    if placed.segments and first.pixels.shape == second.pixels.shape:
        listed = _closed(first, second, listed)
    listed.sort(key=lambda each: (-each.severity, each.reference_box or Box(0, 0, 0, 0)))
    return _Seen(tuple(listed), counted, ratio)


def _told_apart(grid: Grid, found: list[MeasuredDifference]) -> list[MeasuredDifference]:
    """What moved joined, unless its two boxes then miss a part of the change."""
    joined = motion.joined(grid, found)
    if all(each.kind != "moved" for each in joined):
        return joined
    boxes = [box for each in joined for box in (each.reference_box, each.candidate_box) if box]
    return found if regions.remaining(grid, boxes, found) else joined


def _ignorable(first: Raster, second: Raster, placed: align.Placed, listed: Sequence[MeasuredDifference]) -> bool:
    """Whether nothing is left when all boxes are ignored: two sizes may round a box apart. Always so for one size."""
    if first.pixels.shape == second.pixels.shape:
        return True
    # Callers name places in whichever picture is their reference: both ways must do.
    for own, boxes in (
        (first, [each.reference_box for each in listed]),
        (second, [each.candidate_box for each in listed]),
    ):
        rasters = [_masked(raster, own, [box for box in boxes if box]) for raster in (first, second)]
        if regions.find(align.resized(*rasters).grid)[0]:
            return False
    return True


def _closed(first: Raster, second: Raster, listed: list[MeasuredDifference]) -> list[MeasuredDifference]:
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
    return [*listed, _framed("moved", *_frames(first, second), first, second, 0.02, 0.0)]


def _taken_up(
    listed: Sequence[MeasuredDifference], box: Box, first: Raster, second: Raster
) -> list[MeasuredDifference]:
    """`box` joined to the nearest that moved, where one is near; else a difference of its own."""
    rest = upscaled(box, first) or box
    moved = [each for each in listed if each.kind == "moved" and each.reference_box and each.candidate_box]
    nearest = min(moved, key=lambda each: _apart(each, rest), default=None)
    if nearest is None or _apart(nearest, rest) > bands.STRIP:
        return [*listed, _framed("changed", box, box, first, second, 0.01, 0.0)]
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


def _frames(first: Raster, second: Raster) -> tuple[Box, Box]:
    return Box(0, 0, first.width, first.height), Box(0, 0, second.width, second.height)


def _masked(raster: Raster, own: Raster, boxes: Sequence[Box]) -> Raster:
    """`raster` grey at the relative places of `boxes`, which are in original pixels of `own`: as ignoring does it."""
    across, down = raster.width / own.original_width, raster.height / own.original_height
    pixels = raster.pixels.copy()
    for box in boxes:
        rows = slice(math.floor(box.y * down), math.ceil(box.bottom * down))
        pixels[rows, math.floor(box.x * across) : math.ceil(box.right * across)] = tiles.MASK_GREY
    return replace(raster, pixels=pixels)


def _blank(first: Raster, second: Raster) -> bool:
    """Both pictures are one same flat colour, as after ignoring everything: sizes alone are nothing to see."""
    one, two = first.pixels[0, 0], second.pixels[0, 0]
    return bool(np.array_equal(one, two) and (first.pixels == one).all() and (second.pixels == two).all())


def _framing(first: Raster, second: Raster, placed: align.Placed, ratio: float) -> list[MeasuredDifference]:
    """What differs about the frames themselves: everything moved, or a band came between."""
    frames = _frames(first, second)
    severity = max(0.02, 1 - placed.geometry)
    if not placed.segments:
        kind: DifferenceKind = "changed" if placed.alignment.kind in ("unaligned", "resized", "none") else "moved"
        return [_framed(kind, frames[0], frames[1], first, second, severity, ratio)]
    listed = [_framed(*each, first, second, severity, 0.0) for each in _came(placed.segments, frames)]
    displaced = [frames]
    if first.pixels.shape == second.pixels.shape:
        displaced = [_displaced(each, each is placed.segments[-1], first) for each in placed.segments if each.by]
    return listed + [_framed("moved", *boxes, first, second, severity / 2, 0.0) for boxes in displaced]


def _came(segments: Sequence[Segment], frames: Sequence[Box]) -> Iterator[tuple[DifferenceKind, Box, Box]]:
    """Rows between segments, of one picture; the other has them nowhere: one row there says where."""
    ends = (0, 0)
    for each in segments:
        for own, kind in enumerate(_CAME):
            start, height = ends[own], each[own] - ends[own]
            if height > 0:
                boxes = [
                    Box(0, min(end, frame.height - 1), frame.width, 1) for end, frame in zip(ends, frames, strict=True)
                ]
                boxes[own] = Box(0, start, frames[own].width, height)
                yield kind, boxes[0], boxes[1]
        ends = (each.first + each.rows, each.second + each.rows)


_CAME: tuple[DifferenceKind, DifferenceKind] = ("removed", "added")


def _displaced(segment: Segment, is_last: bool, raster: Raster) -> tuple[Box, Box]:
    """Its places in two pictures of one size. What the last one pushed out of the frame belongs to it."""
    ends = [raster.height if is_last else start + segment.rows for start in segment[:2]]
    one, two = (Box(0, start, raster.width, end - start) for start, end in zip(segment[:2], ends, strict=True))
    return one, two


def _framed(
    kind: DifferenceKind, one: Box, two: Box, first: Raster, second: Raster, severity: float, ratio: float
) -> MeasuredDifference:
    return MeasuredDifference(
        kind, upscaled(one, first), upscaled(two, second), _rounded(severity), round(ratio * one.area), 0.0
    )


def _in_original(found: MeasuredDifference, first: Raster, second: Raster, placed: align.Placed) -> MeasuredDifference:
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


_TURNED: Mapping[DifferenceKind, DifferenceKind] = {
    "changed": "changed",
    "moved": "moved",
    "added": "removed",
    "removed": "added",
}


def _turned(measured: Measurement) -> Measurement:
    return replace(
        measured,
        alignment=align.turned(measured.alignment),
        differences=tuple(_turn_each(measured.differences)),
    )


def _turn_each(differences: Sequence[MeasuredDifference]) -> list[MeasuredDifference]:
    return [
        replace(each, kind=_TURNED[each.kind], reference_box=each.candidate_box, candidate_box=each.reference_box)
        for each in differences
    ]
