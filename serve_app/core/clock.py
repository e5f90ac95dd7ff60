"""The clock of a request, one for all stages, and the ways to tell a thread, or a task, that it is to end.
Plain Python: a queue of names and Serve's proxy read it, so nothing large is imported here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Literal

from serve_app.errors import DeadlineExceeded

StageName = Literal["examine", "assess"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The one clock of a request: wall time, so that it means the same in every process."""

    at: float
    timeout_s: float

    @classmethod
    def after(cls, timeout_s: float, *, since: float | None = None) -> Deadline:
        """A deadline `timeout_s` seconds after `since` (`time.time()`, now if not given)."""
        return cls((time.time() if since is None else since) + timeout_s, timeout_s)

    @property
    def started(self) -> float:
        """When the clock started, as `time.time()`."""
        return self.at - self.timeout_s

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.at - time.time())

    @property
    def passed(self) -> bool:
        return time.time() >= self.at

    def exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The comparison did not end within {self.timeout_s:g} s.", field="/config/processing_timeout"
        )

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time is over."""
        if self.passed:
            raise self.exceeded()


class Stop:
    """Why a computation must end: read by the compute thread, set by the event loop."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def sooner(self, deadline: Deadline) -> Stop:
        """The same, cancelled along with it, for a part of the work that must end before the rest."""
        part = Stop(deadline if deadline.at < self.deadline.at else self.deadline)
        part._cancelled = self._cancelled
        return part

    @property
    def reason(self) -> Literal["cancelled", "deadline"] | None:
        if self._cancelled.is_set():
            return "cancelled"
        return "deadline" if self.deadline.passed else None

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the work must end; a cancelled caller no longer reads it."""
        if self.reason is not None:
            raise self.deadline.exceeded()


def is_being_cancelled() -> bool:
    """Whether it is the running task that was cancelled, by whoever waits for it: a call that is dropped elsewhere ends
    with the very same exception."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
