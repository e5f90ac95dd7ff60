"""A made-up cluster with a clock of its own, for admission to prove itself in: no Ray, no waiting.
Knows nothing of comparisons: a job is a number of seconds."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serve_app.serving.admission.entrance import USABLE, slots
from serve_app.serving.admission.stage import Stage, Visitor


@dataclass
class World:
    """Replicas that serve one job after the other behind one entrance or more; events in the order of their time."""

    replicas: int
    job_s: Callable[[], float]
    entrances: int = 1
    places: int | None = None  # instead of admission: so many requests are let in, whatever their deadline
    now: float = 0.0
    answered: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.stages = [Stage(guess_s=2.0) for _ in range(self.entrances)]
        share = self.replicas / self.entrances
        for stage in self.stages:
            stage.resize(share, slots(self.replicas, self.entrances, sent_to_each=2), 0.0)
        self._next = itertools.cycle(self.stages)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._idle = self.replicas
        self._at_replicas: deque[Callable[[], None]] = deque()

    def at(self, time: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (time, self._order, event))

    def run(self) -> None:
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def arrive(self, caller: str, timeout_s: float) -> None:
        done_by = self.now + timeout_s
        stage = next(self._next)
        if not self._lets_in(stage, caller, timeout_s):
            self.refused[caller] += 1
            return
        visitor = Visitor(caller)
        stage.promise(visitor, done_by)
        stage.ask(visitor, lambda: self._sent(lambda: self._begin(stage, visitor, done_by)), self.now)

    def _lets_in(self, stage: Stage, caller: str, timeout_s: float) -> bool:
        if self.places is not None:
            return stage.num_inside + stage.num_promised < self.places
        return stage.can_promise(caller, self.now + USABLE * timeout_s, self.now, rest_s=stage.capacity.job_s)

    def _sent(self, begin: Callable[[], None]) -> None:
        if self._idle:
            begin()
        else:
            self._at_replicas.append(begin)

    def _begin(self, stage: Stage, visitor: Visitor, done_by: float) -> None:
        self._idle -= 1
        self.at(self.now + self.job_s(), lambda: self._end(stage, visitor, done_by))

    def _end(self, stage: Stage, visitor: Visitor, done_by: float) -> None:
        self._idle += 1
        (self.answered if self.now <= done_by else self.late)[visitor.caller] += 1
        if self._at_replicas:
            self._at_replicas.popleft()()
        stage.leave(visitor, self.now, "done")

    def arrivals(self, caller: str, rate_per_s: float, until: float, timeout_s: float, dice: random.Random) -> int:
        """Poisson arrivals from 0 on; how many."""
        time, number = dice.expovariate(rate_per_s), 0
        while time < until:
            self.at(time, lambda: self.arrive(caller, timeout_s))
            number += 1
            time += dice.expovariate(rate_per_s)
        return number
