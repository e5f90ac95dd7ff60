"""Focus elements, as the text read in a pair tells of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.pictures import Box
from serve_app.core.reading import ElementText, TextChange, TextLine
from serve_app.ocr.elements import look_up
from serve_app.ocr.kinds import kind_of
from serve_app.schema import TextKind

LABEL = (
    "Milk 1 l",
    "净含量：500g",
    "¥12.80",
    "LOT A9914",
    "Best before 2026-11-27",
    "Save changes",
    "Tel. 010-8888 6666",
)


def lines(*texts: str, left: int = 10) -> tuple[TextLine, ...]:
    return tuple(TextLine(text, Box(left, 40 * row, 100, 30), 0.98) for row, text in enumerate(texts))


def change(reference: str | None, candidate: str | None, kind: TextKind = "changed") -> TextChange:
    return TextChange(kind, reference, candidate, None, None, 0.97)


def without(text: str) -> tuple[str, ...]:
    return tuple(each for each in LABEL if each != text)


def swapped(text: str, other: str) -> tuple[str, ...]:
    return tuple(other if each == text else each for each in LABEL)


def status(name: str, reference: tuple[str, ...], candidate: tuple[str, ...], *changes: TextChange) -> str | None:
    found = look_up(name, lines(*reference), lines(*candidate), changes)
    return None if found is None else found.status


@pytest.mark.parametrize(
    "name",
    [
        '"LOT A9914"',
        "batch number “LOT A9914”",
        "the 'lot  a9914' line",
        "「净含量：500g」",
        "产品的『净含量:500g』",
        '"500g"',
        '"¥12.80"',
        '"12.80"',
        '"Best before"',
        '"2026-11-27"',
        '"Save changes"',
        '"Save"',
        "Save changes",
        "净含量：500g",
        'label with "Milk" and "LOT A9914"',
        '"Sawe changes"',
    ],
)
def test_text_that_stands_in_both_is_unchanged(name: str) -> None:
    found = look_up(name, lines(*LABEL), lines(*LABEL, left=60), ())
    assert found is not None
    assert (found.status, found.score, found.reference) == ("unchanged", 1.0, found.candidate)
    assert found.box is not None
    assert found.box.x == 60


@pytest.mark.parametrize(
    "name",
    ["logo", "title", "the milk", '"Sa"', '"2.80"', '"12"', '"9914"', '"A991"', '"LOT"', "LOT", "Save", '"含量"', "?"],
)
def test_parts_of_words_and_of_numbers_are_no_element(name: str) -> None:
    expected = "unchanged" if name in ('"LOT"', '"含量"', '"9914"') else None
    assert status(name, LABEL, LABEL) == expected


@pytest.mark.parametrize(
    ("name", "other"),
    [('"¥12.80"', "¥13.80"), ('"12.80"', "¥13.80"), ('"¥13.80"', "¥13.80"), ('price tag "¥12.80"', "now ¥13.80")],
)
def test_a_price_that_changed_at_its_place_is_changed(name: str, other: str) -> None:
    found = look_up(name, lines(*LABEL), lines(*swapped("¥12.80", other), left=60), (change("¥12.80", other),))
    assert found == ElementText("changed", 0.03, "¥12.80", other, Box(60, 80, 100, 30))


def test_a_change_that_was_not_said_for_sure_is_not_said_of_an_element() -> None:
    """Two readings of one line differ without a change, too."""
    assert status('"LOT A9914"', LABEL, swapped("LOT A9914", "L0T A9914")) is None
    assert status('"¥12.80"', LABEL, swapped("¥12.80", "¥12.30")) is None
    assert status('"¥12.80"', LABEL, without("¥12.80")) is None
    assert status('"¥12.80"', without("¥12.80"), LABEL) is None
    assert status("price", LABEL, swapped("¥12.80", "¥12.30")) is None


def test_what_is_like_the_text_and_not_it_is_another_text() -> None:
    other = change("LOT A9915", "LOT A9916")
    both = (*LABEL, "LOT A9915")
    assert status('"LOT A9914"', both, (*LABEL, "LOT A9916"), other) == "unchanged"
    assert status('"LOT A9917"', both, (*LABEL, "LOT A9916"), other) is None
    assert status('"¥12.80"', (*LABEL, "¥12.00"), (*LABEL, "¥19.00"), change("¥12.00", "¥19.00")) == "unchanged"


def test_text_read_to_the_letter_is_not_the_line_that_is_only_like_it() -> None:
    changed = change("Sawe changes", "Discard all")
    assert status('"Save changes"', LABEL, without("Save changes"), changed) is None


def test_what_a_code_says_may_be_quoted() -> None:
    codes = change("6901234567892", "6901234567908", "code")
    assert status('"6901234567892"', LABEL, LABEL, codes) == "changed"


def test_a_text_typed_a_little_wrong_still_names_the_line_that_changed() -> None:
    candidate = swapped("Save changes", "Discard all")
    assert status('"Sawe changes"', LABEL, candidate, change("Save changes", "Discard all")) == "changed"
    assert status("Sawe changes", LABEL, candidate, change("Save changes", "Discard all")) == "changed"


def test_text_that_went_was_removed_from_its_place_and_text_that_came_was_added() -> None:
    gone = look_up('"LOT A9914"', lines(*LABEL), lines(*without("LOT A9914")), (change("LOT A9914", None, "removed"),))
    assert gone == ElementText("removed", 0.03, "LOT A9914", None, Box(10, 120, 100, 30))
    came = look_up(
        '"LOT A9914"', lines(*without("LOT A9914")), lines(*LABEL, left=60), (change(None, "LOT A9914", "added"),)
    )
    assert came == ElementText("added", 0.03, None, "LOT A9914", Box(60, 120, 100, 30))


def test_a_price_that_moved_is_unchanged_where_it_is_now() -> None:
    moved = (*without("¥12.80"), "¥12.80")
    for name in ('"¥12.80"', "price", "价格"):
        found = look_up(name, lines(*LABEL), lines(*moved), (change("¥12.80", "¥12.80", "moved"),))
        assert found is not None
        assert (found.status, found.box) == ("unchanged", Box(10, 40 * 6, 100, 30))


def test_a_price_that_left_one_line_for_another_is_unchanged() -> None:
    candidate = (*swapped("¥12.80", "Sold out"), "¥12.80")
    assert (
        status('"¥12.80"', LABEL, candidate, change("¥12.80", "Sold out"), change(None, "¥12.80", "added"))
        == "unchanged"
    )


def test_of_two_places_the_one_that_changed_counts() -> None:
    twice = (*LABEL, "¥12.80")
    assert status('"¥12.80"', twice, (*LABEL, "¥13.80"), change("¥12.80", "¥13.80")) == "changed"


def test_only_a_quoted_text_like_which_nothing_was_read_is_absent() -> None:
    assert status('"Organic"', LABEL, LABEL) == "absent"
    assert status("Organic", LABEL, LABEL) is None
    assert status('"Save chats"', LABEL, LABEL) is None
    assert status('"Save chats"', (long := ("Please do save changes before you leave",)), long) is None
    assert status('"Organic"', (), ()) is None
    assert status('"Organic"', LABEL, LABEL, change("Organ music", None, "removed")) is None
    assert status('"Organic" or "Gluten free"', LABEL, LABEL) == "absent"


def test_of_several_quoted_texts_the_changed_one_tells() -> None:
    candidate, price = swapped("¥12.80", "¥13.80"), change("¥12.80", "¥13.80")
    assert status('"LOT A9914" and "¥12.80"', LABEL, candidate, price) == "changed"
    assert status('"LOT A9914" and "LOT A9917"', LABEL, LABEL) is None
    assert status('"LOT A9914" and "Organic"', LABEL, LABEL) is None
    assert status('"Organic" and "¥12.80"', LABEL, candidate, price) == "changed"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("price", "¥12.80", "¥13.80"),
        ("Price tag", "12,50 €", "12,90 €"),
        ("价格", "￥12.80", "￥13.80"),
        ("商品售价", "12元", "13元"),
        ("price", "12.99", "14.99"),
        ("价格", "特价 1,299.00", "特价 1,199.00"),
        ("date", "Best before 2026-11-27", "Best before 2026-12-27"),
        ("Expiry date", "11/27/2026", "11/28/2026"),
        ("生产日期", "2026年11月27日", "2026年11月28日"),
        ("release date", "Nov 27, 2026", "Dec 27, 2026"),
        ("date", "27 November 2026", "28 November 2026"),
        ("phone number", "Tel. 010-8888 6666", "Tel. 010-8888 6667"),
        ("电话", "13812345678", "13812345679"),
        ("phone", "+49 (0)30 901820", "+49 (0)30 901821"),
        ("discount", "-20 % today", "-30 % today"),
        ("折扣", "全场8.5折", "全场7.5折"),
        ("per cent", "3.0%", "3.1%"),
    ],
)
def test_a_kind_of_text_is_known_by_how_it_looks(name: str, before: str, after: str) -> None:
    page = ("Milk 1 l", "LOT 691 234", "Section 4")
    assert status(name, (*page, before), (*page, after), change(before, after)) == "changed"
    assert status(name, (*page, before), (*page, before)) == "unchanged"
    assert status(name, (*page, before), page, change(before, None, "removed")) == "removed"
    assert status(name, page, (*page, after), change(None, after, "added")) == "added"
    assert status(name, (*page, before), (*page, "Ask us"), change(before, "Ask us")) == "removed"
    assert status(name, page, page) is None


def test_another_change_is_none_of_the_price() -> None:
    candidate = swapped("LOT A9914", "LOT A9915")
    assert status("price", LABEL, candidate, change("LOT A9914", "LOT A9915")) == "unchanged"
    assert status("date", LABEL, candidate, change("LOT A9914", "LOT A9915")) == "unchanged"


def test_a_bare_number_is_a_price_only_where_none_has_a_currency() -> None:
    before, after = ("¥12.80", "4.99"), ("¥12.80", "5.99")
    assert status("price", before, after, change("4.99", "5.99")) == "unchanged"
    assert status("price", before[1:], after[1:], change("4.99", "5.99")) == "changed"
    for text in ("4.9", "4.99 kg", "4.99%", "1.4.99", "14:04.99", "version 4.99.1", "4.995", "499"):
        assert status("price", (text,), (text,)) is None


def test_of_many_prices_a_name_tells_none() -> None:
    prices = tuple(f"¥{number}.00" for number in range(10, 15))
    assert status("price", prices[:4], prices[:4]) == "unchanged"
    assert status("price", prices, prices) is None
    assert status("price", ("Price", *prices), ("Price", *prices)) is None


def test_a_name_of_two_kinds_or_of_none_is_no_kind() -> None:
    assert kind_of("date and price") is None
    assert kind_of("update button") is None
    assert kind_of("datenblatt") is None
    assert kind_of("the DATE") is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "10.2.3"),
        ("date", "1/2"),
        ("date", "mayor 12"),
        ("phone", "6901234567892"),
        ("phone", "2026-11-27"),
        ("phone", "3.141592653589"),
        ("price", "12.80"),
        ("price", "3 euroshima"),
        ("percent", "100"),
    ],
)
def test_what_only_resembles_a_kind_is_none(name: str, text: str) -> None:
    kind = kind_of(name)
    assert kind is not None
    assert kind.found_in(text) == ()


texts = st.text(st.sampled_from('aB1 9.¥%-/"“”净折\u0301ﬁ'), max_size=12)
some_lines = st.lists(texts, max_size=4).map(lambda found: lines(*found))
some_changes = st.lists(st.builds(change, st.none() | texts, st.none() | texts), max_size=3)


@given(texts, some_lines, some_lines, some_changes)
def test_whatever_was_read_an_element_is_told_consistently(
    name: str, reference: tuple[TextLine, ...], candidate: tuple[TextLine, ...], changes: list[TextChange]
) -> None:
    found = look_up(name, reference, candidate, changes)
    if found is not None:
        assert 0 <= found.score <= 1
        assert found.status in ("unchanged", "changed", "added", "removed", "absent")
        if found.status in ("changed", "added", "removed"):
            assert changes
        if found.status == "absent":
            assert (found.box, found.reference, found.candidate) == (None, None, None)
