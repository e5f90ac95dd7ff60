"""Who hears how a comparison gets on: each stage's turn, its end, and what was measured.
Knows no stage and no HTTP: what is told are values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from serve_app.core.clock import StageName
from serve_app.core.measured import Examination
from serve_app.schema.words import StageState


class Watching(Protocol):
    """Told in the pipeline's own process and loop. What it does takes no time and raises nothing."""

    def at(self, stage: StageName, state: StageState) -> None: ...

    def examined(self, examination: Examination) -> None:
        """What pixels prove is known; the model may not have been asked yet."""
        ...


class Unwatched:
    """Nobody listens."""

    def at(self, stage: StageName, state: StageState) -> None:
        pass

    def examined(self, examination: Examination) -> None:
        pass


UNWATCHED: Final = Unwatched()


class Audience:
    """All who hear of one computation: who comes later is told first what the others have heard."""

    def __init__(self) -> None:
        self._heard: list[Callable[[Watching], None]] = []
        self._listeners: list[Watching] = []

    def join(self, listener: Watching) -> None:
        for tell in self._heard:
            tell(listener)
        self._listeners.append(listener)

    def leave(self, listener: Watching) -> None:
        self._listeners.remove(listener)

    def at(self, stage: StageName, state: StageState) -> None:
        self._tell(lambda listener: listener.at(stage, state))

    def examined(self, examination: Examination) -> None:
        self._tell(lambda listener: listener.examined(examination))

    def _tell(self, tell: Callable[[Watching], None]) -> None:
        self._heard.append(tell)
        for listener in self._listeners:
            tell(listener)
