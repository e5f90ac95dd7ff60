"""The steps of reading a pair, on signs whose texts are known: what is said, and above all what isn't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve_app import ocr
from serve_app.core.clock import Deadline, Stop
from serve_app.core.laid import Laid, Spot
from serve_app.core.pictures import Box
from serve_app.ocr.pair import MOST_LINES
from serve_app.ocr.recognition import Read
from serve_app.ocr.statements import MOST_EACH
from tests.ocr.signs import Colour, Signs, laid, line, page, read, said, spot

RED, BLUE, GREEN, GREY = (200, 0, 0), (0, 0, 200), (0, 150, 0), (90, 90, 90)
PLATE = Box(60, 100, 160, 24)
PAGE = Box(0, 0, 400, 300)


def changed(one: str, two: str) -> tuple[dict[Colour, Read], Laid]:
    texts = {RED: line(one), BLUE: line(two)}
    return texts, laid(page((PLATE, RED)), page((PLATE, BLUE)), spot(PLATE))


@pytest.mark.parametrize(("kind", "own"), [("removed", 0), ("added", 1)])
@pytest.mark.parametrize(("chance", "is_said"), [(0.99, True), (0.85, False)])
def test_rows_that_one_picture_has_are_read_in_it(kind: str, own: int, chance: float, is_said: bool) -> None:
    pictures = (page((PLATE, RED)), page((PLATE, BLUE)))
    band = Box(0, 90, 400, 50)
    pair = laid(*pictures, Spot(kind, (), (band, band._replace(height=1)) if own == 0 else (band, band)))  # type: ignore[arg-type]
    text = {RED: line("in the first", chance), BLUE: line("in the second", chance)}
    expected = [("removed", "in the first", None), ("added", None, "in the second")][own]
    assert said(text, pair) == ([expected] if is_said else [])


def test_what_moved_is_paired_line_by_line_or_not_at_all() -> None:
    block, to = Box(40, 40, 200, 60), Box(150, 190, 200, 60)
    upper, lower = Box(44, 44, 150, 20), Box(44, 76, 150, 20)
    there = [box._replace(x=box.x + 110, y=box.y + 150) for box in (upper, lower)]
    texts = {RED: line("first line"), BLUE: line("second line")}
    one, two = page((upper, RED), (lower, BLUE)), page((there[0], RED), (there[1], BLUE))
    moved = spot(block, "moved", to)
    assert said(texts, laid(one, two, moved)) == [
        ("moved", "first line", "first line"),
        ("moved", "second line", "second line"),
    ]
    alone = page((there[0], RED))
    assert ("moved", "second line", "second line") not in said(texts, laid(one, alone, moved))


def test_a_step_that_an_encoder_may_have_left_is_no_move() -> None:
    plate, to = Box(60, 100, 160, 24), Box(64, 106, 160, 24)
    pair = laid(page((plate, RED)), page((to, RED)), spot(plate, "moved", to))
    assert not {kind for kind, _, _ in said({RED: line("first line")}, pair)} - {"same"}


@pytest.mark.parametrize(
    ("change", "is_said"),
    [({}, True), ({"is_warped": True}, False), ({"spots": "whole"}, False), ({"spots": "page"}, False)],
)
def test_what_a_warp_or_a_page_of_change_moved_is_not_said(change: dict[str, object], is_said: bool) -> None:
    block, to = Box(40, 40, 200, 60), Box(150, 190, 200, 60)
    plate = Box(44, 44, 150, 20)
    one, two = page((plate, RED)), page((Box(154, 194, 150, 20), RED))
    pair = laid(one, two, spot(block, "moved", to, is_whole=change.get("spots") == "whole"))
    if change.get("spots") == "page":
        pair = replace(pair, spots=(*pair.spots, spot(PAGE)))
    if change.get("is_warped"):
        pair = replace(pair, is_warped=True, is_explained=False)
    assert (("moved", "first line", "first line") in said({RED: line("first line")}, pair)) is is_said


@pytest.mark.parametrize(
    ("one", "two", "way", "is_said"),
    [
        ("Green Tea", "Green Teas", "plain", True),
        ("Green Tea", "Green Teas", "warped", False),
        ("Green Tea", "Green Teas", "page", False),
        ("Green Tea", "Greed Tea", "page", True),
        ("Green Tea", "Green  xTea", "page", False),
        ("Green Tea", "Greed Tea", "warped", True),
        ("Green Tea", "Green xTea", "warped", True),
        ("LOT 10", "LOT 1O", "plain", True),
        ("Olive oil", "Keep it dry", "plain", True),
        ("Olive oil", "Keep it dry", "page", False),
    ],
)
def test_letters_gained_and_lines_replaced_prove_little_where_all_differs(
    one: str, two: str, way: str, is_said: bool
) -> None:
    texts, pair = changed(one, two)
    if way == "page":
        pair = replace(pair, spots=(spot(PAGE),))
    pair = replace(pair, is_warped=way == "warped")
    assert bool(said(texts, pair)) is is_said


@pytest.mark.parametrize(("way", "is_said"), [("plain", True), ("page", False), ("rough", False)])
def test_look_alikes_need_more_where_all_differs_or_was_resampled(way: str, is_said: bool) -> None:
    texts = {RED: line("LOT 10", rivals={5: ("O", 1e-4)}), BLUE: line("LOT 1O")}  # 9 nats
    pair = laid(page((PLATE, RED)), page((PLATE, BLUE)), spot(PAGE if way == "page" else PLATE))
    assert bool(said(texts, replace(pair, is_rough=way == "rough"))) is is_said


def test_the_same_words_are_said_where_most_of_the_line_looks_different() -> None:
    texts = {RED: line("Save"), BLUE: line("Save")}
    one, two = page((PLATE, RED)), page((PLATE, BLUE))
    assert said(texts, laid(one, two, spot(PLATE))) == [("same", "Save", "Save")]
    few = one.copy()
    few[100:124, 60:80] = BLUE  # an eighth of the line
    assert said(texts, laid(one, few, spot(Box(60, 100, 20, 24)))) == []


@pytest.mark.parametrize(
    ("box", "kinds"),
    [
        (PLATE, {"changed"}),
        (PLATE._replace(width=110), {"changed"}),  # begins there
        (PLATE._replace(x=PLATE.x + 50, width=110), {"changed"}),  # ends there
        (PLATE._replace(x=PLATE.x + 18, width=80), {"removed", "added"}),
        (PLATE._replace(y=PLATE.y - 8, height=40), {"removed", "added"}),
    ],
)
def test_another_text_is_a_change_only_in_the_slot_of_the_one_before(box: Box, kinds: set[str]) -> None:
    texts = {RED: line("Olive oil"), BLUE: line("Keep it dry")}
    pair = laid(page((PLATE, RED)), page((box, BLUE)), spot(PLATE))
    assert {kind for kind, _, _ in said(texts, pair)} == kinds


@pytest.mark.parametrize(
    ("chance", "change", "is_said"),
    [(0.99, {}, True), (0.85, {}, False), (0.99, {"is_explained": False}, False)],
)
def test_a_line_in_one_picture_alone_must_be_sure_and_its_place_known(
    chance: float, change: dict[str, bool], is_said: bool
) -> None:
    pair = laid(page((PLATE, RED)), page(), spot(PLATE))
    pair = replace(pair, is_explained=change.get("is_explained", True))
    assert bool(said({RED: line("LOT A9914", chance)}, pair)) is is_said


def test_a_line_that_both_show_and_one_can_not_read_is_left_unsaid() -> None:
    texts = {RED: line("LOT A9914"), BLUE: line("x", 0.3)}
    assert said(texts, laid(page((PLATE, RED)), page((PLATE, BLUE)), spot(PLATE))) == []


def test_lines_beside_what_differs_are_not_said() -> None:
    beside = Box(60, 140, 160, 24)
    texts = {RED: line("Price 12"), BLUE: line("Price 13"), GREEN: line("Total 4"), GREY: line("Total 5")}
    pair = laid(page((PLATE, RED), (beside, GREEN)), page((PLATE, BLUE), (beside, GREY)), spot(PLATE))
    assert said(texts, pair) == [("changed", "Price 12", "Price 13")]
    assert read(texts, pair).num_lines == 1


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ("Made with ripe fruit", "Made with organic fruit", ("ripe", "organic")),
        ("Green Tea each", "Green Teas each", ("Tea", "Teas")),
        ("Price 12.80 each", "Price $12.80 each", ("12.80", "$12.80")),
    ],
)
def test_all_that_changed_of_a_line_is_told_in_whole_words(one: str, two: str, words: tuple[str, str]) -> None:
    texts, pair = changed(one, two)
    ((change,),) = read(texts, pair).changes
    assert (change.reference_word, change.candidate_word) == words


def test_what_is_whole_tells_of_no_place() -> None:
    texts, pair = changed("Price 12", "Price 13")
    whole = replace(pair, spots=(*pair.spots, spot(PAGE, is_whole=True)))
    found = read(texts, whole)
    assert [len(changes) for changes in found.changes] == [1, 0]


def test_of_one_difference_the_wording_comes_first_and_at_most_a_dozen_lines() -> None:
    boxes = [Box(20, 10 + 20 * i, 200, 12) for i in range(14)]
    colours = [(10 + i, 20, 200) for i in range(14)]
    others = [(10 + i, 200, 20) for i in range(14)]
    texts = {colour: line(f"line {i:02d} A") for i, colour in enumerate(colours)}
    texts |= {colour: line(f"line {i:02d} {'A' if i < 2 else 'B'}") for i, colour in enumerate(others)}
    one = page(*zip(boxes, colours, strict=True))
    two = page(*zip(boxes, others, strict=True))
    (changes,) = read(texts, laid(one, two, spot(Box(20, 0, 200, 95)))).changes
    assert [each.kind for each in changes] == ["changed"] * 3 + ["same"] * 2
    area = Box(130, 0, 90, 290)  # less than a page
    (changes,) = read(texts, laid(one, two, spot(area))).changes
    assert len(changes) == MOST_EACH
    assert {each.kind for each in changes} == {"changed"}


def test_the_time_is_asked_for_before_every_call() -> None:
    class Ending(Stop):
        def __init__(self, calls: int) -> None:
            super().__init__(Deadline.after(60))
            self.left = calls

        @property
        def reason(self):  # type: ignore[no-untyped-def]
            self.left -= 1
            return "deadline" if self.left < 0 else None

    texts, pair = changed("Price 12", "Price 13")
    whole = read(texts, pair, whole=True, stop=lambda: Ending(1000))
    assert whole.is_complete
    assert whole.unchanged is not None
    for calls in range(4):
        signs = Signs(texts)
        found = ocr.read(signs, pair, whole=True, stop=Ending(calls))
        assert signs.num_calls == calls
        assert not found.is_complete
        assert found.unchanged is None
    assert found.changes[0], "what was said before the time was over is kept"


def test_no_more_lines_are_read_than_a_pair_may_have() -> None:
    boxes = [Box(4 + 98 * (i % 4), 2 + 4 * (i // 4), 90, 3) for i in range(MOST_LINES + 40)]
    colours = [(i % 256, i // 256, 7) for i in range(len(boxes))]
    texts = {colour: line(f"line {i}") for i, colour in enumerate(colours)}
    one = page(*zip(boxes, colours, strict=True))
    two = one.copy()
    two[290:, :30] = RED
    found = read(texts, laid(one, two, spot(Box(0, 290, 30, 10))), whole=True)
    assert len(found.read[0]) <= MOST_LINES
    came = [Spot("added", (), (box, box)) for box in boxes]
    assert read(texts, laid(two, one, *came)).num_lines == pytest.approx(MOST_LINES, abs=20)
    moved = [spot(box, "moved", box._replace(x=(box.x + 98) % 392)) for box in boxes]
    assert read(texts, laid(one, one, *moved)).num_lines <= 2 * MOST_LINES
