"""What is known of one model from its start, in one language: how it is asked, and how its answers are read.
No model, no questions: values.

Families are trained to write a box in different numbers, and a number doesn't tell which: [90, 360, 270, 540] is a
place in thousandths as well as in pixels. So the model is shown a place (`calibration`), and what it writes of it
settles the convention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from serve_app.core.assessed import Anchors, PictureBox

Corners = tuple[float, float, float, float]  # as a model writes them, whatever they mean
Unit = Literal["thousandths", "pixels", "resized_pixels", "fractions"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture that a box is written of: width and height that its question told, and those to which the engine
    brought it for the model, None where that is not known."""

    told: tuple[int, int]
    resized: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Convention:
    """How a model writes the corners of a box: [left, top, right, bottom] in `unit`s, or [top, left, bottom, right]."""

    unit: Unit
    y_first: bool = False

    @property
    def in_pixels(self) -> bool:
        return self.unit in ("pixels", "resized_pixels")

    @property
    def name(self) -> str:
        return f"{self.unit}_y_first" if self.y_first else self.unit

    def is_asked_like(self, other: Convention) -> bool:
        """Whether a question for one of them is in the same words as one for the other."""
        return (self.y_first, self.in_pixels) == (other.y_first, other.in_pixels) and (
            self.in_pixels or self.unit == other.unit
        )

    def place(self, corners: Corners, frame: Frame) -> PictureBox | None:
        """What these corners mean; None where they are no place in the picture, or its size is not known."""
        sides = self._sides(frame)
        if sides is None:
            return None
        first, second, third, fourth = corners
        left, top, right, bottom = (second, first, fourth, third) if self.y_first else corners
        left, right = (1000 * value / sides[0] for value in (left, right))
        top, bottom = (1000 * value / sides[1] for value in (top, bottom))
        if not all(0 <= value <= 1000 for value in (left, top, right, bottom)):
            return None
        box = PictureBox(round(left), round(top), round(right), round(bottom))
        return box if box.left < box.right and box.top < box.bottom else None

    def corners(self, place: PictureBox, frame: Frame) -> Corners | None:
        """What stands for this place: whole numbers, but for fractions."""
        sides = self._sides(frame)
        if sides is None:
            return None
        digits = 3 if self.unit == "fractions" else None
        across = [round(value * sides[0] / 1000, digits) for value in (place.left, place.right)]
        down = [round(value * sides[1] / 1000, digits) for value in (place.top, place.bottom)]
        first, second = (down, across) if self.y_first else (across, down)
        return (first[0], second[0], first[1], second[1])

    def _sides(self, frame: Frame) -> tuple[float, float] | None:
        """What a picture's whole width and height are in this unit."""
        if self.unit == "resized_pixels":
            return frame.resized
        if self.unit == "pixels":
            return frame.told
        side = 1.0 if self.unit == "fractions" else 1000.0
        return side, side


THOUSANDTHS: Final = Convention("thousandths")
CONVENTIONS: Final = (
    THOUSANDTHS,
    Convention("thousandths", y_first=True),
    Convention("resized_pixels"),
    Convention("pixels"),
    Convention("fractions"),
)
ASKED: Final = tuple(one for one in CONVENTIONS if one.unit != "resized_pixels")  # a question in words for each


@dataclass(frozen=True, slots=True)
class Habits:
    """`letters`: whether its labels are letters, because its tokenizer splits the words. `anchors`: see there, None
    where none could be taken. `sees_ghosts`: whether it saw a change in a picture beside itself; None where that
    isn't known. `boxes`: how it writes places, None where it can't place a thing."""

    letters: bool = False
    anchors: Anchors | None = None
    sees_ghosts: bool | None = None
    boxes: Convention | None = THOUSANDTHS


UNKNOWN: Final = Habits()
