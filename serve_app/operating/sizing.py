"""How many replicas, GPUs and how much money a load needs, from measured service times.
No Ray, no HTTP, no measuring: numbers in, numbers out.

Requests that arrive independently and wait in one line for `c` equal workers are Erlang's model (M/M/c): A. K. Erlang,
"Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges", 1917.
Service times that vary less than exponentially wait less, by the factor (1 + cv²) / 2: A. O. Allen, "Probability,
Statistics, and Queueing Theory", 2nd ed. 1990 (the Allen-Cunneen approximation); the tail is shortened likewise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

HOURS_A_MONTH: Final = 730.0
SECONDS_A_DAY: Final = 86_400.0
# Standard deviation of the model's time over its mean, assumed: 0 is always the same, 1 as wild as telephone calls.
SPREAD: Final = 0.5
MOST_REPLICAS: Final = 100_000


class NoSize(Exception):
    """No number of replicas meets the demand: one sentence."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the service, and how long its stages take for one comparison.

    `per_second` is the mean over a day, `peak` the busiest minutes as a multiple of it; `model_s` seconds of a replica,
    `cpu_s` core seconds; `deadline_s` what callers wait at most; `missed` the share that may miss it at the peak.
    """

    per_second: float
    model_s: float
    cpu_s: float
    peak: float = 3.0
    deadline_s: float = 60.0
    missed: float = 0.01
    utilisation: float = 0.8
    spread: float = SPREAD
    spares: int = 1

    @property
    def peak_per_second(self) -> float:
        return self.per_second * self.peak

    @property
    def patience_s(self) -> float:
        """How long a request may wait for a replica and still be in time."""
        return self.deadline_s - self.model_s - self.cpu_s


@dataclass(frozen=True, slots=True)
class Price:
    """Money an hour, in any one currency."""

    gpu_hour: float = 0.0
    core_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Size:
    """What to run. `replicas` of VLModel serve the peak, one GPU each; `spares` are for updates and lost nodes."""

    replicas: int
    spares: int
    cores: int
    utilisation: float
    waiting_share: float
    mean_wait_s: float
    wait_p99_s: float
    missed: float
    cost_month: float
    cost_month_following: float
    cost_thousand: float

    @property
    def gpus(self) -> int:
        return self.replicas + self.spares


def size(demand: Demand, price: Price = Price()) -> Size:
    """The fewest replicas that keep the utilisation and the deadline at the peak, and what they cost.

    `cost_month` runs all of it always; `cost_month_following` is the floor for one that follows the load: replicas at
    the target utilisation at each moment, on nodes that come and go, spares kept. Raises NoSize.
    """
    rate = demand.peak_per_second
    cores = max(1, math.ceil(rate * demand.cpu_s / demand.utilisation))
    if demand.model_s == 0:
        return _priced(demand, price, replicas=0, cores=cores)
    if demand.patience_s <= 0:
        raise NoSize(
            f"A comparison takes {demand.model_s + demand.cpu_s:g} s and the deadline is {demand.deadline_s:g} s: "
            "no number of replicas helps."
        )
    fewest = max(1, math.ceil(rate * demand.model_s / demand.utilisation - 1e-9))
    for replicas in range(fewest, MOST_REPLICAS):
        if late(rate, demand.model_s, replicas, demand.patience_s, demand.spread) <= demand.missed:
            return _priced(demand, price, replicas=replicas, cores=cores)
    raise NoSize(f"More than {MOST_REPLICAS} replicas would be needed.")


def waiting_share(rate: float, service_s: float, workers: int) -> float:
    """Erlang's C: the share of requests that find every worker busy. 1.0 where the line grows without end.

    By the recursion of the loss formula B(c) = aB(c-1) / (c + aB(c-1)), which does not overflow, and C from B.
    """
    offered = rate * service_s
    if offered >= workers:
        return 1.0
    loss = 1.0
    for count in range(1, workers + 1):
        loss = offered * loss / (count + offered * loss)
    return loss / (1 - offered / workers * (1 - loss))


def mean_wait_s(rate: float, service_s: float, workers: int, spread: float) -> float:
    """Mean seconds in the line, those who don't wait counted as 0; infinite where the line grows without end."""
    spare = workers / service_s - rate
    if spare <= 0:
        return math.inf
    return waiting_share(rate, service_s, workers) / spare * _calmer(spread)


def late(rate: float, service_s: float, workers: int, patience_s: float, spread: float) -> float:
    """The share of requests that wait longer than `patience_s`."""
    spare = workers / service_s - rate
    if spare <= 0:
        return 1.0
    return waiting_share(rate, service_s, workers) * math.exp(-spare * patience_s / _calmer(spread))


def wait_quantile_s(rate: float, service_s: float, workers: int, share: float, spread: float) -> float:
    """The seconds in the line that `share` of the requests stay under."""
    spare = workers / service_s - rate
    if spare <= 0:
        return math.inf
    waiting = waiting_share(rate, service_s, workers)
    return max(0.0, math.log(waiting / (1 - share)) * _calmer(spread) / spare) if waiting > 0 else 0.0


def _calmer(spread: float) -> float:
    return (1 + spread**2) / 2


def _priced(demand: Demand, price: Price, *, replicas: int, cores: int) -> Size:
    rate, busy = demand.peak_per_second, (demand.model_s, replicas)
    spares = demand.spares if replicas else 0
    hour = (replicas + spares) * price.gpu_hour + cores * price.core_hour
    following = demand.per_second / demand.utilisation
    floor = (min(replicas, following * demand.model_s) + spares) * price.gpu_hour
    floor += min(cores, following * demand.cpu_s) * price.core_hour
    return Size(
        replicas=replicas,
        spares=spares,
        cores=cores,
        utilisation=rate * demand.model_s / replicas if replicas else 0.0,
        waiting_share=waiting_share(rate, *busy) if replicas else 0.0,
        mean_wait_s=mean_wait_s(rate, *busy, demand.spread) if replicas else 0.0,
        wait_p99_s=wait_quantile_s(rate, *busy, 0.99, demand.spread) if replicas else 0.0,
        missed=late(rate, *busy, demand.patience_s, demand.spread) if replicas else 0.0,
        cost_month=hour * HOURS_A_MONTH,
        cost_month_following=floor * HOURS_A_MONTH,
        cost_thousand=hour / (demand.per_second * 3600) * 1000,
    )


def described(demand: Demand, found: Size, price: Price) -> str:
    """The answer as lines for a terminal."""
    lines = [
        f"Load      {demand.per_second:.3g} comparisons/s on average, {demand.peak_per_second:.3g}/s at the peak",
        f"Cores     {found.cores} for Preprocessor",
    ]
    if found.replicas:
        lines += [
            f"Replicas  {found.replicas} of VLModel at the peak and {found.spares} spare: {found.gpus} GPUs",
            f"Peak      {found.utilisation:.0%} busy; {found.waiting_share:.0%} of the requests wait for a replica, "
            f"{found.mean_wait_s:.2g} s on average, 99 % under {found.wait_p99_s:.2g} s",
            f"Deadline  {demand.deadline_s:g} s, missed by {found.missed:.2%} at the peak",
        ]
    if price != Price():
        lines += [
            f"Cost      {found.cost_month:,.0f} a month, all of it always on",
            f"          {found.cost_month_following:,.0f} a month at the least, where nodes follow the load",
            f"          {found.cost_thousand:.3g} for 1,000 comparisons",
        ]
    return "\n".join(lines)
