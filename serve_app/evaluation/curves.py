"""How well a score tells pairs apart that a person calls different: ROC, precision and recall, and how sure that is.
Numbers in, numbers out: knows no reports.

What is looked for are mismatches: recall is the share of the different pairs that are called so, precision the share of
right ones among those that are called so. A higher score speaks for a mismatch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]  # whether a person calls the pair different
Interval = tuple[float, float]
Z: Final = 1.959964  # 95 %, two-sided
# Of bins of similarity: finer at the end, where most pairs lie that are worth comparing.
EDGES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`, with its 95 % interval."""

    k: int
    n: int

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """By Wilson, 1927: it holds for few pairs and for shares at the ends, too. Of nothing: 0..1."""
        if not self.n:
            return 0.0, 1.0
        share, weight = self.k / self.n, Z * Z / self.n
        middle = (share + weight / 2) / (1 + weight)
        half = Z * math.sqrt(share * (1 - share) / self.n + weight / self.n / 4) / (1 + weight)
        # At the ends it ends there, but for the last bits.
        return (0.0 if not self.k else middle - half), (1.0 if self.k == self.n else middle + half)


def flawless_for(share: float) -> int:
    """How many in a row must be right before the interval of that lies above `share`."""
    return math.ceil(Z * Z * share / (1 - share)) if share < 1 else 0


@dataclass(frozen=True, slots=True)
class Area:
    """Under a ROC curve: how often a different pair has a higher score than a same one; equal scores count half."""

    value: float
    num_matches: int
    num_mismatches: int

    @property
    def interval(self) -> Interval:
        """95 %, by Newcombe's method 5 (Statistics in Medicine 25, 2006, 559-573): a score interval, which stays honest
        where no pair is out of order; the usual ones have no width there."""
        return self._end(-1), self._end(1)

    def _end(self, side: int) -> float:
        """Where the value lies as far off as chance takes it: by bisection."""
        inner, outer = self.value, (0.0 if side < 0 else 1.0)
        if inner == outer:
            return outer
        for _ in range(50):
            middle = (inner + outer) / 2
            if abs(middle - self.value) <= Z * self._deviation(middle):
                inner = middle
            else:
                outer = middle
        return inner

    def _deviation(self, area: float) -> float:
        many = (self.num_matches + self.num_mismatches) / 2 - 1
        spread = 1 + many * ((1 - area) / (2 - area) + area / (1 + area))
        return math.sqrt(area * (1 - area) * spread / (self.num_matches * self.num_mismatches))


@dataclass(frozen=True, slots=True)
class Curve:
    """Where each threshold leads, from that which calls nothing a mismatch on. All scores >= `thresholds[i]` are called
    one: `found[i]` of them rightly, `false[i]` not."""

    thresholds: Scores
    found: NDArray[np.int64]
    false: NDArray[np.int64]

    @property
    def num_mismatches(self) -> int:
        return int(self.found[-1])

    @property
    def num_matches(self) -> int:
        return int(self.false[-1])

    @property
    def recall(self) -> Scores:
        return np.asarray(self.found / max(1, self.num_mismatches))

    @property
    def false_alarms(self) -> Scores:
        """Share of the pairs that are the same."""
        return np.asarray(self.false / max(1, self.num_matches))

    @property
    def precision(self) -> Scores:
        """1 where nothing is called a mismatch: nothing of that is wrong."""
        called = self.found + self.false
        return np.where(called > 0, self.found / np.maximum(1, called), 1.0)

    @property
    def area(self) -> Area | None:
        """None where all pairs have one label."""
        if not self.num_matches or not self.num_mismatches:
            return None
        under = float(np.trapezoid(self.recall, self.false_alarms))
        return Area(min(1.0, max(0.0, under)), self.num_matches, self.num_mismatches)


def curve(scores: Sequence[float] | Scores, different: Sequence[bool] | Labels) -> Curve:
    """A point for each score that there is: as scikit-learn's `roc_curve` without dropping any."""
    values, labels = np.asarray(scores, np.float64), np.asarray(different, np.bool_)
    order = np.argsort(-values, kind="stable")
    values, labels = values[order], labels[order]
    # Of scores that are one, the last: infinite ones are, though their difference is no number.
    last = np.flatnonzero(np.r_[values[1:] != values[:-1], [True] * bool(values.size)])
    found, false = np.cumsum(labels), np.cumsum(~labels)
    return Curve(
        np.r_[np.inf, values[last]],
        np.r_[0, found[last]].astype(np.int64),
        np.r_[0, false[last]].astype(np.int64),
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs whose similarity lies in `low`..`high`: its mean, and how many of them a person calls the same."""

    low: float
    high: float
    mean: float
    same: Share


def reliability(similarities: Sequence[float], different: Sequence[bool]) -> list[Bin]:
    """The bins that have pairs in them; each begins with its lower edge, the last holds 1.0 as well."""
    values, labels = np.asarray(similarities, np.float64), np.asarray(different, np.bool_)
    places = np.clip(np.searchsorted(EDGES, values, side="right") - 1, 0, len(EDGES) - 2)
    bins = []
    for number in np.unique(places).tolist():
        here = places == number
        same = Share(int((~labels[here]).sum()), int(here.sum()))
        bins.append(Bin(EDGES[number], EDGES[number + 1], float(values[here].mean()), same))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Mean distance of similarity from the share of pairs that are the same, weighted by pairs (ECE); None of none."""
    total = sum(each.same.n for each in bins)
    return sum(abs(each.mean * each.same.n - each.same.k) for each in bins) / total if total else None
