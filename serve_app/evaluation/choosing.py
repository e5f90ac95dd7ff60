"""Thresholds for a wanted precision or recall: what verdict each pair would get under them, and which to take.
Asks nobody: answers in, thresholds out.

Rules are those of `comparison.verdict.judge`: a pair in which nothing visible differs is a match; else it is a mismatch
below `similarity_threshold`, above `max_differences` or above `max_changed_ratio`. A model's similarity may itself
depend on the threshold that was asked with (its safety law): of it this is an estimate, which `eval --profile` checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from serve_app.evaluation import curves
from serve_app.evaluation.curves import Labels, Share
from serve_app.evaluation.observed import Answer

# A further rule is worth its place from here on: more of the goal, and so many pairs; less is chance.
WORTH: Final = 0.01
WORTH_PAIRS: Final = 3
FOLDS: Final = 5
_DIGITS: Final = 6
RuleName = Literal["similarity_threshold", "max_differences", "max_changed_ratio"]
RULES: Final[tuple[RuleName, ...]] = ("similarity_threshold", "max_changed_ratio", "max_differences")


@dataclass(frozen=True, slots=True)
class Goal:
    """At most one of both; with neither, recall less false alarms is made as large as can be (Youden's J)."""

    precision: float | None = None
    recall: float | None = None

    def __str__(self) -> str:
        if self.precision is not None:
            return f"precision of at least {self.precision:g}"
        return f"recall of at least {self.recall:g}" if self.recall is not None else "recall less false alarms (Youden)"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A similarity of 0 calls nothing a mismatch; None: no such rule."""

    similarity_threshold: float = 0.0
    max_differences: int | None = None
    max_changed_ratio: float | None = None

    def calls(self, measured: Measured) -> Labels:
        """Which pairs would be a mismatch; those whose threshold lies in their interval by the similarity itself."""
        called = measured.similarity < self.similarity_threshold
        if self.max_differences is not None:
            called = called | (measured.num_differences > self.max_differences)
        if self.max_changed_ratio is not None:
            called = called | (measured.changed_ratio > self.max_changed_ratio)
        return np.asarray(called & (measured.num_differences > 0))

    def unsure(self, measured: Measured) -> Labels:
        """Which would be uncertain: no rule but similarity speaks, and the threshold lies in its interval."""
        inside = (measured.low < self.similarity_threshold) & (self.similarity_threshold <= measured.high)
        others = replace(self, similarity_threshold=0.0).calls(measured)
        return np.asarray(inside & (measured.num_differences > 0) & ~others)


@dataclass(frozen=True, slots=True)
class Measured:
    """Of many pairs, an array each; `different`: a person calls them so."""

    similarity: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    num_differences: NDArray[np.int64]
    changed_ratio: NDArray[np.float64]
    different: Labels

    @classmethod
    def of(cls, answers: Sequence[Answer], different: Sequence[bool]) -> Measured:
        return cls(
            np.array([each.similarity for each in answers], np.float64),
            np.array([each.interval[0] for each in answers], np.float64),
            np.array([each.interval[1] for each in answers], np.float64),
            np.array([each.num_differences for each in answers], np.int64),
            np.array([each.changed_ratio for each in answers], np.float64),
            np.array(different, np.bool_),
        )

    def where(self, some: Labels) -> Measured:
        return Measured(*(getattr(self, name)[some] for name in self.__slots__))

    def scores(self, rule: RuleName) -> NDArray[np.float64]:
        """What a rule looks at, higher for a mismatch; where nothing visible differs, less than all else."""
        by = {
            "similarity_threshold": -self.similarity,
            "max_differences": self.num_differences.astype(np.float64),
            "max_changed_ratio": self.changed_ratio,
        }[rule]
        return np.where(self.num_differences > 0, by, -np.inf)


@dataclass(frozen=True, slots=True)
class Counted:
    """What thresholds do to pairs of both labels."""

    found: Share  # of the different pairs: recall
    right: Share  # of those called a mismatch: precision
    false: Share  # of the same pairs: false alarms
    unsure: Share  # of all

    @property
    def youden(self) -> float:
        return (self.found.value or 0.0) - (self.false.value or 0.0)

    def meets(self, goal: Goal) -> bool:
        if goal.precision is not None:
            return bool(self.right.n) and self.right.k >= goal.precision * self.right.n - 1e-9
        if goal.recall is not None:
            return self.found.k >= goal.recall * self.found.n - 1e-9
        return self.youden > 0  # else it is no better than chance

    def worth(self, goal: Goal) -> tuple[float, float]:
        """The larger the better, among those that meet the goal."""
        recall, precision = self.found.value or 0.0, self.right.value or 0.0
        if goal.precision is not None:
            return recall, precision
        return (precision, recall) if goal.recall is not None else (self.youden, precision)


@dataclass(frozen=True, slots=True)
class Choice:
    """`counted` on the pairs that it was chosen on, which flatters; `held_out`: chosen five times on four fifths of
    them and counted on the fifth that was left out, None where a part had too few pairs."""

    thresholds: Thresholds
    counted: Counted
    held_out: Counted | None


def counted(thresholds: Thresholds, measured: Measured) -> Counted:
    called, different = thresholds.calls(measured), measured.different
    hits, false = int((called & different).sum()), int((called & ~different).sum())
    return Counted(
        Share(hits, int(different.sum())),
        Share(hits, hits + false),
        Share(false, int((~different).sum())),
        Share(int(thresholds.unsure(measured).sum()), different.size),
    )


def choose(measured: Measured, goal: Goal) -> Choice | None:
    """None where no thresholds meet the goal."""
    best = _chosen(measured, goal)
    return Choice(best, counted(best, measured), _held_out(measured, goal)) if best is not None else None


def alone(measured: Measured, rule: RuleName, goal: Goal) -> Choice | None:
    """The best by one rule alone."""
    tried = _tried(Thresholds(), rule, measured, goal)
    return Choice(*tried, None) if tried is not None else None


def _chosen(measured: Measured, goal: Goal) -> Thresholds | None:
    """One rule and each further one that is worth it, begun with any: with similarity, which all callers know, unless
    another begin is worth more."""
    best: tuple[Thresholds, Counted] | None = None
    for first in RULES:
        tried = _tried(Thresholds(), first, measured, goal)
        for rule in RULES:
            if tried is None or rule == first:
                continue
            more = _tried(tried[0], rule, measured, goal)
            if more is not None and _is_worth_it(more[1], tried[1], goal):
                tried = more
        if tried is not None and (best is None or _is_worth_it(tried[1], best[1], goal)):
            best = tried
    return best[0] if best else None


def _is_worth_it(more: Counted, less: Counted, goal: Goal) -> bool:
    gained = (more.found.k - less.found.k) - (more.false.k - less.false.k)
    return more.worth(goal)[0] >= less.worth(goal)[0] + WORTH and gained >= WORTH_PAIRS


def _tried(beside: Thresholds, rule: RuleName, measured: Measured, goal: Goal) -> tuple[Thresholds, Counted] | None:
    """The best value of one rule beside others, of those that meet the goal."""
    best: tuple[Thresholds, Counted] | None = None
    rest = measured.where(~beside.calls(measured))
    drawn = curves.curve(rest.scores(rule), rest.different)
    base = counted(beside, measured)
    for number in _promising(drawn, base, goal):
        value: Any = {rule: _between(drawn.thresholds, number, rule)}
        thresholds = replace(beside, **value)
        now = counted(thresholds, measured)
        if now.meets(goal) and (best is None or now.worth(goal) > best[1].worth(goal)):
            best = thresholds, now
    return best


def _promising(drawn: curves.Curve, base: Counted, goal: Goal) -> list[int]:
    """Points of a curve worth counting, the best few by the goal; the last is where nothing visible differs."""
    found, false = base.found.k + drawn.found, base.false.k + drawn.false
    called = np.maximum(1, found + false)
    precision, recall = found / called, found / max(1, base.found.n)
    if goal.precision is not None:
        worth = np.where(precision >= goal.precision - 1e-9, recall, -1.0)
    elif goal.recall is not None:
        worth = np.where(recall >= goal.recall - 1e-9, precision, -1.0)
    else:
        worth = recall - false / max(1, base.false.n)
    usable = np.isfinite(drawn.thresholds) & (worth >= 0)
    order = np.argsort(-worth, kind="stable")
    return [int(number) for number in order if usable[number]][:20]


def _between(thresholds: NDArray[np.float64], number: int, rule: RuleName) -> float | int:
    """A value half way to the next score, so that both sides have room; of whole differences the one below."""
    here = float(thresholds[number])
    if rule == "max_differences":
        return int(here) - 1
    follows = float(thresholds[number + 1]) if number + 1 < thresholds.size else -np.inf
    if rule == "similarity_threshold":
        other = -follows if np.isfinite(follows) else 1.0
        return round(min(1.0, (max(0.0, -here) + other) / 2), _DIGITS)
    other = follows if np.isfinite(follows) else 0.0
    return round((here + other) / 2, _DIGITS)


def _held_out(measured: Measured, goal: Goal) -> Counted | None:
    """Each label's pairs are dealt out in turn by similarity: the parts are alike, and no seed decides."""
    part = np.zeros(measured.different.size, np.int64)
    for label in (True, False):
        mine = np.flatnonzero(measured.different == label)
        if mine.size < 2 * FOLDS:
            return None
        part[mine[np.argsort(measured.similarity[mine], kind="stable")]] = np.arange(mine.size) % FOLDS
    sums = np.zeros((4, 2), np.int64)
    for number in range(FOLDS):
        thresholds = _chosen(measured.where(part != number), goal)
        if thresholds is None:
            return None
        now = counted(thresholds, measured.where(part == number))
        sums += np.array([(each.k, each.n) for each in (now.found, now.right, now.false, now.unsure)])
    return Counted(*(Share(int(k), int(n)) for k, n in sums))
