"""How far a long command is, on standard error: a bar where a person looks on, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LINE_EACH_S: Final = 10.0


@contextmanager
def progress(total: int, what: str = "pairs") -> Iterator[Callable[[], None]]:
    """Calls say that one more is done."""
    if not sys.stderr.isatty():
        yield _Lines(total, what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


class _Lines:
    """In a log: at each tenth, and at least every ten seconds."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._done, self._told, self._told_at = 0, 0, time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        now = time.monotonic()
        if self._done * 10 // self._total > self._told * 10 // self._total or now - self._told_at >= LINE_EACH_S:
            self._told, self._told_at = self._done, now
            sys.stderr.write(f"{self._done} of {self._total} {self._what}\n")
            sys.stderr.flush()
