"""Labelled pairs that the service asks itself, again and again: does it still answer as it did, and rightly?
No Ray, no HTTP: who compares and who is told are given. Nobody waits for it, and readiness doesn't hear of it."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from serve_app.core.comparing import Comparing
from serve_app.evaluation import pairs
from serve_app.evaluation.observed import Observation, rows_of
from serve_app.evaluation.pairs import LabelledPair
from serve_app.evaluation.run import Asking, Digests, observe
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import CanarySettings
from serve_app.storage.manifest import ManifestWrong

logger = logging.getLogger("pairlens.canary")

MOST_PAIRS: Final = 500
AGAIN_S: Final = 60.0  # after a round without an answer, as while the service starts


class CanaryUnusable(Exception):
    """The pairs or their baseline can't be used: a sentence for the operator, or one a line."""


@dataclass(frozen=True, slots=True)
class Standing:
    """After the last round that had an answer. `drift`: of similarity from the baseline, mean; `right`: share of
    verdicts that are the label; both None before it. `age_s`: since it, or since the start."""

    age_s: float
    drift: float | None = None
    right: float | None = None
    answered: int = 0
    failed: int = 0


def labelled(settings: CanarySettings) -> list[LabelledPair]:
    """The pairs. Raises `CanaryUnusable`."""
    path = Path(settings.pairs or "").expanduser()
    try:
        found = pairs.read(path)
    except ManifestWrong as exc:
        raise CanaryUnusable(f"{path} (`args.canary.pairs`) can't be used:\n" + "\n".join(exc.faults)) from exc
    except OSError as exc:
        raise CanaryUnusable(f"{path} (`args.canary.pairs`) can't be read: {exc.strerror}.") from exc
    if len(found) > MOST_PAIRS:
        raise CanaryUnusable(f"{path} (`args.canary.pairs`) has {len(found)} pairs; at most {MOST_PAIRS} are compared.")
    return found


def baseline(settings: CanarySettings) -> dict[Digests, float] | None:
    """Similarity by the digests of both files, the latest where there are several; None where no file is named.

    Raises `CanaryUnusable`.
    """
    if settings.baseline is None:
        return None
    path = Path(settings.baseline).expanduser()
    try:
        rows = list(rows_of(path.read_bytes()))
    except OSError as exc:
        raise CanaryUnusable(f"{path} (`args.canary.baseline`) can't be read: {exc.strerror}.") from exc
    found = _similarities(rows)
    if not found:
        raise CanaryUnusable(f"{path} (`args.canary.baseline`) holds no results of `pairlens eval` of this version.")
    return found


class Canary:
    """`max_bytes`: of one file. `clock`: seconds that only grow."""

    def __init__(
        self,
        settings: CanarySettings,
        comparing: Comparing,
        config: ImageComparisonConfig,
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._comparing = comparing
        self._asking = Asking(config, at_once=1, both_orders=False, max_bytes=max_bytes)
        self._clock = clock
        self._since = clock()
        self._baseline: Mapping[Digests, float] | None = None
        self._last = Standing(0.0)

    @property
    def standing(self) -> Standing:
        return replace(self._last, age_s=self._clock() - self._since)

    async def live(self) -> None:
        """A round each interval, for ever; a round that takes longer than that is followed by the next at once."""
        while True:
            begun = self._clock()
            was_answered = await self.look()
            pause_s = self._settings.interval_s if was_answered else min(AGAIN_S, self._settings.interval_s)
            await asyncio.sleep(max(0.0, begun + pause_s - self._clock()))

    async def look(self) -> bool:
        """One round: whether any pair was answered. What is wrong is logged; the next round may be well."""
        try:
            some = await asyncio.to_thread(labelled, self._settings)
            if self._baseline is None:
                self._baseline = await asyncio.to_thread(baseline, self._settings)
        except CanaryUnusable as exc:
            logger.warning("canary: %s", exc)
            return False
        rows = await observe(some, self._comparing, self._asking)
        now = _similarities(rows)
        failed = len(rows) - sum(row.answer is not None for row in rows)
        if not now:
            logger.warning("canary: none of %d pairs was answered: %s", len(rows), rows[0].error)
            self._last = replace(self._last, answered=0, failed=failed)
            return False
        if self._baseline is None:
            self._baseline = now
        self._since = self._clock()
        self._last = Standing(0.0, _drift(now, self._baseline), _right(rows), len(rows) - failed, failed)
        self._say(self._last)
        return True

    def _say(self, last: Standing) -> None:
        told = logger.info
        if last.failed or last.drift is None or last.drift > self._settings.max_drift:
            told = logger.warning
        drift = "unknown: the baseline has none of these pairs" if last.drift is None else f"{last.drift:.4f}"
        told(
            "canary: drift of similarity %s (at most %g), right %.3f, %d pairs answered, %d not",
            drift,
            self._settings.max_drift,
            last.right or 0.0,
            last.answered,
            last.failed,
        )


def _similarities(rows: Sequence[Observation]) -> dict[Digests, float]:
    return {row.digests: row.answer.similarity for row in rows if row.answer is not None}


def _drift(now: Mapping[Digests, float], then: Mapping[Digests, float]) -> float | None:
    moved = [abs(similarity - then[digests]) for digests, similarity in now.items() if digests in then]
    return statistics.fmean(moved) if moved else None


def _right(rows: Sequence[Observation]) -> float:
    """Of those that were answered."""
    return statistics.fmean(row.answer.verdict == row.label for row in rows if row.answer is not None)
