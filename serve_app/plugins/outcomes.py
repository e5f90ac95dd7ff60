"""What came of holding a picture against its baseline, and the words for it.
Knows no pytest, no browser and no disk.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from serve_app.schema import BoxField, ComparisonReport, Difference

# More are in the report; what changed in the text comes first, then the most severe.
MOST_TOLD: Final = 6

Update = Literal["none", "missing", "failed", "all"]
# written: a baseline that was missing; replaced: one that was there.
Kind = Literal["mismatch", "uncertain", "missing", "written", "replaced", "match"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`results`: the folder where this picture and its report lie, where they were written."""

    name: str
    kind: Kind
    baseline: Path
    report: ComparisonReport | None = None
    results: Path | None = None
    left_out: str = ""  # why no results were written though they were wanted

    @property
    def is_failure(self) -> bool:
        return self.kind in ("mismatch", "uncertain", "missing")


def told(outcome: Outcome, test: str) -> str:
    """A failure in words: what changed and where, where to look, and what to type to accept it. `test`: its id."""
    if outcome.kind == "missing":
        lines = [f"{outcome.name}: there is no baseline {_short(outcome.baseline)}."]
    else:
        assert outcome.report is not None
        lines = [
            f"{outcome.name} is not {_short(outcome.baseline)}: {_verdict(outcome.report)}.",
            *_found(outcome.report),
        ]
    if outcome.results is not None:
        shown = "report.html" if outcome.kind != "missing" else "actual.png"
        lines.append(f"To look at: {_short(outcome.results / shown)}")
    elif outcome.left_out:
        lines.append(outcome.left_out)
    accepted = "missing" if outcome.kind == "missing" else "failed"
    lines.append(f"To accept it as it is: pytest --pairlens-update={accepted} '{test}'")
    return "\n".join(lines)


def fact(outcome: Outcome) -> str:
    """One line, as JUnit's property and the summary have it."""
    similarity = f", similarity {outcome.report.similarity:.3f}" if outcome.report is not None else ""
    place = f", {_short(outcome.results)}" if outcome.results is not None else ""
    return f"{outcome.name}: {outcome.kind}{similarity}{place}"


def places(report: ComparisonReport) -> str:
    return "; ".join(map(_place, report.differences[:MOST_TOLD])) or "nothing that a person would see."


def summary(facts: list[str], index: Path | None) -> list[str]:
    """The lines at the end of a run; none where all pictures matched and nothing was written. `facts`: of all of it."""
    kinds = Counter(text.rpartition(": ")[2].partition(",")[0] for text in facts)
    if set(kinds) <= {"match"} and index is None:
        return []
    lines = [f"{len(facts)} held: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])]
    lines += [text for text in facts if not text.rpartition(": ")[2].startswith("match")]
    return lines if index is None else [*lines, f"To look at: {_short(index)}"]


def _verdict(report: ComparisonReport) -> str:
    low, high = report.similarity_interval
    return (
        f"{report.verdict}, similarity {report.similarity:.3f} between {low:.3f} and {high:.3f}, "
        f"threshold {report.similarity_threshold:g}, decided by {report.verdict_reason.replace('_', ' ')}"
    )


def _found(report: ComparisonReport) -> list[str]:
    ranked = sorted(report.differences, key=lambda each: each.text is None)  # stable: severity within
    lines = [f"  {number}. {_place(each)}" for number, each in enumerate(ranked[:MOST_TOLD], 1)]
    rest = len(ranked) - len(lines) + report.measurement.further_differences
    return [*lines, f"  and {rest} more"] if rest > 0 else lines


def _place(difference: Difference) -> str:
    where = [
        f"{side} {_box(box)}"
        for side, box in (("baseline", difference.reference_box), ("now", difference.candidate_box))
        if box is not None
    ]
    if difference.reference_box == difference.candidate_box:
        where = [f"at {_box(difference.reference_box)}"]
    return f"{difference.description} [{', '.join(where)}]"


def _box(box: BoxField | None) -> str:
    return ",".join(str(side) for side in box) if box is not None else "nowhere"


def _short(path: Path) -> str:
    """From where pytest was started, if it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
