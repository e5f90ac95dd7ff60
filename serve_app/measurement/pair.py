"""Two rasters placed on one another, and what is asked of them: the order of the steps.
Knows no pixels: every step is a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from serve_app.core.laid import Laid
from serve_app.core.measured import Alignment, MeasuredDifference, Measurement, Visual
from serve_app.core.pictures import Box, Raster
from serve_app.measurement import change, charts, motion, overlay, regions, tiles
from serve_app.measurement.cells import CellMap
from serve_app.measurement.copies import Leavings
from serve_app.measurement.frames import are_blank, framing, in_original, lit, widened
from serve_app.measurement.ignoring import are_ignorable, closed
from serve_app.measurement.lighting import light
from serve_app.measurement.order import are_identical, ordered, rounded, turned
from serve_app.measurement.placing import align, laying, masking
from serve_app.measurement.placing.placed import Placed
from serve_app.measurement.scoring import aspects, canvas, kinship, similarity, tone
from serve_app.measurement.tiles import Grid
from serve_app.schema import VisualKind

# Pairs run side by side, in threads and replicas; a pool of OpenCV's own in each of them would only make them wait for
# each other.
cv2.setNumThreads(1)

VERSION = "12"  # changes whenever results change


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
    placed: Placed | None

    @property
    def first(self) -> Raster:
        return self.candidate if self.is_turned else self.reference

    @property
    def second(self) -> Raster:
        return self.reference if self.is_turned else self.candidate

    @cached_property
    def relit(self) -> light.Relit:
        """The grid of a pair that isn't identical, under one light."""
        assert self.placed is not None
        return light.relit(self.placed.grid)

    @cached_property
    def cells(self) -> CellMap:
        """Visible change on the grid of a pair that isn't identical, beside another light on all of it."""
        return regions.drawn(self.relit.grid)

    @property
    def changed(self) -> float:
        """Share of the grid's pixels that differ visibly."""
        if self.placed is None:
            return 0.0
        return int(self.cells.count.sum(dtype=np.int64)) / (self.placed.grid.width * self.placed.grid.height)

    @property
    def may_have_moved(self) -> bool:
        """Whether the same place needn't show the same thing in both."""
        if self.placed is None or not self.is_same_frame:
            return not self.is_same_frame
        return self.changed > 0 and not align.in_place(self.placed.grid.first, self.placed.grid.second)

    @property
    def is_same_frame(self) -> bool:
        return self.placed is None or self.placed.is_same_frame

    def ignoring(self, regions: Sequence[Box], already: Sequence[Box] = ()) -> tuple[Pair, list[Box]]:
        """This pair without what lies in `regions`, in original pixels of the reference, and where they are in the
        candidate, in its original pixels: where it shows the same. Paints both rasters.

        `already`: boxes of the candidate that are grey as it is; what the reference shows there is ignored too.
        """
        if self.placed is None:
            return self, []
        own, both = int(self.is_turned), (self.first, self.second)
        placed = masking.follow(self.placed, both, own, regions)
        placed = masking.follow(placed, both, 1 - own, already)
        there = [masking.originally(box, self.candidate) for box in placed.ignored[1 - own]]
        if are_blank(*both):
            return place(self.reference, self.candidate), there
        return replace(self, placed=placed), there

    def measure(self, *, beside: Executor | None = None) -> Measurement:
        """What the pixels prove. Pure, thread-safe, deterministic, symmetric; raises nothing.

        With `beside`, threads that wait for none of ours, the aspects are worked out there while regions are found
        here.
        """
        if self.placed is None:
            return _identity(self.reference, self.candidate)
        found = _measure(self, self.placed, beside)
        return turned(found) if self.is_turned else found

    def chart(self, measured: Measurement) -> Measurement:
        """`measured`, of this pair, with charts of both pictures; without, where nothing visible differs."""
        if self.placed is None or not measured.differences:
            return measured
        one, two = charts.charts(self.placed, self.cells, self.first, self.second)
        return replace(measured, charts=(two, one) if self.is_turned else (one, two))

    def lay(self, measured: Measurement) -> Laid | None:
        """`measured`, of this pair, for who reads what it shows; None where nothing visible differs."""
        if self.placed is None or not measured.differences:
            return None
        seen = turned(measured) if self.is_turned else measured
        both = (self.first, self.second)
        return laying.lay(self.placed, self.cells, both, seen.differences, is_turned=self.is_turned)

    def draw(self, kind: VisualKind, measured: Measurement) -> Visual:
        """`measured`, of this pair, as a picture: see `overlay`."""
        return overlay.draw(kind, self.placed, (self.reference, self.candidate), measured, is_turned=self.is_turned)


