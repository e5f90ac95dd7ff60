"""Cells of change to boxes a person would draw: near changes joined, boxes tight, at most fifty.
No pixels: knows only what cells hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box
from serve_app.measurement import copies
from serve_app.measurement.cells import CellMap, collect
from serve_app.measurement.copies import Leavings
from serve_app.measurement.excuses.compression import Residue
from serve_app.measurement.excuses.nudged import Nudges
from serve_app.measurement.tiles import CELL, Grid

MOST = 50  # boxes reported; nearest ones join rather than be dropped, so that ignoring all boxes ignores all changes
JOIN = 3  # cells: changes less than two cells apart (8 to 16 pixels: a letter's gap) are one
GAP = 8  # pixels: boxes nearer than this are one; less than cells joined, at least
FAINTEST = 2.5  # levels times the share below: what is just noticed
SPREAD = 64  # pixels over which the eye sums a change (Ricco's law): a smaller one must be stronger
SPECK, SPECK_PEAK = 48, 72  # pixels, levels: less is residue where everything around was re-encoded
RE_ENCODED = 0.15  # of the pixels around differ somehow


@dataclass(frozen=True, slots=True)
class Region:
    """A box in grid pixels, how many pixels in it changed and by how many levels on average."""

    box: Box
    pixels: int
    level: float


def drawn(grid: Grid) -> CellMap:
    """What differs visibly, without what an encoder left where one picture is its copy of the other."""
    cells = collect(grid)
    leavings = copies.estimate(grid, cells) if _joined(cells, [])[0] else None
    return cells if leavings is None else collect(grid, leavings=leavings)


def find(grid: Grid, cells: CellMap | None = None) -> tuple[list[Region], int]:
    """Regions that differ visibly, and how many there were before near ones were joined to keep to fifty.

    `cells`: visible change of this grid, where it is known already.

    Closed under masking: both pictures grey inside every box, nothing is found any more. Rules that look at a
    pixel's surroundings could find something new at a box's rim; so the rims are measured again, grey inside,
    and what is found joins.
    """
    cells = cells or drawn(grid)
    excuses = _Excuses(grid)
    regions, found = _drawn(excuses, *_joined(cells, []))
    known: list[Region] = []
    for _ in range(4):
        if not regions:
            return [], 0
        boxes = [region.box for region in regions]
        rest, _ = _drawn(excuses, *_joined(collect(grid, boxes, leavings=cells.leavings), []), boxes)
        if not rest:
            return regions, found
        known += rest
        regions, found = _drawn(excuses, *_joined(cells, [*(Region(box, 0, 0.0) for box in boxes), *known]), kept=boxes)
    return [_whole(grid, regions)], found


def remaining(
    grid: Grid, boxes: Sequence[Box], found: Sequence[MeasuredDifference], leavings: Leavings | None = None
) -> bool:
    """Whether anything is still seen with `boxes` grey in both, around them or around where it was found."""
    masks = sorted(set(boxes))
    rest = [each.reference_box for each in found if each.reference_box and each.reference_box not in boxes]
    return bool(_drawn(_Excuses(grid), *_joined(collect(grid, masks, rest, leavings), []), masks)[0])


class _Excuses:
    """What nobody drew of one grid: what an encoder left, and what stands a fraction of a pixel further."""

    def __init__(self, grid: Grid) -> None:
        self._kinds = (Residue(grid), Nudges(grid))

    def among(self, boxes: Sequence[Box], masks: Sequence[Box]) -> set[Box]:
        found: set[Box] = set()
        for kind in self._kinds:
            found |= kind.among([box for box in boxes if box not in found], masks)
        return found


def _drawn(
    excuses: _Excuses, regions: list[Region], found: int, masks: Sequence[Box] = (), kept: Sequence[Box] = ()
) -> tuple[list[Region], int]:
    """Without what nobody drew. What holds a `kept` box was judged before."""
    boxes = [region.box for region in regions if not any(_within(box, region.box) for box in kept)]
    left = excuses.among(boxes, masks)
    return [region for region in regions if region.box not in left], found - len(left)


def _within(box: Box, other: Box) -> bool:
    return other.x <= box.x and other.y <= box.y and box.right <= other.right and box.bottom <= other.bottom


def _whole(grid: Grid, regions: Sequence[Region]) -> Region:
    pixels = sum(region.pixels for region in regions)
    level = sum(region.pixels * region.level for region in regions) / max(1, pixels)
    return Region(Box(0, 0, grid.width, grid.height), pixels, level)


def _joined(cells: CellMap, known: Sequence[Region]) -> tuple[list[Region], int]:
    """Regions of the cells, and `known` ones: they widen what they touch."""
    occupied = cells.count > 0
    if not occupied.any() and not known:
        return [], 0
    reach, found = JOIN, 0
    while True:
        regions = _components(cells, occupied, reach)
        regions = _merged([*regions, *known])
        found = found or len(regions)
        if len(regions) <= MOST:
            return regions, found
        reach = 2 * reach + 1


def _components(cells: CellMap, occupied: NDArray[np.bool_], reach: int) -> list[Region]:
    near = cv2.dilate(occupied.view(np.uint8), np.ones((reach, reach), np.uint8))
    _, labels = cv2.connectedComponents(near, connectivity=8, ltype=cv2.CV_32S)
    down, across = np.nonzero(occupied)
    if not len(down):
        return []
    order = np.argsort(labels[down, across], kind="stable")
    down, across = down[order], across[order]
    label = labels[down, across]
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
    columns, rows = cells.columns[down, across], cells.rows[down, across]
    left = np.minimum.reduceat(across * CELL + _FIRST[columns], starts)
    right = np.maximum.reduceat(across * CELL + _LAST[columns], starts) + 1
    top = np.minimum.reduceat(down * CELL + _FIRST[rows], starts)
    bottom = np.maximum.reduceat(down * CELL + _LAST[rows], starts) + 1
    pixels = np.add.reduceat(cells.count[down, across].astype(np.int64), starts)
    total = np.add.reduceat(cells.total[down, across].astype(np.int64), starts)
    peak = np.maximum.reduceat(cells.peak[down, across], starts)
    share = cells.off.astype(np.float32) / (CELL * CELL)
    around = cv2.max(*(cv2.blur(share, (near, near), borderType=cv2.BORDER_REFLECT_101) for near in (3, 5)))
    density = np.maximum.reduceat(around[down, across], starts)
    level = total / np.maximum(pixels, 1)
    seen = level * np.minimum(1, np.sqrt(pixels / SPREAD)) >= FAINTEST
    seen &= ~((density > RE_ENCODED) & (pixels < SPECK) & (peak < SPECK_PEAK))
    return [
        Region(
            Box(int(left[i]), int(top[i]), int(right[i] - left[i]), int(bottom[i] - top[i])),
            int(pixels[i]),
            float(level[i]),
        )
        for i in np.flatnonzero(seen)
    ]


def _bits(first: bool) -> NDArray[np.int64]:
    table = [(8 - byte.bit_length()) if first else (7 - ((byte & -byte).bit_length() - 1)) for byte in range(1, 256)]
    return np.array([0, *table])


_FIRST, _LAST = _bits(True), _bits(False)


def _merged(regions: Iterable[Region]) -> list[Region]:
    """Boxes that overlap or nearly touch become one, until none do. Sorted: the result doesn't depend on the order."""
    rest = sorted(regions, key=lambda region: region.box)
    if len(rest) > 20 * MOST:
        return rest  # they will be joined at a wider reach first
    done: list[Region] = []
    while rest:
        region = rest.pop()
        touching = [other for other in done if _overlap(region.box, other.box)]
        if not touching:
            done.append(region)
            continue
        done = [other for other in done if other not in touching]
        rest.append(_union([region, *touching]))
    return sorted(done, key=lambda region: region.box)


def _union(regions: Sequence[Region]) -> Region:
    left, top = min(r.box.x for r in regions), min(r.box.y for r in regions)
    right, bottom = max(r.box.right for r in regions), max(r.box.bottom for r in regions)
    pixels = sum(r.pixels for r in regions)
    level = sum(r.pixels * r.level for r in regions) / max(1, pixels)
    return Region(Box(left, top, right - left, bottom - top), pixels, level)


def _overlap(box: Box, other: Box) -> bool:
    return (
        box.x < other.right + GAP
        and other.x < box.right + GAP
        and box.y < other.bottom + GAP
        and other.y < box.bottom + GAP
    )
