"""One flat thing from two hands: laid on one another, and what changed on it found by itself."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from serve_app import measurement
from serve_app.measurement.placing import perspective
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.known import misses
from tests.worlds.labels import label, photographed, skewed_pair, tilt, tilted_pair, two_sizes_pair
from tests.worlds.pairs import replaced, turned

WIDTH = 480


def corners(matrix: NDArray[Any]) -> NDArray[Any]:
    height = WIDTH * 5 // 4
    landed = np.array([(0, 0, 1), (WIDTH, 0, 1), (WIDTH, height, 1), (0, height, 1)]) @ matrix.T
    return np.asarray(landed[:, :2] / landed[:, 2:])


@pytest.mark.parametrize(("off", "seed"), [(0.003, 0), (0.01, 1), (0.02, 2), (0.04, 3)])
@pytest.mark.parametrize("changes", [False, True])
def test_a_label_from_two_hands_differs_where_it_changed(off: float, seed: int, changes: bool) -> None:
    pair = tilted_pair(off, seed, changes=changes, width=WIDTH)
    found = assert_lawful(pair.reference, pair.candidate)
    assert misses(pair, found) == []
    assert found.alignment.kind == "perspective"


def test_both_may_be_tilted_and_badly_encoded() -> None:
    pair = tilted_pair(0.02, 4, changes=True, both=True, quality=75)
    assert misses(pair, measurement.measure(raster(pair.reference), raster(pair.candidate))) == []


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("share", [0.004, 0.03])
def test_a_skewed_scan_differs_where_it_changed(share: float, seed: int) -> None:
    for changes in (False, True):
        pair = skewed_pair(share, seed, changes=changes)
        assert misses(pair, measurement.measure(raster(pair.reference), raster(pair.candidate))) == []


def test_the_matrix_lands_the_corners_where_they_are_from_either_side() -> None:
    truth = tilt(WIDTH, WIDTH * 5 // 4, 0.03, 6)
    thing, _ = label(WIDTH)
    pair = [raster(photographed(thing, matrix, seed)) for seed, matrix in enumerate((np.eye(3), truth))]
    there, back = (measurement.measure(one, two).alignment for one, two in (pair, pair[::-1]))
    assert np.abs(corners(np.array(there.matrix)) - corners(truth)).max() < 0.4
    assert np.abs(corners(np.array(back.matrix)) - corners(np.linalg.inv(truth))).max() < 0.4
    assert there.confidence > 0.95


@pytest.mark.parametrize(("off", "seed"), [(0.003, 0), (0.01, 1), (0.02, 2), (0.04, 3)])
def test_two_photographs_of_two_sizes_are_laid_on_one_another(off: float, seed: int) -> None:
    for changes in (False, True):
        pair = two_sizes_pair(off, seed, changes=changes)
        found = measurement.measure(raster(pair.reference), raster(pair.candidate))
        assert misses(pair, found) == []
        assert found.alignment.kind == "perspective"
        assert found.alignment.scale == pytest.approx(len(pair.candidate) / len(pair.reference), rel=0.02)


def test_a_tilt_beside_a_shift_is_no_shift() -> None:
    pair = tilted_pair(0.015, 4, changes=True, width=1265)
    found = measurement.measure(raster(pair.reference), raster(pair.candidate))
    assert found.alignment.kind == "perspective"
    assert misses(pair, found) == []


def test_a_turn_is_no_perspective() -> None:
    picture = data.astronaut()
    other = raster(turned(picture, 2))
    turn = np.vstack([cv2.getRotationMatrix2D((256, 256), 2, 1), [(0, 0, 1)]])
    assert perspective.lay(raster(picture), other, turn) is None
    for degrees in (1, 4):
        found = measurement.measure(raster(picture), raster(turned(picture, degrees)))
        assert (found.alignment.kind, found.alignment.matrix) == ("features", None)


def test_what_changed_in_one_place_pays_for_no_perspective(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = Mock(wraps=perspective.lay)
    monkeypatch.setattr(perspective, "lay", laid)
    picture = data.astronaut()
    for other in (replaced(picture, 0.2), turned(picture, 3), np.roll(picture, 9, 1), picture[:, ::-1]):
        measurement.measure(raster(picture), raster(np.ascontiguousarray(other)))
    assert laid.call_count == 0


def test_what_folds_is_no_view() -> None:
    mirror = np.diag([-1.0, 1.0, 1.0])
    mirror[0, 2] = 100
    assert perspective._is_view(np.eye(3), (100, 80))
    assert not perspective._is_view(mirror, (100, 80))
    assert not perspective._is_view(np.array([[1, 0, 0], [0, 1, 0], [-0.012, 0, 1.0]]), (100, 80))
