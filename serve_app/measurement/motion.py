"""Tells what moved from what came and went: the same content at another place.
Knows described regions of one grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from serve_app.core.measured import MeasuredDifference
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.change import surround
from serve_app.measurement.tiles import Grid

MOST = 24  # largest regions that are matched with each other
NEAREST = 2  # pixels: less is a change of the edge
EDGES = 6  # most severe regions that may be edges of one thing
LARGEST = 0.5  # of the picture: more has no ground around it
LARGEST_PIXELS = 1 << 20  # what slid is looked for on: 5 ms
SMALLEST = 64  # pixels: repeated glyphs are below
ALIKE = 0.9  # normalised correlation of content that moved
APART = 12.0  # mean levels it may differ by
SLACK = 4  # pixels that the two boxes may differ in size


def joined(grid: Grid, found: Sequence[MeasuredDifference]) -> list[MeasuredDifference]:
    """`found` with every pair of places that show the same content joined to one `moved`.

    The target must have changed too: content that is only repeated elsewhere didn't move there.
    """
    rest = _slid_together(grid, [_slid(grid, each) for each in found])
    largest = sorted(rest, key=lambda each: -(each.reference_box or _NONE).area)[:MOST]
    used: set[int] = set()
    for one, two in _pairs(largest):
        if id(one) in used or id(two) in used:
            continue
        old, new = one.reference_box or _NONE, two.candidate_box or _NONE
        if not _shows(grid, old, new):
            continue
        used |= {id(one), id(two)}
        rest.append(
            replace(
                one,
                kind="moved",
                reference_box=old,
                candidate_box=new,
                severity=max(one.severity, two.severity),
                changed_pixels=one.changed_pixels + two.changed_pixels,
                delta_e=max(one.delta_e, two.delta_e),
            )
        )
    return [each for each in rest if id(each) not in used]


_NONE = Box(0, 0, 0, 0)


def _pairs(found: Sequence[MeasuredDifference]) -> Iterator[tuple[MeasuredDifference, MeasuredDifference]]:
    """What may have moved from the first's place to the second's: of about one size, not known to have come or gone."""
    for one in found:
        for two in found:
            old, new = one.reference_box or _NONE, two.candidate_box or _NONE
            fits = abs(old.width - new.width) <= SLACK and abs(old.height - new.height) <= SLACK
            if one is not two and fits and old.area >= SMALLEST and one.kind != "added" and two.kind != "removed":
                yield one, two


def _shows(grid: Grid, old: Box, new: Box) -> bool:
    """The first picture's content of `old` stands in the second picture's `new`."""
    width, height = min(old.width, new.width), min(old.height, new.height)
    template = _view(grid.first, old._replace(width=width, height=height))
    if width < 4 or height < 4:
        return False
    if float(template.std(axis=(0, 1)).max()) < APART / 2:  # one colour: nothing to correlate
        there = _view(grid.second, new._replace(width=width, height=height))
        return old[2:] == new[2:] and float(cv2.absdiff(there, template).mean()) <= APART / 4
    wide = Box(max(0, new.x - SLACK), max(0, new.y - SLACK), new.width + 2 * SLACK, new.height + 2 * SLACK)
    area = _view(grid.second, wide)
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED))
    if not best >= ALIKE:
        return False
    return float(cv2.absdiff(np.ascontiguousarray(area[y : y + height, x : x + width]), template).mean()) <= APART


def _view(picture: Pixels, box: Box) -> Pixels:
    return np.ascontiguousarray(picture[box.y : box.bottom, box.x : box.right])


def _slid(grid: Grid, found: MeasuredDifference) -> MeasuredDifference:
    """One region in which something slid by less than its size over one ground: its two places."""
    box = found.reference_box or _NONE
    largest = min(LARGEST * grid.width * grid.height, LARGEST_PIXELS)
    if not SMALLEST <= box.area <= largest or found.kind != "changed":
        return found
    old, new = (_content(picture, box) for picture in (grid.first, grid.second))
    if old is None or new is None or old.area < SMALLEST or abs(old.x - new.x) + abs(old.y - new.y) < NEAREST:
        return found
    if abs(old.width - new.width) > SLACK or abs(old.height - new.height) > SLACK or not _shows(grid, old, new):
        return found
    return replace(found, kind="moved", reference_box=old, candidate_box=new)


def _slid_together(grid: Grid, found: list[MeasuredDifference]) -> list[MeasuredDifference]:
    """Two regions that are the leading and the trailing edge of one thing that slid."""
    open_ones = [each for each in found if each.kind != "moved" and each.reference_box == each.candidate_box]
    for one, two in itertools.combinations(sorted(open_ones, key=lambda each: -each.severity)[:EDGES], 2):
        box, other = one.reference_box or _NONE, two.reference_box or _NONE
        both = around(box, other)
        in_line = abs(box.y - other.y) + abs(box.bottom - other.bottom) <= SLACK
        in_column = abs(box.x - other.x) + abs(box.right - other.right) <= SLACK
        if not (in_line or in_column):
            continue
        whole = replace(one, kind="changed", reference_box=both, candidate_box=both)
        slid = _slid(grid, whole)
        if slid.kind != "moved" or around(slid.reference_box or _NONE, slid.candidate_box or _NONE) != both:
            continue
        rest = [each for each in found if each is not one and each is not two]
        return [*rest, replace(slid, changed_pixels=one.changed_pixels + two.changed_pixels)]
    return found


def around(one: Box, two: Box) -> Box:
    """The smallest box that holds both."""
    left, top = min(one.x, two.x), min(one.y, two.y)
    return Box(left, top, max(one.right, two.right) - left, max(one.bottom, two.bottom) - top)


def _content(picture: Pixels, box: Box) -> Box | None:
    """What stands out of the ground around a box; None where nothing does, or the ground isn't one colour."""
    ground = surround(picture, box)
    view = _view(picture, box)
    off = cv2.absdiff(view, np.broadcast_to(np.round(ground).astype(np.uint8), view.shape)).max(axis=2) > APART
    if not off.any() or off.mean() > 0.98:
        return None
    x, y, width, height = cv2.boundingRect(off.view(np.uint8))
    return Box(box.x + x, box.y + y, width, height)
