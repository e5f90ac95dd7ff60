"""Ignored regions that can't be meant: outside the picture, or all of it.
Knows no pixels and no words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from serve_app.core.pictures import Box


def outside(regions: Sequence[Box], width: int, height: int) -> Iterator[int]:
    """Of each region that touches no pixel of the picture, its number in the list."""
    frame = Box(0, 0, width, height)
    yield from (index for index, region in enumerate(regions) if not region.overlap(frame))


def cover(regions: Sequence[Box], width: int, height: int) -> bool:
    """Whether the regions together hide every pixel of the picture."""
    if not regions:
        return False
    columns = np.unique([0, width, *(min(width, x) for box in regions for x in (box.x, box.right))])
    rows = np.unique([0, height, *(min(height, y) for box in regions for y in (box.y, box.bottom))])
    hidden = np.zeros((len(rows) - 1, len(columns) - 1), bool)  # of every field between two neighbouring edges
    for box in regions:
        down, across = (
            (rows[:-1] >= box.y) & (rows[:-1] < box.bottom),
            (columns[:-1] >= box.x) & (columns[:-1] < box.right),
        )
        hidden |= down[:, None] & across[None]
    return bool(hidden.all())
