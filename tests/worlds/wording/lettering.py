"""Who sets the lines of a design: one face for its body, one for its titles.
Draws nothing."""

from __future__ import annotations

from typing import Literal

from tests.worlds.wording.canvas import Colour, Line
from tests.worlds.wording.faces import PACKAGES, Face, faces, has_chinese
from tests.worlds.wording.truth import is_han
from tests.worlds.wording.vocabulary import Chance, one


def a_face(chance: Chance, text: str, *, bold: bool | None = None) -> Face:
    """One of those that have all its letters; of the Chinese ones, which have Latin letters too, where no other has.

    Raises LookupError where none has.
    """
    for chinese in (any(map(is_han, text)), True):
        fit = [face for face in faces(chinese=chinese, bold=bold) if face.has(text)]
        if fit:
            return one(chance, fit)
    raise LookupError(f"no typeface here has all letters of {text!r}: apt install {' '.join(PACKAGES)}")


class Writer:
    """One face for the body of a design, one for its titles, so that it looks set by one hand."""

    def __init__(self, chance: Chance, *, chinese: bool, ink: Colour) -> None:
        sample = "价格Price ¥$€ 0123456789：%" if chinese else "Price ¥$€ 0123456789 %"
        self.body, self.bold = a_face(chance, sample), a_face(chance, sample, bold=True)
        self.ink = ink

    def line(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        *,
        bold: bool = False,
        ink: Colour | None = None,
        align: Literal["left", "right", "middle"] = "left",
        role: Literal["", "free", "set"] = "",
    ) -> Line:
        return Line(text, x, y, self.bold if bold else self.body, size, ink or self.ink, align, role=role)


def in_chinese(chance: Chance) -> bool:
    return has_chinese() and chance.random() < 0.5
