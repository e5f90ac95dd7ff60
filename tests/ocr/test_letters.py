"""Strings as they were read, held against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.ocr import letters


@pytest.mark.parametrize(
    ("one", "two"),
    [("Price  12", "Price 12"), ("１２：３０", "12:30"), ("凈含量", "净含量"), ("A B", "AB")],
)
def test_what_a_reader_may_write_either_way_is_folded(one: str, two: str) -> None:
    assert letters.folded(one) == letters.folded(two)


def test_capitals_count() -> None:
    assert letters.folded("Sale") != letters.folded("SALE")


def test_stretches_are_where_two_lines_differ() -> None:
    assert letters.stretches("12.80", "13.90") == [(1, 2, 1, 2), (3, 4, 3, 4)]
    assert letters.stretches("abc", "abxc") == [(2, 2, 2, 3)]
    assert letters.stretches("same", "same") == []
    assert letters.stretches("", "ab") == [(0, 0, 0, 2)]


@given(st.text("ab0", max_size=7), st.text("ab0", max_size=7))
def test_outside_its_stretches_two_texts_are_the_same(one: str, two: str) -> None:
    found = letters.stretches(one, two)
    at = other = 0
    for each in found:
        assert one[at : each.start] == two[other : each.other_start]
        assert one[each.start : each.end] != two[each.other_start : each.other_end]
        at, other = each.end, each.other_end
    assert one[at:] == two[other:]
    if len(one) == len(two):
        assert sum(max(e.end - e.start, e.other_end - e.other_start) for e in found) <= sum(
            a != b for a, b in zip(one, two, strict=True)
        )


def test_letters_that_changed_stay_at_their_place() -> None:
    assert letters.stretches("$48.00", "$48.80") == [(4, 5, 4, 5)]
    assert letters.stretches("1101", "1011") == [(1, 3, 1, 3)]


@pytest.mark.parametrize(
    ("text", "start", "end", "word"),
    [
        ("Price $12.80 each", 7, 8, "$12.80"),
        ("Price $12.80 each", 0, 1, "Price"),
        ("日期 2026年5月", 3, 4, "2026"),
        ("请置于阴凉处保存", 6, 7, "保"),
        ("two words", 4, 4, "words"),
        ("end", 3, 3, "end"),
        ("a  b", 1, 3, "a  b"),
    ],
)
def test_a_change_grows_to_whole_words_in_scripts_that_have_them(text: str, start: int, end: int, word: str) -> None:
    assert letters.word(text, start, end) == word


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("0", "O", True),
        ("l", "I", True),
        ("已", "己", True),
        ("%", "96", True),
        ("", "6", True),
        ("s", "S", True),
        ("12", "13", False),
        ("O", "8", False),
        ("", "x", False),
    ],
)
def test_letters_that_a_few_pixels_tell_apart(one: str, two: str, alike: bool) -> None:
    assert letters.look_alike(one, two) is alike


@pytest.mark.parametrize(
    ("text", "says", "counts"),
    [
        ("OK", True, False),
        ("口", False, False),
        ("O", False, False),
        ("1", False, False),
        ("7", False, True),
        ("-7", False, True),
        ("12", True, False),
        ("总计", True, False),
    ],
)
def test_one_sign_alone_may_be_a_drawing(text: str, says: bool, counts: bool) -> None:
    assert (letters.tells(text), letters.is_digit(text)) == (says, counts)


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ("LOT A9914", "LOT K7705", ("A9914", "K7705")),
        ("Save", "Cancel", ("Save", "Cancel")),
        ("10 items left", "7 items left", ("10", "7")),
        ("Total 11", "Total 1", ("11", "1")),
        ("", "new", ("", "new")),
    ],
)
def test_what_changed_lies_between_what_is_alike(one: str, two: str, words: tuple[str, str]) -> None:
    assert letters.changed_words(one, two) == words
