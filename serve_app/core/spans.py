"""Spans of a request's stages, where it is traced; elsewhere they cost a function call.
Knows no tracer: who runs the service puts one in. Nothing of a caller's stands in a span: names and numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeVar

Value = str | int | float | bool
Note = Callable[[str, Value], None]
Work = TypeVar("Work", bound=Callable[..., object])


class Tracer(Protocol):
    """Keeps spans, wherever they are kept."""

    def span(self, name: str) -> AbstractContextManager[Note]:
        """Around a piece of work. What it gives takes what is known only later: a name, a number or a word."""
        ...

    def carried(self, work: Work) -> Work:
        """The same work for another thread, whose spans belong into the one that is open here."""
        ...


def _untold(name: str, value: Value) -> None:
    pass


class Untraced:
    """Nobody keeps any."""

    _nothing: Final = nullcontext(_untold)

    def span(self, name: str) -> AbstractContextManager[Note]:
        return self._nothing

    def carried(self, work: Work) -> Work:
        return work


UNTRACED: Final = Untraced()
_tracer: Tracer = UNTRACED


def install(tracer: Tracer) -> None:
    """For this process, once, before it works."""
    global _tracer
    _tracer = tracer


def span(name: str) -> AbstractContextManager[Note]:
    """Around a piece of work."""
    return _tracer.span(name)


def carried(work: Work) -> Work:
    """`work`, to be called on another thread."""
    return _tracer.carried(work)
