"""QR codes and bar codes, drawn by code: read in one picture, and what became of them in a pair."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from serve_app import ocr
from serve_app.core.clock import Deadline, Stop
from serve_app.core.laid import Laid, Spot
from serve_app.core.pictures import Box, Pixels
from serve_app.ocr import codes
from serve_app.ocr.codes import Code, CodeChange, changed_codes, is_bare, read_codes, said_of, with_opencv, with_zxing
from serve_app.ocr.quads import Quad
from serve_app.ocr.recognition import Read
from tests.ocr import signs

TEXTS: Final = {
    "QRCode": ("https://a.example/price/1", "https://a.example/price/2"),
    "EAN13": ("6901234567892", "6901234567908"),
    "EAN8": ("96385074", "96385081"),
    "Code128": ("LOT A9914", "LOT A9915"),
    "DataMatrix": ("ABC-123", "ABC-124"),
    "UPCA": ("036000291452", "036000291469"),
}
PLACE: Final = (90, 140)


def drawn(kind: str, text: str, scale: int = 3) -> Image.Image:
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    return Image.fromarray(np.array(code.to_image(scale=scale)))


def a_label(*pasted: tuple[Image.Image, tuple[int, int]], size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A label with words and lines, like what codes stand on."""
    image = Image.new("RGB", size, (250, 246, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 8, size[0] - 9, size[1] - 9), outline=(30, 60, 120), width=3)
    for row in range(5):
        draw.text((30, 24 + 16 * row), f"Ingredients {row}: water, sugar, cocoa 12%", fill=(20, 20, 20))
    for code, place in pasted:
        image.paste(code, place)
    return image


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def texts(found: Sequence[Code]) -> list[str]:
    return [each.text for each in found]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_code_on_a_label_is_read_with_its_place(kind: str) -> None:
    code = drawn(kind, TEXTS[kind][0])
    (found,) = read_codes(pixels(a_label((code, PLACE))))
    assert found.text.lstrip("0") == TEXTS[kind][0].lstrip("0")  # an UPC-A is the EAN-13 with a 0 before it
    around = Box(*PLACE, *code.size)
    assert found.box.overlap(around) == found.box.area
    assert found.box.area > 0.3 * around.area


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("how", ["small", "jpeg 60", "turned 90", "upside down", "light on dark", "turned 8"])
def test_a_code_is_read_in_poorer_pictures(kind: str, how: str) -> None:
    image = a_label((drawn(kind, TEXTS[kind][0], 2 if how == "small" else 3), PLACE))
    if how == "small" or how == "jpeg 60":
        image = recompressed(image, 60)
    elif how.startswith("turned 9"):
        image = image.rotate(90, expand=True)
    elif how == "turned 8":
        image = image.rotate(8, Image.Resampling.BICUBIC, expand=True, fillcolor=(250, 246, 235))
    elif how == "upside down":
        image = image.rotate(180)
    elif kind in ("QRCode", "DataMatrix"):  # of bars, nobody prints them so
        image = Image.fromarray(255 - pixels(image))
    assert [each.lstrip("0") for each in texts(read_codes(pixels(image)))] == [TEXTS[kind][0].lstrip("0")]


def test_where_no_code_is_none_is_read() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    bars = np.repeat(np.random.default_rng(1).integers(0, 2, (1, 320, 1), np.uint8) * 255, 2, axis=1)
    for empty in (pixels(a_label()), noise, np.broadcast_to(bars, (200, 640, 3)), np.zeros((1, 1, 3), np.uint8)):
        assert read_codes(np.ascontiguousarray(empty)) == []


def test_a_damaged_code_is_not_read_otherwise() -> None:
    for kind, (text, _) in TEXTS.items():
        code = drawn(kind, text)
        draw = ImageDraw.Draw(code)
        draw.rectangle((code.width * 0.3, 0, code.width * 0.6, code.height), fill=255)
        assert read_codes(pixels(a_label((code, PLACE)))) == []


