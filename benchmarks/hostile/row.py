"""One row of the exam: what was sent, what was answered, what it cost, and which goals were met.
Knows no request; `Bench` is what a row works with."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

from benchmarks.hostile.instance import DOORS, STAGES, WORKERS, Instance, Sample
from tests.serving.hostile import wire

T = TypeVar("T")
REST_WITHIN_S: Final = 10.0
CALLERS: Final = 4


@dataclass(frozen=True, slots=True)
class Goal:
    """What was found, with what was wanted. `is_usual`: a goal of every row, told only where it is not met."""

    text: str
    is_met: bool
    is_usual: bool = False


@dataclass(slots=True)
class Row:
    """What one row has to tell."""

    name: str
    sent: str = ""
    answers: Counter[int] = field(default_factory=Counter)
    cost: list[str] = field(default_factory=list)  # memory, logs, times: sentences
    goals: list[Goal] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)  # answers other than foreseen, a sentence each
    seconds: float = 0.0

    @property
    def is_met(self) -> bool:
        return all(goal.is_met for goal in self.goals)

    def want(self, text: str, is_met: bool, *, is_usual: bool = False) -> None:
        self.goals.append(Goal(text, is_met, is_usual))

    def wrong(self, what: str) -> None:
        self.wrongs.append(what)

    def want_none_wrong(self, what: str = "answers other than foreseen") -> None:
        """The goal that nothing of the kind was noted."""
        self.want(f"{len(self.wrongs)} {what}", not self.wrongs)


@dataclass(frozen=True, slots=True)
class Box:
    """The time that a row has."""

    until: float  # of time.monotonic()

    @property
    def left_s(self) -> float:
        return max(0.0, self.until - time.monotonic())

    @property
    def is_over(self) -> bool:
        return self.left_s <= 0

    def inside(self, things: Iterator[T]) -> Iterator[T]:
        """As many of them as the time allows."""
        for each in things:
            if self.is_over:
                return
            yield each


@dataclass(slots=True)
class Bench:
    """A row's tools: the service, the time, the dice. `files`: a folder of pictures that were given to it."""

    service: Instance
    box: Box
    dice: random.Random
    row: Row
    files: Path | None = None

    @contextmanager
    def watched(self) -> Iterator[Sample]:
        """While the block is open its row is watched: what broke and what was logged become goals of every row."""
        before, sizes = self.service.watch.look(), self.service.log_sizes()
        pids = self.service.watch.pids(*STAGES, "proxy")
        began = time.monotonic()
        yield before
        self.row.seconds = time.monotonic() - began
        lost = pids - self.service.watch.pids(*STAGES, "proxy")
        self.row.want(f"{len(lost)} processes lost", not lost, is_usual=True)
        time.sleep(0.5)  # the last lines are on their way
        bad = self.service.bad_lines(sizes)
        self.row.want(f"{len(bad)} lines of ERROR logged", not bad, is_usual=True)
        for line in bad[:3]:
            self.row.wrong(f"log: {line}")

    def rest(self, is_back: Callable[[], bool]) -> bool:
        """Wait until it is, or the service has been idle for 10 s."""
        until = time.monotonic() + REST_WITHIN_S
        while not (back := is_back()) and time.monotonic() < until:
            time.sleep(0.25)
        return back

    def workers_return(self, before: Sample, mib: float) -> None:
        """The goal that every worker comes back to what it held before, with the cost of it told."""
        watch = self.service.watch
        is_back = self.rest(lambda: watch.growth(before, *WORKERS, *DOORS).mib <= mib)
        grown = watch.growth(before, *WORKERS, *DOORS)
        self.row.want(f"kept after {REST_WITHIN_S:g} s: {grown} (at most {mib:g})", is_back)

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.service.url, timeout=130, trust_env=False, **options)

    def ask(self, client: httpx2.Client, method: str, path: str, **request: Any) -> httpx2.Response | None:
        """The answer, counted; None where there was none."""
        try:
            response = client.request(method, path, **request)
        except httpx2.TransportError as exc:
            self.row.answers[wire.NO_ANSWER] += 1
            self.row.wrong(f"{method} {path}: {type(exc).__name__}")
            return None
        self.row.answers[response.status_code] += 1
        return response

    def compare(
        self, client: httpx2.Client, reference: bytes, candidate: bytes, **files: str
    ) -> httpx2.Response | None:
        name, kind = files.get("name", "a"), files.get("kind", "application/octet-stream")
        parts = [("files", (name, each, kind)) for each in (reference, candidate)]
        return self.ask(client, "POST", "/v1/compare", files=parts)


def fate(response: httpx2.Response | None) -> str:
    """`report`, the type of the error, or what else came."""
    if response is None:
        return "no answer"
    try:
        answer = response.json()
        return "report" if response.status_code == 200 else str(answer["error"]["type"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} in other words: {response.text[:60]!r}"


def at_once(work: Callable[[T], None], things: Iterator[T], callers: int = CALLERS) -> int:
    """`work` for each of them by so many callers; how many there were. The things are made one after another."""
    number = 0
    with ThreadPoolExecutor(callers) as pool:
        waiting: set[Any] = set()
        for each in things:
            number += 1
            waiting.add(pool.submit(work, each))
            if len(waiting) >= 2 * callers:
                done = {future for future in waiting if future.done()} or {next(iter(waiting))}
                for future in done:
                    future.result()
                waiting -= done
        for future in waiting:
            future.result()
    return number
