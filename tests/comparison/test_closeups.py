"""Which parts of the pictures the model is shown closer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve_app import imaging
from serve_app.comparison.dialogue import closeups
from serve_app.core.pictures import Box, ImageFacts, Raster
from tests.worlds.samples import difference, measured

SHOWN = (1024, 1024)


def facts(width: int, height: int, shown: float = 1.0) -> ImageFacts:
    return ImageFacts(width, height, "PNG", 1, "00", max(1, round(width * shown)), max(1, round(height * shown)))


def test_what_is_shown_as_it_is_needs_no_crop() -> None:
    assert closeups.places(measured(), facts(200, 120), facts(200, 120), SHOWN) == ()


def test_a_small_region_gets_its_surroundings_and_is_not_enlarged() -> None:
    large = facts(4000, 3000, 0.25)
    small = difference(reference_box=Box(2000, 1500, 10, 10), candidate_box=Box(2000, 1500, 10, 10))
    (place,) = closeups.places(measured(differences=[small]), large, large, SHOWN)
    assert place.reference == place.candidate == Box(1941, 1441, 128, 128)


def test_both_sides_show_the_same_extent_at_their_own_place() -> None:
    large = facts(4000, 3000, 0.25)
    moved = difference(kind="moved", reference_box=Box(0, 0, 200, 100), candidate_box=Box(3000, 2000, 150, 120))
    (place,) = closeups.places(measured(differences=[moved]), large, large, SHOWN)
    assert (place.reference.width, place.reference.height) == (400, 240)
    assert (place.candidate.width, place.candidate.height) == (400, 240)
    assert (place.reference.x, place.reference.y) == (0, 0)


def test_a_difference_of_the_whole_frame_is_not_cropped() -> None:
    large = facts(4000, 3000, 0.25)
    frame = difference(reference_box=Box(0, 0, 4000, 3000), candidate_box=Box(0, 0, 4000, 3000))
    places = closeups.places(measured(differences=[frame, difference()]), large, large, SHOWN)
    assert [place.index for place in places] == [1]


def test_only_the_worst_regions_are_cropped() -> None:
    large = facts(4000, 3000, 0.25)
    places = closeups.places(measured(differences=[difference()] * 9), large, large, SHOWN)
    assert [place.index for place in places] == [0, 1, 2, 3]


def test_no_crop_is_over_the_callers_size() -> None:
    pixels = np.zeros((600, 800, 3), np.uint8)
    cut = imaging.cut(Raster(pixels, None, 800, 600), Box(0, 0, 800, 600), closeups.largest((64, 4096)), 100)
    assert (cut.width, cut.height) == (64, 48)


def test_a_crop_holds_the_pixels_of_its_box() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cut = imaging.cut(Raster(pixels, None, 80, 60), Box(10, 20, 30, 40), (448, 448), 100)
    assert cut.data == pixels[20:60, 10:40].tobytes()


def test_a_raster_measured_smaller_is_cropped_at_the_same_place() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cut = imaging.cut(Raster(pixels, None, 160, 120), Box(20, 40, 60, 80), (448, 448), 100)
    assert cut.data == pixels[20:60, 10:40].tobytes()


boxes = st.builds(Box, st.integers(0, 2999), st.integers(0, 1999), st.integers(1, 3000), st.integers(1, 2000))


@given(boxes, boxes, st.integers(1, 5000), st.integers(1, 5000), st.floats(0.2, 5))
def test_every_crop_lies_inside_its_picture(one: Box, two: Box, width: int, height: int, scale: float) -> None:
    first = facts(3000, 2000, 0.2)
    second = facts(width, height, 0.2)
    one = one._replace(width=min(one.width, 3000 - one.x), height=min(one.height, 2000 - one.y))
    two = Box(two.x % width, two.y % height, 1, 1)
    found = measured(differences=[difference(reference_box=one, candidate_box=two)])
    found = replace(found, alignment=replace(found.alignment, scale=scale))
    for place in closeups.places(found, first, second, SHOWN):
        for box, picture in ((place.reference, first), (place.candidate, second)):
            assert min(box.x, box.y) >= 0
            assert box.area > 0
            assert box.right <= picture.width
            assert box.bottom <= picture.height
