"""What stands on shop shelves, as printers draw it: labels, cartons, shelf tags.
Changes nothing in them."""

from __future__ import annotations

from tests.worlds.wording import vocabulary as say
from tests.worlds.wording.canvas import Canvas, Design, Line
from tests.worlds.wording.colours import ACCENTS, INKS, PAPERS, WHITE, barcode, between, fruit, placed, scene
from tests.worlds.wording.lettering import Writer, in_chinese
from tests.worlds.wording.vocabulary import Chance, one, some


def package(chance: Chance, *, chinese: bool | None = None) -> Design:
    """Any of them."""
    return one(chance, (label, label, carton, tag))(chance, chinese=chinese)


def label(chance: Chance, *, chinese: bool | None = None) -> Design:
    """A product's label: band, name, picture, fields, small print, barcode, price."""
    chinese = in_chinese(chance) if chinese is None else chinese
    width, height = 520 + 20 * int(chance.integers(5)), 600 + 20 * int(chance.integers(5))
    paper, accent, table = one(chance, PAPERS), one(chance, ACCENTS), (96, 90, 84)
    writer = Writer(chance, chinese=chinese, ink=one(chance, INKS))
    left, right, low = 48.0, width - 48.0, height - 36.0
    band = 36 + 96
    picture = (left + 22, band + 74, left + 22 + 130, band + 74 + 120)
    code = (right - 170, low - 92, right - 24, low - 34)

    def ground(canvas: Canvas) -> None:
        canvas.box((left, 36, right, low), paper, outline=between(accent, (0, 0, 0), 0.3), width=3, radius=10)
        canvas.box((left, 36, right, band), accent, radius=10)
        canvas.box((left, band - 12, right, band), accent)
        canvas.line([(left + 22, band + 212), (right - 22, band + 212)], between(paper, writer.ink, 0.4))

    brand = one(chance, say.HAN_BRANDS if chinese else say.BRANDS)
    name = one(chance, say.HAN_PRODUCTS if chinese else say.PRODUCTS)
    lines = [
        writer.line(brand, width / 2, 58, 44 if chinese else 40, bold=True, ink=WHITE, align="middle"),
        writer.line(name, left + 22, band + 22, 32 if chinese else 28, bold=True),
        writer.line(
            say.price(chance, "¥" if chinese else "$€¥", dear=0.4 if chinese else 0),
            right - 24,
            band + 26,
            30,
            ink=accent,
            align="right",
        ),
        *_fields(chance, writer, left + 176, band + 80, chinese=chinese),
        *_small_print(chance, writer, left + 22, band + 228, low - 112, chinese=chinese),
        writer.line(say.digits(chance, 13), code[0] + 8, code[3] + 5, 14),
        *_stamp(chance, writer, left + 22, low - 84, chinese=chinese),
    ]
    return Design(width, height, table, (ground, fruit(chance, picture), barcode(chance, code)), tuple(lines))


def _fields(chance: Chance, writer: Writer, x: float, y: float, *, chinese: bool) -> list[Line]:
    grams = int(one(chance, (100, 250, 330, 400, 500, 750, 850)))
    if chinese:
        texts = [
            f"净含量：{grams}克",
            f"规格：{grams}g×{int(chance.integers(2, 9))}袋",
            f"单价 {say.price(chance, '¥')}",
        ]
        texts.append(f"保质期：{int(chance.integers(6, 25))}个月")
    else:
        texts = [
            f"Net weight {grams} g",
            f"{int(chance.integers(2, 25))} x {grams // 5} ml",
            f"Unit price {say.price(chance)}",
        ]
        texts.append(f"{one(chance, say.FIELDS[3:])} {chance.uniform(0.1, 60):.1f} g per 100 g")
    return [writer.line(text, x, y + 30 * row, 18) for row, text in enumerate(some(chance, texts, 4))]


