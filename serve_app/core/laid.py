"""A pair of pictures on one grid, for whoever reads what they show.
Values and two ways between places: nothing here knows how the pair was placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve_app.core.pictures import Box, Pixels
from serve_app.schema import DifferenceKind


@dataclass(frozen=True, slots=True)
class Spot:
    """One measured difference as the grid has it. `kind`: from the first picture to the second.

    `at`: on the grid, both places of what moved; none where it lies off it, as rows that came in between do. `own`: in
    each picture's own pixels.
    `is_whole`: of the whole frames, so that it tells of no place.
    """

    kind: DifferenceKind
    at: tuple[Box, ...]
    own: tuple[Box | None, Box | None]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Laid:
    """Two pictures on one grid, (height, width, 3) uint8 RGB each, what is ignored grey in both.

    `on_black`: the same with transparency on black, where a picture has any. `pictures`: each one's own pixels.
    `spots`: of the measured differences, in their order. `is_changed`: whether anything in a box of the grid differs
    visibly. `own`: a box of the grid in each picture's own pixels; `original`: a box of one picture's own pixels (0:
    the first) in original ones. `is_turned`: the first picture is the candidate. `is_rough`: one was resampled, or
    compressed more: letters may look other than they are. `is_warped`: it was turned or tilted to meet the other.
    `is_explained`: the same place of the grid shows the same thing, as far as anything is the same.
    """

    first: Pixels
    second: Pixels
    on_black: tuple[Pixels, Pixels] | None
    pictures: tuple[Pixels, Pixels]
    spots: tuple[Spot, ...]
    is_changed: Callable[[Box], bool]
    own: Callable[[Box], tuple[Box, Box]]
    original: Callable[[Box, int], Box]
    is_turned: bool
    is_rough: bool
    is_warped: bool
    is_explained: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the grid."""
        return int(self.first.shape[1]), int(self.first.shape[0])

    def places(self, box: Box) -> tuple[Box, Box]:
        """A box of the grid in original pixels of each picture."""
        one, two = self.own(box)
        return self.original(one, 0), self.original(two, 1)
