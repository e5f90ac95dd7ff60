"""A picture and its mirror image: which way it was turned over, and the pair seen from the other side.
Knows no other way to lay pictures on one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from serve_app.core.measured import Alignment
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement.placing import likeness
from serve_app.measurement.placing.placed import Placed, matrix_of, matrix_rows

Axis = Literal[0, 1]  # that of numpy along which the picture is reversed: top to bottom, left to right
ALIKE = 0.6  # correlation with the mirror image
MORE = 0.2  # ... and so much more than without: pages are symmetric, more or less
KEPT = 0.7  # of the score, as for a picture that was turned upside down
Place = Callable[[Raster, Raster], Placed]


def axis(first: Pixels, second: Pixels) -> Axis | None:
    """Along which `second` is `first` reversed; None where it isn't. One millisecond for a megapixel."""
    size = likeness.canvas(first, second, likeness.COARSE)
    one, two = (likeness.detail(image, size) for image in (first, second))
    axes: tuple[Axis, Axis] = (1, 0)
    best = max(axes, key=lambda each: float(np.vdot(one, np.flip(two, each))))
    found = float(np.vdot(one, np.flip(two, best)))
    return best if found > ALIKE and found > float(np.vdot(one, two)) + MORE else None


def place(first: Raster, second: Raster, along: Axis, place_each: Place) -> Placed:
    """The first picture and the second one's mirror image on one grid by `place_each`; places of the second are its
    own."""
    alpha = None if second.alpha is None else np.ascontiguousarray(np.flip(second.alpha, along))
    other = replace(second, pixels=np.ascontiguousarray(np.flip(second.pixels, along)), alpha=alpha)
    inner = place_each(first, other)

    def turned_over(box: Box) -> Box:
        if along == 1:
            return box._replace(x=second.width - box.right)
        return box._replace(y=second.height - box.bottom)

    def places(box: Box) -> tuple[Box, Box]:
        one, two = inner.places(box)
        return one, turned_over(two)

    def back(box: Box, own: int) -> Box | None:
        return inner.back(box if own == 0 else turned_over(box), own)

    found = inner.alignment
    over = np.eye(3)
    length = second.original_width if along == 1 else second.original_height
    over[1 - along, 1 - along], over[1 - along, 2] = -1, length - 1
    mirror = Alignment(
        "mirrored",
        scale=found.scale,
        rotation_deg=found.rotation_deg,
        confidence=found.confidence,
        matrix=matrix_rows(over @ matrix_of(found)),
    )
    geometry = KEPT * min(0.98, inner.geometry)
    return replace(
        inner, alignment=mirror, places=places, back=back, geometry=geometry, is_same_frame=False, segments=()
    )