def _small_print(chance: Chance, writer: Writer, x: float, y: float, low: float, *, chinese: bool) -> list[Line]:
    size = float(chance.integers(13, 17))
    count = int((low - y) // (1.6 * size))
    texts = some(chance, say.HAN_SENTENCES if chinese else say.SENTENCES, min(count, 6))
    return [writer.line(text, x, y + 1.6 * size * row, size) for row, text in enumerate(texts)]


def _stamp(chance: Chance, writer: Writer, x: float, y: float, *, chinese: bool) -> list[Line]:
    made, lot = say.day(chance, chinese=chinese), say.lot(chance)
    texts = (f"生产日期：{made}", f"批号：{lot}") if chinese else (f"Best before {made}", f"LOT {lot}")
    return [writer.line(text, x, y + 28 * row, 17) for row, text in enumerate(texts)]


def carton(chance: Chance, *, chinese: bool | None = None) -> Design:
    """The front and the back of a box in one: a colour all over, a picture, a badge, a table of what is in it."""
    chinese = in_chinese(chance) if chinese is None else chinese
    width, height = 560, 640
    ground = between(one(chance, ACCENTS), (0, 0, 0), float(chance.uniform(0, 0.4)))
    writer = Writer(chance, chinese=chinese, ink=WHITE)
    picture = scene(chance, 250, 170)
    brand = one(chance, say.HAN_BRANDS if chinese else say.BRANDS)
    name = one(chance, say.HAN_PRODUCTS if chinese else say.PRODUCTS)
    grams = one(chance, ("250", "330", "500", "750"))
    lines = [
        writer.line(brand, 36, 30, 24, ink=(255, 226, 140)),
        writer.line(name, 36, 66, 46, bold=True),
        writer.line(f"{grams}克" if chinese else f"{grams} g", 440, 158, 34, bold=True, ink=ground, align="middle"),
        writer.line(say.price(chance, "¥" if chinese else "$€"), 440, 208, 24, ink=(150, 20, 40), align="middle"),
    ]
    heads = some(chance, say.HAN_FIELDS if chinese else say.FIELDS, 5)
    for row, head in enumerate(heads):
        y = 352 + 32.0 * row
        lines.append(writer.line(head, 52, y, 16, ink=(25, 25, 28)))
        lines.append(writer.line(f"{chance.uniform(0.1, 70):.1f} g", 330, y, 16, ink=(25, 25, 28), align="right"))
    made, lot = say.day(chance), say.lot(chance)
    lines += [
        writer.line(f"限期使用 {made}" if chinese else f"EXP {made}", 370, 356, 15, ink=(25, 25, 28)),
        writer.line(f"批号 {lot}" if chinese else f"LOT {lot}", 370, 386, 15, ink=(25, 25, 28)),
        *(
            writer.line(text, 36, 536 + 26.0 * row, 15)
            for row, text in enumerate(some(chance, say.HAN_SENTENCES if chinese else say.SENTENCES, 3))
        ),
    ]

    def sheets(canvas: Canvas) -> None:
        canvas.oval((360, 124, 520, 264), (255, 222, 60))
        canvas.box((36, 340, 346, 512), WHITE)
        canvas.box((358, 340, 526, 512), (245, 243, 236))
        for row in range(1, 5):
            canvas.line([(46, 345 + 32 * row), (336, 345 + 32 * row)], (190, 190, 190))

    bars_at = (384.0, 424.0, 500.0, 496.0)
    paints = (placed(picture, (36, 140, 286, 310)), sheets, barcode(chance, bars_at))
    return Design(width, height, ground, paints, tuple(lines))


def tag(chance: Chance, *, chinese: bool | None = None) -> Design:
    """A shelf's tag: a name, a large price, what a unit costs, a code and a date in small print."""
    chinese = in_chinese(chance) if chinese is None else chinese
    accent, ink = one(chance, ((255, 221, 0), (226, 0, 26), (0, 84, 159))), (18, 18, 20)
    writer = Writer(chance, chinese=chinese, ink=ink)
    name = one(chance, say.HAN_PRODUCTS if chinese else say.PRODUCTS)
    unit = f"每千克 {say.price(chance, '¥')}" if chinese else f"{say.price(chance, '€$')} per kg"
    brand = one(chance, say.HAN_BRANDS if chinese else say.BRANDS)
    lines = (
        writer.line(name, 28, 26, 30, bold=True),
        writer.line(f"{brand} {one(chance, ('250', '400', '750'))} g", 28, 72, 18),
        writer.line(say.price(chance, "¥" if chinese else "$€", dear=0), 490, 82, 66, bold=True, align="right"),
        writer.line(unit, 490, 204, 17, align="right"),
        writer.line(f"{say.lot(chance)} {say.day(chance)}", 28, 222, 13),
    )

    def card(canvas: Canvas) -> None:
        canvas.box((10, 10, 510, 250), WHITE, outline=(120, 120, 120), radius=6)
        canvas.box((10, 10, 510, 20), accent)

    return Design(520, 260, (70, 70, 74), (card, barcode(chance, (34, 130, 170, 200))), lines)
