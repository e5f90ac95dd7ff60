"""A measured pair as its readers get it: both pictures on one grid, and where on it they differ.
Decides nothing about what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from serve_app.core.laid import Laid, Spot
from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box, Raster
from serve_app.measurement.cells import CellMap
from serve_app.measurement.placing.masking import in_raster, originally
from serve_app.measurement.placing.placed import Placed, within
from serve_app.measurement.tiles import CELL

PAGE: Final = 0.25  # of a picture
SURE: Final = 0.5  # confidence of an alignment from which on a place of the grid means something


def lay(
    placed: Placed,
    cells: CellMap,
    pictures: tuple[Raster, Raster],
    differences: tuple[MeasuredDifference, ...],
    *,
    is_turned: bool,
) -> Laid:
    """`differences`: as seen from the first picture."""
    grid = placed.grid

    def is_changed(box: Box) -> bool:
        rows = slice(max(0, box.y) // CELL, -(-max(0, box.bottom) // CELL))
        columns = slice(max(0, box.x) // CELL, -(-max(0, box.right) // CELL))
        return bool(cells.count[rows, columns].any())

    def original(box: Box, own: int) -> Box:
        raster = pictures[own]
        return within(originally(box, raster), (raster.original_width, raster.original_height)) or Box(0, 0, 1, 1)

    whole = Box(0, 0, grid.width, grid.height)
    return Laid(
        first=grid.first,
        second=grid.second,
        on_black=grid.window(whole, "black") if len(grid.backgrounds) > 1 else None,
        pictures=(pictures[0].pixels, pictures[1].pixels),
        spots=tuple(_spots(placed, pictures, differences)),
        is_changed=is_changed,
        own=placed.places,
        original=original,
        is_turned=is_turned,
        is_rough=bool(grid.jitter) or placed.coarseness > 1 or cells.leavings is not None,
        is_warped=placed.is_warped,
        is_explained=placed.alignment.kind not in ("unaligned", "mirrored") and placed.alignment.confidence >= SURE,
    )


def _spots(
    placed: Placed, pictures: tuple[Raster, Raster], differences: tuple[MeasuredDifference, ...]
) -> Iterator[Spot]:
    has_bands = bool(placed.segments or placed.columns)
    for each in differences:
        boxes = (each.reference_box, each.candidate_box)
        one, two = (
            None if box is None else in_raster(box, raster) for box, raster in zip(boxes, pictures, strict=True)
        )
        on_grid = (None if box is None else placed.back(box, own) for own, box in enumerate((one, two)))
        # Rows that one picture alone has lie on no grid: there, one row of the other says between which.
        came = has_bands and any(box is not None and box.height == 1 for box in boxes)
        fills = (one, two) == tuple(Box(0, 0, raster.width, raster.height) for raster in pictures)
        is_frame = fills and (each.tone is not None or not placed.is_same_frame)
        yield Spot(
            each.kind,
            () if came else tuple(dict.fromkeys(box for box in on_grid if box is not None)),
            (one, two),
            is_whole=is_frame or (has_bands and each.kind == "moved" and _is_page(one, pictures[0])),
        )


def _is_page(box: Box | None, raster: Raster) -> bool:
    """What rows that came in pushed down is no place either, unless it is a line or two."""
    return box is None or box.area > PAGE * raster.width * raster.height
