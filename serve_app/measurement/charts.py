"""Where each picture of a measured pair changed, coarsely: what a model's findings are held against.
Knows no findings: a chart of each picture comes out.

Listed differences leave out what is too faint or too small; a chart keeps all that differs visibly, and tells it from
places that show nothing of the other picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import UNMEASURED, Chart
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.cells import CellMap
from serve_app.measurement.placing.placed import Placed
from serve_app.measurement.tiles import CELL

FIELDS = 32  # along each side: a field is 3 % of a side, about as exact as a model places a box
_MOST = 200  # a field's value where every pixel changed


def charts(placed: Placed, cells: CellMap, first: Raster, second: Raster) -> tuple[Chart, Chart]:
    """Of the first and of the second picture. `cells`: visible change on the grid of `placed`."""
    if placed.alignment.kind == "unaligned":
        nothing = _chart(np.full((1, 1), UNMEASURED, np.uint8))
        return nothing, nothing
    fields = [np.full((FIELDS, FIELDS), UNMEASURED, np.uint8) for _ in range(2)]
    # Least change first, so that a field shows the most of what lies on it.
    for block in sorted(_blocks(placed, cells), key=lambda block: block.value):
        for one, raster, box in zip(fields, (first, second), placed.places(block.box), strict=True):
            _mark(one, box, raster, block.value)
    return _chart(fields[0]), _chart(fields[1])


@dataclass(frozen=True, slots=True)
class _Block:
    box: Box  # in pixels of the grid
    value: int


def _blocks(placed: Placed, cells: CellMap) -> list[_Block]:
    grid = placed.grid
    down, across = cells.count.shape
    step_x, step_y = -(-across // FIELDS), -(-down // FIELDS)
    rows, columns = np.arange(0, down, step_y), np.arange(0, across, step_x)
    changed, off = (_summed(values, rows, columns) for values in (cells.count, cells.off))
    blocks = []
    for i, j in np.ndindex(changed.shape):
        left, top = int(columns[j]) * CELL, int(rows[i]) * CELL
        box = Box(left, top, min(step_x * CELL, grid.width - left), min(step_y * CELL, grid.height - top))
        if placed.is_warped and not off[i, j]:
            continue  # a warped picture is never equal to the last level: here the other one shows nothing
        blocks.append(_Block(box, _value(int(changed[i, j]), box)))
    return blocks


def _summed(values: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    down = np.add.reduceat(values.astype(np.int64), rows, axis=0)
    return np.asarray(np.add.reduceat(down, columns, axis=1))


def _value(changed: int, box: Box) -> int:
    return 0 if not changed else min(_MOST, max(1, round(_MOST * changed / box.area)))


def _mark(fields: Pixels, box: Box, raster: Raster, value: int) -> None:
    """Write `value` into every field that `box`, in raster pixels, touches."""
    across, down = FIELDS / raster.width, FIELDS / raster.height
    rows = slice(int(box.y * down), max(int(box.y * down) + 1, -int(-box.bottom * down // 1)))
    columns = slice(int(box.x * across), max(int(box.x * across) + 1, -int(-box.right * across // 1)))
    fields[rows, columns] = value


def _chart(fields: Pixels) -> Chart:
    return Chart(fields.shape[1], fields.shape[0], fields.tobytes())
