"""The sizing formulas against tables, against a simulated line, and at their edges."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Callable

import pytest

from serve_app.operating import sizing
from serve_app.operating.sizing import Demand, NoSize, Price


def waits(rate: float, workers: int, draw: Callable[[random.Random], float], number: int = 400_000) -> list[float]:
    """Seconds in the line of a simulated service: one line, equal workers, independent arrivals."""
    chosen = random.Random(1)
    free = [0.0] * workers
    now, waited = 0.0, []
    for _ in range(number):
        now += chosen.expovariate(rate)
        begins = max(now, heapq.heappop(free))
        waited.append(begins - now)
        heapq.heappush(free, begins + draw(chosen))
    return waited


@pytest.mark.parametrize(
    ("offered", "workers", "share"),
    [(0.5, 1, 0.5), (1.0, 2, 1 / 3), (2.0, 3, 4 / 9), (0.0, 1, 0.0), (3.0, 3, 1.0)],
)
def test_waiting_share_is_erlangs(offered: float, workers: int, share: float) -> None:
    assert sizing.waiting_share(offered, 1.0, workers) == pytest.approx(share)


def test_waiting_share_does_not_overflow() -> None:
    assert 0 < sizing.waiting_share(900, 1.0, 1000) < 1


@pytest.mark.parametrize(("rate", "workers"), [(0.7, 1), (1.6, 2), (3.2, 4)])
@pytest.mark.parametrize("spread", [1.0, 0.0])
def test_formulas_agree_with_a_simulated_line(rate: float, workers: int, spread: float) -> None:
    def takes(chosen: random.Random) -> float:
        return chosen.expovariate(1.0) if spread else 1.0

    waited = waits(rate, workers, takes)
    mean = sizing.mean_wait_s(rate, 1.0, workers, spread)

    # Exact for one worker or exponential times; an approximation from above or within 15 % otherwise.
    assert statistics.fmean(waited) == pytest.approx(mean, rel=0.15)
    late = sum(wait > 3.0 for wait in waited) / len(waited)
    assert late == pytest.approx(sizing.late(rate, 1.0, workers, 3.0, spread), rel=0.15, abs=0.004)


def test_quantile_inverts_the_tail() -> None:
    wait = sizing.wait_quantile_s(3.2, 1.0, 4, 0.99, 0.5)
    assert sizing.late(3.2, 1.0, 4, wait, 0.5) == pytest.approx(0.01)


def test_no_more_replicas_than_needed() -> None:
    demand = Demand(per_second=2.0, peak=3.0, model_s=1.0, cpu_s=0.2, deadline_s=5.0)
    found = sizing.size(demand)

    assert found.replicas == 8  # 6 busy at the peak, at most 80 % of the time
    assert found.utilisation == pytest.approx(0.75)
    assert found.missed <= 0.01
    assert found.cores == 2
    assert found.gpus == 9


def test_a_near_deadline_wants_more_than_the_utilisation_does() -> None:
    relaxed = sizing.size(Demand(per_second=1.0, peak=1.0, model_s=1.0, cpu_s=0.1, deadline_s=60.0))
    hurried = sizing.size(Demand(per_second=1.0, peak=1.0, model_s=1.0, cpu_s=0.1, deadline_s=1.3))

    assert relaxed.replicas == 2
    assert hurried.replicas > relaxed.replicas
    assert hurried.missed <= 0.01


def test_costs_follow_from_prices() -> None:
    found = sizing.size(
        Demand(per_second=2.0, peak=3.0, model_s=1.0, cpu_s=0.2, deadline_s=5.0), Price(gpu_hour=3.0, core_hour=0.05)
    )

    assert found.cost_month == pytest.approx((9 * 3.0 + 2 * 0.05) * 730)
    assert found.cost_thousand == pytest.approx((9 * 3.0 + 2 * 0.05) / 7.2)
    assert found.cost_month_following == pytest.approx(((2.5 + 1) * 3.0 + 0.5 * 0.05) * 730)


def test_without_a_model_no_gpu_is_needed() -> None:
    found = sizing.size(Demand(per_second=10.0, peak=2.0, model_s=0.0, cpu_s=0.2))
    assert (found.gpus, found.cores) == (0, 5)


def test_a_deadline_under_the_work_is_refused_with_the_numbers() -> None:
    with pytest.raises(NoSize, match=r"takes 1\.2 s and the deadline is 1 s"):
        sizing.size(Demand(per_second=1.0, model_s=1.0, cpu_s=0.2, deadline_s=1.0))


def test_infinite_lines_are_infinite() -> None:
    assert sizing.mean_wait_s(2.0, 1.0, 2, 1.0) == math.inf
    assert sizing.wait_quantile_s(2.0, 1.0, 2, 0.99, 1.0) == math.inf
