"""A place of a changed pair in which nothing visible changed, to ask a model about like the places where something did.
No pixels, no model: charts of change in, boxes out.

A model that says yes to every question sees a change there as well: what it says of the other places is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Chart, Examination, Measurement
from serve_app.core.pictures import Box, ImageFacts

LEAST_FREE = 3  # fields of a chart: the decoy, and one on each side that is as still as it


def place(examination: Examination) -> tuple[Box | None, Box | None] | None:
    """A box in upright original pixels of the reference and the same place in the candidate.

    The second is None where the two pictures don't lie on one place: a place in the first says enough. None where
    there is no chart or no still place that is large enough.
    """
    measured = examination.measurement
    if measured.charts is None:
        return None
    still = _still(measured.charts[0], [each.reference_box for each in measured.differences], examination.reference)
    in_both = measured.alignment.kind == "none"
    if in_both:
        listed = [each.candidate_box for each in measured.differences]
        still &= _still(measured.charts[1], listed, examination.candidate)
    square = _largest_square(still)
    if square is None:
        return None
    column, row, side = square
    size = min(side - 2, max(1, _usual_size(measured, examination.reference, still.shape[0])))
    inset = (side - size) // 2
    box = _box(column + inset, row + inset, size, still.shape[0], examination.reference)
    return box, box if in_both else None


def _still(chart: Chart, listed: Sequence[Box | None], facts: ImageFacts) -> NDArray[np.bool_]:
    """(rows, columns): the fields in which no pixel changed, as far as one can tell, and that no listed box touches: a
    frame that moved as a whole leaves each part of it still."""
    fields = np.frombuffer(chart.fields, np.uint8).reshape(chart.rows, chart.columns)
    still: NDArray[np.bool_] = fields == 0
    across, down = chart.columns / facts.width, chart.rows / facts.height
    for box in (one for one in listed if one is not None):
        rows = slice(int(box.y * down), math.ceil(box.bottom * down))
        still[rows, int(box.x * across) : math.ceil(box.right * across)] = False
    return still


def _largest_square(still: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Left column, top row and side of the largest square of still fields; None if it is smaller than `LEAST_FREE`."""
    sums = np.pad(still.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    for side in range(min(still.shape), LEAST_FREE - 1, -1):
        inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        rows, columns = np.nonzero(inside == side * side)
        if len(rows):
            return int(columns[0]), int(rows[0]), side
    return None


def _usual_size(measured: Measurement, facts: ImageFacts, fields: int) -> int:
    """Fields a side of the middle one of the measured differences, so that the decoy's size doesn't give it away."""
    boxes = [each.reference_box or each.candidate_box for each in measured.differences]
    sizes = sorted(max(box.width / facts.width, box.height / facts.height) for box in boxes if box is not None)
    return round(sizes[len(sizes) // 2] * fields) if sizes else 1


def _box(column: int, row: int, size: int, fields: int, facts: ImageFacts) -> Box:
    left, top = column * facts.width // fields, row * facts.height // fields
    right, bottom = (column + size) * facts.width // fields, (row + size) * facts.height // fields
    return Box(left, top, max(1, right - left), max(1, bottom - top))
