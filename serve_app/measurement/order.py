"""One order for every pair: which picture comes first, and a result seen from the other side.
So (a, b) and (b, a) agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from serve_app.core.measured import MeasuredDifference, Measurement
from serve_app.core.pictures import Raster
from serve_app.measurement import tiles
from serve_app.measurement.lighting import light
from serve_app.measurement.placing.placed import turned_alignment
from serve_app.schema import DifferenceKind


def are_identical(reference: Raster, candidate: Raster) -> bool:
    return tiles.same(reference.pixels, candidate.pixels) and _same_alpha(reference, candidate)


def _same_alpha(reference: Raster, candidate: Raster) -> bool:
    if reference.alpha is None or candidate.alpha is None:
        return all(raster.alpha is None or bool((raster.alpha == 255).all()) for raster in (reference, candidate))
    return bool(np.array_equal(reference.alpha, candidate.alpha))


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


def rounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


_TURNED: Mapping[DifferenceKind, DifferenceKind] = {
    "changed": "changed",
    "moved": "moved",
    "added": "removed",
    "removed": "added",
}


def turned(measured: Measurement) -> Measurement:
    return replace(
        measured,
        alignment=turned_alignment(measured.alignment),
        differences=tuple(_turn_each(measured.differences)),
        tone=None if measured.tone is None else light.turned(measured.tone),
    )


def _turn_each(differences: Sequence[MeasuredDifference]) -> list[MeasuredDifference]:
    return [
        replace(
            each,
            kind=_TURNED[each.kind],
            reference_box=each.candidate_box,
            candidate_box=each.reference_box,
            tone=None if each.tone is None else light.turned(each.tone),
        )
        for each in differences
    ]
