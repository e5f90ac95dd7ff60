"""Which thresholds are taken: they meet the goal, none is better, and verdicts are what they promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serve_app.comparison.verdict.judge import judge
from serve_app.core.assessed import Assessment
from serve_app.core.inquiry import ModelIdentity
from serve_app.evaluation import choosing
from serve_app.evaluation.choosing import Goal, Measured, Thresholds, counted
from serve_app.schema import ImageComparisonConfig
from tests.worlds.samples import difference, measured

NOBODY = Assessment(ModelIdentity("none", None, None), "disabled")


def world(*rows: tuple[float, int, float, bool], spread: float = 0.0) -> Measured:
    """Similarity, differences, changed ratio, whether a person calls the pair different."""
    similarity = np.array([row[0] for row in rows])
    return Measured(
        similarity,
        similarity - spread,
        np.minimum(1, similarity + spread),
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
    )


def apart(number: int = 40) -> Measured:
    """Different ones below 0.8, same ones above 0.9; nothing else tells them apart."""
    return world(
        *((0.5 + 0.3 * each / number, 1, 0.1, True) for each in range(number)),
        *((0.9 + 0.05 * each / number, 1, 0.1, False) for each in range(number)),
    )


ROWS = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 3), st.integers(0, 5), st.booleans()).map(
        lambda row: (row[0] / 10, row[1], row[2] / 10, row[3])
    ),
    min_size=2,
    max_size=25,
)


@given(ROWS, st.sampled_from((0.0, 0.35, 0.8, 1.0)), st.sampled_from((None, 0, 2)), st.sampled_from((None, 0.0, 0.3)))
def test_the_verdict_foreseen_is_the_verdict_given(
    rows: list[tuple[float, int, float, bool]], threshold: float, most: int | None, ratio: float | None
) -> None:
    """Held against `judge` itself, with nothing between similarity and its interval."""
    thresholds = Thresholds(threshold, most, ratio)
    called = thresholds.calls(world(*rows))
    config = ImageComparisonConfig(similarity_threshold=threshold, max_differences=most, max_changed_ratio=ratio)
    for (similarity, found, changed, _), is_called in zip(rows, called, strict=True):
        one = measured(
            similarity,
            differences=tuple(difference() for _ in range(found)),
            similarity_interval=(similarity, similarity),
            changed_ratio=changed,
        )
        assert (judge(config, one, NOBODY, {}).verdict == "mismatch") == is_called


def test_between_two_heaps_the_threshold_lies_half_way() -> None:
    choice = choosing.choose(apart(), Goal())
    assert choice is not None
    assert choice.thresholds == Thresholds(round((0.7925 + 0.9) / 2, 6))
    assert (choice.counted.found.value, choice.counted.right.value, choice.counted.false.value) == (1, 1, 0)
    assert choice.held_out is not None
    assert choice.held_out.found.n == 40
    assert choice.held_out.found.k >= 39


@pytest.mark.parametrize("goal", [Goal(precision=0.9), Goal(recall=0.9), Goal()])
@given(rows=ROWS)
def test_what_one_rule_gives_is_the_best_there_is(goal: Goal, rows: list[tuple[float, int, float, bool]]) -> None:
    """Every threshold that could make a difference is tried."""
    assume(len({label for *_, label in rows}) == 2)
    pairs = world(*rows)
    choice = choosing.alone(pairs, "similarity_threshold", goal)
    tried = [counted(Thresholds(value), pairs) for value in np.arange(0.05, 1.05, 0.1)]
    there = [each for each in tried if each.meets(goal) and each.found.k + each.false.k]
    if choice is None:
        assert not there
    else:
        assert choice.counted.meets(goal)
        assert choice.counted.worth(goal)[0] >= max([each.worth(goal)[0] for each in there], default=0) - 1e-9


def test_a_goal_that_none_reaches_gives_nothing() -> None:
    mixed = world(*((0.5, 1, 0.1, number % 2 == 0) for number in range(40)))
    assert choosing.choose(mixed, Goal(precision=0.9)) is None


def test_a_rule_is_added_where_it_finds_what_similarity_does_not() -> None:
    """Small edits that hardly move similarity, but are many."""
    pairs = apart()
    hidden = world(*((0.95 + number / 1000, 7, 0.01, True) for number in range(20)))
    both = Measured(*(np.concatenate([getattr(pairs, name), getattr(hidden, name)]) for name in Measured.__slots__))
    choice = choosing.choose(both, Goal(precision=0.99))
    assert choice is not None
    assert choice.thresholds.max_differences in range(1, 7)
    assert choice.counted.found.value == 1
    few = Measured(*(getattr(both, name)[:82] for name in Measured.__slots__))
    alone = choosing.choose(few, Goal(precision=0.99))
    assert alone is not None
    assert alone.thresholds.max_differences is None, "two pairs are chance"


def test_where_nothing_differs_no_threshold_calls_it_a_mismatch() -> None:
    pairs = world((0.96, 0, 0.0, True), (0.97, 0, 0.0, False))
    assert not Thresholds(1.0, 0, 0.0).calls(pairs).any()
    assert not Thresholds(0.965).unsure(replace_interval(pairs, 0.1)).any()


def test_a_threshold_inside_the_interval_is_counted_as_uncertain() -> None:
    pairs = world((0.8, 1, 0.1, True), (0.9, 1, 0.1, False), spread=0.02)
    assert Thresholds(0.81).unsure(pairs).tolist() == [True, False]
    assert Thresholds(0.81, max_differences=0).unsure(pairs).tolist() == [False, False]


def test_with_few_pairs_of_a_label_none_are_held_out() -> None:
    choice = choosing.choose(apart(9), Goal())
    assert choice is not None
    assert choice.held_out is None


def test_what_is_held_out_tells_what_was_chosen_by_chance() -> None:
    """Labels by lot: on its own pairs the best threshold looks right, on others it is no better than chance."""
    random = np.random.default_rng(3)
    rows: list[Any] = [(value, 1, 0.1, bool(random.integers(2))) for value in random.uniform(0, 0.94, 60)]
    choice = choosing.choose(world(*rows), Goal())
    assert choice is not None
    assert choice.held_out is not None
    assert choice.held_out.youden < choice.counted.youden


def replace_interval(pairs: Measured, spread: float) -> Measured:
    return replace(pairs, low=pairs.similarity - spread, high=pairs.similarity + spread)
