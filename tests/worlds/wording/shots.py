"""How a design becomes a picture's pixels: rendered, turned, tilted, blurred, compressed; and the pair that two make.
Knows no vocabulary."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serve_app.core.pictures import Box, Pixels
from tests.worlds.labels import tilt
from tests.worlds.pairs import clipped
from tests.worlds.wording.canvas import Design, Line, whole
from tests.worlds.wording.truth import Event, Placed, TextPair, changed_words

Matrix = NDArray[np.float64]
FINER = 2  # times: a photographed design is drawn so much larger first
After = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Shot:
    """`matrix`: places the design's pixels in the picture. `after`: what else befalls the pixels, before noise."""

    scale: float = 1
    matrix: Matrix | None = None
    blur: float = 0
    noise: float = 0
    quality: int | None = None
    after: After | None = None

    def taken(self, design: Design, seed: int) -> tuple[Pixels, bytes | None]:
        """The pixels, and the file where it is a JPEG."""
        pixels = self._placed(design)
        if self.blur:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), self.blur))
        if self.after:
            pixels = self.after(pixels)
        if self.noise:
            pixels = clipped(pixels + np.random.default_rng(seed).normal(0, self.noise, pixels.shape))
        if self.quality is None:
            return pixels, None
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=self.quality)
        return np.asarray(Image.open(out).convert("RGB")), out.getvalue()

    def box(self, line: Line) -> Box:
        """Around the ink of a line, upright, in the picture."""
        if self.matrix is None:
            return whole(*line.box(self.scale))
        left, top, right, bottom = line.box()
        corners = np.array([[(x, y)] for x in (left, right) for y in (top, bottom)], np.float64)
        landed = cv2.perspectiveTransform(corners, self.matrix).reshape(-1, 2)
        return whole(*landed.min(axis=0), *landed.max(axis=0))

    def _placed(self, design: Design) -> Pixels:
        if self.matrix is None:
            return design.rendered(self.scale)
        soft = cv2.GaussianBlur(design.rendered(FINER), (0, 0), 0.4 * FINER)
        down = np.diag([1 / FINER, 1 / FINER, 1.0])
        size = (design.width, design.height)
        seen = cv2.warpPerspective(soft, self.matrix @ down, size, flags=cv2.INTER_LINEAR, borderValue=design.ground)
        return np.asarray(seen, np.uint8)


PLAIN = Shot()


def turned(design: Design, degrees: float) -> Matrix:
    """About the middle."""
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((design.width / 2, design.height / 2), degrees, 1)
    return matrix


def tilted(design: Design, off: float, seed: int) -> Matrix:
    """Each corner moved by up to `off` of the width."""
    return tilt(design.width, design.height, off, seed)


@dataclass(frozen=True)
class Edit:
    """What became of each line of a design, None where it went, and the lines that came.

    `pushed`: lines that only made room.
    """

    lines: tuple[Line | None, ...]
    added: tuple[Line, ...] = ()
    pushed: frozenset[int] = frozenset()

    def drawn_on(self, design: Design) -> Design:
        return replace(design, lines=tuple(line for line in self.lines if line is not None) + self.added)


def unedited(design: Design) -> Edit:
    return Edit(design.lines)


def paired(
    name: str,
    group: str,
    design: Design,
    edit: Edit,
    shots: tuple[Shot, Shot] = (PLAIN, PLAIN),
    *,
    other: Design | None = None,
    seed: int = 0,
) -> TextPair:
    """`other`: the design whose ground and paints the candidate has, where they aren't the reference's."""
    reference, file = shots[0].taken(design, 2 * seed)
    candidate, other_file = shots[1].taken(edit.drawn_on(other or design), 2 * seed + 1)
    events: list[Event] = []
    also: list[Event] = []
    unchanged: list[Placed] = []
    for at, (old, new) in enumerate(zip(design.lines, edit.lines, strict=True)):
        boxes = shots[0].box(old), None if new is None else shots[1].box(new)
        if new is not None and boxes[1] is not None and _stays(old, new):
            unchanged.append(Placed(old.text, boxes[0], boxes[1]))
        else:
            (also if at in edit.pushed else events).append(_event(old, new, *boxes))
    events += [Event("added", None, line.text, None, line.text, None, shots[1].box(line)) for line in edit.added]
    files = file, other_file
    return TextPair(name, group, reference, candidate, tuple(events), tuple(also), tuple(unchanged), files)


def _stays(old: Line, new: Line) -> bool:
    return old.text == new.text and (old.x, old.y) == (new.x, new.y)


def _event(old: Line, new: Line | None, box: Box, other_box: Box | None) -> Event:
    if new is None:
        return Event("removed", old.text, None, old.text, None, box, None)
    if old.text == new.text:
        return Event("moved", old.text, new.text, old.text, new.text, box, other_box)
    return Event("changed", old.text, new.text, *changed_words(old.text, new.text), box, other_box)
