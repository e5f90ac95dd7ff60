"""Brings two pictures onto one grid by the cheapest step that explains the pair.
Decides places only; what differs there is others' work."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement import regions
from serve_app.measurement.cells import collect
from serve_app.measurement.placing import bands, columns, features, likeness, mirrored, perspective, shifts
from serve_app.measurement.placing.features import Matches, Transform
from serve_app.measurement.placing.placed import BETTER, Placed, within
from serve_app.measurement.placing.resized import resized
from serve_app.measurement.placing.shifts import Shift
from serve_app.measurement.placing.warped import warp
from serve_app.measurement.tiles import Grid

FITS = 0.004  # of the pixels may be off before a shift is looked for
CUT_OUT = 0.2  # of the pixels that may differ in a part cut out
IN_PLACE = 0.05  # of the edges may be off where nothing as a whole moved
PARTS = 6  # each way, of the picture: what changed in parts leaves most of them as they were
EVERYWHERE = 0.06  # of their edges are off in a quarter of the parts: something as a whole moved
FEW_EDGES = 64  # in the rows sampled: too few to tell anything
MIDDLE = 256  # pixels a side of the middle that is looked at first
MUCH = 0.1  # of its pixels changed visibly: no residue of an encoder, a difference
SEEN_OVER = 0.08  # of the pixels off, from which on a pair may be a picture and its mirror image
ONE_FRAME = 0.96  # correlation from which on two sizes show one frame: a hundredth cut off leaves .94 at most
STRETCHED = 0.7  # ... and from which on two shapes do: other screens of one application reach .68
UNRELATED = 0.45  # of the pixels off, and no transform found: nothing explains the pair


def align(first: Raster, second: Raster) -> Placed:
    """`first` is the smaller picture, or of one size with `second`. The steps in order of their cost."""
    if first.pixels.shape == second.pixels.shape:
        return _same_size(first, second)
    return _banded(first, second) or _any_size(first, second)


def _same_size(first: Raster, second: Raster) -> Placed:
    one, two = first.pixels, second.pixels
    off = shifts.mismatch(one, two)
    grid = Grid(one, two, first.alpha, second.alpha)
    moved = _moved(first, second, off)
    # Noise may lie on a shifted picture better than on its own place: who sees no difference needs no alignment.
    if moved is not None and _differs(grid):
        return moved
    kind = "none" if off < UNRELATED or _alike(one, two) else "unaligned"
    found = Alignment(kind, confidence=round(1 - off, 4))
    size = (grid.width, grid.height)
    return Placed(grid, found, lambda box: (box, box), 1.0, True, lambda box, own: within(box, size))


def _differs(grid: Grid) -> bool:
    """Whether anything is seen: what moved as a whole shows it in the middle, and the rest needn't be looked at."""
    x, y = max(0, grid.width - MIDDLE) // 2, max(0, grid.height - MIDDLE) // 2
    view = (slice(y, y + MIDDLE), slice(x, x + MIDDLE))
    alphas = [None if alpha is None else alpha[view] for alpha in (grid.first_alpha, grid.second_alpha)]
    middle = Grid(grid.first[view], grid.second[view], alphas[0], alphas[1], grid.jitter)
    changed = int(collect(middle).count.sum(dtype=np.int64))
    return changed > MUCH * middle.width * middle.height or bool(regions.find(grid)[0])


