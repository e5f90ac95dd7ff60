"""Labelled pairs asked one after the other of whoever compares, a few at once; what was answered before is kept.
Knows no figures, and not where it is compared.

Whether old answers hold is found out by asking one of their pairs anew: a report's id is made of both files, the
config, the model and all versions, so where it is the same, all that was answered in its run holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serve_app.core.comparing import Comparing, patiently, side_by_side
from serve_app.errors import ComparisonError
from serve_app.evaluation.observed import Answer, Exchanged, Kept, Observation
from serve_app.evaluation.pairs import LabelledPair
from serve_app.schema import ImageComparisonConfig

PROBES: Final = 3  # of old answers that are asked anew until one is answered
Digests = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asking:
    """How pairs are asked. `both_orders`: where a model answers, ask with the pictures exchanged, too.

    `max_bytes`: of one file. `on_done`: called for each pair that has its row.
    """

    config: ImageComparisonConfig
    at_once: int = 2
    both_orders: bool = True
    max_bytes: int = 32 * 2**20
    on_done: Callable[[], None] = lambda: None

    @property
    def can_be_exchanged(self) -> bool:
        """Boxes to ignore are those of the reference: exchanged they would be other places."""
        return self.both_orders and not self.config.ignore_regions


async def observe(
    pairs: Sequence[LabelledPair], comparing: Comparing, asking: Asking, kept: Kept | None = None
) -> list[Observation]:
    """A row for each pair, in their order. Rows are in `kept` as soon as they are there.

    A file that can't be read and a refusal are rows with an error; they are asked again next time. Raises `CantCompare`
    where nobody compares.
    """
    digests = await asyncio.to_thread(lambda: [_digests(pair, asking.max_bytes) for pair in pairs])
    run, known = await _begun(pairs, digests, comparing, asking, kept)
    rows: list[Observation | None] = [None] * len(pairs)

    async def ask(number: int) -> None:
        pair, old = pairs[number], known.get(digests[number])
        row = old.of(pair) if old is not None else await _row(pair, digests[number], comparing, asking, run)
        if old is None and kept is not None:
            kept.append(row)
        rows[number] = row
        asking.on_done()

    await side_by_side(range(len(pairs)), ask, asking.at_once)  # raises what nothing can be done about: no disk, say
    return [row for row in rows if row is not None]


async def _begun(
    pairs: Sequence[LabelledPair], digests: Sequence[Digests], comparing: Comparing, asking: Asking, kept: Kept | None
) -> tuple[str, dict[Digests, Observation]]:
    """The name of this run, and what was answered in it before, by the pictures."""
    places, question = dict(zip(digests, pairs, strict=True)), question_of(asking)
    rows = kept.rows if kept is not None else []
    old = [row for row in rows if row.run.startswith(question) and row.answer is not None and row.digests in places]
    # A model's revision may be known only once it has answered: a pair that it answered tells it. Else the latest.
    old.sort(key=lambda row: row.answer is not None and row.answer.model_status == "answered")
    for probe in reversed(old[-PROBES:]):
        row = await _row(places[probe.digests], probe.digests, comparing, asking, probe.run)
        if row.answer is None or probe.answer is None:
            continue  # refused this time, as a busy service may: another one tells as much
        if row.answer.report_id == probe.answer.report_id:
            return probe.run, {row.digests: row for row in old if row.run == probe.run}
        break
    return f"{question}-{secrets.token_hex(6)}", {}


def question_of(asking: Asking) -> str:
    """Of all that is asked beside the pictures; time limits decide no answer."""
    said = asking.config.model_dump_json(exclude={"processing_timeout", "visuals"})
    return hashlib.sha256(f"{said}{asking.can_be_exchanged}".encode()).hexdigest()[:12]


async def _row(pair: LabelledPair, digests: Digests, comparing: Comparing, asking: Asking, run: str) -> Observation:
    answer, error = None, None
    try:
        one, two = await asyncio.to_thread(lambda: [_content(path, asking.max_bytes) for path in _files(pair)])
        report = await patiently(comparing, one, two, asking.config)
        answer = Answer.of(report)
        if asking.can_be_exchanged and report.model.status == "answered":
            turned = await patiently(comparing, two, one, asking.config)
            exchanged = Exchanged(verdict=turned.verdict, similarity=turned.similarity)
            answer = answer.model_copy(update={"exchanged": exchanged})
    except OSError as exc:
        answer, error = None, f"{exc.filename or pair.name} can't be read: {exc.strerror or exc}."
    except ComparisonError as exc:
        answer, error = None, f"{exc.image}: {exc.detail}" if exc.image else exc.detail
    return Observation(
        run=run,
        name=pair.name,
        reference=str(pair.reference),
        candidate=str(pair.candidate),
        digests=digests,
        label=pair.label,
        kind=pair.kind,
        answer=answer,
        error=error,
    )


def _files(pair: LabelledPair) -> tuple[Path, Path]:
    return pair.reference, pair.candidate


def _digests(pair: LabelledPair, max_bytes: int) -> Digests:
    def digest(path: Path) -> str:
        try:
            if path.stat().st_size > max_bytes:
                return ""
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""

    return digest(pair.reference), digest(pair.candidate)


def _content(path: Path, max_bytes: int) -> bytes:
    if (size := path.stat().st_size) > max_bytes:
        raise OSError(None, f"it has {size} bytes, and at most {max_bytes} are read", str(path))
    return path.read_bytes()
