"""The text of a measured pair in the terms of a report: read, seen from the reference, looked up for focus elements.
No pixels of its own, no sentences: what is read is `ocr`'s."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Final

from serve_app import measurement, ocr
from serve_app.comparison.verdict.wording import is_text
from serve_app.core.clock import Deadline, Stop
from serve_app.core.measured import Measurement
from serve_app.core.reading import UNREAD, ElementText, Reading, TextChange
from serve_app.ocr.elements import look_up
from serve_app.schema import ImageComparisonConfig, TextKind, TextStatus

RESERVE_S: Final = 0.5  # of the caller's time, kept for the report
SHARE: Final = 0.5  # of the rest at most, where a model is to answer after it

_logger = logging.getLogger(__name__)


def read_pair(
    reader: ocr.Reads | None,
    pair: measurement.Pair,
    measured: Measurement,
    config: ImageComparisonConfig,
    stop: Stop,
    *,
    model_follows: bool,
) -> Reading:
    """What became of the text of the pair. Nothing is read where nothing visible differs. Where the networks' files
    aren't those that were tried, the report is one without text."""
    if not config.read_text:
        return UNREAD
    if reader is None:
        return Reading("not_installed")
    started = time.perf_counter()
    laid = pair.lay(measured)
    if laid is None:
        return Reading("nothing_to_read", engine=reader.engine, model=reader.model)
    is_whole = bool(config.focus_elements) or any(is_text(name) for name in config.comparison_aspects)
    try:
        found = ocr.read(
            reader, laid, whole=is_whole, stop=stop.sooner(until(stop.deadline, model_follows=model_follows))
        )
    except ocr.ModelFilesWrong as exc:
        _logger.warning("no text is read: %s", exc)
        return Reading("not_installed")
    if laid.is_turned:
        found = _turned(found)
    return Reading(
        status=_status(found),
        changes=found.changes,
        elements=tuple(_element(name, found) for name in config.focus_elements),
        num_lines=found.num_lines,
        unchanged=found.unchanged,
        engine=reader.engine,
        model=reader.model,
        read_ms=(time.perf_counter() - started) * 1000,
    )


def until(deadline: Deadline, *, model_follows: bool) -> Deadline:
    """When reading ends at the latest, so that the rest still comes before `deadline`."""
    left = deadline.remaining_s - RESERVE_S
    return Deadline.after(max(0.0, left * SHARE if model_follows else left))


def _status(found: ocr.Found) -> TextStatus:
    if not found.is_complete:
        return "timed_out"
    return "read" if found.num_lines else "nothing_to_read"


def _element(name: str, found: ocr.Found) -> ElementText | None:
    changes = [each for changes in found.changes for each in changes]
    return look_up(name, found.read[0], found.read[1], changes) if found.is_complete else None


def _turned(found: ocr.Found) -> ocr.Found:
    """Seen from the second picture."""
    changes = tuple(tuple(_turn(each) for each in changes) for changes in found.changes)
    return replace(found, changes=changes, read=(found.read[1], found.read[0]))


_TURNED: Final[dict[TextKind, TextKind]] = {"added": "removed", "removed": "added"}


def _turn(change: TextChange) -> TextChange:
    return TextChange(
        _TURNED.get(change.kind, change.kind),
        change.candidate,
        change.reference,
        change.candidate_word,
        change.reference_word,
        change.confidence,
    )
