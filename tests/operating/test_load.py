"""What the benchmarks say of answers and samples: counted by hand here."""

from __future__ import annotations

import pytest

from tests.rigs import load
from tests.rigs.growth import Sample, Used, growth, judged
from tests.rigs.load import Answer


def answer(sent: float, took_s: float, status: int = 200, retry_after: str | None = None) -> Answer:
    return Answer(sent, took_s, status, None if status == 200 else "overloaded", retry_after)


def test_a_refusal_that_says_when_to_come_again_is_no_bad_failure() -> None:
    assert not answer(0, 1, 503, "2").failed_badly
    assert answer(0, 1, 503).failed_badly
    assert answer(0, 1, 500, "2").failed_badly
    assert answer(0, 1, load.NO_ANSWER).failed_badly


def test_outcomes_are_counted_by_name() -> None:
    answers = [answer(0, 1), answer(0, 1), answer(0, 1, 503, "2")]
    assert load.outcomes(answers) == {"200": 2, "503 overloaded": 1}


def test_the_longest_gap_has_the_ends_too_and_counts_reports_only() -> None:
    answers = [answer(1, 1), answer(2, 2), answer(4, 2, 503, "1")]
    assert load.longest_gap(answers, begin=0, end=10) == 6
    assert load.longest_gap([], begin=0, end=10) == 10


def test_percentiles_are_of_the_good_answers() -> None:
    answers = [answer(0, took / 100) for took in range(1, 101)] + [answer(0, 50, 503, "1")]
    assert load.percentile(answers, 0.5) == pytest.approx(0.5, abs=0.02)
    assert load.percentile(answers, 0.95) == pytest.approx(0.95, abs=0.02)
    assert load.percentile([], 0.5) == 0.0


def test_pairs_differ_from_each_other_and_within() -> None:
    made = load.pairs(3)
    assert len({image for pair in made for image in pair}) == 6


def samples(*memory: float) -> list[Sample]:
    return [Sample({1: Used("proxy", used, 40)}, 0) for used in memory]


def test_growth_holds_the_last_fifth_against_the_third() -> None:
    grown = growth(samples(10, 10, 50, 50, 100, 100, 110, 110, 300, 300))

    assert (grown["proxy"]["early_mib"], grown["all"]["late_mib"]) == (100, 300)
    assert judged(grown, 0) == ["memory grew by 200 MiB"]


def test_a_process_that_was_replaced_is_not_compared() -> None:
    told = samples(*[100.0] * 10)
    told[-1] = Sample({1: Used("proxy", 100, 40), 2: Used("Ingress", 5000, 40)}, 0)

    assert growth(told).keys() == {"proxy", "all"}
    assert judged(growth(told), 0) == []


def test_files_left_and_descriptors_are_told() -> None:
    grown = growth(samples(*[100.0] * 10))
    grown["all"]["late_fds"] = 50

    assert judged(grown, 3) == ["descriptors grew from 40 to 50", "3 temporary files were left"]
