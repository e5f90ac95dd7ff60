"""Text that was read in pictures is hostile until it has been tidied."""

from __future__ import annotations

import unicodedata
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.quotes import folded, likeness, quotes
from serve_app.core.read_text import MOST_LETTERS, line, tidied
from serve_app.core.reading import ElementText, Reading, TextChange
from serve_app.schema import TextKind


def test_what_would_steer_a_reader_is_replaced() -> None:
    assert line("a\x1b[2Jb\u202ec\u2066d\u200be") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffde"
    assert line("  two\nlines\r\n\tand\u2028a third\u3000one ") == "two lines and a third one"
    assert line("¥12.80 净含量 ½ é") == "¥12.80 净含量 ½ é"


def test_a_long_line_is_cut_and_says_so() -> None:
    assert line("x" * 200) == "x" * 200
    assert line("x" * 201) == "x" * 199 + "…"


@given(st.text())
def test_a_line_is_one_printable_line_and_tidying_again_changes_nothing(text: str) -> None:
    told = line(text)
    assert told.isprintable()
    assert len(told) <= MOST_LETTERS
    assert all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in told)
    assert line(told) == told


def test_every_string_of_a_reading_is_tidied() -> None:
    bad = "\u202e\n" + "x" * 300
    change = TextChange("changed", bad, bad, bad, bad, 0.5)
    reading = tidied(Reading("read", ((change,),), (ElementText("changed", 0.5, bad, bad, None), None)))
    told = [getattr(reading.changes[0][0], each.name) for each in fields(TextChange)]
    told += [getattr(reading.elements[0], each.name) for each in fields(ElementText)]
    strings = [each for each in told if isinstance(each, str)]
    assert strings.count(line(bad)) == 6
    assert bad not in strings
    assert reading.elements[1] is None


def test_of_one_place_the_sure_changes_come_first() -> None:
    kinds: tuple[TextKind, ...] = ("same", "moved", "added", "same", "changed")
    found = tuple(TextChange(kind, str(at), str(at), None, None, 1.0) for at, kind in enumerate(kinds))
    reading = tidied(Reading("read", (found,)))
    assert [each.reference for each in reading.changes[0]] == ["2", "4", "1", "0", "3"]


def test_quotations_of_all_kinds_are_found_and_apostrophes_are_none() -> None:
    assert quotes('from "14.99" to “12.99”') == ("14.99", "12.99")
    assert quotes("价格「¥12」和『净含量』") == ("¥12", "净含量")
    assert quotes("the label's text isn't 'SALE' or ‘NEW’") == ("SALE", "NEW")
    assert quotes('an inch is 1", and " "') == (", and",)
    assert quotes("nothing") == ()


def test_texts_are_compared_without_width_space_and_case() -> None:
    assert folded("Ｌot　A 1") == "lota1"
    assert likeness("14.99", "12.99") == 0.8
    assert likeness("", "") == 1.0
