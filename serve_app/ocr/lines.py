"""Lines of two pictures on one grid: found in either, one place for both, read in both.
Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from serve_app.core.laid import Laid
from serve_app.core.pictures import Box, Pixels
from serve_app.ocr import quads, windows
from serve_app.ocr.quads import Quad
from serve_app.ocr.reader import Reads
from serve_app.ocr.recognition import Read
from serve_app.ocr.windows import Window

COVERS: Final = 0.5  # of the smaller one that two lines have in common to be one
HIGHER: Final = 1.8  # times: lines of such heights aren't one
CUT: Final = 1.0  # pixels from a strip's cut edge: the neighbouring strip has the whole line
GROWTHS: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """One line's place in both pictures. `seen`: where a line was found there, in each of them."""

    quad: Quad
    seen: tuple[Box | None, Box | None]

    @property
    def box(self) -> Box:
        return quads.bounds(self.quad)


def find_places(
    reader: Reads, pictures: tuple[Pixels, Pixels], window: Window, spots: Sequence[Box], size: tuple[int, int]
) -> list[Place]:
    """Lines of either picture in the window, which is made larger where one that differs runs out of it."""
    box = window.box
    for _ in range(GROWTHS):
        found = tuple(_find(reader, picture, Window(box, window.scale)) for picture in pictures)
        wider = windows.grown(box, [*found[0], *found[1]], spots, size)
        if wider is None:
            break
        box = wider
    return grouped(found[0], found[1])


def find_in(reader: Reads, picture: Pixels, box: Box, scale: int = 1) -> list[Quad]:
    """Lines of one picture in a box of it."""
    return _find(reader, picture, Window(box, scale))


def _find(reader: Reads, picture: Pixels, window: Window) -> list[Quad]:
    found: list[Quad] = []
    parts = windows.strips(window)
    for part in parts:
        view = picture[part.y : part.bottom, part.x : part.right]
        for quad in reader.find_lines(view, window.scale):
            line = quads.bounds(quad)
            if len(parts) > 1 and _is_cut(line, part, window.box):
                continue
            found.append(quad + np.array((part.x, part.y), np.float32))
    return found if len(parts) == 1 else quads.joined(_once(found))


def _is_cut(line: Box, part: Box, whole: Box) -> bool:
    """Above or below, where the strip beside has it whole. What is cut left or right is joined again."""
    above = part.y > whole.y and line.y <= CUT
    below = part.bottom < whole.bottom and line.bottom >= part.height - CUT
    return above or below


def _once(found: list[Quad]) -> list[Quad]:
    """A line in the rows that two strips share is found twice."""
    kept: list[Quad] = []
    for quad in sorted(found, key=lambda each: -quads.bounds(each).area):
        box = quads.bounds(quad)
        if not any(box.overlap(quads.bounds(other)) > 0.8 * box.area for other in kept):
            kept.append(quad)
    return kept


def grouped(first: Sequence[Quad], second: Sequence[Quad]) -> list[Place]:
    """One place for lines of both that cover each other: cut alike, both read alike where they are alike."""
    members: list[tuple[list[Quad], list[Quad]]] = [([quad], []) for quad in first]
    for quad in second:
        near = [each for each in members if any(_cover(quad, other) for other in (*each[0], *each[1]))]
        members = [each for each in members if not any(each is other for other in near)]
        ones = [one for each in near for one in each[0]]
        twos = [two for each in near for two in each[1]]
        members.append((ones, [*twos, quad]))
    return [Place(quads.union([*ones, *twos]), (_bounds(ones), _bounds(twos))) for ones, twos in members]


def _bounds(found: Sequence[Quad]) -> Box | None:
    return quads.bounds(quads.union(found)) if found else None


def _cover(one: Quad, two: Quad) -> bool:
    heights = sorted((quads.size(one)[1], quads.size(two)[1]))
    if heights[1] > HIGHER * heights[0] and quads.is_vertical(one) == quads.is_vertical(two):
        return False
    box, other = quads.bounds(one), quads.bounds(two)
    common = min(box.bottom, other.bottom) - max(box.y, other.y)
    return box.overlap(other) >= COVERS * min(box.area, other.area) and common >= COVERS * min(box.height, other.height)


def read_places(reader: Reads, laid_pictures: tuple[Pixels, Pixels], places: Sequence[Quad]) -> list[tuple[Read, Read]]:
    """What stands there in the first and in the second picture."""
    strips = [quads.cut(picture, quad) for quad in places for picture in laid_pictures]
    read = reader.read_lines(strips)
    return list(zip(read[::2], read[1::2], strict=True))


def backgrounds(laid: Laid) -> list[tuple[Pixels, Pixels]]:
    """Both pictures on white, then on black where something is transparent: white letters show there only."""
    return [(laid.first, laid.second), *([] if laid.on_black is None else [laid.on_black])]
