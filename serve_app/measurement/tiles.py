"""A pair on one grid, read tile by tile, so that memory doesn't grow with the picture.
Knows nothing of what a difference is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import MASK_GREY, Box, Pixels

CELL = 8  # pixels: the grain of regions; a byte holds one row of a cell
TILE = 512  # pixels of a tile's side without halo: its buffers (0.9 MB) stay in a core's cache
HALO = 16  # pixels around a tile that its rules may look at; two cells
BLOCK = 32  # pixels: the grain in which a tile's unchanged rest is left out
REACH = 40  # pixels from a changed one beyond which no rule looks: the widest window is nine cells
MIB = 1024 * 1024

Background = Literal["white", "black"]


@dataclass(frozen=True, slots=True)
class Grid:
    """Two pictures of one size: (height, width, 3) uint8 on white, alpha (height, width) or None.

    `jitter`: how far edges may sit apart without meaning anything, in pixels: 1 where one of the two
    was resampled to meet the other, else 0.
    """

    first: Pixels
    second: Pixels
    first_alpha: Pixels | None = None
    second_alpha: Pixels | None = None
    jitter: int = 0

    @property
    def width(self) -> int:
        return int(self.first.shape[1])

    @property
    def height(self) -> int:
        return int(self.first.shape[0])

    @property
    def backgrounds(self) -> tuple[Background, ...]:
        """Transparent pictures are looked at on white and on black: neither alone shows everything."""
        return ("white",) if self.first_alpha is None and self.second_alpha is None else ("white", "black")

    def window(self, box: Box, background: Background) -> tuple[Pixels, Pixels]:
        """Both pictures inside `box`; views on white, copies on black."""
        rows, columns = slice(box.y, box.bottom), slice(box.x, box.right)
        first, second = self.first[rows, columns], self.second[rows, columns]
        if background == "white":
            return first, second
        return _on_black(first, self.first_alpha, box), _on_black(second, self.second_alpha, box)


def _on_black(pixels: Pixels, alpha: Pixels | None, box: Box) -> Pixels:
    if alpha is None:
        return pixels
    missing = 255 - alpha[box.y : box.bottom, box.x : box.right]
    # Rounding of the composite may leave a pixel one level darker than its white share: clip at 0.
    return np.maximum(pixels, missing[..., None]) - missing[..., None]


def same(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    """Equality without a mask of the whole picture: row blocks of about 1 MB, eight bytes at a time where they lie so.

    37 megapixels take 7 ms; `array_equal` of their tiles takes 21.
    """
    if first.shape != second.shape:
        return False
    rows = max(8, (1 << 20) // max(1, first[:1].size) // 8 * 8)
    return all(_equal(first[y : y + rows], second[y : y + rows]) for y in range(0, first.shape[0], rows))


def _equal(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    if not (first.flags.c_contiguous and second.flags.c_contiguous):
        return np.array_equal(first, second)
    one, two = first.reshape(-1), second.reshape(-1)
    even = one.size // 8 * 8
    words = one[:even].view(np.uint64), two[:even].view(np.uint64)
    if not (words[0].flags.aligned and words[1].flags.aligned):
        return np.array_equal(one, two)
    return np.array_equal(*words) and np.array_equal(one[even:], two[even:])


def _alike(first: Pixels, second: Pixels) -> bool:
    """Equality of two windows, by strips: where everything differs, the first says so."""
    return all(np.array_equal(first[y : y + CELL], second[y : y + CELL]) for y in range(0, first.shape[0], CELL))


def by_cell(plane: Pixels, by: np.ufunc, dtype: type[np.unsignedinteger[Any]] = np.uint8) -> NDArray[Any]:
    """One value a cell of a plane of whole cells. By halves along the rows: numpy is slow over the last axis."""
    rows = by.reduce(plane.reshape(-1, CELL, plane.shape[1]), axis=1, dtype=dtype)
    while rows.shape[1] > plane.shape[1] // CELL:
        rows = by(rows[:, ::2], rows[:, 1::2])
    return np.asarray(rows)


def whole_cells(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane whose ragged edge is filled with its mirror image."""
    down, right = (-side % CELL for side in plane.shape)
    return np.asarray(cv2.copyMakeBorder(plane, 0, down, 0, right, cv2.BORDER_REFLECT)) if down or right else plane


def cell_means(plane: Pixels) -> NDArray[np.float32]:
    total: NDArray[np.float32] = by_cell(whole_cells(plane), np.add, np.uint16).astype(np.float32)
    return total / np.float32(CELL * CELL)


def spread(cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Each cell's value in all of its pixels."""
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: shape[0], : shape[1]]


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile's pixels with halo. `core` is the tile itself in grid pixels, `x`, `y` where the halo starts."""

    first: Pixels
    second: Pixels
    core: Box
    x: int
    y: int


