"""The entrance of one ingress replica: refuses what can't be done in time, and lets the rest into each stage in turn.
No HTTP, no Ray: a caller is a name."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from typing import Final

from serve_app.core.clock import Deadline, StageName
from serve_app.errors import DeadlineExceeded, Draining, Overloaded, RateLimited, Unavailable
from serve_app.serving.admission.stage import End, Stage, Visitor
from serve_app.settings import Limits

# Believed until four comparisons have been seen: a pair of large photographs, and a short answer of a small model.
GUESS_S: Final[dict[StageName, float]] = {"examine": 0.5, "assess": 2.0}
# Sent to one model replica beside what it works on: the next is already there.
NEXT_AT_A_MODEL: Final = 1
# Of the time there is, planned with: the way between processes and putting the report together need the rest.
USABLE: Final = 0.9
# A worker that died is back after 4 to 11 s (measured with a model that loads at once), or it loads for minutes.
BACK_S: Final = 10.0
# Of all places: one caller who fills, or drips into, every place it gets leaves some to the others.
ONE_CALLERS_SHARE: Final = 0.75
# Retry-After while the service stops: about what a replacement needs to start.
DRAINING_RETRY_S: Final = 10


def slots(replicas: int, entrances: int, sent_to_each: int) -> int:
    """Jobs that one of `entrances` sends to a stage of `replicas` at once: its share of `sent_to_each` to each.

    Where there are others it sends enough for every replica, and one that waits: all callers may come in through this
    one, as through a proxy that prefers the entrance beside it. They must get all there is, and still show as waiting
    work to the autoscaler.
    """
    alone = replicas + 1 if entrances > 1 else 0
    return max(sent_to_each, math.ceil(replicas / max(1, entrances) * sent_to_each), alone)


class Admission:
    """Counts every request between its first byte and its answer, and knows what was promised to whom.

    `stages`: the stages a comparison passes here. `clock` reads `time.time()` seconds.
    """

    def __init__(self, limits: Limits, stages: tuple[StageName, ...], clock: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self.now = clock
        self.stages = {name: Stage(GUESS_S[name]) for name in stages}
        self._lost_since: dict[StageName, float] = {}
        self._pending: Counter[str] = Counter()
        self._drains = False

    @property
    def num_pending(self) -> int:
        """Requests let in and not yet answered."""
        return self._pending.total()

    @property
    def expected_wait_s(self) -> float:
        """How long a request would wait that came in now, at the slowest stage."""
        return max(stage.wait_s for stage in self.stages.values())

    def drain(self) -> int:
        """Let nobody in from now on; the number of requests that are still to be answered."""
        self._drains = True
        return self.num_pending

    def resize(
        self, stage: StageName, replicas: int, *, entrances: int, sent_to_each: int, rests: bool = False
    ) -> None:
        """Follow the cluster: `replicas` of a stage serve `entrances` like this one alike. `rests`: there is none
        because nobody asked, and the next request starts one."""
        if stage not in self.stages:
            return
        share = replicas / max(1, entrances)
        self.stages[stage].resize(share, slots(replicas, entrances, sent_to_each), self.now())
        if replicas or rests:
            self._lost_since.pop(stage, None)
        else:
            self._lost_since.setdefault(stage, self.now())

    def refuse_if_draining(self) -> None:
        """Raises `Draining`."""
        if self._drains:
            raise Draining("This service is about to stop; another one will take over.", retry_after_s=DRAINING_RETRY_S)

    def enter(self, caller: str, longest: Deadline | None) -> Ticket:
        """Let a request in before its body is read. Pair it with `Ticket.leave`.

        `longest`: the deadline that it can have at most; None: it wants no comparison now. Raises `Draining`,
        `RateLimited`, `Overloaded` and `Unavailable`.
        """
        self.refuse_if_draining()
        per_caller = self._limits.max_pending_per_caller
        if per_caller is not None and self._pending[caller] >= per_caller:
            raise RateLimited(
                f"{per_caller} requests of this caller are pending here already.", retry_after_s=self._retry_after_s()
            )
        places = self._limits.max_pending_requests
        if self.num_pending >= places or self._pending[caller] >= max(1, places * ONE_CALLERS_SHARE):
            raise Overloaded("Too many requests are waiting here already.", retry_after_s=self._retry_after_s())
        if longest is not None:
            self.check(caller, longest, without=self._lost() - {"examine"})
        self._pending[caller] += 1
        return Ticket(self, caller, is_counted=True)

    def trusted(self, caller: str) -> Ticket:
        """A ticket that waits its turn like any other but is never refused and delays no drain: for the service's own
        comparisons."""
        return Ticket(self, caller)

    def in_background(self, caller: str) -> Ticket:
        """The same for work that nobody waits for: its turn comes after all that somebody does. Raises `Draining`."""
        self.refuse_if_draining()
        return Ticket(self, f"job:{caller}", yields=True)

    def check(self, caller: str, deadline: Deadline, *, without: Set[StageName] = frozenset()) -> None:
        """Whether one more of this caller would be done in time at every stage but those it can do without.

        Raises `Overloaded`, `Unavailable`.
        """
        now = self.now()
        done_by = now + (deadline.at - now) * USABLE
        for since in (since for name, since in self._lost_since.items() if name not in without):
            if now > since + BACK_S or since + BACK_S > done_by:
                raise Unavailable("A stage of this service has lost its workers.", retry_after_s=math.ceil(BACK_S / 2))
        stages = [stage for name, stage in self.stages.items() if name not in without]
        rest_s = sum(stage.capacity.job_s for stage in stages)
        for stage in stages:
            if not stage.can_promise(caller, done_by, now, rest_s=rest_s):
                raise Overloaded(
                    f"The comparison could not end within {deadline.timeout_s:g} s: "
                    f"about {stage.wait_s:.0f} s of work is in front of it.",
                    retry_after_s=self._retry_after_s(),
                )

    def release(self, visitor: Visitor, *, is_counted: bool) -> None:
        """Take a request out of everything it is in. `is_counted`: among those pending, too."""
        for stage in self.stages.values():
            stage.leave(visitor, self.now(), "left")
        if is_counted:
            self._pending -= Counter((visitor.caller,))  # drops who has none left

    def _lost(self) -> Set[StageName]:
        return self._lost_since.keys()

    def _retry_after_s(self) -> int:
        """When all that waits now will be done."""
        return max(1, math.ceil(self.expected_wait_s))


class Ticket:
    """One request's way through: a promise once its deadline is known, its turn at each stage, and out."""

    def __init__(self, admission: Admission, caller: str, *, is_counted: bool = False, yields: bool = False) -> None:
        self._admission = admission
        self._visitor = Visitor(caller, yields)
        self._is_counted = is_counted
        self._is_out = False
        self._skipped: dict[StageName, Unavailable] = {}

    @property
    def caller(self) -> str:
        return self._visitor.caller

    def apart(self) -> Ticket:
        """One more of the same caller, for work that others may wait for as well and that can outlive this request:
        not counted among those pending, as each who waits for it is."""
        return Ticket(self._admission, self.caller)

    def promise(self, deadline: Deadline, *, optional: StageName | None = None) -> None:
        """Take a place in the queues, if they lead to an answer in time. Raises `Overloaded`, `Unavailable`.

        A stage that is `optional` is left out where only it stands in the way; `at` then says so.
        """
        try:
            self._admission.check(self.caller, deadline)
        except Unavailable as exc:
            if optional is None:
                raise
            self._admission.check(self.caller, deadline, without={optional})
            self._skipped[optional] = exc
        for name, stage in self._admission.stages.items():
            if name not in self._skipped:
                stage.promise(self._visitor, deadline.at)

    @asynccontextmanager
    async def at(self, name: StageName, deadline: Deadline) -> AsyncIterator[None]:
        """Inside the stage, once it is this request's turn.

        Raises `DeadlineExceeded` if that comes too late, `Unavailable` if the stage was left out of the promise, and
        `Overloaded` where work in the background had no turn in its time: it may try again.
        """
        if name in self._skipped:
            raise self._skipped[name]
        stage = self._admission.stages[name]
        end: End = "left"
        try:
            try:
                await self._turn(stage, deadline)
            except DeadlineExceeded:
                if self._visitor.yields and deadline.timeout_s > stage.capacity.quickest_s:
                    raise Overloaded("Others went first for all of its time.") from None
                raise
            yield
            end = "done"
        except DeadlineExceeded:
            end = "out_of_time"
            raise
        finally:
            stage.leave(self._visitor, self._admission.now(), end)

    def leave(self) -> None:
        """Give up every place; call it however the request ended, once or more."""
        if not self._is_out:
            self._is_out = True
            self._admission.release(self._visitor, is_counted=self._is_counted)

    async def _turn(self, stage: Stage, deadline: Deadline) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stage.ask(self._visitor, lambda: None if turn.done() else turn.set_result(None), self._admission.now())
        if turn.done():
            return
        try:
            async with asyncio.timeout(max(0.0, deadline.at - self._admission.now())):
                await turn
        except TimeoutError:
            raise deadline.exceeded() from None
        if deadline.at - self._admission.now() < stage.capacity.quickest_s:
            raise deadline.exceeded()  # what can't be done in time any more would only keep others waiting
