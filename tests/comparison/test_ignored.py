"""Ignored regions follow their content, and what can't be meant is said."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from serve_app import local, measurement
from serve_app.comparison import ignored
from serve_app.comparison.examiner import Examiner
from serve_app.core.clock import Deadline
from serve_app.core.measured import MeasuredDifference, Measurement
from serve_app.core.pictures import MASK_GREY, Box, Pixels, Raster, Upload
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.settings import Limits, PreprocessingSettings
from tests.worlds.ignoring import examined, noisy, page, png, pushed, slid
from tests.worlds.known import KnownPair, misses
from tests.worlds.labels import tilted_pair
from tests.worlds.pages import bar, card, stacked


@pytest.mark.parametrize("rows", [12, 60])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_ignored_follows_the_page_that_was_pushed_down(rows: int, seed: int) -> None:
    pair = pushed(rows, seed)
    assert misses(pair, examined(pair)) == []
    kinds = [each.kind for each in examined(pair).differences]
    assert sorted(kinds) == ["added", "moved"]


@pytest.mark.parametrize("by", [5, 30])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_ignored_follows_the_page_that_slid(by: int, seed: int) -> None:
    pair = slid(by, seed)
    assert misses(pair, examined(pair)) == []


def test_what_is_ignored_follows_the_photograph_that_was_tilted() -> None:
    pair = tilted_pair(0.02, 1, changes=True, width=480)
    around = Box(*(pair.changes[0][0] - 6, pair.changes[0][1] - 6, 40, 40))
    found = examined(dataclasses.replace(pair, ignored=(around,)))
    assert [each.kind for each in found.differences] == ["moved"]


def test_a_model_is_shown_the_moved_mask_too() -> None:
    pair = pushed(60, 1)
    examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=True)
    config = ImageComparisonConfig(ignore_regions=pair.ignored, image_quality=100)
    uploads = [Upload(png(picture)) for picture in (pair.reference, pair.candidate)]
    try:
        seen = asyncio.run(examiner.examine(uploads[0], uploads[1], config, Deadline.after(60)))
    finally:
        examiner.close()
    spot = pair.ignored[0]
    for shown, down in ((seen.shown_reference, 0), (seen.shown_candidate, 60)):
        assert shown is not None
        assert shown.encoding == "rgb"
        pixels = np.frombuffer(shown.data, np.uint8).reshape(shown.height, shown.width, 3)
        hidden = (pixels == 128).all(axis=2)
        scale = shown.width / pair.reference.shape[1]
        middle = (int((spot.y + down + spot.height // 2) * scale), int((spot.x + spot.width // 2) * scale))
        assert hidden[middle]
        assert hidden.sum() == pytest.approx(spot.area * scale**2, rel=0.05)


def test_on_one_frame_the_region_stays_where_it_is() -> None:
    picture, spot = page(3)
    other = noisy(picture, spot, 3)
    other[-60:-40, 100:160] = (200, 20, 20)
    found = examined(KnownPair(picture, other, ignored=(spot,)))
    assert [each.reference_box for each in found.differences] == [Box(100, len(picture) - 60, 60, 20)]
    assert examined(KnownPair(picture, noisy(picture, spot, 3), ignored=(spot,))).identical


def test_what_moved_by_itself_under_the_region_moves_nothing_else() -> None:
    """Most of the page is ignored, and slides there; the rest stays."""
    picture, _ = page(4)
    spot = Box(0, 60, picture.shape[1], len(picture) - 200)
    other = picture.copy()
    other[spot.y : spot.bottom] = np.roll(picture[spot.y : spot.bottom], 25, axis=0)
    assert examined(KnownPair(picture, other, ignored=(spot,))).identical


def boxes(found: Measurement) -> tuple[Box, ...]:
    def own(each: MeasuredDifference) -> Box:
        assert each.reference_box is not None
        return each.reference_box

    return tuple(own(each) for each in found.differences)


def inserted() -> tuple[Pixels, Pixels]:
    above, below = (bar("Northwind"), card(1)), (card(2, 7), card(3, 3), card(4, 5))
    return stacked(*above, *below), stacked(*above, card(9, 4), *below)


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("is_exchanged", [False, True])
def test_ignoring_every_difference_of_a_reflowed_page_gives_a_match(is_cut: bool, is_exchanged: bool) -> None:
    page, longer = inserted()
    pair = [page, longer[: len(page)] if is_cut else longer]
    one, two = pair[::-1] if is_exchanged else pair
    found = examined(KnownPair(one, two))
    assert found.alignment.kind == "bands"
    left = examined(KnownPair(one, two, ignored=boxes(found)))
    assert left.differences == ()
    assert left.similarity_interval[0] > 0.8


def test_a_region_where_rows_came_in_hides_them() -> None:
    page, longer = inserted()
    rasters = [Raster(each.copy(), None, each.shape[1], each.shape[0]) for each in (page, longer)]
    pair = measurement.place(*rasters)
    added = next(each for each in pair.measure().differences if each.kind == "added")
    assert added.reference_box is not None
    assert added.candidate_box is not None
    left, there = pair.ignoring([added.reference_box])
    assert [each.kind for each in left.measure().differences] == ["moved"]
    assert there[0].overlap(added.candidate_box) == added.candidate_box.area
    hidden = rasters[1].pixels[added.candidate_box.y : added.candidate_box.bottom]
    assert (hidden == MASK_GREY).all()


@pytest.mark.parametrize(("language", "outside", "everything"), [("en", "outside", "whole"), ("zh", "之外", "整张")])
def test_a_region_that_cannot_be_meant_is_a_warning(language: Language, outside: str, everything: str) -> None:
    picture, _ = page(5)
    height, width = picture.shape[:2]

    def warnings(*regions: tuple[int, int, int, int]) -> tuple[str, ...]:
        config = ImageComparisonConfig(ignore_regions=regions, language=language)
        return local.compare(png(picture), png(255 - picture), config).warnings

    told = warnings((10, 10, 5, 5), (5000, 5000, 50, 50))
    assert len(told) == 1
    assert outside in told[0]
    assert "ignore_regions[1]" in told[0]
    assert [everything in each for each in warnings((0, 0, width, height // 2), (0, height // 2, width, height))] == [
        True
    ]
    assert warnings((0, 0, width, height - 1)) == ()


def test_regions_cover_a_picture_only_together() -> None:
    halves = [Box(0, 0, 50, 80), Box(50, 0, 60, 90)]
    assert ignored.cover(halves, 100, 80)
    assert not ignored.cover(halves[:1], 100, 80)
    assert not ignored.cover([halves[0], Box(51, 0, 60, 90)], 100, 80)
    assert not ignored.cover([], 100, 80)
    assert list(ignored.outside([Box(0, 0, 1, 1), Box(100, 0, 5, 5), Box(99, 79, 5, 5)], 100, 80)) == [1]