def place(reference: Raster, candidate: Raster) -> Pair:
    """The pair on one grid. Raises nothing for any two rasters of at least one pixel."""
    if are_identical(reference, candidate):
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


def _measure(pair: Pair, placed: Placed, beside: Executor | None) -> Measurement:
    looking = None if beside is None else beside.submit(_look, placed)
    try:
        seen = _see(pair, placed)
    finally:
        if looking is not None and not looking.cancel():
            wait([looking])  # whatever became of the rest, its memory is in use until here
    looks, charts = _look(placed) if looking is None or looking.cancelled() else looking.result()
    value = similarity.score(charts, differs=bool(seen.differences))
    value = rounded(min(value, 0.9999))  # 1 is for what is identical
    low, high = similarity.interval(value)
    return Measurement(
        identical=False,
        similarity=value,
        similarity_interval=(rounded(low), rounded(high)),
        changed_ratio=rounded(seen.changed_ratio),
        ssim=round(min(look.ssim for look in looks), 4),
        color_delta_e=round(max(look.delta_e for look in looks), 4),
        alignment=placed.alignment,
        smallest_visible_px=round(max(_smallest(pair.first, pair.second), placed.coarseness), 4),
        aspects={name: rounded(score) for name, score in charts.aspects.items()},
        differences=seen.differences,
        further_differences=max(0, seen.found - len(seen.differences)),
        version=VERSION,
        tone=pair.relit.tone,
    )


def _look(placed: Placed) -> tuple[list[canvas.Look], similarity.Factors]:
    """The whole pair on every background, and what of it counts: the worse of both."""
    looks = [canvas.look(placed.grid, background) for background in placed.grid.backgrounds]
    scores = [aspects.scores(look.first, look.second) for look in looks]
    return looks, similarity.Factors(
        {name: min(score[name] for score in scores) for name in aspects.NAMES},
        max(tone.unexplained(look.first, look.second) for look in looks),
        max(look.exchanged for look in looks),
        min(kinship.shared(look.first, look.second) for look in looks),
        placed.geometry,
        max(tone.plain(look.first, look.second, look.delta_e) for look in looks),
    )


def _see(pair: Pair, placed: Placed) -> _Seen:
    first, second, relit = pair.first, pair.second, pair.relit
    grid = relit.grid
    found, counted = regions.find(grid, pair.cells)
    whole = grid.width * grid.height
    ratio = min(1.0, max(relit.share, sum(min(region.pixels, region.box.area) for region in found) / whole))
    local = _told_apart(grid, [change.describe(grid, region) for region in found], pair.cells.leavings)
    listed = [in_original(widened(each, placed, first, second), first, second, placed) for each in local]
    if relit.tone is not None:
        listed.append(lit(first, second, relit))
        counted += 1
    moved = not placed.is_same_frame and (listed or not are_blank(first, second))
    if moved or (listed and not are_ignorable(first, second, placed, listed)):
        # What moved as a whole is a difference too, and its boxes hold every other: ignoring them all gives a match.
        listed += framing(first, second, placed, ratio)
        counted += 1
    if (placed.segments or placed.columns) and first.pixels.shape == second.pixels.shape:
        listed = closed(first, second, listed)
    listed.sort(key=lambda each: (-each.severity, each.reference_box or Box(0, 0, 0, 0)))
    return _Seen(tuple(listed), counted, ratio)


def _told_apart(grid: Grid, found: list[MeasuredDifference], leavings: Leavings | None) -> list[MeasuredDifference]:
    """What moved joined, unless its two boxes then miss a part of the change."""
    joined = motion.joined(grid, found)
    if all(each.kind != "moved" for each in joined):
        return joined
    boxes = [box for each in joined for box in (each.reference_box, each.candidate_box) if box]
    return found if regions.remaining(grid, boxes, found, leavings) else joined