def test_bars_too_narrow_to_be_sure_of_are_not_read() -> None:
    """At 1.39 pixels a bar this code was read as 5980023717954, check digit and all."""
    code = drawn("EAN13", "6980824717954", 2)
    whole = pixels(a_label((code, PLACE)))
    for scale, expected in ((0.69, []), (0.9, ["6980824717954"])):
        smaller = np.asarray(cv2.resize(whole, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        assert texts(read_codes(smaller)) == expected
    narrow = pixels(a_label((drawn("EAN13", "6980824717954", 1), PLACE)))
    assert zxingcpp.read_barcodes(np.ascontiguousarray(narrow[..., 0]))
    assert read_codes(narrow) == []


def test_several_codes_come_from_the_top() -> None:
    image = a_label((drawn("EAN13", TEXTS["EAN13"][0]), (20, 300)), (drawn("QRCode", "second"), (400, 120)))
    assert texts(read_codes(pixels(image))) == ["second", TEXTS["EAN13"][0]]


def test_a_picture_too_large_is_looked_at_smaller_and_its_codes_lie_where_they_are() -> None:
    large = Image.new("RGB", (5000, 4000), "white")
    large.paste(drawn("QRCode", "far away", 20), (4000, 3000))
    (found,) = read_codes(pixels(large))
    assert found.box.fit(Box(4080, 3080, 420, 420)) > 0.8
    sizes = []

    def looks(grey: Pixels) -> list[Code]:
        sizes.append(grey.size)
        return []

    assert read_codes(pixels(large), looks) == []
    assert sizes[0] <= codes.MOST_PIXELS
    assert sizes[0] > 0.9 * codes.MOST_PIXELS


@pytest.mark.parametrize("reader", [with_zxing, with_opencv])
def test_both_readers_read_a_qr_code(reader: codes.ReadsCodes) -> None:
    code = cv2.QRCodeEncoder.create().encode("净含量 500g")
    image = Image.fromarray(np.kron(code, np.ones((4, 4), np.uint8)))
    (found,) = read_codes(pixels(a_label((image, PLACE))), reader)
    assert (found.text, found.format) == ("净含量 500g", "QRCode")
    assert found.box.fit(Box(PLACE[0] + 8, PLACE[1] + 8, image.width - 16, image.height - 16)) > 0.8
    assert read_codes(pixels(a_label()), reader) == []


def test_without_zxing_opencv_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    image = a_label((drawn("EAN13", TEXTS["EAN13"][0]), (20, 300)), (drawn("QRCode", "only this", 5), (400, 120)))
    assert texts(read_codes(pixels(image))) == ["only this"]


def code(text: str, x: int = 0) -> Code:
    return Code(text, "QRCode", ((x, 0), (x + 50, 0), (x + 50, 50), (x, 50)))


def changes(reference: Sequence[Code], candidate: Sequence[Code], *, bare: bool = True) -> list[tuple[str | None, ...]]:
    found = changed_codes(reference, candidate, lambda one, two: one.fit(two) > 0.5, lambda side, box: bare)
    assert all(each.change.kind == "code" for each in found)
    return [(each.change.reference, each.change.candidate) for each in found]


def test_another_code_at_one_place_has_changed() -> None:
    assert changes([code("a")], [code("b")]) == [("a", "b")]
    assert changes([code("a"), code("x", 100)], [code("y", 100), code("b")]) == [("a", "b"), ("x", "y")]


def test_a_code_that_is_in_both_is_unchanged_wherever_it_is() -> None:
    assert changes([code("a")], [code("a", 100)]) == []
    assert changes([code("a"), code("b", 100)], [code("b"), code("a", 100)]) == []
    assert changes([code("a"), code("a", 100)], [code("a"), code("b", 100)]) == [("a", "b")]


def test_a_code_came_or_went_only_where_nothing_like_one_is_in_the_other() -> None:
    assert changes([code("a")], []) == [("a", None)]
    assert changes([], [code("a")]) == [(None, "a")]
    assert changes([code("a")], [], bare=False) == []
    assert changes([], [code("a")], bare=False) == []
    assert changes([code("a")], [code("b", 100)]) == [("a", None), (None, "b")]


def test_each_change_has_the_boxes_of_its_codes_and_asks_about_the_other_picture() -> None:
    asked = []

    def bare(side: int, box: Box) -> bool:
        asked.append((side, box.x))
        return True

    found = changed_codes([code("a"), code("b", 60)], [code("c", 2), code("d", 120)], lambda a, b: a.fit(b) > 0.5, bare)
    assert [(each.reference, each.candidate) for each in found] == [
        (Box(0, 0, 50, 50), Box(2, 0, 50, 50)),
        (Box(60, 0, 50, 50), None),
        (None, Box(120, 0, 50, 50)),
    ]
    assert asked == [(0, 60), (1, 120)]
    assert isinstance(found[0], CodeChange)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_plain_place_is_bare_and_a_damaged_or_covered_code_is_not(kind: str) -> None:
    whole = pixels(a_label((drawn(kind, TEXTS[kind][0]), PLACE)))
    (found,) = read_codes(whole)
    assert is_bare(whole, pixels(a_label()), found.box)
    for sigma in (2, 12):
        blurred = np.asarray(cv2.GaussianBlur(whole, (0, 0), sigma))
        assert not is_bare(whole, blurred, found.box)
    covered = whole.copy()
    covered[found.box.y : found.box.y + found.box.height * 2 // 3, found.box.x : found.box.right] = 250
    assert not is_bare(whole, covered, found.box)


def laid(first: Image.Image, second: Image.Image, *spots: Box, is_whole: bool = False) -> Laid:
    return signs.laid(pixels(first), pixels(second), *(signs.spot(box, is_whole=is_whole) for box in spots))


@pytest.mark.parametrize("kind", TEXTS)
def test_of_a_pair_each_changed_code_is_said_from_a_few_of_its_pixels(kind: str) -> None:
    before, after = TEXTS[kind]
    one, two = (a_label((drawn(kind, text), PLACE)) for text in (before, after))
    apart = np.abs(pixels(one).astype(int) - pixels(two)).max(axis=2) > 40
    rows, columns = np.nonzero(apart)
    spot = Box(int(columns[0]), int(rows[0]), 8, 8)
    (said,) = said_of(laid(one, two, spot))
    assert (said.kind, said.one.lstrip("0"), said.two.lstrip("0")) == ("code", before.lstrip("0"), after.lstrip("0"))
    assert said.at[0].overlap(spot) > 0
    change = said.of(0, Spot("changed", (said.at[0],), (None, None)))
    assert change is not None
    assert (change.kind, change.reference_word, change.candidate_word) == ("code", None, None)
    (said,) = said_of(laid(one, a_label(), spot))
    assert (said.one.lstrip("0"), said.two) == (before.lstrip("0"), "")
    (said,) = said_of(laid(a_label(), two, spot))
    assert (said.one, said.two.lstrip("0")) == ("", after.lstrip("0"))


@pytest.mark.parametrize("kind", TEXTS)
def test_of_a_pair_whose_code_is_damaged_or_poorer_nothing_is_said(kind: str) -> None:
    whole = a_label((drawn(kind, TEXTS[kind][0]), PLACE))
    (found,) = read_codes(pixels(whole))
    box = found.box
    damaged = whole.copy()
    ImageDraw.Draw(damaged).rectangle(
        (box.x + box.width * 0.3, box.y, box.x + box.width * 0.6, box.bottom), fill="white"
    )
    assert read_codes(pixels(damaged)) == []
    blurred = Image.fromarray(np.asarray(cv2.GaussianBlur(pixels(whole), (0, 0), 2.5)))
    for other in (damaged, blurred, recompressed(whole, 30)):
        assert list(said_of(laid(whole, other, box))) == []
        assert list(said_of(laid(other, whole, box))) == []


def test_a_code_is_said_where_it_is_and_another_elsewhere_is_another() -> None:
    one, two = (drawn("QRCode", text) for text in TEXTS["QRCode"])
    size, left, right = (2000, 1400), (1000, 900), (1200, 900)
    first, second, elsewhere = (a_label(each, size=size) for each in ((one, left), (two, left), (two, right)))
    spot = Box(1020, 920, 30, 30)
    (said,) = said_of(laid(first, second, spot))
    assert (said.one, said.two) == TEXTS["QRCode"]
    assert said.at[0].fit(Box(1012, 912, one.width - 24, one.height - 24)) > 0.9
    assert [(said.one, said.two) for said in said_of(laid(first, elsewhere, spot))] == [
        (TEXTS["QRCode"][0], ""),
        ("", TEXTS["QRCode"][1]),
    ]
    unseen = replace(laid(first, second, spot), is_changed=lambda box: False)
    assert list(said_of(unseen)) == []


def test_codes_far_from_what_differs_and_of_whole_frames_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    code_before, code_after = (drawn("QRCode", text) for text in TEXTS["QRCode"])
    large = (3000, 480)
    first, second = (a_label((each, PLACE), size=large) for each in (code_before, code_after))
    assert list(said_of(laid(first, second, Box(2500, 100, 20, 20)))) == []
    assert list(said_of(laid(first, second, Box(0, 0, *large), is_whole=True))) == []
    seen: list[tuple[int, ...]] = []

    def looks(part: Pixels) -> list[Code]:
        seen.append(part.shape)
        return []

    monkeypatch.setattr(codes, "read_codes", looks)
    list(said_of(laid(first, second, Box(100, 100, 9, 9), Box(120, 120, 9, 9), Box(2500, 100, 9, 9))))
    assert seen == [(449, 449, 3)] * 2 + [(429, 649, 3)] * 2


class NoLines:
    """A reader that finds no line."""

    engine = model = "none"

    def find_lines(self, pixels: Pixels, scale: int = 1) -> list[Quad]:
        return []

    def read_lines(self, strips: Sequence[Pixels]) -> list[Read]:
        return []


def test_what_is_read_of_a_pair_has_its_codes_under_their_difference() -> None:
    one, two = (a_label((drawn("QRCode", text), PLACE)) for text in TEXTS["QRCode"])
    on_it, beside = Box(120, 170, 20, 20), Box(400, 400, 20, 20)
    read = ocr.read(NoLines(), laid(one, two, beside, on_it), whole=False, stop=Stop(Deadline.after(30)))
    assert [[change.kind for change in found] for found in read.changes] == [[], ["code"]]
    assert (read.changes[1][0].reference, read.changes[1][0].candidate) == TEXTS["QRCode"]
    assert read.num_lines == 1
    late = ocr.read(NoLines(), laid(one, two, on_it), whole=False, stop=Stop(Deadline.after(-1)))
    assert late.changes == ((),)
