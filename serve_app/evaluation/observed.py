"""What is kept of a labelled pair's report, a line of JSON a pair: enough for every figure, without the pictures.
Compares nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from serve_app.evaluation.pairs import Label, LabelledPair
from serve_app.schema import ComparisonReport, ModelStatus, Verdict, VerdictReason

MOST_CHARACTERS: Final = 300  # of a summary


class NotResults(Exception):
    """The file holds something else: one sentence."""


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AspectScore(_Value):
    """0..1 each, by the report and by the pixels alone; None where nobody could say."""

    score: float | None
    measured: float | None


class Exchanged(_Value):
    """What came of the same pair with its pictures exchanged."""

    verdict: Verdict
    similarity: float


class Answer(_Value):
    """Of one report."""

    report_id: str
    verdict: Verdict
    reason: VerdictReason
    similarity: float
    interval: tuple[float, float]
    threshold: float
    num_differences: int
    changed_ratio: float
    aspects: Mapping[str, AspectScore]
    engine: str
    model: str | None
    revision: str | None
    model_status: ModelStatus
    order_gap: float | None
    measurement_version: str
    prompt_version: str
    summary: str
    took_ms: float
    exchanged: Exchanged | None = None

    @classmethod
    def of(cls, report: ComparisonReport) -> Answer:
        return cls(
            report_id=report.report_id,
            verdict=report.verdict,
            reason=report.verdict_reason,
            similarity=report.similarity,
            interval=report.similarity_interval,
            threshold=report.similarity_threshold,
            num_differences=len(report.differences) + report.measurement.further_differences,
            changed_ratio=report.measurement.changed_ratio,
            aspects={each.name: AspectScore(score=each.score, measured=each.measured_score) for each in report.aspects},
            engine=report.model.engine,
            model=report.model.name,
            revision=report.model.revision,
            model_status=report.model.status,
            order_gap=report.model.order_gap,
            measurement_version=report.measurement.version,
            prompt_version=report.model.prompt_version,
            summary=report.summary[:MOST_CHARACTERS],
            took_ms=report.timings_ms.total,
        )


class Observation(_Value):
    """One labelled pair and what came of it: an answer, or why there is none.

    `run` is one for all rows that may be counted together: it names what was asked of which versions. Digests: SHA-256
    of the files; "" of one that could not be read.
    """

    run: str
    name: str
    reference: str
    candidate: str
    digests: tuple[str, str]
    label: Label
    kind: str
    answer: Answer | None = None
    error: str | None = None

    def of(self, pair: LabelledPair) -> Observation:
        """The same answer under what is said of the pair now: labels and names may be mended between two runs."""
        now = {"name": pair.name, "label": pair.label, "kind": pair.kind}
        return self.model_copy(update={**now, "reference": str(pair.reference), "candidate": str(pair.candidate)})


class Kept:
    """A file of observations that is only ever added to: what was written stays, whatever ends the run."""

    def __init__(self, path: Path) -> None:
        """Raises `NotResults` for a file that holds something else, and OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.read_bytes() if path.exists() else b""
        self.rows = list(rows_of(there))
        if there and not self.rows:
            raise NotResults(f"{path} holds no results of this version: name another file with --results.")
        self._file = path.open("a", encoding="utf-8")
        if there and not there.endswith(b"\n"):  # torn by a kill: its line is passed over
            self._file.write("\n")

    def append(self, row: Observation) -> None:
        """Written before it returns."""
        self._file.write(row.model_dump_json() + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def rows_of(lines: bytes) -> Iterator[Observation]:
    """Those that can be read; a torn line and those of another version are passed over."""
    for line in lines.splitlines():
        try:
            yield Observation.model_validate_json(line)
        except ValidationError:
            continue
