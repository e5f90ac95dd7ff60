"""The real queue under the jobs, on both databases: what is enqueued runs, also where the process that ran it died."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.errors import Unavailable
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs import durable
from serve_app.jobs.batch_store import BatchStore
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.durable import Batching, DurableQueue, Owner
from serve_app.jobs.store import JobStore
from serve_app.settings import JobSettings, Limits
from serve_app.storage.database import Database
from tests.cluster.waiting import eventually
from tests.worlds.jobs import Comparer, Desk


class Ran:
    """What was run, in order; the first `unavailable` tries find nobody, and while `held` an attempt stays at work."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, int]] = []
        self.given_up: list[str] = []
        self.told: list[tuple[str, int, int]] = []
        self.unavailable = 0
        self.over: set[str] = set()
        self.held = threading.Event()

    async def run(self, job_id: str, attempt: int) -> str:
        self.tries.append((job_id, attempt))
        if self.unavailable:
            self.unavailable -= 1
            raise Unavailable("Nobody.")
        while self.held.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)
        return "done"

    async def deliver(self, job_id: str, attempt: int, number: int) -> None:
        self.told.append((job_id, attempt, number))

    async def give_up(self, job_id: str, attempt: int = 0) -> None:
        self.given_up.append(job_id)

    async def step(self, batch_id: str, number: int) -> str:
        await self.run(batch_id, number)
        return "over" if batch_id in self.over else "done"


class Line(Desk):
    """A desk whose jobs stand in the real queue."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder, JobSettings(folder=str(folder)))
        self.database = database
        self.durable = DurableQueue(database)
        self.store = JobStore(database, self.blobs, self.durable, self.settings, self.clock)
        self.batches = BatchStore(database, self.blobs, self.durable, self.settings, self.clock)

    def kept(self, which: str = "") -> int:
        """Workflows that the queue's own tables know."""
        schema = "" if self.database.is_sqlite else "dbos."
        with self.database.read() as connection:
            found = connection.execute(sa.text(f"SELECT count(*) FROM {schema}workflow_status {which}"))
            return int(found.scalar_one())

    def fetched(self) -> int:
        return self.kept("WHERE status = 'PENDING'")


@pytest.fixture
def line(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(durable, "TRY_AGAIN_S", 0.01)
    yield Line(database, tmp_path)
    Owner(database, "any", 1).close()


def owner(line: Line, name: str, ran: Ran, parallel: int = 4, batches: Batching | None = None) -> Owner:
    launched = Owner(line.database, name, parallel, line.clock)
    launched.launch(ran.run, ran.give_up, ran.deliver, batches or ran)
    return launched


def test_before_the_queue_exists_callers_are_told_and_nothing_is_kept(line: Line) -> None:
    with pytest.raises(Unavailable):
        line.post()
    assert line.store.page("alice", [], 10, None).jobs == ()


def test_what_is_enqueued_runs_once(line: Line) -> None:
    ran = Ran()
    owner(line, "a", ran)
    jobs = [line.post() for _ in range(5)]
    eventually(lambda: len(ran.tries) >= 5, within_s=30)
    assert sorted(ran.tries) == sorted((job, 1) for job in jobs)


def test_a_job_that_was_not_kept_is_not_run(line: Line) -> None:
    ran = Ran()
    owner(line, "a", ran)

    def fail_late() -> None:
        with line.database.begin() as connection:
            line.durable.enqueue(connection, "never", 1, "alice")
            raise KeyError

    with pytest.raises(KeyError):
        fail_late()
    job = line.post()
    eventually(lambda: bool(ran.tries), within_s=30)
    assert ran.tries == [(job, 1)]
    assert line.kept() == 1


def test_callers_take_turns(line: Line) -> None:
    """One caller's hundred jobs are not all before the next caller's one."""
    ran = Ran()
    owner(line, "a", ran, parallel=1)
    ran.held.set()
    many = [line.post("alice") for _ in range(40)]
    one = line.post("bob")
    eventually(lambda: bool(ran.tries), within_s=30)
    ran.held.clear()
    eventually(lambda: len(ran.tries) > len(many), within_s=60)  # all: one that begins while the owner closes is lost
    before = ran.tries.index((one, 1))
    assert before < len(many) - 5  # by chance alone once in 2**34


def test_where_nobody_was_there_it_is_tried_again(line: Line) -> None:
    ran = Ran()
    ran.unavailable = 3
    owner(line, "a", ran)
    job = line.post()
    eventually(lambda: len(ran.tries) == 4, within_s=30)
    assert ran.tries == [(job, 1)] * 4
    assert ran.given_up == []


def test_after_the_last_try_the_job_is_given_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "TRIES", 3)
    ran = Ran()
    ran.unavailable = 100
    owner(line, "a", ran)
    job = line.post()
    eventually(lambda: bool(ran.given_up), within_s=30)
    assert (ran.given_up, ran.tries) == ([job], [(job, 1)] * 3)


