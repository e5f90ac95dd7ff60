"""Curves and intervals against what can be counted by hand or by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.evaluation import curves
from serve_app.evaluation.curves import Area, Share

SCORED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


@given(SCORED)
def test_the_area_is_the_share_of_pairs_in_order(scored: list[tuple[int, bool]]) -> None:
    different = [score for score, is_one in scored if is_one]
    same = [score for score, is_one in scored if not is_one]
    found = curves.curve([score for score, _ in scored], [is_one for _, is_one in scored]).area
    if not different or not same:
        assert found is None
        return
    wins = sum((one > other) + (one == other) / 2 for one, other in itertools.product(different, same))
    assert found is not None
    assert found.value == pytest.approx(wins / len(different) / len(same))
    low, high = found.interval
    assert 0 <= low <= found.value <= high <= 1


@given(SCORED)
def test_each_point_is_what_its_threshold_calls(scored: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([score for score, _ in scored], float), np.array([is_one for _, is_one in scored])
    drawn = curves.curve(scores, labels)
    assert len(drawn.thresholds) == len(set(scores.tolist())) + 1
    for threshold, found, false in zip(drawn.thresholds, drawn.found, drawn.false, strict=True):
        assert found == (labels & (scores >= threshold)).sum()
        assert false == (~labels & (scores >= threshold)).sum()


def test_infinite_scores_are_one_point() -> None:
    drawn = curves.curve([-np.inf, 1.0, -np.inf, 0.5], [False, True, True, False])
    assert drawn.thresholds.tolist() == [np.inf, 1.0, 0.5, -np.inf]
    assert drawn.recall.tolist() == [0, 0.5, 0.5, 1]
    assert drawn.precision.tolist() == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(k: int, n: int, low: float, high: float) -> None:
    assert Share(k, n).interval == pytest.approx((low, high), abs=5e-5)
    assert Share(n - k, n).interval == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, (0.0, 1.0))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_so_many_without_an_error_are_enough_and_one_less_is_not(share: float) -> None:
    needed = curves.flawless_for(share)
    assert Share(needed, needed).interval[0] >= share
    assert Share(needed - 1, needed - 1).interval[0] < share


def test_an_area_without_a_pair_out_of_order_is_still_not_sure() -> None:
    few, many = Area(1.0, 10, 10), Area(1.0, 500, 500)
    assert few.interval[1] == many.interval[1] == 1.0
    assert 0.7 < few.interval[0] < 0.9
    assert 0.98 < many.interval[0] < 1.0


def test_an_interval_of_the_area_holds_the_truth_nineteen_times_in_twenty() -> None:
    """Scores of two normal distributions a standard deviation apart: the true area is 0.7602."""
    random, inside = np.random.default_rng(7), 0
    for _ in range(400):
        scores = np.concatenate([random.normal(0, 1, 40), random.normal(1, 1, 30)])
        area = curves.curve(scores, np.arange(70) >= 40).area
        assert area is not None
        inside += area.interval[0] <= 0.7602 <= area.interval[1]
    assert 0.92 <= inside / 400 <= 0.985


def test_bins_hold_every_pair_and_the_error_is_their_mean_distance() -> None:
    bins = curves.reliability([0.0, 0.05, 0.95, 0.96, 1.0], [True, True, False, True, False])
    assert [(each.low, each.high, each.same.k, each.same.n) for each in bins] == [
        (0.0, 0.1, 0, 2),
        (0.95, 0.97, 1, 2),
        (0.99, 1.0, 1, 1),
    ]
    assert curves.calibration_error(bins) == pytest.approx((2 * 0.025 + 2 * (0.955 - 0.5) + 0) / 5)
    assert curves.calibration_error([]) is None
