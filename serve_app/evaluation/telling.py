"""Figures as tables with words for how sure they are, and as plain values for JSON.
Counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from serve_app.evaluation import curves
from serve_app.evaluation.choosing import Choice, Counted, RuleName, Thresholds
from serve_app.evaluation.curves import Area, Share
from serve_app.evaluation.figures import Figures, Outcome
from serve_app.evaluation.pairs import Label
from serve_app.views.tables import Table

FEW: Final = 30  # of a label: with fewer even a flawless share may be as low as 0.88
MOST_WRONG: Final = 10  # told one by one; the page has all
NOTHING: Final = "-"
_SCORES: Final[Mapping[RuleName, str]] = {
    "similarity_threshold": "similarity",
    "max_differences": "number of differences",
    "max_changed_ratio": "changed ratio",
}


def tables(of: Figures) -> list[Table]:
    """For a terminal of 80 columns and for the page."""
    return [
        _verdicts(of),
        _outcomes("By kind", "kind", of.kinds),
        _scores(of),
        _choice(of),
        _aspects(of),
        _reliability(of),
        _orders(of),
        *_failed(of),
    ]


def wrong(of: Figures) -> Table:
    """The surest of the wrong verdicts."""
    rows = [
        (row.name, row.label, row.answer.verdict, f"{row.answer.similarity:.4f}")
        for row in of.wrong[:MOST_WRONG]
        if row.answer is not None
    ]
    more = len(of.wrong) - len(rows)
    notes = (f"and {more} more; --html shows all.",) if more else ()
    return Table(
        f"Wrong, the surest first: {len(of.wrong)}", ("pair", "label", "verdict", "similarity"), tuple(rows), notes
    )


def headline(of: Figures) -> str:
    answered = of.num_pairs - len(of.failed)
    asked = "; ".join((", ".join(of.asked.engines), ", ".join(of.asked.versions))) if of.asked.engines else "nobody"
    took = f", {of.seconds:.2f} s each (median)" if of.seconds is not None else ""
    return f"{answered} of {of.num_pairs} pairs answered by {asked}{took}."


def _verdicts(of: Figures) -> Table:
    labels: tuple[Label, ...] = get_args(Label)
    rows = [(verdict, *(str(by[label]) for label in labels)) for verdict, by in of.verdicts.items()]
    rows.append(("all", *(str(of.labels[label]) for label in labels)))
    outcome = of.outcome
    notes = [
        f"Right: {share(outcome.right)}. False alarms: {share(outcome.false_alarms)}. Misses: {share(outcome.misses)}. "
        f"Uncertain: {share(outcome.uncertain)}. In brackets: 95 % intervals.",
        *_few(of),
    ]
    thresholds = ", ".join(f"{each:g}" for each in of.asked.thresholds) or NOTHING
    return Table(
        f"Verdicts at similarity_threshold {thresholds}",
        ("verdict", *(f"label {each}" for each in labels)),
        tuple(rows),
        tuple(notes),
    )


def _few(of: Figures) -> Iterator[str]:
    for label, number in of.labels.items():
        if not number:
            yield f"No pair is labelled {label}: no curve can be drawn, and no threshold chosen."
        elif number < FEW:
            yield f"Only {number} pairs are labelled {label}: too few to tell much; {FEW} and more of each are wanted."


def _outcomes(title: str, name: str, outcomes: Mapping[str, Outcome]) -> Table:
    rows = [
        (
            kind,
            str(each.right.n),
            share(each.right),
            _count(each.false_alarms),
            _count(each.misses),
            str(each.uncertain.k),
        )
        for kind, each in outcomes.items()
    ]
    return Table(title, (name, "pairs", "right", "false alarms", "misses", "uncertain"), tuple(rows))


def _scores(of: Figures) -> Table:
    rows = []
    for rule, drawn in of.curves.items():
        best = of.alone[rule]
        value = _value(rule, best.thresholds) if best is not None else NOTHING
        counted = _counted(best.counted) if best is not None else (NOTHING, NOTHING)
        rows.append((_SCORES[rule], area(drawn.area), value, *counted))
    title = f"What tells the labels apart, and the best threshold of each alone for {of.goal}"
    notes = ("AUC: how often a different pair is rated so above a same one. 1 is always, 0.5 is chance.",)
    return Table(title, ("score", "AUC", "threshold", "precision", "recall"), tuple(rows), notes)


def _choice(of: Figures) -> Table:
    title = f"Thresholds for {of.goal}"
    if of.choice is None:
        return Table(title, (), (), (unmet(of),))
    choice, rows = of.choice, []
    for name, counted in (("on these pairs", choice.counted), ("on pairs held out", choice.held_out)):
        cells = (share(counted.right), share(counted.found), share(counted.false)) if counted else (NOTHING,) * 3
        rows.append((name, *cells))
    told = ", ".join(f"{name} {value}" for name, value in fields(choice.thresholds).items())
    notes = (f"{told}.", *_sure(of, choice))
    return Table(title, ("counted", "precision", "recall", "false alarms"), tuple(rows), notes)


def _sure(of: Figures, choice: Choice) -> Iterator[str]:
    """What the numbers do not show."""
    wanted, reached = of.goal.precision, choice.counted.right
    if of.goal.recall is not None:
        wanted, reached = of.goal.recall, choice.counted.found
    if wanted is not None and reached.interval[0] < wanted:
        needed = curves.flawless_for(wanted)
        more = f"{needed} without an error would be" if wanted < 1 else "no number of pairs is"
        yield f"{reached.k} of {reached.n} are too few to be sure of {wanted:g}: {more} enough."
    if choice.held_out is None:
        yield "Too few pairs of a label to hold any out: the numbers flatter."
    if choice.counted.unsure.k:
        yield f"{choice.counted.unsure.k} pairs would be uncertain; here they count by their similarity."
    if any(not engine.startswith("none") for engine in of.asked.engines):
        yield "A model's similarity may depend on the threshold that was asked with: check by `eval --profile`."


def unmet(of: Figures) -> str:
    """Why there are no thresholds: one sentence."""
    empty = [label for label, number in of.labels.items() if not number]
    if empty:
        return f"No pair that was answered is labelled {' or '.join(empty)}: both are needed to choose a threshold."
    if of.goal.precision is None and of.goal.recall is None:
        return "No threshold tells these labels apart better than chance."
    return f"No threshold reaches a {of.goal} on these pairs."


def _aspects(of: Figures) -> Table:
    rows = [(each.name, str(each.num_scored), area(each.reported), area(each.measured)) for each in of.aspects]
    return Table("By aspect: AUC of its score", ("aspect", "scored", "as reported", "by pixels"), tuple(rows))


def _reliability(of: Figures) -> Table:
    rows = [
        (f"{each.low:g}..{each.high:g}", str(each.same.n), f"{each.mean:.3f}", share(each.same)) for each in of.bins
    ]
    notes = ["Similarity is no probability: this is what it meant on these pairs."]
    if of.calibration_error is not None:
        notes.append(f"Expected calibration error, if it were taken for one: {of.calibration_error:.3f}.")
    return Table("Reliability", ("similarity", "pairs", "mean", "labelled match"), tuple(rows), tuple(notes))


def _orders(of: Figures) -> Table:
    orders = of.orders
    if not orders.asked:
        said = "Not asked: no model answered, and the measurement of both orders is one by its own law."
        if any(not engine.startswith("none") for engine in of.asked.engines):
            said = "Not asked in the exchanged order."
        notes = [said]
    else:
        notes = [f"Asked with the pictures exchanged, {share(orders.flipped)} of the verdicts flip."]
        if orders.moved is not None:
            notes.append(f"Similarity moves by {orders.moved:.4f} (mean).")
    if orders.order_gap is not None:
        notes.append(f"The model's order_gap is {orders.order_gap:.4f} (mean).")
    return Table("Orders", (), (), tuple(notes))


def _failed(of: Figures) -> Iterator[Table]:
    if of.failed:
        rows = tuple((row.name, row.error or NOTHING) for row in of.failed[:MOST_WRONG])
        more = len(of.failed) - len(rows)
        yield Table(f"Not answered: {len(of.failed)}", ("pair", "why"), rows, (f"and {more} more.",) if more else ())


def share(of: Share) -> str:
    if of.value is None:
        return NOTHING
    low, high = of.interval
    return f"{of.value:.3f} [{low:.2f}, {high:.2f}]"


def area(of: Area | None) -> str:
    if of is None:
        return NOTHING
    low, high = of.interval
    return f"{of.value:.3f} [{low:.2f}, {high:.2f}]"


def _count(of: Share) -> str:
    return f"{of.k} of {of.n}"


def _counted(of: Counted) -> tuple[str, str]:
    return tuple(NOTHING if each.value is None else f"{each.value:.3f}" for each in (of.right, of.found))  # type: ignore[return-value]


def _value(rule: RuleName, thresholds: Thresholds) -> str:
    return f"{getattr(thresholds, rule):g}"


def fields(thresholds: Thresholds) -> dict[str, float | int]:
    """As a profile and a config have them."""
    said = {
        "similarity_threshold": thresholds.similarity_threshold,
        "max_differences": thresholds.max_differences,
        "max_changed_ratio": thresholds.max_changed_ratio,
    }
    return {name: value for name, value in said.items() if value is not None}


def values(of: Figures) -> dict[str, Any]:
    """All of it for JSON; curves as their points."""
    return {
        "pairs": of.num_pairs,
        "labels": dict(of.labels),
        "engines": list(of.asked.engines),
        "versions": list(of.asked.versions),
        "similarity_thresholds": list(of.asked.thresholds),
        "verdicts": {verdict: dict(by) for verdict, by in of.verdicts.items()},
        **_outcome_values(of.outcome),
        "kinds": {kind: _outcome_values(each) for kind, each in of.kinds.items()},
        "scores": {_SCORES[rule]: _curve_values(of, rule) for rule in of.curves},
        "goal": {"precision": of.goal.precision, "recall": of.goal.recall},
        "chosen": _choice_values(of.choice),
        "aspects": [
            {
                "name": each.name,
                "scored": each.num_scored,
                "auc": _area_values(each.reported),
                "measured_auc": _area_values(each.measured),
            }
            for each in of.aspects
        ],
        "reliability": [
            {"low": each.low, "high": each.high, "mean": each.mean, "match": _share_values(each.same)}
            for each in of.bins
        ],
        "calibration_error": of.calibration_error,
        "orders": {
            "asked": of.orders.asked,
            "flipped": _share_values(of.orders.flipped),
            "moved": of.orders.moved,
            "order_gap": of.orders.order_gap,
        },
        "wrong": [row.model_dump(mode="json", exclude={"run"}) for row in of.wrong],
        "failed": [{"name": row.name, "error": row.error} for row in of.failed],
        "seconds": of.seconds,
    }


def _outcome_values(of: Outcome) -> dict[str, Any]:
    return {name: _share_values(getattr(of, name)) for name in ("right", "false_alarms", "misses", "uncertain")}


def _share_values(of: Share) -> dict[str, Any]:
    return {"count": of.k, "of": of.n, "share": of.value, "interval": list(of.interval)}


def _area_values(of: Area | None) -> dict[str, Any] | None:
    return None if of is None else {"auc": of.value, "interval": list(of.interval)}


def _choice_values(of: Choice | None) -> dict[str, Any] | None:
    if of is None:
        return None
    both = {"counted": of.counted, "held_out": of.held_out}
    told = {
        name: each and {"precision": _share_values(each.right), "recall": _share_values(each.found)}
        for name, each in both.items()
    }
    return {**fields(of.thresholds), **told}


def _curve_values(of: Figures, rule: RuleName) -> dict[str, Any]:
    drawn = of.curves[rule]
    points: Sequence[tuple[float, ...]] = list(
        zip(drawn.false_alarms.tolist(), drawn.recall.tolist(), drawn.precision.tolist(), strict=True)
    )
    return {
        **(_area_values(drawn.area) or {"auc": None, "interval": None}),
        "best": _choice_values(of.alone[rule]),
        "points": [[round(value, 6) for value in point] for point in points],
    }