def test_what_a_dead_owner_had_begun_is_taken_over(line: Line) -> None:
    dead, alive = Ran(), Ran()
    dead.held.set()
    first = owner(line, "a", dead, parallel=2)
    jobs = [line.post() for _ in range(6)]
    eventually(lambda: len(dead.tries) == 2, within_s=30)
    eventually(lambda: line.fetched() == 4, within_s=30)  # two more are there for when one ends
    first.close()  # as a kill: what it had begun stays begun, in its name
    second = owner(line, "b", alive)
    eventually(lambda: len(alive.tries) == 2, within_s=30)  # what only waited comes by itself
    assert second.take_over() == 0, "the first was seen a moment ago"
    line.clock.now += durable.GONE_S + 1
    assert second.take_over() == 4
    eventually(lambda: len(alive.tries) == 6, within_s=30)
    assert sorted(alive.tries) == sorted((job, 1) for job in jobs)
    assert second.take_over() == 0


def test_an_owner_leaves_its_own_jobs_alone(line: Line) -> None:
    ran = Ran()
    ran.held.set()
    running = owner(line, "a", ran)
    line.post()
    eventually(lambda: len(ran.tries) == 1, within_s=30)
    assert running.take_over() == 0
    ran.held.clear()


def test_what_an_owner_that_is_still_seen_has_begun_is_left_to_it(line: Line) -> None:
    """Two services with one database: each has its own jobs at work for as long as it says that it is there."""
    theirs = Ran()
    theirs.held.set()
    other = owner(line, "a", theirs)
    line.post()
    eventually(lambda: len(theirs.tries) == 1, within_s=30)
    other.close()  # one process can run only one: from here on `a` is there by its word alone
    ours = Ran()
    mine = owner(line, "b", ours)
    for _ in range(4):
        line.clock.now += durable.GONE_S - 1
        other.beat()
        assert mine.take_over() == 0
    line.clock.now += durable.GONE_S + 1
    assert mine.take_over() == 1
    eventually(lambda: len(ours.tries) == 1, within_s=30)


def test_owners_that_are_gone_leave_no_rows(line: Line) -> None:
    for number in range(5):
        Owner(line.database, f"gone-{number}", 1, line.clock).beat()
    line.clock.now += durable.GONE_S + 1
    Owner(line.database, "there", 1, line.clock).beat()
    with line.database.read() as connection:
        assert list(connection.execute(sa.select(durable.OWNERS.c.executor_id)).scalars()) == ["there"]


def test_what_has_expired_leaves_nothing_in_the_queue(line: Line) -> None:
    ran = Ran()
    owner(line, "a", ran)
    job = line.post()
    line.store.cancel("alice", job)
    line.store.retry("alice", job)
    line.store.cancel("alice", job)
    eventually(lambda: len(ran.tries) == 2, within_s=30)
    line.clock.now += 2 * 86400
    assert line.store.expire(10) == 1
    assert line.kept() == 0


def test_a_batch_goes_step_by_step_and_no_further_once_it_is_over(line: Line) -> None:
    ran = Ran()
    ran.unavailable = 1
    owner(line, "a", ran)
    batch = line.post_batch(250)
    eventually(lambda: len(ran.tries) == 4, within_s=30)
    assert ran.tries == [(batch, 0), (batch, 0), (batch, 1), (batch, 2)]
    ran.tries.clear()
    ran.over.add(line.batch_request(250, key="k").id)
    over = line.post_batch(250, key="k")
    eventually(lambda: bool(ran.tries), within_s=30)
    other = line.post_batch(1)  # whose turn comes only once that one is over: a caller has one batch at work
    eventually(lambda: len(ran.tries) > 1, within_s=30)
    assert ran.tries == [(over, 0), (other, 0)]
    assert ran.given_up == []


def test_a_batch_that_nobody_can_go_on_with_is_given_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "TRIES", 3)
    ran = Ran()
    ran.unavailable = 100
    owner(line, "a", ran)
    batch = line.post_batch(1)
    eventually(lambda: ran.given_up == [batch], within_s=30)
    assert ran.tries == [(batch, 0)] * 3


def test_what_a_batch_left_in_the_queue_goes_with_it(line: Line) -> None:
    ran = Ran()
    owner(line, "a", ran)
    batch = line.post_batch(1)
    eventually(lambda: len(ran.tries) == 1, within_s=30)
    line.batches.cancel("alice", batch)
    line.clock.now += 2 * 86400
    assert line.batches.expire(10) == 1
    assert line.kept() == 0


def test_a_kill_between_two_steps_pays_for_no_pair_twice(line: Line) -> None:
    """The first owner dies once the first step is written and one pair of the second is in work; nobody hears of it."""
    asked: list[str] = []

    def working(dies_after: int) -> BatchWorker:
        comparer = Comparer()

        def comparing_for(batch: object, reference: str, candidate: str) -> Comparer:
            asked.append(candidate)
            if len(asked) > dies_after:
                comparer.gate = asyncio.Event()  # for ever
            return comparer

        return BatchWorker(line.batches, line.blobs, Documents(Limits()), comparing_for, at_once=1)

    first = owner(line, "a", Ran(), batches=working(dies_after=100))
    batch = line.post_batch(230)
    eventually(lambda: len(asked) == 101 and line.batches.find("alice", batch).num_done == 100, within_s=60)
    first.close()
    line.clock.now += durable.GONE_S + 1
    second = owner(line, "b", Ran(), batches=working(dies_after=10_000))
    assert second.take_over() == 1
    eventually(lambda: line.batches.find("alice", batch).has_ended, within_s=60)
    found = line.batches.find("alice", batch)
    assert (found.status, found.num_done) == ("succeeded", 230)
    assert len(asked) == 231  # the one that was in work, and no other
    assert len(set(asked)) == 230
