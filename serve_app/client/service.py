"""One service, and how patiently it is asked: tries, pauses and ends of every call, as steps. No sockets.
Knows no route."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, TypedDict, TypeVar, Unpack

from pydantic import BaseModel

from serve_app.client import wire
from serve_app.client.failures import CutOff, Failure, NoAnswerInTime, ServerFailed, StillAtWork, may_pass
from serve_app.client.patience import Clock, Deadline, Patience
from serve_app.client.steps import Flow, Head, Pause, Read, Request, Send, Tell
from serve_app.errors import ComparisonError
from serve_app.schema import BatchReport, JobEvent, JobReport, JobStatus

T = TypeVar("T")
Data = TypeVar("Data", bound=BaseModel)
Work = TypeVar("Work", JobReport, BatchReport, JobEvent)

MAX_RETRIES: Final = 2
# Of a call that waits for no comparison, all its tries together.
ANSWER_S: Final = 60.0
# Of one look at work that is waited for, and between two: an empty job ends in a tenth of a second.
LOOK_S: Final = 30.0
LEAST_LOOK_S: Final = 0.1
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
# Where a client's key lies that is given none: commands and tests take theirs from there as well.
KEY_VARIABLE: Final = "PAIRLENS_API_KEY"
ENDED: Final[frozenset[JobStatus]] = frozenset({"succeeded", "failed", "cancelled"})


def key_or_environment(api_key: str | None) -> str | None:
    """The one that was given; "" stands for none at all."""
    return (os.environ.get(KEY_VARIABLE, "").strip() if api_key is None else api_key) or None


class Options(TypedDict, total=False):
    """What one call may want otherwise than its client."""

    timeout: float | None
    max_retries: int
    api_key: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """`timeout_s`: of a whole call, all tries and pauses included; None: as long as what is asked may take.
    `clock` gives seconds, `chance` 0..1."""

    server: str
    api_key: str | None = None
    timeout_s: float | None = None
    max_retries: int = MAX_RETRIES
    clock: Clock = time.monotonic
    chance: Callable[[], float] = random.random

    def with_options(self, **options: Unpack[Options]) -> Service:
        """Raises TypeError for an option that there is not."""
        names = {"timeout": "timeout_s", "max_retries": "max_retries", "api_key": "api_key"}
        if unknown := options.keys() - names.keys():
            raise TypeError(f"There is no option {min(unknown)}; there are {', '.join(names)}.")
        changes = {names[name]: value for name, value in options.items()}
        return replace(self, **changes)  # type: ignore[arg-type] # each as `Options` has it

    def deadline(self, timeout_s: float) -> Deadline:
        return Deadline.after(timeout_s if self.timeout_s is None else self.timeout_s, self.clock)

    def asked(self, request: Request, kind: type[Data], timeout_s: float = ANSWER_S) -> Flow[Data]:
        """What an envelope holds. Raises `ComparisonError` and its kinds, and `ServerFailed`."""
        deadline = self.deadline(timeout_s)
        return (yield from self.tried(request, deadline, lambda head: self._data(head, deadline, kind)))

    def tried(self, request: Request, deadline: Deadline, read: Callable[[Head], Flow[T]]) -> Flow[T]:
        """Send it, and again while that is worth it and the time lasts; `read` makes something of an answer."""
        patience = Patience(self.max_retries, self.chance)
        named = self._named(request)
        for tries in count(1):
            try:
                head = yield Send(named, self._left(deadline))
                return (yield from read(head))
            except (ServerFailed, ComparisonError) as exc:
                pause_s = patience.pause_s(exc, tries, deadline.left_s, is_safe=request.is_safe)
                if pause_s is None:
                    _note(exc, named, tries)
                    raise
            yield Pause(pause_s)
        raise AssertionError  # the last try returns or raises

    def patiently(self, request: Request, kind: type[Data], deadline: Deadline, work: str, work_id: str) -> Flow[Data]:
        """The same, whoever does not answer meanwhile: until the deadline it is tried again. Raises `StillAtWork`."""
        pause_s, one = FIRST_PAUSE_S, replace(self, timeout_s=None, max_retries=0)
        while True:
            look_s = max(LEAST_LOOK_S, min(LOOK_S, deadline.left_s))
            try:
                return (yield from one.asked(request, kind, look_s))
            except (ServerFailed, ComparisonError) as exc:
                if not may_pass(exc, is_safe=True):
                    raise
                after_s = max(pause_s, exc.retry_after_s or 0)
            yield from self.rested(after_s, deadline, work, work_id)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

    def waited(self, request: Request, kind: type[Work], timeout_s: float, work: str, work_id: str) -> Flow[Work]:
        """Look at it until it has ended. Not by its events: an entrance holds 64 streams, and any number of callers may
        wait. Raises `StillAtWork`."""
        deadline, pause_s = Deadline.after(timeout_s, self.clock), FIRST_PAUSE_S
        while True:
            found = yield from self.patiently(request, kind, deadline, work, work_id)
            if found.status in ENDED:
                return found
            yield from self.rested(pause_s, deadline, work, work_id)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

    def rested(self, pause_s: float, deadline: Deadline, work: str, work_id: str) -> Flow[None]:
        """Raises `StillAtWork` where no time is left."""
        left_s = deadline.left_s
        if left_s <= 0:
            raise StillAtWork(f"{work} has not ended within {deadline.timeout_s:g} s.", work_id)
        yield Pause(min(pause_s * (0.8 + 0.2 * self.chance()), left_s))

    def followed(self, request: Request, kind: type[Work], timeout_s: float, work: str, work_id: str) -> Flow[None]:
        """Tell every event of it until it has ended; where a stream ends before that, the next one goes on."""
        deadline, last, is_over = Deadline.after(timeout_s, self.clock), "", False
        while not is_over:
            headers = {**request.headers, "Last-Event-ID": last} if last else request.headers
            pause_s = FIRST_PAUSE_S
            try:
                yield from self.tried(replace(request, headers=headers), deadline, self._streamed)
                events = wire.Events()
                while piece := (yield Read(self._left(deadline))):
                    for event in events.of(piece):
                        if event.name == "error":
                            raise wire.event_error(event, self.server)
                        found = wire.event_data(event, self.server, kind)
                        last, is_over = event.id, found.status in ENDED
                        yield Tell(found)
            except (ServerFailed, ComparisonError) as exc:
                if not may_pass(exc, is_safe=True):
                    raise
                pause_s = max(pause_s, exc.retry_after_s or 0)
            if not is_over:
                yield from self.rested(pause_s, deadline, work, work_id)

    def streamed(
        self, request: Request, timeout_s: float, read: Callable[[wire.Event], object], last: type[object]
    ) -> Flow[None]:
        """Tell what `read` makes of each event, but None, up to one that is a `last`. Raises `CutOff` where none is."""
        deadline, events, told = self.deadline(timeout_s), wire.Events(), 0
        yield from self.tried(request, deadline, self._streamed)
        try:
            while piece := (yield Read(self._left(deadline))):
                for event in events.of(piece):
                    found = read(event)
                    if found is not None:
                        yield Tell(found)
                    if isinstance(found, last):
                        return
                    told += 1
        except CutOff as exc:
            raise CutOff(f"The stream of {self.server} was cut off after {told} events: ask again.") from exc
        raise CutOff(f"The stream of {self.server} ended after {told} events, without its last one: ask again.")

    def _streamed(self, head: Head) -> Flow[None]:
        """Nothing is read of a stream; a refusal is."""
        if head.status == 200 and head.headers.get("content-type", "").startswith("text/event-stream"):
            return
        yield from self._data(head, Deadline.after(LOOK_S, self.clock), JobEvent)  # of another kind: raises

    def _data(self, head: Head, deadline: Deadline, kind: type[Data]) -> Flow[Data]:
        pieces: list[bytes] = []
        num_bytes = 0
        while piece := (yield Read(self._left(deadline))):
            num_bytes += len(piece)
            if num_bytes > wire.MOST_ANSWER_BYTES:
                raise ServerFailed(f"{self.server} answered with more than {wire.MOST_ANSWER_BYTES} bytes.")
            pieces.append(piece)
        return wire.data_of(head, b"".join(pieces), self.server, kind)

    def _left(self, deadline: Deadline) -> float:
        left_s = deadline.left_s
        if left_s <= 0:
            raise NoAnswerInTime(f"{self.server} did not answer in time, within {deadline.timeout_s:.3g} s.")
        return left_s

    def _named(self, request: Request) -> Request:
        return replace(request, headers={**wire.headers(self.api_key, uuid.uuid4().hex), **request.headers})


def _note(exc: Failure, request: Request, tries: int) -> None:
    """Beside the sentence: what a person looks for next."""
    exc.request_id = exc.request_id or request.headers["X-Request-ID"]
    after = "" if exc.retry_after_s is None else f"; it may be asked again in {exc.retry_after_s} s"
    status = "" if exc.status is None else f"{exc.status} "
    exc.add_note(f"{status}{exc.type}, request {exc.request_id}, {tries} {'try' if tries == 1 else 'tries'}{after}")
