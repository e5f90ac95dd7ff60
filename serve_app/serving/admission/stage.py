"""One stage of the work seen from outside: who was promised its service, who waits for it, who is inside.
Does none of the work, awaits nothing and reads no clock: times are `time.time()` seconds that callers pass in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from serve_app.serving.admission.capacity import Capacity
from serve_app.serving.admission.round_robin import RoundRobin

# How a visit ends: with the work done, out of time at work, or in any way that tells nothing of how long work takes.
End = Literal["done", "out_of_time", "left"]


@dataclass(eq=False, slots=True)
class Visitor:
    """One request, as one caller's. `yields`: nobody waits for its answer, so those go first for whom somebody does."""

    caller: str
    yields: bool = False


@dataclass(frozen=True, slots=True)
class _Inside:
    since: float
    beside: int  # jobs inside when it came in, itself included


class Stage:
    """At most `slots` visitors are inside at once; the others take turns by caller, those that yield after all others.

    `slots` is above the number of workers, so that none of them idles while the next job is on its way to it,
    and so that the deployment behind sees work waiting and scales up.
    """

    def __init__(self, guess_s: float) -> None:
        self.capacity = Capacity(guess_s)
        self._slots = 1
        self._promised: dict[str, dict[Visitor, float]] = {}  # not yet inside: in order, with the time to be done by
        self._waiting: RoundRobin[Visitor] = RoundRobin()
        self._yielding: RoundRobin[Visitor] = RoundRobin()
        self._calls: dict[Visitor, Callable[[], None]] = {}  # of those who wait
        self._inside: dict[Visitor, _Inside] = {}

    @property
    def num_inside(self) -> int:
        return len(self._inside)

    @property
    def num_promised(self) -> int:
        """Requests that were promised this stage and are not yet inside."""
        return sum(len(line) for line in self._promised.values())

    @property
    def wait_s(self) -> float:
        """Expected seconds until all that is here or promised is done."""
        return self.capacity.wait_s(self.num_inside + self.num_promised)

    def resize(self, workers: float, slots: int, now: float) -> None:
        """Follow the number of replicas: this entrance's share of them, and how many jobs to send at once."""
        self.capacity.workers = max(1.0, workers)
        self._slots = max(1, slots)
        self._let_in(now)

    def can_promise(self, caller: str, done_by: float, now: float, *, rest_s: float) -> bool:
        """Whether one more request would be done by then, and nobody's promise be broken for it.

        `rest_s`: what it needs beside waiting here. A free worker never refuses: its time would be lost, and
        an estimate that is too high would never be corrected.
        """
        if self.num_inside + self.num_promised < math.floor(self.capacity.workers):
            return True
        mine = len(self._promised.get(caller, ()))
        callers = len(self._promised.keys() | {caller})
        # Callers take turns, and one more than are here now may come: each is left room for as many as this one has.
        before_me = self.num_inside + (mine + 1) * (callers + 1) - 1
        if now + self.capacity.wait_s(before_me) + rest_s > done_by:
            return False
        return self._breaks_none(mine + 1, now)

    def promise(self, visitor: Visitor, done_by: float) -> None:
        self._promised.setdefault(visitor.caller, {})[visitor] = done_by

    def ask(self, visitor: Visitor, come_in: Callable[[], None], now: float) -> None:
        """Call `come_in` once it is this visitor's turn, perhaps at once. Pair it with `leave`."""
        self._calls[visitor] = come_in
        self._queue_of(visitor).push(visitor.caller, visitor)
        self._let_in(now)

    def leave(self, visitor: Visitor, now: float, end: End) -> None:
        """Out of everything here: from inside, from the queue, or from a promise that was never called in."""
        self._forget(visitor)
        if self._calls.pop(visitor, None) is not None:
            self._queue_of(visitor).remove(visitor.caller, visitor)
        inside = self._inside.pop(visitor, None)
        if inside is None:
            return
        held = (inside.beside + self.num_inside + 1) / 2
        if end == "done":
            self.capacity.observe(now - inside.since, held)
        elif end == "out_of_time":
            self.capacity.observe_unfinished(now - inside.since, held)
        self._let_in(now)

    def _let_in(self, now: float) -> None:
        while (queue := self._waiting or self._yielding) and self.num_inside < self._slots:
            visitor = queue.pop()
            come_in = self._calls.pop(visitor)
            self._forget(visitor)
            self._inside[visitor] = _Inside(now, self.num_inside + 1)
            come_in()

    def _queue_of(self, visitor: Visitor) -> RoundRobin[Visitor]:
        return self._yielding if visitor.yields else self._waiting

    def _forget(self, visitor: Visitor) -> None:
        line = self._promised.get(visitor.caller)
        if line is not None:
            line.pop(visitor, None)
            if not line:
                del self._promised[visitor.caller]

    def _breaks_none(self, new_round: int, now: float) -> bool:
        """Whether all who were promised earlier and would come after a newcomer of this round still have time.

        In round k each caller's k-th request is served; one that is late already is not the newcomer's doing.
        """
        lines = [list(line.values()) for line in self._promised.values()]
        before = self.num_inside
        for index in range(max((len(line) for line in lines), default=0)):
            of_round = [line[index] for line in lines if len(line) > index]
            before += len(of_round)
            if index + 1 < new_round:
                continue
            tightest = min(of_round) - now - self.capacity.job_s
            if self.capacity.wait_s(before - 1) <= tightest < self.capacity.wait_s(before):
                return False
        return True
