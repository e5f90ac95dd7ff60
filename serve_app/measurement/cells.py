"""Visible change per cell of 8x8 pixels: 8 bytes a cell, so that a whole picture's change fits beside it.
Knows nothing of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from serve_app.measurement import visible
from serve_app.measurement.copies import Leavings
from serve_app.measurement.tiles import CELL, Grid, Tile, by_cell, differing


@dataclass(frozen=True, slots=True)
class CellMap:
    """Arrays of (cells down, cells across). `columns`, `rows`: which columns and rows of a cell hold change,
    highest bit first. `count`: visible pixels. `off`: pixels that differ at all. `total`: levels summed over
    visible pixels; `peak`: the largest of them. `leavings`: what counts as an encoder's, not as change."""

    columns: Pixels
    rows: Pixels
    count: Pixels
    off: Pixels
    total: NDArray[np.uint16]
    peak: Pixels
    leavings: Leavings | None = None

    @classmethod
    def empty(cls, grid: Grid, leavings: Leavings | None = None) -> CellMap:
        shape = (-(-grid.height // CELL), -(-grid.width // CELL))
        columns, rows, count, off, peak = (np.zeros(shape, np.uint8) for _ in range(5))
        return cls(columns, rows, count, off, np.zeros(shape, np.uint16), peak, leavings)


def collect(
    grid: Grid, masks: Sequence[Box] = (), also: Sequence[Box] = (), leavings: Leavings | None = None
) -> CellMap:
    """What differs visibly, on every background. With `masks` (grey in both): only around their rims and `also`.
    `leavings`: what an encoder left all over one of the two, and nobody drew."""
    found = CellMap.empty(grid, leavings)
    for background in grid.backgrounds:
        for tile in differing(grid, background, masks, also):
            _add(found, tile, grid.jitter)
    return found


def _add(found: CellMap, tile: Tile, jitter: int) -> None:
    mask, strength = visible.mask(tile.first, tile.second, jitter, found.leavings)
    core = tile.core
    inner = (slice(core.y - tile.y, core.bottom - tile.y), slice(core.x - tile.x, core.right - tile.x))
    changed, off = _padded(mask[inner].view(np.uint8)), _padded(strength[inner])
    packed = np.packbits(changed, axis=1)  # one byte: one row of one cell
    high, wide = packed.shape[0] // CELL, packed.shape[1]
    bits = packed.reshape(high, CELL, wide)
    place = (slice(core.y // CELL, core.y // CELL + high), slice(core.x // CELL, core.x // CELL + wide))
    any_off = np.bitwise_count(np.packbits(off > 0, axis=1)).reshape(high, CELL, wide).sum(axis=1, dtype=np.uint8)
    np.maximum(found.off[place], any_off, out=found.off[place])
    if not packed.any():
        return
    found.columns[place] |= np.bitwise_or.reduce(bits, axis=1)
    found.rows[place] |= np.packbits(bits > 0, axis=1).reshape(high, wide)
    np.maximum(found.count[place], np.bitwise_count(bits).sum(axis=1, dtype=np.uint8), out=found.count[place])
    levels = off * changed
    np.maximum(found.peak[place], by_cell(levels, np.maximum), out=found.peak[place])
    np.maximum(found.total[place], by_cell(levels, np.add, np.uint16), out=found.total[place])


def _padded(image: Pixels) -> Pixels:
    down, right = (-side % CELL for side in image.shape)
    if not down and not right:
        return np.ascontiguousarray(image)
    return np.asarray(cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT, value=0), np.uint8)
