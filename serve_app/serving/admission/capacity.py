"""How much work one stage gets done: what a promise to finish in time is made of.
Knows no request and no queue, and reads no clock."""

from __future__ import annotations

import math
from collections import deque
from statistics import fmean, median, pstdev
from typing import Final

# Jobs remembered: enough that their mean is worth something, few enough to follow a change of load.
WINDOW: Final = 64
# From this many on, what was measured counts instead of the guess; the first may be a cold start.
ENOUGH: Final = 4
# One cold start of a minute among jobs of 0.2 s must not close the door: nothing counts more than this many medians.
OUTLIER: Final = 5.0
# Two standard deviations: of a hundred promises two would be late by chance, were each made at its limit.
SIGMAS: Final = 2.0


class Capacity:
    """Measured service time of a stage with some workers in parallel. `guess_s` is believed until jobs have been seen.

    By Little's law a stage that holds n jobs and keeps each for T seconds ends n / T of them a second, whatever
    it does inside: jobs may wait there, share cores or wait for memory. One job thus costs T * workers / n seconds
    of a worker once n is at least the number of workers, and T seconds below that.
    """

    def __init__(self, guess_s: float) -> None:
        self.workers = 1.0
        self._costs: deque[float] = deque(maxlen=WINDOW)
        self._mean_s = guess_s
        self._spread_s = 0.0

    @property
    def job_s(self) -> float:
        """Seconds one job takes a worker, at the high end of what was seen."""
        return self._mean_s + SIGMAS * self._spread_s

    @property
    def quickest_s(self) -> float:
        """The least that a job of late has cost; 0 before any was seen."""
        return min(self._costs, default=0.0)

    def wait_s(self, num_jobs: float) -> float:
        """Seconds until `num_jobs` jobs are done, at the high end.

        The jobs' own spreads add up as independent ones do; that the mean is itself estimated, from a few jobs,
        shifts them all alike and weighs more in a long queue.
        """
        own, shared = math.sqrt(num_jobs), num_jobs / math.sqrt(max(1, len(self._costs)))
        return (num_jobs * self._mean_s + SIGMAS * self._spread_s * math.hypot(own, shared)) / self.workers

    def observe(self, took_s: float, num_held: float) -> None:
        """One job stayed for `took_s` seconds in a stage that held `num_held` jobs meanwhile, on average."""
        self._costs.append(took_s * self.workers / max(num_held, self.workers))
        if len(self._costs) >= ENOUGH:
            ceiling = OUTLIER * median(self._costs)
            counted = [min(cost, ceiling) for cost in self._costs]
            self._mean_s, self._spread_s = fmean(counted), pstdev(counted)

    def observe_unfinished(self, took_s: float, num_held: float) -> None:
        """A job was given up after `took_s` seconds: it tells something only where it lasted longer than expected."""
        if took_s * self.workers / max(num_held, self.workers) > self._mean_s:
            self.observe(took_s, num_held)
