"""The pairs that reading is judged by are what they say they are, and the judge is right."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from serve_app.core.pictures import Box, Pixels
from serve_app.core.reading import TextChange
from serve_app.schema import TextKind
from tests.worlds import wording
from tests.worlds.labels import tilt
from tests.worlds.wording import Event, TextPair
from tests.worlds.wording.canvas import Design, Line
from tests.worlds.wording.faces import PACKAGES, faces, has_chinese, has_prices
from tests.worlds.wording.packaging import Bent
from tests.worlds.wording.shots import Shot
from tests.worlds.wording.truth import changed_words

SEED = 1
EXACT = (  # nothing but what the pair is about differs, and both pictures have one size
    *("label", "dashboard", "small", "chinese", "dark", "photo", "moved", "removed", "added", "recoloured", "picture"),
    *("barcode", "chart", "curve", "icon", "shapes", "h_alike", "h_tiny", "h_faint", "h_vertical"),
)
SLANTED = ("turned2", "h_tilt", "h_turned7", "h_same", "h_packaging")  # upright boxes of slanted lines are loose
NOTHING = ("recoloured", "picture", "barcode", "chart", "curve", "icon", "shapes", "noise", "h_same")
INSTALL = f"apt install {' '.join(PACKAGES)}"
needs_chinese = pytest.mark.skipif(not has_chinese(), reason=f"no typeface with Chinese is installed: {INSTALL}")


@pytest.fixture(scope="module")
def world() -> list[TextPair]:
    """All but most of the photographs, which take half of the time."""
    if not has_prices():
        pytest.skip(f"no typeface with the signs of prices is installed: {INSTALL}")
    flat = [name for name in wording.GROUP_NAMES if name != "h_packaging"]
    return [*wording.drawn(SEED, flat), *wording.drawn(SEED, ["h_packaging"], most=2)]


def cut(picture: Pixels, box: Box) -> Pixels:
    return picture[box.y : box.bottom, box.x : box.right]


def boxes(pair: TextPair) -> tuple[list[Box], list[Box]]:
    """Of all lines, in each picture."""
    events = (*pair.events, *pair.also)
    reference = [event.reference_box for event in events if event.reference_box]
    candidate = [event.candidate_box for event in events if event.candidate_box]
    reference += [line.reference_box for line in pair.unchanged]
    candidate += [line.candidate_box for line in pair.unchanged]
    return reference, candidate


def test_a_seed_draws_the_same_pairs_again_whatever_else_is_drawn(world: list[TextPair]) -> None:
    several = ("dashboard", "h_inserted", "h_packaging", "noise")
    first = [pair for pair in world if pair.group in several and pair.name.endswith("-0")]
    assert len(first) == len(several)
    for pair, again in zip(first, wording.drawn(SEED, several, most=1), strict=True):
        assert (pair.name, pair.events, pair.files()) == (again.name, again.events, again.files())
    other = next(wording.drawn(SEED + 1, ["dashboard"]))
    assert other.events != first[0].events


@needs_chinese
def test_a_seed_has_84_ordinary_pairs_and_53_hard_ones(world: list[TextPair]) -> None:
    assert sum(pair.group in wording.ORDINARY for pair in world) == 84
    assert sum(group.count for group in wording.GROUPS if group.is_hard) == 53
    assert sum(pair.group in NOTHING for pair in world if pair.group in wording.ORDINARY) == 28


def test_groups_without_a_change_of_wording_have_no_event_and_all_others_have(world: list[TextPair]) -> None:
    for pair in world:
        assert bool(pair.events) == (pair.group not in NOTHING), pair.name


def test_every_pair_differs_somewhere(world: list[TextPair]) -> None:
    for pair in world:
        assert pair.reference.dtype == pair.candidate.dtype == np.uint8
        assert pair.reference.ndim == pair.candidate.ndim == 3
        assert not np.array_equal(pair.reference, pair.candidate), pair.name


def test_where_an_event_is_the_pictures_differ(world: list[TextPair]) -> None:
    for pair in world:
        if pair.group in EXACT:
            apart = np.abs(pair.reference.astype(int) - pair.candidate).max(axis=2)
            for event in pair.events:
                for box in (event.reference_box, event.candidate_box):
                    assert box is None or (cut(apart, box) > 25).sum() >= 6, (pair.name, event)


def test_text_that_no_event_names_is_the_same_to_the_pixel(world: list[TextPair]) -> None:
    for pair in world:
        for line in pair.unchanged if pair.group in EXACT and pair.group != "recoloured" else ():
            same = np.array_equal(cut(pair.reference, line.reference_box), cut(pair.candidate, line.candidate_box))
            assert same, (pair.name, line.text)


def test_a_recoloured_line_has_its_words_and_other_colours(world: list[TextPair]) -> None:
    for pair in (pair for pair in world if pair.group == "recoloured"):
        apart = [
            not np.array_equal(cut(pair.reference, line.reference_box), cut(pair.candidate, line.candidate_box))
            for line in pair.unchanged
        ]
        assert apart.count(True) == 1, pair.name


def test_lines_stand_inside_their_picture_and_not_on_one_another(world: list[TextPair]) -> None:
    for pair in (*world, *wording.drawn(2, ["label", "jpeg60", "photo", "added", "moved", "h_faint"])):
        for placed, picture in zip(boxes(pair), (pair.reference, pair.candidate), strict=True):
            for at, box in enumerate(placed if pair.group not in SLANTED else ()):
                assert min(box.x, box.y) >= 0, pair.name
                assert box.right <= picture.shape[1], pair.name
                assert box.bottom <= picture.shape[0], pair.name
                assert not any(box.overlap(other) for other in placed[at + 1 :]), pair.name


SHOTS = {
    "as it is": Shot(),
    "twice": Shot(scale=2),
    "tilted": Shot(matrix=tilt(560, 600, 0.03, 4)),
    "bent": Bent(wide=560, high=600, turn=0.05, lean=2, shift=(9, -4), size=1.03, drop=0.04, light=0.95),
}


@pytest.mark.parametrize("name", SHOTS)
@pytest.mark.parametrize("x", [60, 300])
def test_the_box_of_a_line_is_where_its_ink_is(name: str, x: int) -> None:
    shot, ground = SHOTS[name], Design(560, 600, (240, 240, 240))
    line = Line("LOT A48213", x, 140 + x, faces(chinese=False)[0], 30, (0, 0, 0))
    bare, written = (shot.taken(design, 1)[0].astype(int) for design in (ground, replace(ground, lines=(line,))))
    rows, columns = np.nonzero(np.abs(bare - written).max(axis=2) > 60)
    box = shot.box(line)
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert found == pytest.approx((box.x, box.y, box.right, box.bottom), abs=4 * shot.scale)


def test_a_file_holds_the_pixels_of_its_picture(world: list[TextPair]) -> None:
    for pair in (pair for pair in world if pair.group in ("jpeg60", "small")):
        for content, picture in zip(pair.files(), (pair.reference, pair.candidate), strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), picture)
    assert {pair.files()[1][:3] for pair in world if pair.group == "jpeg60"} == {b"\xff\xd8\xff"}


@needs_chinese
def test_one_chinese_character_is_another(world: list[TextPair]) -> None:
    for event in (event for pair in world if pair.group in ("chinese", "h_vertical") for event in pair.events):
        assert event.reference_word is not None
        assert event.candidate_word is not None
        assert len(event.reference_word) == len(event.candidate_word) == 1


@pytest.mark.parametrize(
    ("reference", "candidate", "words"),
    [
        ("Now only $12.80", "Now only $13.80", ("$12.80", "$13.80")),
        ("Store in a cool, dry place.", "Store in a warm, dry place.", ("cool", "warm")),
        ("净含量：500克", "净含量：300克", ("500", "300")),
        ("订单已付款", "订单未付款", ("已", "未")),
        ("LOT A9914", "LOT A9915", ("A9914", "A9915")),
        ("09:40", "09:41", ("09:40", "09:41")),
        ("Sign out", "Sign in", ("out", "in")),
        ("AA", "AAA", ("AA", "AAA")),
    ],
)
def test_what_changed_grows_to_words(reference: str, candidate: str, words: tuple[str, str]) -> None:
    assert changed_words(reference, candidate) == words


PRICE = Event("changed", "Now only $12.80", "Now only $13.80", "$12.80", "$13.80", None, None)
GONE = Event("removed", "Best before 2026-05-01", None, "Best before 2026-05-01", None, None, None)
BLANK = np.zeros((8, 8, 3), np.uint8)


def truth(*events: Event, also: tuple[Event, ...] = ()) -> TextPair:
    return TextPair("a pair", "label", BLANK, BLANK, events, also)


def said(
    kind: TextKind,
    reference: str | None,
    candidate: str | None,
    words: tuple[str | None, str | None] = (None, None),
) -> TextChange:
    return TextChange(kind, reference, candidate, *words, 0.9)


def test_a_whole_line_is_right_without_its_spaces_and_in_wide_letters() -> None:
    found = wording.score(truth(PRICE), [said("changed", "Nowonly ＄12.80", "Now only$13.80")])
    assert (found.right, found.whole, found.false, found.missed) == (1, 1, (), ())


def test_a_changed_word_is_right_though_its_line_was_misread() -> None:
    lines = "Mow only $12.80", "Now only $13.80"
    found = wording.score(truth(PRICE), [said("changed", *lines, ("$12.80", "$13.80"))])
    assert (found.right, found.whole, found.false) == (1, 0, ())


@pytest.mark.parametrize("words", [("12.80", "13.80"), ("only $12.80", "only $13.80")])
def test_a_changed_word_may_be_cut_elsewhere_between_words(words: tuple[str, str]) -> None:
    assert wording.score(truth(PRICE), [said("changed", *words)]).right == 1


@pytest.mark.parametrize(
    ("reference", "candidate", "words"),
    [
        ("now only $12.80", "now only $13.80", (None, None)),  # capitals count
        ("Now only $13.80", "Now only $12.80", ("$13.80", "$12.80")),  # the other way round
        ("2", "3", ("2", "3")),  # torn out of a number
        ("Now only $12.80", "Now only $18.80", ("$12.80", "$18.80")),
        ("Now only", "Now only", (None, None)),  # of which nothing changed
    ],
)
def test_another_change_is_false_and_the_event_is_missed(
    reference: str, candidate: str, words: tuple[str | None, str | None]
) -> None:
    found = wording.score(truth(PRICE), [said("changed", reference, candidate, words)])
    assert (found.right, len(found.false), found.missed) == (0, 1, (PRICE,))


def test_the_right_strings_of_another_kind_are_false() -> None:
    moved = Event("moved", "LOT A1", "LOT A1", "LOT A1", "LOT A1", None, None)
    others = [said("removed", "LOT A1", None), said("added", None, GONE.reference)]
    others.append(said("moved", PRICE.reference, PRICE.candidate, ("$12.80", "$13.80")))
    found = wording.score(truth(moved, GONE, PRICE), others)
    assert (found.right, len(found.false), len(found.missed)) == (0, 3, 3)


def test_an_event_told_twice_is_right_once_and_nothing_is_false() -> None:
    found = wording.score(truth(PRICE), [said("changed", PRICE.reference, PRICE.candidate)] * 2)
    assert (found.events, found.right, found.false) == (1, 1, ())


def test_two_events_are_told_apart() -> None:
    found = wording.score(truth(PRICE, GONE), [said("removed", GONE.reference, None)])
    assert (found.events, found.right, found.missed) == (2, 1, (PRICE,))


def test_a_part_of_a_removed_line_is_neither_right_nor_false() -> None:
    parts = [said("removed", "Best before", None), said("removed", "2026-05-01", None)]
    found = wording.score(truth(GONE), parts)
    assert (found.right, found.partial, found.false, found.missed) == (0, 2, (), (GONE,))
    assert len(wording.score(truth(GONE), [said("removed", "2026-05", None)]).false) == 1


def test_same_words_and_codes_are_no_statements_about_wording() -> None:
    others = [said("same", "Save", "Save"), said("code", "6901234567892", "6901234567809")]
    found = wording.score(truth(), others)
    assert (found.events, found.right, found.false) == (0, 0, ())


def test_lines_that_made_room_may_be_told_and_need_not() -> None:
    pushed = Event("moved", "Row two", "Row two", "Row two", "Row two", None, None)
    pair = truth(GONE, also=(pushed,))
    found = wording.score(pair, [said("moved", "Row two", "Row two")])
    assert (found.false, found.partial, found.right) == ((), 0, 0)
    assert wording.score(pair, []).missed == (GONE,)


def test_any_statement_about_an_unchanged_pair_is_false() -> None:
    found = wording.score(truth(), [said("added", None, "O"), said("changed", "a", "b")])
    assert (found.events, len(found.false)) == (0, 2)