def in_place(first: Pixels, second: Pixels) -> bool:
    """Nearly every edge of one picture is at the same place in the other: only parts of it changed.

    Whatever moved takes its edges along; looking for how far takes 20 ms, this 1.
    """
    step = max(1, first.shape[0] // shifts.ROWS)
    one, two = (shifts.luma(image[::step]).astype(np.int16) for image in (first, second))
    apart = one - two
    fits = np.abs(apart - np.int16(np.median(apart[::4, ::4]))) <= shifts.OFF
    for plane in (one, two):
        edges = np.abs(np.diff(plane, axis=1)) > shifts.OFF
        found = np.count_nonzero(edges)
        moved = edges & ~fits[:, 1:]
        if found < FEW_EDGES or np.count_nonzero(moved) >= IN_PLACE * found or _is_everywhere(moved, edges):
            return False
    return True


def _is_everywhere(moved: NDArray[np.bool_], edges: NDArray[np.bool_]) -> bool:
    """Edges moved in every fourth part that has some."""
    rows, columns = (np.linspace(0, length, PARTS + 1).astype(int) for length in edges.shape)
    parts = [
        (slice(top, bottom), slice(left, right))
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    counts = np.array([(np.count_nonzero(moved[part]), np.count_nonzero(edges[part])) for part in parts])
    seen = counts[counts[:, 1] > 0.3 * counts[:, 1].mean()]
    return bool(np.quantile(seen[:, 0] / seen[:, 1], 0.75) >= EVERYWHERE)


def _moved(first: Raster, second: Raster, off: float) -> Placed | None:
    """Two pictures of one size whose content lies elsewhere; None where the same place explains them as well."""
    one, two = first.pixels, second.pixels
    if off <= FITS or in_place(one, two):
        return None
    shift = shifts.find(one, two)
    if shift is not None and shift != (0, 0):
        rest = shifts.mismatch(one, two, shift)
        if rest < BETTER * off and rest < BETTER * shifts.mismatch_inside(one, two, shift):
            band = _banded(first, second) if shift[0] == 0 else None  # what is pushed down leaves its top in place
            if band is not None and not band.segments[0].by:
                return band
            return _shifted_or_tilted(first, second, shift, off, rest)
    if off <= 4 * FITS:
        banded = _banded(first, second)
        if banded is not None and in_place(banded.grid.first, banded.grid.second):
            return banded
        return _tilted(first, second, features.matches(one, two)) or banded
    over = _turned_over(first, second, _same_size) if off > SEEN_OVER else None
    if over is not None:
        return over
    matches = features.matches(one, two)
    tilted = _tilted(first, second, matches)
    if tilted is not None:
        return tilted
    rough = None if matches is None else features.similarity(matches)
    if rough is not None and not _is_upright(rough):
        # Rows that were pushed down leave most corners upright: what is turned or zoomed needs no search for them.
        return _transformed(first, second, off, rough) or _banded(first, second)
    return _banded(first, second) or _transformed(first, second, off, rough)


def _shifted_or_tilted(first: Raster, second: Raster, shift: Shift, off: float, rest: float) -> Placed:
    views = shifts.overlapping(first.pixels, second.pixels, shift)
    assert views is not None, "a shift is only taken where pictures overlap"
    if not in_place(*views):
        tilted = _tilted(first, second, features.matches(first.pixels, second.pixels))
        if tilted is not None and tilted.alignment.confidence > 1 - BETTER * rest:
            return tilted
    return _shifted(first, second, shift, "shift", 1 - rest / off)


def _any_size(first: Raster, second: Raster) -> Placed:
    stretched = resized(first, second)
    off = shifts.mismatch(stretched.grid.first, stretched.grid.second)
    is_still = in_place(stretched.grid.first, stretched.grid.second)
    if stretched.is_same_frame and (off <= FITS or (off <= 4 * FITS and is_still)):
        return stretched
    alike = likeness.correlation(stretched.grid.first, stretched.grid.second)
    if alike > (ONE_FRAME if stretched.is_same_frame else STRETCHED):
        tilted = None
        if stretched.is_same_frame and not is_still:
            tilted = _askew(first, second)
        named = replace(stretched.alignment, confidence=round(min(1.0, alike), 4))
        return tilted or replace(stretched, alignment=named)
    warped = _cut_out(first, second, off) or _turned_over(first, second, _any_size)
    if warped is None:
        matches = features.matches(first.pixels, second.pixels)
        warped = _tilted(first, second, matches)
        warped = warped or _transformed(first, second, off, None if matches is None else features.similarity(matches))
    if warped is not None and not (stretched.is_same_frame and not regions.find(stretched.grid)[0]):
        return warped
    if stretched.is_same_frame and (off < UNRELATED or _alike(stretched.grid.first, stretched.grid.second)):
        return stretched
    alone = Alignment("unaligned", scale=stretched.alignment.scale, confidence=round(1 - off, 4))
    return replace(stretched, alignment=alone, is_same_frame=False)


def _cut_out(first: Raster, second: Raster, off: float) -> Placed | None:
    """The smaller picture as a part of the larger one, at its resolution."""
    shift = shifts.place(first.pixels, second.pixels)
    rest = 1.0 if shift is None else shifts.mismatch(first.pixels, second.pixels, shift)
    if shift is None or rest > BETTER * off or rest > CUT_OUT:
        return None
    return _shifted(first, second, shift, "crop", 1 - rest)


def _turned_over(first: Raster, second: Raster, place: mirrored.Place) -> Placed | None:
    along = mirrored.axis(first.pixels, second.pixels)
    return None if along is None else mirrored.place(first, second, along, place)


def _askew(first: Raster, second: Raster) -> Placed | None:
    """Two sizes of one frame that lies a little otherwise in one of them."""
    matches = features.matches(first.pixels, second.pixels)
    rough = None if matches is None else features.similarity(matches)
    if rough is None:
        return None
    return perspective.lay(first, second, np.vstack([rough.matrix, [(0, 0, 1)]]), is_bent=False)


def _tilted(first: Raster, second: Raster, matches: Matches | None) -> Placed | None:
    if matches is None:
        return None
    matrix = perspective.find(matches, (first.width, first.height))
    return None if matrix is None else perspective.lay(first, second, matrix)


def _alike(first: Pixels, second: Pixels) -> bool:
    """The same shapes under another tone: correlation of both pictures made very small."""
    one, two = (
        shifts.luma(np.asarray(cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA))).astype(np.float64).ravel()
        for image in (first, second)
    )
    one, two = one - one.mean(), two - two.mean()
    power = math.sqrt(float(one @ one) * float(two @ two))
    return power < 1 or abs(float(one @ two)) > 0.7 * power


def _shifted(first: Raster, second: Raster, shift: Shift, kind: str, confidence: float) -> Placed:
    dx, dy = shift
    views = shifts.overlapping(first.pixels, second.pixels, shift)
    assert views is not None, "a shift is only taken where pictures overlap"
    height, width = views[0].shape[:2]
    x, y = max(0, -dx), max(0, -dy)
    alphas = [
        None if raster.alpha is None else raster.alpha[top : top + height, left : left + width]
        for raster, left, top in ((first, x, y), (second, x + dx, y + dy))
    ]

    def places(box: Box) -> tuple[Box, Box]:
        return box._replace(x=box.x + x, y=box.y + y), box._replace(x=box.x + x + dx, y=box.y + y + dy)

    def back(box: Box, own: int) -> Box | None:
        left, top = ((x, y), (x + dx, y + dy))[own]
        return within(box._replace(x=box.x - left, y=box.y - top), (width, height))

    scale = first.original_width / first.width
    found = Alignment(kind, (round(dx * scale, 2), round(dy * scale, 2)), confidence=round(confidence, 4))
    share = width * height / max(raster.width * raster.height for raster in (first, second))
    geometry = min(0.98, 1 - 0.6 * (1 - share) ** 0.75)
    return Placed(Grid(views[0], views[1], alphas[0], alphas[1], jitter=1), found, places, geometry, False, back)


def _banded(first: Raster, second: Raster) -> Placed | None:
    """Rows that were inserted or taken out, of the whole page or of one column."""
    if first.width != second.width or first.alpha is not None or second.alpha is not None:
        return None
    segments = bands.find(first.pixels, second.pixels)
    if not segments:
        return _columned(first, second)
    pixels = [
        np.concatenate([raster.pixels[start : start + each.rows] for each, start in zip(segments, starts, strict=True)])
        for raster, starts in (
            (first, [each.first for each in segments]),
            (second, [each.second for each in segments]),
        )
    ]
    confidence = 1 - shifts.mismatch(pixels[0], pixels[1])
    tops = bands.tops(segments)

    def places(box: Box) -> tuple[Box, Box]:
        """A box over several segments takes what lies between them along."""
        top, last = (bisect.bisect_right(tops, y) - 1 for y in (box.y, box.bottom - 1))
        upper = [start + box.y - tops[top] for start in segments[top][:2]]
        lower = [start + box.bottom - tops[last] for start in segments[last][:2]]
        one, two = (box._replace(y=y, height=bottom - y) for y, bottom in zip(upper, lower, strict=True))
        return one, two

    def back(box: Box, own: int) -> Box | None:
        return bands.on_grid(box, own, segments, first.width)

    scale = first.original_height / first.height
    most = max((each for each in segments if each.by), key=lambda each: each.rows)
    found = Alignment("bands", (0.0, round(most.by * scale, 2)), confidence=round(confidence, 4))
    came = sum(abs(after - before) for before, after in itertools.pairwise([0, *(each.by for each in segments)]))
    geometry = 1 - 0.5 * came / max(first.height, second.height) - 0.03
    return Placed(Grid(pixels[0], pixels[1]), found, places, max(0.3, geometry), False, back, segments=segments)


def _columned(first: Raster, second: Raster) -> Placed | None:
    found = columns.find(first.pixels, second.pixels)
    if not found:
        return None
    grid = Grid(first.pixels, columns.laid(first.pixels, second.pixels, found))
    size = (first.width, first.height)

    def places(box: Box) -> tuple[Box, Box]:
        return box, within(columns.moved(box, found, 0), (second.width, second.height)) or box

    def back(box: Box, own: int) -> Box | None:
        return within(columns.moved(box, found, 1) if own else box, size)

    scale = first.original_height / first.height
    displaced = [(each, column) for column in found for each in column.segments if each.by]
    most = max(displaced, key=lambda each: each[0].rows * (each[1].right - each[1].left))[0]
    confidence = 1 - shifts.mismatch(grid.first, grid.second)
    alignment = Alignment("bands", (0.0, round(most.by * scale, 2)), confidence=round(confidence, 4))
    share = sum(each.rows * (column.right - column.left) for each, column in displaced) / (size[0] * size[1])
    return Placed(grid, alignment, places, 1 - 0.3 * share - 0.03, False, back, columns=found)


def _is_upright(rough: Transform) -> bool:
    return abs(rough.scale - 1) < 0.012 and abs(rough.rotation_deg) < 0.3


def _transformed(first: Raster, second: Raster, off: float, rough: Transform | None) -> Placed | None:
    same_size = first.pixels.shape == second.pixels.shape
    if rough is None or (same_size and rough.is_still(first.width, first.height)):
        return None
    if _is_upright(rough):
        centre = (first.width / 2 * (rough.scale - 1), first.height / 2 * (rough.scale - 1))
        whole = (round(rough.shift[0] + centre[0]), round(rough.shift[1] + centre[1]))
        shift = shifts.settled(first.pixels, second.pixels, whole, 6)
        if shift is not None and shift != (0, 0):
            rest = shifts.mismatch(first.pixels, second.pixels, shift)
            stays = same_size and rest >= BETTER * shifts.mismatch_inside(first.pixels, second.pixels, shift)
            if rest < BETTER * off and not stays:
                return _shifted(first, second, shift, "crop" if first.width != second.width else "shift", 1 - rest)
    return warp(first, second, rough, off)
