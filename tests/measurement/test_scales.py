"""Pages at another scale, pictures stretched and turned over: named, and what changed on them found."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from serve_app import measurement
from serve_app.measurement.visible import resampled
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.known import misses
from tests.worlds.pairs import blurred, screenshot
from tests.worlds.rescaled import CHANGES, mirrored_pair, page, rescaled_pair, stretched_pair


@pytest.mark.parametrize("ratio", [1.25, 1.75, 2.0, 3.0])
def test_a_page_at_another_scale_differs_where_a_digit_changed(ratio: float) -> None:
    for seed in (0, 1):
        pair = rescaled_pair(ratio, seed, changes=True)
        assert misses(pair, measurement.measure(raster(pair.reference), raster(pair.candidate))) == []
    same = measurement.measure(raster(page(1).picture), raster(page(ratio).picture))
    assert same.differences == ()
    assert same.alignment.kind == "resized"


@pytest.mark.parametrize("seed", range(len(CHANGES)))
def test_the_laws_hold_for_two_scales(seed: int) -> None:
    pair = rescaled_pair(1.5, seed, changes=True)
    assert misses(pair, assert_lawful(pair.reference, pair.candidate)) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_stretched_picture_is_named_with_both_scales(share: float, seed: int) -> None:
    pair = stretched_pair(share, seed)
    found = measurement.measure(raster(pair.reference), raster(pair.candidate))
    assert misses(pair, found) == []
    assert found.alignment.scales is not None
    one, two = found.alignment.scales
    assert min(one / two, two / one) == pytest.approx(share, abs=0.01)
    back = measurement.measure(raster(pair.candidate), raster(pair.reference)).alignment
    assert back.scales == pytest.approx((1 / one, 1 / two), abs=1e-3)


def test_other_screens_of_another_shape_are_not_stretched() -> None:
    photo, page = data.coffee(), screenshot()
    for one, two in ((photo, data.astronaut()), (page, photo[:, :300]), (page, page[:300]), (page[:, :500], page)):
        found = measurement.measure(raster(np.ascontiguousarray(one)), raster(np.ascontiguousarray(two)))
        assert found.alignment.kind != "stretched"


@pytest.mark.parametrize("seed", range(6))
def test_a_mirror_image_is_named(seed: int) -> None:
    pair = mirrored_pair(2, seed)
    found = measurement.measure(raster(pair.reference), raster(pair.candidate))
    assert misses(pair, found) == []
    assert 0.5 <= found.similarity <= 0.7


def test_what_changed_in_a_mirror_image_lies_where_each_picture_has_it() -> None:
    picture = data.astronaut()
    other = picture[:, ::-1].copy()
    other[100:140, 50:110] = (20, 220, 40)
    found = assert_lawful(picture, other)
    assert found.alignment.kind == "mirrored"
    change = next(each for each in found.differences if each.kind != "moved")
    assert change.reference_box is not None
    assert change.candidate_box is not None
    for value, truth in zip(change.candidate_box, (50, 100, 60, 40), strict=True):
        assert abs(value - truth) <= 2
    for value, truth in zip(change.reference_box, (512 - 110, 100, 60, 40), strict=True):
        assert abs(value - truth) <= 2
    matrix = np.array(found.alignment.matrix)
    assert matrix @ (0, 0, 1) == pytest.approx((511, 0, 1))


def test_what_is_symmetric_is_not_mirrored() -> None:
    page = np.full((300, 400, 3), 250, np.uint8)
    page[40:80, 100:300] = 30
    other = page.copy()
    other[150:260, 40:360] = (200, 60, 20)
    assert measurement.measure(raster(page), raster(other)).alignment.kind == "none"


def test_sampling_is_excused_and_a_stroke_is_not() -> None:
    letters = screenshot()[..., 0]
    for other in (blurred(letters, 0.5), np.asarray(letters)):
        assert not resampled(letters, other).any()
    missing = letters.copy()
    y, x = (int(at[0]) for at in np.nonzero(letters[110:] < 60))
    missing[110 + y : 114 + y, x : x + 3] = 250  # a part of one letter
    assert resampled(letters, missing).any()
    assert np.array_equal(resampled(letters, missing), resampled(missing, letters))
