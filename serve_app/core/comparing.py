"""The role that all faces of PairLens ask: two pictures and a config in, a report out, wherever the work is done.
Filled by `local.Here`, in this process, and by `client.AsyncClient`, over HTTP."""

from __future__ import annotations

from typing import Protocol

from serve_app.schema import ComparisonReport, ImageComparisonConfig


class CantCompare(Exception):
    """Nobody is there to compare: one sentence for a person."""


class Comparing(Protocol):
    """Compares pairs, any number of them at once."""

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        """Raises `ComparisonError` and its kinds; over HTTP also `CantCompare`, where there is no answer."""
        ...
