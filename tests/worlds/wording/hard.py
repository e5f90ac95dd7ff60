"""Pairs that are hard to read, or hard to lay on one another: look-alikes, tiny, soft, faint, tilted, pushed down.
Knows nothing of scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.worlds.wording import edits
from tests.worlds.wording import vocabulary as say
from tests.worlds.wording.canvas import Design, Line
from tests.worlds.wording.colours import ACCENTS, INKS, NIGHTS, PALES, PAPERS, between, fruit
from tests.worlds.wording.designs import dashboard, dialog, notice, poster
from tests.worlds.wording.faces import Face, faces, font, has_chinese
from tests.worlds.wording.lettering import Writer, a_face, in_chinese
from tests.worlds.wording.packages import label, package
from tests.worlds.wording.shots import PLAIN, Edit, Shot, paired, tilted, turned, unedited
from tests.worlds.wording.truth import TextPair, is_han
from tests.worlds.wording.vocabulary import Chance, one

LOOK_ALIKES = (("0", "O"), ("l", "1"), ("1", "I"), ("I", "l"), ("8", "B"), ("5", "S"), ("2", "Z"))
HAN_LOOK_ALIKES = (
    *(
        ("已", "己", "订单已完成"),
        ("日", "曰", "生产日期见封口"),
        ("末", "未", "本周末有效"),
        ("土", "士", "土豆炖牛肉"),
    ),
    *(("未", "末", "尚未支付"), ("人", "入", "收货人信息"), ("大", "太", "大号包装"), ("干", "千", "若干说明")),
)


def look_alike(name: str, group: str, chance: Chance) -> TextPair:
    """One letter is another of nearly its shape, in a code or a Chinese phrase."""
    design = notice(chance, chinese=False)
    at = next(at for at, line in enumerate(design.lines) if line.role == "free")
    fit: list[Face] = []
    while not fit:  # some faces draw I and l alike
        text, other = _alike(chance)
        line = design.lines[at].saying(text)
        several = faces(chinese=any(map(is_han, text)))
        fit = [face for face in several if face.has(text + other) and _tells_apart(face, line, other)]
    line = replace(line, face=one(chance, fit))
    design = replace(design, lines=(*design.lines[:at], line, *design.lines[at + 1 :]))
    lines = (*design.lines[:at], line.saying(other), *design.lines[at + 1 :])
    return paired(name, group, design, Edit(lines))


def _alike(chance: Chance) -> tuple[str, str]:
    """A text, and the same with one letter another."""
    if has_chinese() and chance.random() < 0.5:
        old, new, text = one(chance, HAN_LOOK_ALIKES)
    else:
        both = one(chance, LOOK_ALIKES)
        old, new = both if chance.random() < 0.5 else (both[1], both[0])
        head, tail = say.lot(chance), say.digits(chance, 3)
        text = one(chance, (f"LOT {head}{old}{tail}", f"Code {old}{head}-{tail}", f"REF {head[:2]}{old}{head[2:]}"))
    where = text.index(old, text.find(" ") + 1)  # LOT has an O of its own
    return text, text[:where] + new + text[where + 1 :]


def _tells_apart(face: Face, line: Line, other: str) -> bool:
    """A dozen pixels differ."""
    one, two = (font(face, line.size).getmask2(text, "L")[0] for text in (line.text, other))
    if one.size != two.size:
        return True
    shapes = [np.asarray(mask, np.int16) for mask in (one, two)]
    return int((np.abs(shapes[0] - shapes[1]) > 100).sum()) >= 12


def tiny(name: str, group: str, chance: Chance) -> TextPair:
    """8 to 10 px."""
    design = dialog(chance, size=float(chance.integers(8, 11)))
    return paired(name, group, design, edits.changed(chance, design))


def soft(name: str, group: str, chance: Chance) -> TextPair:
    """Both out of focus, or the candidate alone."""
    design = one(chance, (package, notice, dashboard))(chance)
    lens = Shot(blur=float(chance.uniform(0.9, 1.5)))
    return paired(name, group, design, edits.changed(chance, design), (one(chance, (PLAIN, lens)), lens))


def squeezed(name: str, group: str, chance: Chance) -> TextPair:
    """The candidate a JPEG of quality 20 to 25."""
    design = one(chance, (package, notice, dashboard))(chance)
    return paired(
        name, group, design, edits.changed(chance, design), (PLAIN, Shot(quality=int(chance.integers(20, 26))))
    )


def faint(name: str, group: str, chance: Chance) -> TextPair:
    """Ink that is a fifth to a third of the way from the paper."""
    is_dark = chance.random() < 0.4
    paper = one(chance, NIGHTS if is_dark else PAPERS)
    full = one(chance, PALES if is_dark else INKS)
    writer = Writer(chance, chinese=in_chinese(chance), ink=between(paper, full, float(chance.uniform(0.2, 0.34))))
    texts = [f"LOT {say.lot(chance)}", f"{say.day(chance)}", f"{say.price(chance)}", one(chance, say.SENTENCES)]
    lines = [writer.line(text, 40, 30 + 56.0 * row, float(chance.integers(18, 28))) for row, text in enumerate(texts)]
    design = Design(560, 280, paper, (), tuple(lines))
    return paired(name, group, design, edits.changed(chance, design))


def tilt(name: str, group: str, chance: Chance) -> TextPair:
    """The candidate seen from aside: its corners moved by up to 1 to 3 % of the width."""
    design = one(chance, (label, notice))(chance)
    matrix = tilted(design, float(chance.uniform(0.01, 0.03)), int(chance.integers(10_000)))
    return paired(name, group, design, edits.changed(chance, design), (PLAIN, Shot(matrix=matrix)))


def seven_degrees(name: str, group: str, chance: Chance) -> TextPair:
    design = one(chance, (label, notice))(chance)
    matrix = turned(design, float(one(chance, (-7.0, 7.0))))
    return paired(name, group, design, edits.changed(chance, design), (PLAIN, Shot(matrix=matrix)))


def inserted(name: str, group: str, chance: Chance) -> TextPair:
    """A row more in a list: those below it make room."""
    chinese = in_chinese(chance)
    writer = Writer(chance, chinese=chinese, ink=one(chance, INKS))
    names = say.some(chance, say.HAN_SENTENCES if chinese else say.SENTENCES, 8)
    pitch, size = 34.0, float(chance.integers(14, 19))
    texts = [f"{name_} {say.price(chance, '¥')}" for name_ in names]
    rows = [writer.line(text, 40, 40 + pitch * row, size) for row, text in enumerate(texts)]
    at = int(chance.integers(1, 6))
    old = (*rows[:at], *(line.at(line.x, line.y - pitch) for line in rows[at + 1 :]))
    design = Design(600, 360, one(chance, PAPERS), (), old)
    new: tuple[Line, ...] = (*rows[:at], *rows[at + 1 :])
    return paired(name, group, design, Edit(new, added=(rows[at],), pushed=frozenset(range(at, len(old)))))


def long_line(name: str, group: str, chance: Chance) -> TextPair:
    """One of about 90 letters."""
    chinese = in_chinese(chance)
    writer = Writer(chance, chinese=chinese, ink=one(chance, INKS))
    texts = say.some(chance, say.HAN_SENTENCES if chinese else say.SENTENCES, 6)
    glue = "，" if chinese else " "
    long = glue.join([*texts[:2], say.day(chance, chinese=chinese), say.price(chance, "¥"), texts[2]])
    lines = (writer.line(long, 24, 60, 18), writer.line(texts[3], 24, 110, 18, role="set"))
    design = Design(round(max(lines[0].box()[2], lines[1].box()[2])) + 40, 180, one(chance, PAPERS), (), lines)
    return paired(name, group, design, edits.changed(chance, design))


def vertical(name: str, group: str, chance: Chance) -> TextPair:
    """Chinese written downwards, in columns from the right."""
    ink = one(chance, INKS)
    face = a_face(chance, "".join(say.HAN_PRODUCTS))
    texts = say.some(chance, say.HAN_STATES, 2) + say.some(chance, say.HAN_PRODUCTS, 1)
    columns = [
        Line(text, 330 - 100.0 * row, 40, face, float(chance.integers(30, 42)), ink, is_vertical=True)
        for row, text in enumerate(texts)
    ]
    design = Design(420, 380, one(chance, PAPERS), (), tuple(columns))
    return paired(name, group, design, edits.changed(chance, design, 1, say.recharactered))


def display(name: str, group: str, chance: Chance) -> TextPair:
    """Lettering of about 150 px, as on posters and shop windows."""
    text = one(chance, ("SALE 50%", "OPEN 24h", "-30% OFF", "TODAY 19", "¥199.00"))
    ink, paper = one(chance, ACCENTS), one(chance, PAPERS)
    lines = (
        Line(text, 40, 40, a_face(chance, text, bold=True), float(chance.integers(135, 165)), ink),
        Line(one(chance, say.SENTENCES), 48, 260, a_face(chance, "Ab."), 26, one(chance, INKS)),
    )
    design = Design(round(lines[0].box()[2]) + 60, 420, paper, (fruit(chance, (48, 310, 300, 400)),), lines)
    other = say.amended(chance, text)
    assert other is not None, "each of these has digits"
    return paired(name, group, design, Edit((lines[0].saying(other), lines[1])))


def same_words(name: str, group: str, chance: Chance) -> TextPair:
    """Tilted, turned, out of focus, compressed hard; every word as it was."""
    design = one(chance, (package, notice, poster))(chance)
    kind = int(name.rsplit("-", 1)[1]) % 5
    shots = (
        Shot(matrix=tilted(design, float(chance.uniform(0.01, 0.03)), int(chance.integers(10_000)))),
        Shot(blur=float(chance.uniform(1.0, 1.6))),
        Shot(quality=int(chance.integers(20, 30))),
        Shot(matrix=turned(design, float(chance.uniform(2, 7))), noise=3),
        Shot(scale=0.75, quality=70),
    )
    return paired(name, group, design, unedited(design), (PLAIN, shots[kind]))
