"""What screens and walls show with words on it: dashboards, dialogs, posters, notices; each drawn by chance.
Changes nothing in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.worlds.wording import vocabulary as say
from tests.worlds.wording.canvas import Canvas, Design, Line, Paint, whole
from tests.worlds.wording.colours import (
    ACCENTS,
    INKS,
    NIGHTS,
    PALES,
    PAPERS,
    WHITE,
    bars,
    between,
    curve,
    lightness,
    placed,
    scene,
)
from tests.worlds.wording.lettering import Writer, in_chinese
from tests.worlds.wording.vocabulary import Chance, one, some

Sheet = tuple[float, float, float, float]


def dashboard(chance: Chance, *, dark: bool = False, chinese: bool | None = None) -> Design:
    """A menu, cards of numbers, a chart and a table."""
    chinese = in_chinese(chance) if chinese is None else chinese
    width, height = 760, 500
    ground = one(chance, NIGHTS) if dark else (243, 244, 248)
    card = between(ground, WHITE, 0.07) if dark else WHITE
    writer = Writer(chance, chinese=chinese, ink=one(chance, PALES) if dark else one(chance, INKS))
    dim, accent = between(card, writer.ink, 0.72), one(chance, ACCENTS)
    menu = some(chance, say.HAN_MENU if chinese else say.MENU, 6)
    lines = [writer.line(text, 24, 84 + 36 * row, 14, ink=dim) for row, text in enumerate(menu)]
    lines.append(writer.line(one(chance, say.HAN_BRANDS if chinese else say.BRANDS), 24, 28, 18, bold=True))
    sheets: list[Sheet] = [(168.0 + 194 * row, 24, 168.0 + 194 * row + 180, 134) for row in range(3)]
    for sheet, title in zip(sheets, some(chance, say.HAN_METRICS if chinese else say.METRICS, 3), strict=True):
        value = say.price(chance, "¥" if chinese else "$€") if chance.random() < 0.5 else say.number(chance)
        delta = say.share(chance)
        tone = ((80, 200, 120) if dark else (20, 130, 60)) if delta[0] == "+" else (215, 60, 60)
        lines += [
            writer.line(title, sheet[0] + 14, sheet[1] + 12, 14, ink=dim),
            writer.line(value, sheet[0] + 14, sheet[1] + 38, 26, bold=True),
            writer.line(delta, sheet[0] + 14, sheet[1] + 80, 15, ink=tone),
        ]
    sheets += [(168, 150, 404, 476), (418, 150, 736, 476)]
    lines += _table(chance, writer, sheets[-1], chinese=chinese)

    def cards(canvas: Canvas) -> None:
        canvas.box((0, 0, 152, height), between(card, accent, 0.08))
        for sheet in sheets:
            canvas.box(sheet, card, outline=between(card, writer.ink, 0.15), radius=8)

    kind = one(chance, (bars, curve))
    chart = kind(chance, (186, 200, 388, 450), accent, between(card, writer.ink, 0.2))
    return Design(width, height, ground, (cards, chart), tuple(lines))


def _table(chance: Chance, writer: Writer, sheet: Sheet, *, chinese: bool) -> list[Line]:
    left, top, right, _ = sheet
    heads = ("城市", "金额") if chinese else ("City", "Amount")
    names = some(chance, say.HAN_PRODUCTS if chinese else say.CITIES, 8)
    lines = [
        writer.line(heads[0], left + 14, top + 12, 14, bold=True, role="set"),
        writer.line(heads[1], right - 14, top + 12, 14, bold=True, align="right", role="set"),
    ]
    for row, name in enumerate(names):
        y = top + 44 + 34 * row
        value = one(chance, (say.price(chance, "¥" if chinese else "$"), say.share(chance), say.number(chance)))
        lines += [writer.line(name, left + 14, y, 14), writer.line(value, right - 14, y, 14, align="right")]
    return lines


def dialog(chance: Chance, *, dark: bool = False, chinese: bool | None = None, size: float | None = None) -> Design:
    """A small window: title, rows with a switch or box, a field, buttons; text of 11 to 16 px."""
    chinese = in_chinese(chance) if chinese is None else chinese
    size = float(chance.integers(12 if chinese else 11, 17)) if size is None else size
    width, height = 460 + 20 * int(chance.integers(6)), round(22 * size) + 60
    ground = one(chance, NIGHTS) if dark else one(chance, PAPERS)
    writer = Writer(chance, chinese=chinese, ink=one(chance, PALES) if dark else one(chance, INKS))
    accent, pitch = one(chance, ACCENTS), 2.3 * size
    menu = some(chance, say.HAN_MENU if chinese else say.MENU, 6)
    lines = [writer.line(one(chance, say.HAN_STATES if chinese else say.NAMES), 20, 12, size + 2, bold=True)]
    top = 20 + 2 * size
    for row, text in enumerate(menu):
        value = one(
            chance, (say.clock(chance), say.price(chance, "¥" if chinese else "$€"), say.day(chance), say.share(chance))
        )
        lines.append(writer.line(text, 46, top + pitch * row, size))
        lines.append(writer.line(value, width - 24, top + pitch * row, size, align="right"))
    buttons = some(chance, say.HAN_ACTIONS if chinese else say.ACTIONS, 2)
    low = height - 1.2 * size - 26
    for at, text in enumerate(buttons):
        ink = WHITE if at else writer.ink
        lines.append(writer.line(text, width - 24 - 70 - 156 * (1 - at), low + 8, size, ink=ink, align="middle"))

    def frame(canvas: Canvas) -> None:
        rule = between(ground, writer.ink, 0.25)
        canvas.box((0, 0, width, 2 * size + 6), between(ground, accent, 0.14))
        for row in range(len(menu)):
            y = top + pitch * row
            canvas.box((20, y + 1, 20 + size, y + 1 + size), accent if row % 3 == 1 else None, outline=rule, radius=3)
            canvas.line([(20, y + 1.75 * size), (width - 20, y + 1.75 * size)], rule)
        for at in range(2):
            sheet = (width - 24 - 140 - 156 * (1 - at), low, width - 24 - 156 * (1 - at), low + size + 18)
            canvas.box(sheet, accent if at else None, outline=rule, radius=5)

    return Design(width, height, ground, (frame,), tuple(lines))


def poster(chance: Chance, *, chinese: bool | None = None) -> Design:
    """A few large lines over a photograph or a texture, on strips where it is restless."""
    chinese = in_chinese(chance) if chinese is None else chinese
    width, height = 640, 400 + 20 * int(chance.integers(4))
    picture = scene(chance, width, height)
    writer = Writer(chance, chinese=chinese, ink=WHITE)
    texts = [
        one(chance, say.HAN_PRODUCTS if chinese else say.PRODUCTS),
        f"{'特价' if chinese else 'Now only'} {say.price(chance, '¥' if chinese else '$€')}",
        f"{'截止' if chinese else 'Until'} {say.day(chance, chinese=chinese)}",
        one(chance, say.HAN_SENTENCES if chinese else say.SENTENCES),
    ]
    lines: list[Line] = []
    strips: list[Line] = []
    y = float(chance.integers(24, 60))
    for text in texts:
        line = writer.line(text, float(chance.integers(24, 90)), y, float(chance.integers(22, 46)), role="free")
        line = replace(line, face=writer.bold if chance.random() < 0.5 else writer.body)
        line = replace(line, size=min(line.size, line.size * (width - 60 - line.x) / (line.box()[2] - line.x)))
        left, top, right, bottom = whole(*line.box())
        spot = picture[top : top + bottom, left : left + right].mean(axis=2)
        pale = one(chance, (WHITE, (255, 236, 120))), one(chance, ((15, 15, 15), (90, 0, 20)))
        lines.append(replace(line, ink=pale[0] if spot.mean() < 140 else pale[1]))
        light, dark = np.percentile(spot, (95, 5))
        if (light > 165 if spot.mean() < 140 else dark < 110) or chance.random() < 0.2:
            strips.append(lines[-1])
        y += line.size * 1.5 + float(chance.integers(10, 26))
    return Design(width, height, (0, 0, 0), (placed(picture, (0, 0, width, height)), _strips(strips)), tuple(lines))


def _strips(lines: Sequence[Line]) -> Paint:
    """Behind lines whose ground is restless, as designers put them."""
    boxes = [(line.box(), line.ink) for line in lines]

    def paint(canvas: Canvas) -> None:
        for (left, top, right, bottom), ink in boxes:
            colour = (24, 26, 30) if lightness(ink) > 128 else (238, 234, 226)
            canvas.box((left - 12, top - 8, right + 40, bottom + 9), colour, radius=4)

    return paint


def notice(chance: Chance, *, chinese: bool | None = None) -> Design:
    """A card with lines that stand alone and room between and beside them, where lines may come, go and move."""
    chinese = in_chinese(chance) if chinese is None else chinese
    width, height = 600, 420
    paper, accent = one(chance, PAPERS), one(chance, ACCENTS)
    writer = Writer(chance, chinese=chinese, ink=one(chance, INKS))
    texts = some(chance, notices(chance, chinese=chinese), 5)
    lines: list[Line] = [
        writer.line(one(chance, say.HAN_BRANDS if chinese else say.BRANDS), 36, 26, 28, ink=WHITE, role="set")
    ]
    for row, text in enumerate(texts):
        lines.append(
            writer.line(
                text, float(chance.integers(36, 150)), 96 + 62.0 * row, float(chance.integers(18, 27)), role="free"
            )
        )

    def frame(canvas: Canvas) -> None:
        canvas.box((14, 14, width - 14, height - 14), paper, outline=accent, width=2)
        canvas.box((14, 14, width - 14, 72), accent)

    return Design(width, height, between(paper, (0, 0, 0), 0.12), (frame,), tuple(lines))


def notices(chance: Chance, *, chinese: bool) -> list[str]:
    """Lines that a notice may bear, more than it does."""
    if chinese:
        texts = [
            f"特价 {say.price(chance, '¥')}",
            f"营业时间 {say.clock(chance)}",
            f"截止日期 {say.day(chance, chinese=True)}",
        ]
        return [
            *texts,
            f"批号：{say.lot(chance)}",
            *some(chance, say.HAN_SENTENCES, 3),
            *some(chance, say.HAN_ACTIONS, 2),
        ]
    texts = [f"Now only {say.price(chance)}", f"Open until {say.clock(chance)}", f"Valid to {say.day(chance)}"]
    return [*texts, f"LOT {say.lot(chance)}", *some(chance, say.SENTENCES, 3), *some(chance, say.PRODUCTS, 2)]
