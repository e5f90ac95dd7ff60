"""One line as both pictures have it: said only where both bear it out."""

from __future__ import annotations

import pytest

from serve_app.ocr import judging
from serve_app.ocr.judging import judge
from tests.ocr.signs import line as read

SURE, BARELY = 0.9999, 0.55


def everywhere(start: float, end: float) -> bool:
    return True


def nowhere(start: float, end: float) -> bool:
    return False


def test_the_changed_letters_are_said_with_their_place() -> None:
    judged = judge(read("Price 12.80"), read("Price 13.80"), everywhere, is_rough=False)
    assert judged is not None
    assert (judged.verdict, judged.one, judged.two) == ("changed", "Price 12.80", "Price 13.80")
    (change,) = judged.changes
    assert (change.one, change.two) == ((7, 8), (7, 8))
    assert 0.55 < change.start < 0.7 < change.end < 0.8
    assert judged.confidence > 0.99


def test_what_is_read_alike_is_the_same() -> None:
    judged = judge(read("Save as"), read("Save as"), everywhere, is_rough=False)
    assert judged is not None
    assert judged.verdict == "same"


def test_letters_on_unchanged_pixels_did_not_change() -> None:
    assert judge(read("Price 12.80"), read("Price 13.80"), nowhere, is_rough=False) is None


def test_where_readings_differ_and_pixels_do_not_the_surer_one_holds_for_both() -> None:
    one, two = read("L0T 12", rivals={1: ("O", 0.3)}), read("LOT 13")
    judged = judge(one, two, lambda start, end: end > 0.7, is_rough=False)
    assert judged is not None
    assert (judged.one, judged.two) == ("LOT 12", "LOT 13")


@pytest.mark.parametrize(("rival", "is_said"), [(0.001, True), (0.01, False)])
def test_each_picture_must_hold_its_own_letters_likelier_by_the_gap(rival: float, is_said: bool) -> None:
    """6 nats: the other letter is 400 times less likely."""
    blurred = read("LOT 12", rivals={5: ("3", rival)})
    for one, two in ((blurred, read("LOT 13")), (read("LOT 13"), blurred)):
        assert (judge(one, two, everywhere, is_rough=False) is not None) is is_said


@pytest.mark.parametrize(("rival", "is_close", "is_rough", "is_said"), [
    (0.02, False, False, False),
    (0.02, True, False, True),
    (0.02, True, True, False),
    (0.2, True, False, False),
])  # fmt: skip
def test_less_will_do_where_nothing_else_of_the_line_changed(
    rival: float, is_close: bool, is_rough: bool, is_said: bool
) -> None:
    one, two = read("LOT 10", rivals={5: ("O", rival)}), read("LOT 1O")
    assert (judge(one, two, everywhere, is_rough=is_rough, is_close=is_close) is not None) is is_said


@pytest.mark.parametrize(("is_rough", "is_said"), [(False, True), (True, False)])
def test_look_alikes_take_twice_the_gap_in_a_resampled_picture(is_rough: bool, is_said: bool) -> None:
    one, two = read("LOT 10", rivals={5: ("O", 1e-4)}), read("LOT 1O")  # 9 nats
    assert (judge(one, two, everywhere, is_rough=is_rough) is not None) is is_said


def test_a_letter_that_is_hardly_read_is_no_change() -> None:
    unsure = read("LOT 12", rivals={5: ("7", 0.52)})
    assert judge(unsure, read("LOT 13"), everywhere, is_rough=False) is None


@pytest.mark.parametrize("weak", ["one", "two"])
def test_an_unreadable_line_says_nothing(weak: str) -> None:
    lines = {name: read("Price 12", BARELY if name == weak else SURE) for name in ("one", "two")}
    assert judge(lines["one"], lines["two"], everywhere, is_rough=False) is None


def test_another_line_at_the_place_is_told_apart_from_a_changed_one() -> None:
    judged = judge(read("Zurich Main"), read("Old Bakery"), everywhere, is_rough=False)
    assert judged is not None
    assert judged.verdict == "replaced"


def test_a_line_that_one_picture_has_must_be_sure_and_the_other_say_nothing() -> None:
    gone = judge(read("LOT A9914"), read("", SURE), everywhere, is_rough=False)
    came = judge(read("x", 0.3), read("LOT A9914"), everywhere, is_rough=False)
    assert gone is not None
    assert came is not None
    assert (gone.verdict, gone.one, gone.two) == ("removed", "LOT A9914", "")
    assert (came.verdict, came.one, came.two) == ("added", "", "LOT A9914")
    assert judge(read("LOT A9914", 0.85), read(""), everywhere, is_rough=False) is None
    assert judge(read("LOT A9914"), read("LOT", 0.6), everywhere, is_rough=False) is None


@pytest.mark.parametrize("sign", ["口", "O", "1", "華"])
def test_one_sign_alone_may_be_an_icon(sign: str) -> None:
    assert judge(read(sign), read(""), everywhere, is_rough=False) is None
    assert judge(read(sign), read("X"), everywhere, is_rough=False) is None


def test_a_digit_that_stands_alone_may_change_and_not_come_or_go() -> None:
    judged = judge(read("3"), read("7"), everywhere, is_rough=False)
    assert judged is not None
    assert judged.verdict == "replaced"
    assert judge(read("3", 0.95), read("7"), everywhere, is_rough=False) is None
    assert judge(read("3"), read(""), everywhere, is_rough=False) is None


def test_of_a_word_that_changed_no_half_is_said() -> None:
    judged = judge(read("is cold now"), read("is hot now"), lambda start, end: 0.35 < start < 0.6, is_rough=False)
    assert judged is not None
    assert (judged.one, judged.two) == ("is cold now", "is hot now")
    far = judge(read("8 is cold now"), read("3 is hot now"), lambda start, end: 0.35 < start < 0.7, is_rough=False)
    assert far is not None
    assert far.two[2:] == "is hot now"
    assert far.one[0] == far.two[0]  # nothing was seen there, and it is no part of this


def test_letters_gained_and_lost_have_empty_stretches() -> None:
    judged = judge(read("Zürich"), read("Zürichsee"), everywhere, is_rough=False)
    assert judged is not None
    (change,) = judged.changes
    assert (change.one, change.two) == ((6, 6), (6, 9))
    assert judging.judge(read("Zürichsee"), read("Zürich"), everywhere, is_rough=False) is not None
