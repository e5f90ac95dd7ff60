"""Which measured regions the model is shown at native resolution, and which part of each picture.
No pixels, no model: boxes and sizes in, boxes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve_app.core.measured import MeasuredDifference, Measurement
from serve_app.core.pictures import Box, ImageFacts

# Four pairs of at most 448 x 448 are 2,000 visual tokens where one stands for 28 x 28 pixels: as many as the
# two whole pictures of 1024 x 1024 take 2,700. What lies beyond the four worst is seen in those.
MAX_CROPS: Final = 4
MAX_SIDE: Final = 448
MIN_SIDE: Final = 128  # pixels of the original: less than four or five tokens a side tell a model nothing
MARGIN: Final = 0.5  # of the region, on every side: what changed is told by what stands around it
FINER: Final = 1.25  # times the resolution of the whole picture as shown: less is not worth the tokens


@dataclass(frozen=True, slots=True)
class Place:
    """The region `index` of the measurement in both pictures, upright original pixels."""

    index: int
    reference: Box
    candidate: Box


def places(
    measured: Measurement, reference: ImageFacts, candidate: ImageFacts, shown_at_most: tuple[int, int]
) -> tuple[Place, ...]:
    """At most `MAX_CROPS`, most severe first; none where the pictures are shown about as finely anyway."""
    found = []
    for index, difference in enumerate(measured.differences):
        place = _around(index, difference, measured.alignment.scale, reference, candidate)
        if _is_finer(place.reference, reference, shown_at_most) or _is_finer(place.candidate, candidate, shown_at_most):
            found.append(place)
    return tuple(found[:MAX_CROPS])


def largest(shown_at_most: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a crop at most: no picture that the model is shown is over the caller's size."""
    return min(MAX_SIDE, shown_at_most[0]), min(MAX_SIDE, shown_at_most[1])


def _around(
    index: int, difference: MeasuredDifference, scale: float, reference: ImageFacts, candidate: ImageFacts
) -> Place:
    """The same extent of both pictures: what is larger in one of them would look grown beside the other."""
    own, other = difference.reference_box, difference.candidate_box
    one = own or _carried(other, candidate, reference)
    two = other or _carried(own, reference, candidate)
    width, height = max(one.width, two.width / scale), max(one.height, two.height / scale)
    extent = [max(MIN_SIDE, length * (1 + 2 * MARGIN)) for length in (width, height)]
    return Place(
        index,
        _window(one, extent[0], extent[1], reference),
        _window(two, extent[0] * scale, extent[1] * scale, candidate),
    )


def _carried(box: Box | None, source: ImageFacts, target: ImageFacts) -> Box:
    """The same relative place in the other picture."""
    if box is None:
        return Box(0, 0, target.width, target.height)
    across, down = target.width / source.width, target.height / source.height
    return Box(int(box.x * across), int(box.y * down), max(1, int(box.width * across)), max(1, int(box.height * down)))


def _window(box: Box, width: float, height: float, facts: ImageFacts) -> Box:
    wide, high = min(facts.width, max(1, round(width))), min(facts.height, max(1, round(height)))
    left = min(max(0, box.x + (box.width - wide) // 2), facts.width - wide)
    top = min(max(0, box.y + (box.height - high) // 2), facts.height - high)
    return Box(left, top, wide, high)


def _is_finer(window: Box, facts: ImageFacts, shown_at_most: tuple[int, int]) -> bool:
    limit = largest(shown_at_most)
    as_crop = min(1.0, limit[0] / window.width, limit[1] / window.height)
    return as_crop * facts.width >= FINER * facts.shown_width
