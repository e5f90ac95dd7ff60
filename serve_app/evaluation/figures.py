"""Everything that labelled pairs say of the answers they got, as numbers.
Compares nothing and draws nothing: observations in, figures out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from serve_app.evaluation import choosing, curves
from serve_app.evaluation.choosing import RULES, Choice, Goal, Measured, RuleName
from serve_app.evaluation.curves import Area, Bin, Curve, Share
from serve_app.evaluation.observed import Answer, AspectScore, Observation
from serve_app.evaluation.pairs import Label
from serve_app.schema import Verdict

NO_KIND: Final = "(none)"
Row = tuple[Observation, Answer]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What verdicts were worth on some pairs. An uncertain one is neither right nor wrong, and counted apart."""

    right: Share  # of all
    false_alarms: Share  # of those that are the same: called a mismatch
    misses: Share  # of those that are different: called a match
    uncertain: Share  # of all


@dataclass(frozen=True, slots=True)
class AspectFigure:
    """How well one aspect's score tells the labels apart, as reported and by pixels alone; None where it has none."""

    name: str
    reported: Area | None
    measured: Area | None
    num_scored: int


@dataclass(frozen=True, slots=True)
class Orders:
    """What came of asking with the pictures exchanged. `order_gap`: as the model's answers say it, mean.

    `asked` is 0 where no model answered: the measurement of (a, b) and (b, a) agrees by its own law.
    """

    asked: int
    flipped: Share  # verdicts
    moved: float | None  # of similarity, mean
    order_gap: float | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Of whom, and with what; more than one of each where answers differ in it."""

    engines: tuple[str, ...]
    versions: tuple[str, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    num_pairs: int
    labels: Mapping[Label, int]  # of the pairs that were answered
    failed: tuple[Observation, ...]
    asked: Asked
    verdicts: Mapping[Verdict, Mapping[Label, int]]
    outcome: Outcome
    kinds: Mapping[str, Outcome]
    curves: Mapping[RuleName, Curve]
    aspects: tuple[AspectFigure, ...]
    bins: tuple[Bin, ...]
    calibration_error: float | None
    orders: Orders
    goal: Goal
    choice: Choice | None
    alone: Mapping[RuleName, Choice | None]
    wrong: tuple[Observation, ...]  # the surest first
    seconds: float | None  # of one comparison, median


def figures(rows: Sequence[Observation], goal: Goal) -> Figures:
    """Of rows with no answer only their number is told, and why."""
    answered = [(row, row.answer) for row in rows if row.answer is not None]
    different = [row.label == "mismatch" for row, _ in answered]
    measured = Measured.of([answer for _, answer in answered], different)
    similarities = [answer.similarity for _, answer in answered]
    bins = curves.reliability(similarities, different)
    labels: tuple[Label, ...] = get_args(Label)
    both = 0 < sum(different) < len(different)
    kinds = sorted({row.kind for row, _ in answered})
    return Figures(
        num_pairs=len(rows),
        labels={label: sum(row.label == label for row, _ in answered) for label in labels},
        failed=tuple(row for row in rows if row.answer is None),
        asked=_asked(answered),
        verdicts=_verdicts(answered),
        outcome=_outcome(answered),
        kinds={kind or NO_KIND: _outcome([row for row in answered if row[0].kind == kind]) for kind in kinds},
        curves={rule: curves.curve(measured.scores(rule), different) for rule in RULES},
        aspects=_aspects(answered),
        bins=tuple(bins),
        calibration_error=curves.calibration_error(bins),
        orders=_orders(answered),
        goal=goal,
        choice=choosing.choose(measured, goal) if both else None,
        alone={rule: choosing.alone(measured, rule, goal) if both else None for rule in RULES},
        wrong=tuple(sorted((row for row, answer in answered if _is_wrong(row, answer)), key=_how_wrong)),
        seconds=statistics.median(answer.took_ms for _, answer in answered) / 1000 if answered else None,
    )


def _is_wrong(row: Observation, answer: Answer) -> bool:
    return answer.verdict not in (row.label, "uncertain")


def _how_wrong(row: Observation) -> tuple[float, str]:
    """The farther similarity lies on the wrong side, the sooner."""
    assert row.answer is not None
    off = row.answer.similarity - row.answer.threshold
    return (-off if row.label == "mismatch" else off), row.name


def _outcome(rows: Sequence[Row]) -> Outcome:
    def share(is_one: Callable[[Observation, Answer], bool], label: Label | None = None) -> Share:
        some = [row for row in rows if label is None or row[0].label == label]
        return Share(sum(is_one(*row) for row in some), len(some))

    return Outcome(
        right=share(lambda row, answer: answer.verdict == row.label),
        false_alarms=share(lambda _, answer: answer.verdict == "mismatch", "match"),
        misses=share(lambda _, answer: answer.verdict == "match", "mismatch"),
        uncertain=share(lambda _, answer: answer.verdict == "uncertain"),
    )


def _verdicts(rows: Sequence[Row]) -> dict[Verdict, dict[Label, int]]:
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    labels: tuple[Label, ...] = get_args(Label)
    return {
        verdict: {
            label: sum(row.label == label and answer.verdict == verdict for row, answer in rows) for label in labels
        }
        for verdict in verdicts
    }


def _aspects(rows: Sequence[Row]) -> tuple[AspectFigure, ...]:
    names = dict.fromkeys(name for _, answer in rows for name in answer.aspects)

    def area(name: str, of: Callable[[AspectScore], float | None]) -> Area | None:
        scored = [(of(answer.aspects[name]), row.label) for row, answer in rows if name in answer.aspects]
        there = [(-score, label == "mismatch") for score, label in scored if score is not None]
        return curves.curve([score for score, _ in there], [is_one for _, is_one in there]).area if there else None

    def num_scored(name: str) -> int:
        return sum(name in answer.aspects and answer.aspects[name].score is not None for _, answer in rows)

    return tuple(
        AspectFigure(name, area(name, lambda it: it.score), area(name, lambda it: it.measured), num_scored(name))
        for name in names
    )


def _orders(rows: Sequence[Row]) -> Orders:
    both = [(answer, answer.exchanged) for _, answer in rows if answer.exchanged is not None]
    gaps = [answer.order_gap for _, answer in rows if answer.order_gap is not None]
    moved = [abs(answer.similarity - other.similarity) for answer, other in both]
    return Orders(
        asked=len(both),
        flipped=Share(sum(answer.verdict != other.verdict for answer, other in both), len(both)),
        moved=statistics.fmean(moved) if moved else None,
        order_gap=statistics.fmean(gaps) if gaps else None,
    )


def _asked(rows: Sequence[Row]) -> Asked:
    def engine(answer: Answer) -> str:
        revision = f"@{answer.revision}" if answer.revision else ""
        return f"{answer.engine} {answer.model or ''}{revision}".strip()

    def version(answer: Answer) -> str:
        prompt = f", prompt {answer.prompt_version}" if answer.prompt_version else ""
        return f"measurement {answer.measurement_version}{prompt}"

    answers = [answer for _, answer in rows]
    return Asked(
        tuple(sorted({engine(answer) for answer in answers})),
        tuple(sorted({version(answer) for answer in answers})),
        tuple(sorted({answer.threshold for answer in answers})),
    )
