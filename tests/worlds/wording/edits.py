"""One or a few lines of a design as they may be in its next edition: another word, gone, new, moved, another ink.
Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.worlds.wording import vocabulary as say
from tests.worlds.wording.canvas import Design, Line, touch
from tests.worlds.wording.colours import ACCENTS, between, lightness
from tests.worlds.wording.designs import notices
from tests.worlds.wording.shots import Edit
from tests.worlds.wording.truth import is_han
from tests.worlds.wording.vocabulary import Chance, one

Amend = Callable[[Chance, str], str | None]


def changed(chance: Chance, design: Design, count: int = 1, amend: Amend = say.amended) -> Edit:
    """`count` lines, or as many as can be amended."""
    lines: list[Line | None] = list(design.lines)
    left = count
    for at in chance.permutation(len(lines)):
        line = design.lines[int(at)]
        text = None if line.role == "set" else amend(chance, line.text)
        if left and text is not None and line.face.has(text):
            lines[int(at)] = line.saying(text)
            left -= 1
    assert left < count, "no line of this design can be amended"
    return Edit(tuple(lines))


def without(chance: Chance, design: Design) -> Edit:
    gone = one(chance, _free(design))
    return Edit(tuple(None if at == gone else line for at, line in enumerate(design.lines)))


def moved(chance: Chance, design: Design) -> Edit:
    """By at least half of its height; its new place may overlap the old one."""
    for _ in range(400):
        at = one(chance, _free(design))
        line = design.lines[at]
        x, y = float(chance.integers(24, design.width - 60)), float(chance.integers(84, design.height - 50))
        other = line.at(x if chance.random() < 0.7 else line.x, y if chance.random() < 0.7 else line.y)
        far = max(abs(other.x - line.x), abs(other.y - line.y)) >= 0.5 * line.size
        if far and _has_room(design, other, beside=at):
            return Edit(tuple(other if each == at else old for each, old in enumerate(design.lines)))
    raise AssertionError("this design has no room to move a line")


def with_another(chance: Chance, design: Design) -> Edit:
    like = design.lines[one(chance, _free(design))]
    said = {line.text for line in design.lines}
    for _ in range(400):
        texts = notices(chance, chinese=any(is_han(letter) for letter in design.lines[0].text))
        text = one(chance, [text for text in texts if text not in said])
        other = like.saying(text).at(float(chance.integers(30, 300)), float(chance.integers(84, design.height - 50)))
        if _has_room(design, other):
            return Edit(design.lines, added=(other,))
    raise AssertionError("this design has no room for another line")


def recoloured(chance: Chance, design: Design) -> Edit:
    at = int(chance.integers(len(design.lines)))
    line = design.lines[at]
    inks = [ink for ink in ACCENTS if sum(abs(a - b) for a, b in zip(ink, line.ink, strict=True)) > 90]
    ink = one(chance, inks)
    if lightness(line.ink) > 140:
        ink = between(ink, (255, 255, 255), 0.6)
    return Edit(tuple(replace(old, ink=ink) if each == at else old for each, old in enumerate(design.lines)))


def _free(design: Design) -> list[int]:
    return [at for at, line in enumerate(design.lines) if line.role == "free"]


def _has_room(design: Design, line: Line, *, beside: int | None = None) -> bool:
    left, top, right, bottom = line.box()
    inside = left >= 24 and top >= 80 and right <= design.width - 24 and bottom <= design.height - 22
    others = [other for at, other in enumerate(design.lines) if at != beside]
    return inside and not any(touch(line, other, 9) for other in others)
