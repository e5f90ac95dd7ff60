"""Scores that order as a person would, fall with every distortion, and aspects that keep apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from serve_app import measurement
from serve_app.core.measured import Measurement
from serve_app.core.pictures import Pixels
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.pages import screens
from tests.worlds.pairs import (
    HELD_OUT,
    TUNED,
    blurred,
    clipped,
    cropped,
    distortions,
    encoded,
    grained,
    packaged,
    photographs,
    replaced,
    scrambled,
    screenshot,
    turned_hue,
)

SCREENS = {"order": screenshot(), **{name: pair[0] for name, pair in screens().items()}}
PICTURES = {**photographs(), **SCREENS}
# A blur of two pixels is no change to them that anybody would see at any place: it ranks with the copies.
OUT_OF_FOCUS = ("cell", "clock_motion", "ihc", "moon")


def rungs(picture: Pixels, blur: float) -> Iterator[Pixels]:
    """What a person finds less and less like the picture; their strengths are what the score is held to."""
    yield encoded(picture, 75)
    yield np.roll(picture, 1, 1)
    yield clipped(picture + 8.0)
    yield blurred(picture, blur)
    yield replaced(picture, 0.05)
    yield cropped(picture, 0.8)


def measured(first: Pixels, second: Pixels) -> Measurement:
    return measurement.measure(raster(first), raster(second))


def halves(picture: Pixels) -> tuple[Pixels, Pixels]:
    """Two pictures of one kind: the left and the right half of a scene."""
    width = picture.shape[1] // 2
    return np.ascontiguousarray(picture[:, :width]), np.ascontiguousarray(picture[:, -width:])


def ladder(picture: Pixels, blur: float, of_its_kind: tuple[Pixels, Pixels], unrelated: list[Pixels]) -> list[float]:
    scores = [measured(picture, other).similarity for other in rungs(picture, blur)]
    scores.append(measured(*of_its_kind).similarity)
    return [1.0, *scores, max(measured(picture, other).similarity for other in unrelated)]


@pytest.mark.parametrize("name", [name for name in TUNED + HELD_OUT if name not in OUT_OF_FOCUS])
def test_similarity_orders_photographs(name: str) -> None:
    picture = packaged()[name]
    other = packaged()["coffee" if name == "chelsea" else "chelsea"]
    scores = ladder(picture, min(picture.shape[:2]) / 270, halves(picture), [other, screenshot()])
    assert scores == sorted(scores, reverse=True), scores
    assert scores[-1] < 0.2


@pytest.mark.parametrize("name", list(screens()))
def test_similarity_orders_screens(name: str) -> None:
    page, of_its_kind = screens()[name]
    # Text is read at its native size, whatever the page's: a blur in pixels.
    scores = ladder(page, 1.2, (page, of_its_kind), [packaged()["coffee"], packaged()["astronaut"]])
    assert scores == sorted(scores, reverse=True), scores
    assert scores[-1] < 0.2


@pytest.mark.parametrize("name", list(SCREENS))
def test_unrelated_screens_and_photographs_stay_below_a_fifth(name: str) -> None:
    for other in packaged().values():
        if min(other.shape[:2]) > 100:
            assert measured(SCREENS[name], other).similarity < 0.2


@pytest.mark.parametrize("name", list(PICTURES))
def test_similarity_falls_with_the_strength_of_each_distortion(name: str) -> None:
    last: tuple[str, float] = ("", 1.0)
    for distortion, strength, other in distortions(PICTURES[name]):
        found = measured(PICTURES[name], other).similarity
        if distortion == last[0]:
            # What a turn's interpolation softens depends on its angle more than on its size.
            assert found <= last[1] + (0.02 if distortion == "turn" else 0.002), (distortion, strength)
        assert found < 1
        last = (distortion, found)


DISTORTED: dict[str, Callable[[Pixels], Pixels]] = {
    "hue": lambda picture: turned_hue(picture, 60),
    "brightness": lambda picture: clipped(picture * 0.75),
    "contrast": lambda picture: clipped((picture - picture.mean()) * 0.6 + picture.mean()),
    "layout": lambda picture: scrambled(picture, 6),
    "texture": lambda picture: grained(picture, 12, min(picture.shape[:2]) / 60),
    "sharpness": lambda picture: blurred(picture, 2.5),
}
OWN = 0.15  # that an aspect falls at least by under its own distortion
OTHERS = 0.6  # of it that any other aspect falls by, at most


@pytest.mark.parametrize("aspect", list(DISTORTED))
@pytest.mark.parametrize("name", list(PICTURES))
def test_each_aspect_falls_under_its_own_distortion_and_the_others_stay(name: str, aspect: str) -> None:
    picture = PICTURES[name]
    falls = {each: 1 - score for each, score in measured(picture, DISTORTED[aspect](picture)).aspects.items()}
    own = falls.pop(aspect)
    whole = falls.pop("color")  # hue and lightness together, as people mean it
    assert aspect not in ("hue", "brightness") or whole >= OWN / 2, whole
    assert own >= OWN, falls
    assert max(falls.values()) <= OTHERS * own, (own, falls)


@pytest.mark.parametrize("name", list(packaged()))
def test_the_corpus_is_ordered_and_lawful(name: str) -> None:
    picture = packaged()[name]
    if min(picture.shape[:2]) > 600:  # the laws take six measurements
        picture = np.ascontiguousarray(picture[:600, :600])
    patched = picture.copy()
    height, width = (max(1, length // 5) for length in picture.shape[:2])
    patched[height : 2 * height, width : 2 * width] ^= 128
    found = assert_lawful(picture, patched)
    assert found.differences
    assert found.similarity < measured(picture, encoded(picture, 90)).similarity


def test_one_change_decides_alike_on_pages_of_any_height() -> None:
    """Its similarity stays under that of every pair in which nothing is seen, however long the page."""
    found = []
    for height in (420, 700, 1500, 4000):
        pages = [np.concatenate([each, np.full((height - 400, 640, 3), 250, np.uint8)]) for each in PAGES]
        pair = measured(*pages)
        assert len(pair.differences) == 1
        found.append(pair.similarity)
    assert max(found) < 0.97
    assert min(found) > 0.96


PAGES = (screenshot(), screenshot(price="1,294.50"))


@pytest.mark.parametrize(
    ("one", "two", "most"),
    [(0, 255, 0.2), (255, 40, 0.3), (255, 128, 0.5), ((200, 30, 30), (30, 60, 200), 0.5), (250, 244, 0.95)],
)
def test_plain_colours_are_as_alike_as_they_look(one: Level, two: Level, most: float) -> None:
    found = assert_lawful(plain(one), plain(two))
    assert found.similarity <= most
    assert found.aspects["color"] <= most + 0.05


def test_hue_alone_stays_where_lightness_changes() -> None:
    found = measured(plain(255), plain(60))
    assert found.aspects["hue"] > 0.95
    assert found.aspects["color"] < 0.3
    assert measurement.aspect_score(found, "色相") == found.aspects["hue"]


def test_a_small_change_that_stands_out_is_severe() -> None:
    page = plain(250)
    dotted = page.copy()
    dotted[100:106, 100:106] = 20
    assert measured(page, dotted).differences[0].severity > 0.3
    faint = page.copy()
    faint[100:106, 100:106] = 240
    assert measured(page, faint).differences[0].severity < 0.15


Level = int | tuple[int, int, int]


def plain(level: Level) -> Pixels:
    out = np.empty((300, 400, 3), np.uint8)
    out[...] = level
    return out


def test_the_two_eyes_of_a_stereo_pair_are_related_but_not_the_same() -> None:
    left, right = packaged()["motorcycle_left"], packaged()["motorcycle_right"]
    found = assert_lawful(left, right)
    assert found.differences
    assert measured(left, packaged()["chelsea"]).similarity < found.similarity < 0.8
