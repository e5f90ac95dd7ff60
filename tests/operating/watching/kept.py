"""Ray's metrics without Ray: what the code made of them and told them, kept."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from serve_app.serving.deployments import counting


@dataclass
class Made:
    """One metric. `values`: by its labels' values, in the order of `labels`, the sum of all or what was set last."""

    kind: str
    name: str
    description: str
    labels: tuple[str, ...]
    boundaries: tuple[float, ...] = ()
    values: Tally[tuple[str, ...]] = field(default_factory=Tally)
    times: Tally[tuple[str, ...]] = field(default_factory=Tally)

    def inc(self, value: float = 1.0, tags: Mapping[str, str] | None = None) -> None:
        assert value > 0, "Ray refuses to add nothing"
        self._tell(tags, lambda before: before + value)

    def observe(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._tell(tags, lambda before: before + value)

    def set(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        self._tell(tags, lambda _: value)

    def _tell(self, tags: Mapping[str, str] | None, becomes: object) -> None:
        told = tags or {}
        assert set(told) == set(self.labels), (self.name, told)
        key = tuple(told[label] for label in self.labels)
        self.values[key] = becomes(self.values[key])  # type: ignore[operator]
        self.times[key] += 1


class Kept:
    """In place of `ray.serve.metrics`."""

    def __init__(self) -> None:
        self.made: dict[str, Made] = {}

    def Counter(self, name: str, description: str, tag_keys: Sequence[str] = ()) -> Made:  # noqa: N802 - Ray's name
        return self._make(Made("counter", name, description, tuple(tag_keys)))

    def Gauge(self, name: str, description: str, tag_keys: Sequence[str] = ()) -> Made:  # noqa: N802 - Ray's name
        return self._make(Made("gauge", name, description, tuple(tag_keys)))

    def Histogram(  # noqa: N802 - Ray's name
        self, name: str, description: str, boundaries: Sequence[float], tag_keys: Sequence[str] = ()
    ) -> Made:
        return self._make(Made("histogram", name, description, tuple(tag_keys), tuple(boundaries)))

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """Sums, or what was set last, by the labels' values."""
        return dict(self.made[name].values)

    def _make(self, made: Made) -> Made:
        assert made.name not in self.made, "made twice in one process"
        self.made[made.name] = made
        return made


def keep(patch: pytest.MonkeyPatch) -> Kept:
    """From here on all that counts is kept."""
    kept = Kept()
    patch.setattr(counting, "metrics", kept)
    return kept


def every_metric(patch: pytest.MonkeyPatch) -> dict[str, Made]:
    """All metrics of the service by name, as the code makes them."""
    kept = keep(patch)
    counting.RayRecorder()
    counting.RayExaminationRecorder()
    counting.RayAssessmentRecorder()
    counting.RayJobRecorder(1)
    counting.RayCanaryRecorder()
    counting.abandoned_seconds()
    counting.model_cache()
    counting.out_of_memory()
    return kept.made
