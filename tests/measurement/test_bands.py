"""Pages whose content was pushed by several bands, past a footer that stays, under a header that stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from serve_app.core.measured import Measurement
from serve_app.core.pictures import Pixels
from serve_app.measurement.placing import bands
from tests.measurement.test_measure import assert_lawful
from tests.worlds.pages import bar, card, photo, stacked, table
from tests.worlds.pairs import encoded

HEADER, FOOTER = bar("Northwind  Orders  Stock"), bar("Imprint  Privacy  Contact", 40, (70, 70, 70))
NEAR = 24  # rows: flat ones, and what two headings have in common, may belong to either card


def seen(first: Pixels, second: Pixels, quality: int | None) -> Measurement:
    if quality is not None:
        first, second = encoded(first, quality), encoded(second, quality)
    found = assert_lawful(first, second)
    assert found.alignment.kind == "bands"
    return found


def slack(quality: int | None) -> int:
    """Rows that a band's edge may lie off: JPEG's blocks carry some of what moved onto what stayed."""
    return 1 if quality is None else 16


def rows(found: Measurement, kind: str) -> list[tuple[int, int]]:
    """From top to bottom, the first row and the height of what came or went."""
    boxes = [
        each.candidate_box if kind == "added" else each.reference_box for each in found.differences if each.kind == kind
    ]
    return sorted((box.y, box.height) for box in boxes if box is not None)


def assert_near(found: list[tuple[int, int]], truth: list[tuple[int, int]]) -> None:
    assert [height for _, height in found] == [height for _, height in truth]
    assert all(abs(one[0] - two[0]) <= NEAR for one, two in zip(found, truth, strict=True)), (found, truth)


@pytest.mark.parametrize("quality", [None, 80])
def test_two_cards_inserted_into_a_page_are_both_added(quality: int | None) -> None:
    blocks = [HEADER, card(1), card(2, 7), photo(1), card(3, 4), card(4, 6), table(1), card(5)]
    page = stacked(*blocks)
    longer = stacked(*blocks[:2], card(8, 3), *blocks[2:4], card(9, 5), *blocks[4:])
    truth = [
        (len(stacked(*blocks[:2])), len(card(8, 3))),
        (len(stacked(*blocks[:2], card(8, 3), *blocks[2:4])), len(card(9, 5))),
    ]
    assert_near(rows(seen(page, longer, quality), "added"), truth)
    same_size = seen(page, longer[: len(page)], quality)
    assert_near(rows(same_size, "added"), truth)
    assert_near(rows(seen(longer, page, quality), "removed"), truth)


@pytest.mark.parametrize("quality", [None, 80])
def test_one_card_came_and_another_went(quality: int | None) -> None:
    blocks = [HEADER, card(1), card(2, 7), photo(1), card(3, 4), card(4, 6)]
    page = stacked(*blocks)
    other = stacked(*blocks[:2], card(8, 3), *blocks[2:4], *blocks[5:])
    found = seen(page, other, quality)
    assert_near(rows(found, "added"), [(len(stacked(*blocks[:2])), len(card(8, 3)))])
    assert_near(rows(found, "removed"), [(len(stacked(*blocks[:4])), len(blocks[4]))])


@pytest.mark.parametrize("quality", [None, 80])
def test_a_footer_stays_while_a_card_pushes_the_rest(quality: int | None) -> None:
    content = stacked(card(1), card(2, 7), photo(1), card(3, 4), card(4, 6))
    pushed = stacked(card(1), card(9, 4), card(2, 7), photo(1), card(3, 4), card(4, 6))
    one, two = (stacked(HEADER, each[:700], FOOTER) for each in (content, pushed))
    found = seen(one, two, quality)
    assert_near(rows(found, "added"), [(len(HEADER) + len(card(1)), len(card(9, 4)))])
    top = len(one) - len(FOOTER)
    assert all(box.bottom <= top + slack(quality) for each in found.differences if (box := each.candidate_box))


@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("footer", [True, False])
def test_content_scrolled_under_a_fixed_header_moved(footer: bool, quality: int | None) -> None:
    content = stacked(card(1), card(2, 7), photo(1), card(3, 4), card(4, 6), table(1), card(5))
    bottom = [FOOTER] if footer else []
    one, two = (stacked(HEADER, content[at : at + 700], *bottom) for at in (0, 180))
    found = seen(one, two, quality)
    assert found.alignment.shift == (0, -180)
    moved = next(each for each in found.differences if each.kind == "moved")
    assert moved.reference_box is not None
    assert moved.candidate_box is not None
    assert abs(moved.reference_box.y - moved.candidate_box.y - 180) <= slack(quality)
    assert all(box.y >= len(HEADER) - slack(quality) for each in found.differences if (box := each.candidate_box))


def test_a_change_below_a_band_is_found_in_both_places() -> None:
    blocks = [card(2, 7), photo(1), card(3, 4), card(4, 6)]
    page, longer = stacked(HEADER, *blocks), stacked(HEADER, card(9, 4), *blocks).copy()
    by, at = len(card(9, 4)), len(page) - 60
    longer[at + by : at + by + 20, 200:300] = (200, 30, 30)
    places = [(each.reference_box, each.candidate_box) for each in assert_lawful(page, longer).differences]
    assert any(one and two and (one.y, two.y) == (at, at + by) for one, two in places), places


def test_a_page_of_one_colour_below_its_header_has_no_segments() -> None:
    blank = np.full((600, 640, 3), 250, np.uint8)
    assert bands.find(stacked(HEADER, blank), stacked(FOOTER, blank)) == ()


@pytest.mark.parametrize("quality", [None, 80])
def test_cards_inserted_into_a_page_of_nine_thousand_rows_are_found(quality: int | None) -> None:
    blocks = [[card(seed, 3 + seed % 5), table(seed, 6 + seed % 4), photo(seed % 9)][seed % 3] for seed in range(56)]
    page = stacked(HEADER, *blocks)
    assert len(page) > 9000
    longer = stacked(HEADER, *blocks[:14], card(90, 4), *blocks[14:40], card(91, 6), *blocks[40:])
    first = len(stacked(HEADER, *blocks[:14]))
    second = len(stacked(HEADER, *blocks[:14], card(90, 4), *blocks[14:40]))
    found = seen(page, longer, quality)
    assert_near(rows(found, "added"), [(first, len(card(90, 4))), (second, len(card(91, 6)))])


def test_strips_are_held_against_every_place_as_template_matching_does() -> None:
    random = np.random.default_rng(3)
    one, two = (random.integers(0, 256, (rows, 24, 3), dtype=np.uint8) for rows in (120, 90))
    two[30:70] = one[50:90]
    found = bands._apart(one, two, [0, 50, 96])
    for start, apart in zip((0, 50, 96), found, strict=True):
        strip = one[start : start + bands.STRIP]
        np.testing.assert_allclose(apart, cv2.matchTemplate(two, strip, cv2.TM_SQDIFF).ravel() / strip.size, atol=0.05)
    assert found[1].argmin() == 30
    assert found[1].min() < 0.01