def differing(
    grid: Grid, background: Background, masks: Sequence[Box] = (), also: Sequence[Box] = ()
) -> Iterator[Tile]:
    """What is not equal of each tile. With `masks` both are grey there, and only their rims and `also` are read."""
    for core in _rims(grid, [*masks, *also]) if masks else _changed(grid, background):
        near = [mask for mask in masks if _meet(mask, core, HALO)]
        if any(_holds(mask, core) for mask in near):
            continue
        if not _alike(*grid.window(core, background)):
            yield from _narrowed(_with_halo(grid, core, background, near))


def _tiles(area: Box) -> Iterator[Box]:
    for y in range(area.y, area.bottom, TILE):
        for x in range(area.x, area.right, TILE):
            yield Box(x, y, min(TILE, area.right - x), min(TILE, area.bottom - y))


def _changed(grid: Grid, background: Background) -> Iterator[Box]:
    """The tiles of every row of tiles that isn't equal."""
    for y in range(0, grid.height, TILE):
        row = Box(0, y, grid.width, min(TILE, grid.height - y))
        if not same(*grid.window(row, background)):
            yield from _tiles(row)


def _rims(grid: Grid, masks: Sequence[Box]) -> Iterator[Box]:
    for mask in masks:
        left, top = (max(0, start - HALO) // CELL * CELL for start in (mask.x, mask.y))
        right, bottom = min(grid.width, mask.right + HALO), min(grid.height, mask.bottom + HALO)
        yield from _tiles(Box(left, top, right - left, bottom - top))


def _with_halo(grid: Grid, core: Box, background: Background, masks: Sequence[Box]) -> Tile:
    left, top = max(0, core.x - HALO), max(0, core.y - HALO)
    right, bottom = min(grid.width, core.right + HALO), min(grid.height, core.bottom + HALO)
    first, second = grid.window(Box(left, top, right - left, bottom - top), background)
    if masks:
        first, second = first.copy(), second.copy()
    for mask in masks:
        rows = slice(max(0, mask.y - top), max(0, mask.bottom - top))
        columns = slice(max(0, mask.x - left), max(0, mask.right - left))
        first[rows, columns] = MASK_GREY
        second[rows, columns] = MASK_GREY
    return Tile(first, second, core, left, top)


def _narrowed(tile: Tile) -> Iterator[Tile]:
    """The tile around its changed blocks only, in one or more parts: what the rules say of these is the same."""
    core = tile.core
    inner = (slice(core.y - tile.y, core.bottom - tile.y), slice(core.x - tile.x, core.right - tile.x))
    off = cv2.absdiff(tile.first[inner], tile.second[inner]).reshape(core.height, -1)
    ragged = -core.height % BLOCK
    if ragged:
        off = np.concatenate([off, np.zeros((ragged, off.shape[1]), np.uint8)])
    rows = off.reshape(-1, BLOCK, off.shape[1]).max(axis=1)  # forty times faster than reduceat along this axis
    blocks = np.maximum.reduceat(rows, np.arange(0, rows.shape[1], 3 * BLOCK), axis=1) > 0
    if not blocks.any():
        return
    parts = [_part(tile, box) for box in _clusters(blocks)]
    if sum(part.first.size for part in parts) < tile.first.size:
        yield from parts
    else:
        yield tile


def _clusters(blocks: NDArray[np.bool_]) -> list[Box]:
    """Boxes of set blocks with at most two unset ones between neighbours."""
    near = cv2.dilate(blocks.view(np.uint8), np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8, ltype=cv2.CV_32S)
    return [Box(*cv2.boundingRect((blocks & (labels == label)).view(np.uint8))) for label in range(1, count)]


def _part(tile: Tile, blocks: Box) -> Tile:
    core = tile.core
    left, top = core.x + blocks.x * BLOCK, core.y + blocks.y * BLOCK
    right, bottom = min(core.right, core.x + blocks.right * BLOCK), min(core.bottom, core.y + blocks.bottom * BLOCK)
    x, y = max(tile.x, left - REACH), max(tile.y, top - REACH)
    view = (slice(y - tile.y, bottom + REACH - tile.y), slice(x - tile.x, right + REACH - tile.x))
    return Tile(tile.first[view], tile.second[view], Box(left, top, right - left, bottom - top), x, y)


def _meet(box: Box, other: Box, margin: int) -> bool:
    return (
        box.x < other.right + margin
        and other.x < box.right + margin
        and box.y < other.bottom + margin
        and other.y < box.bottom + margin
    )


def _holds(box: Box, other: Box) -> bool:
    return box.x <= other.x and box.y <= other.y and box.right >= other.right and box.bottom >= other.bottom
