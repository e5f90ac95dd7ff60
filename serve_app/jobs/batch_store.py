"""Batches as they are kept: taken, read, listed, their results step by step, cancelled, forgotten.
Every change is one transaction that names the states it may come from; a pair that has a row keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import sqlalchemy as sa

from serve_app.errors import AlreadyEnded, Expired, IdempotencyConflict, NotFound, Overloaded
from serve_app.jobs import cursors, shares
from serve_app.jobs.batch import OUTCOMES, STEP_PAIRS, Batch, BatchPair, BatchRequest, PairResult, num_steps
from serve_app.jobs.batch_tables import BATCHES, NAMES, PAIRS, RESULTS, SUMMARY, batch_of, pair_of, pair_row, row_of
from serve_app.jobs.job import ENDED, SOURCES
from serve_app.schema import JobStatus, PairOutcome
from serve_app.settings import JobSettings
from serve_app.storage.blobs import Blobs
from serve_app.storage.database import Database

# What is counted beside config, names and reports: the batch's row and its place in the queue; a pair's two rows, its
# share of a step's, their indexes.
BATCH_BYTES: Final = 4096
PAIR_BYTES: Final = 512
FULL_RETRY_AFTER_S: Final = 10


class EnqueuingBatches(Protocol):
    """The durable queue behind the store."""

    def enqueue_batch(self, connection: sa.Connection, batch_id: str, num_steps: int, caller: str) -> None:
        """In the caller's transaction."""

    def forget_batches(self, batch_ids: Sequence[str]) -> None:
        """Delete all that it keeps of these."""


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Newest first; `next_cursor` names the following page."""

    batches: tuple[Batch, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ResultPage:
    """In the order of the pairs. `is_last`: nothing comes after it, ever."""

    results: tuple[tuple[BatchPair, PairResult], ...]
    is_last: bool


class BatchStore:
    """Blocks, so ask it in a thread; safe in several, and in several processes. All raise `Unavailable` where the
    database can't be reached."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        queue: EnqueuingBatches,
        settings: JobSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._queue = queue
        self._settings = settings
        self._clock = clock

    # --- for callers

    def known(self, request: BatchRequest) -> Batch | None:
        """The batch that this request has made already. Raises `IdempotencyConflict`, `Expired`."""
        with self._database.read() as connection:
            return self._known(connection, request)

    def check_room(self, request: BatchRequest) -> None:
        """Before its files are kept: whether `enqueue` would refuse it. Raises `Overloaded`, `StorageFull`."""
        num_bytes = _kept_bytes(request, _rows(request)) + request.file_bytes
        with self._database.read() as connection:
            self._check_room(connection)
            shares.check(connection, request.caller, self._settings.share_bytes, num_bytes)

    def enqueue(self, request: BatchRequest) -> Batch:
        """Take a batch whose files are stored; the one there is where it was taken before.

        Raises `IdempotencyConflict`, `Expired`, `Overloaded` where too many wait, `StorageFull`.
        """
        rows = _rows(request)
        kept_bytes = _kept_bytes(request, rows)
        with self._database.begin() as connection:
            known = self._known(connection, request)
            if known is not None:
                return known
            self._check_room(connection)
            if not self._database.insert_new(connection, BATCHES, row_of(request, self._clock(), kept_bytes)):
                known = self._known(connection, request)  # another entrance was quicker, at this very moment
                assert known is not None
                return known
            connection.execute(sa.insert(PAIRS), rows)
            self._blobs.hold(connection, request.digests)
            self._queue.enqueue_batch(connection, request.id, num_steps(len(rows)), request.caller)
            shares.check(connection, request.caller, self._settings.share_bytes)
            self._blobs.take(connection, kept_bytes)  # last: it locks a row that all jobs want
            return self._one(connection, request.id)

    def find(self, caller: str, batch_id: str) -> Batch:
        """With its position. Raises `NotFound` for another caller's too, `Expired`."""
        with self._database.read() as connection:
            return self._own(connection, caller, batch_id)

    def page(self, caller: str, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> BatchPage:
        """Up to `limit` of this caller's batches, newest first. No `statuses`: all of them.

        Raises `MalformedRequest` for a cursor that is none of ours.
        """
        wanted = sa.select(*SUMMARY).where(BATCHES.c.caller == caller, ~BATCHES.c.is_expired)
        if statuses:
            wanted = wanted.where(BATCHES.c.status.in_(statuses))
        wanted = cursors.newest_first(wanted, BATCHES, cursor, limit)
        with self._database.read() as connection:
            found = [batch_of(row) for row in connection.execute(wanted)]
            batches = tuple(self._placed(connection, batch) for batch in found[:limit])
        return BatchPage(batches, cursors.following(found, limit))

    def results(
        self, caller: str, batch_id: str, outcomes: Sequence[PairOutcome], after: int, limit: int
    ) -> ResultPage:
        """Up to `limit` results of pairs after number `after`, as far as there are any. Raises `NotFound`, `Expired`.

        Steps are written in order, so that who reads on where the last page ended misses none.
        """
        same = sa.and_(PAIRS.c.batch_id == RESULTS.c.batch_id, PAIRS.c.number == RESULTS.c.number)
        wanted = sa.select(PAIRS, RESULTS.c.outcome, RESULTS.c.report, RESULTS.c.error).join(RESULTS, same)
        wanted = wanted.where(PAIRS.c.batch_id == batch_id, PAIRS.c.number > after)
        if outcomes:
            wanted = wanted.where(RESULTS.c.outcome.in_(outcomes))
        with self._database.read() as connection:
            batch = self._own(connection, caller, batch_id)  # before its results: the last ones are then among them
            rows = list(connection.execute(wanted.order_by(PAIRS.c.number).limit(limit + 1)))
        found = tuple(
            (pair_of(row), PairResult(row.number, row.outcome, row.report, row.error)) for row in rows[:limit]
        )
        return ResultPage(found, is_last=batch.has_ended and len(rows) <= limit)

    def cancel(self, caller: str, batch_id: str) -> Batch:
        """What it has come to stays. Raises `NotFound`, `Expired`, `AlreadyEnded`."""
        with self._database.begin() as connection:
            self._own(connection, caller, batch_id)
            if not self._move(connection, batch_id, "cancelled"):
                batch = self._own(connection, caller, batch_id)
                raise AlreadyEnded(f"This batch has ended: it is {batch.status}.")
            return self._one(connection, batch_id)

    # --- for the worker

    def begin(self, batch_id: str) -> Batch | None:
        """Mark a batch as running, also one that a dead worker had begun; None where there is nothing to do."""
        with self._database.begin() as connection:
            return self._one(connection, batch_id) if self._move(connection, batch_id, "running") else None

    def to_do(self, batch_id: str, step: int) -> list[BatchPair]:
        """The pairs of one step, counted from 0, that have no result yet."""
        first = step * STEP_PAIRS
        mine = sa.and_(PAIRS.c.batch_id == batch_id, PAIRS.c.number > first, PAIRS.c.number <= first + STEP_PAIRS)
        done = sa.exists().where(RESULTS.c.batch_id == PAIRS.c.batch_id, RESULTS.c.number == PAIRS.c.number)
        with self._database.read() as connection:
            return [
                pair_of(row) for row in connection.execute(sa.select(PAIRS).where(mine, ~done).order_by(PAIRS.c.number))
            ]

    def keep(self, batch_id: str, results: Sequence[PairResult]) -> bool:
        """The results of one step, all in one transaction; the last one ends the batch. False where it has ended, and
        then nothing is kept. Raises `StorageFull`."""
        with self._database.begin() as connection:
            if not self._move(connection, batch_id, "running"):  # and so nobody else writes to it at this moment
                return False
            numbers = [result.number for result in results]
            there = sa.select(RESULTS.c.number).where(RESULTS.c.batch_id == batch_id, RESULTS.c.number.in_(numbers))
            known = set(connection.execute(there).scalars())
            fresh = [result for result in results if result.number not in known]
            kept_bytes = self._add(connection, batch_id, fresh) if fresh else 0
            batch = self._one(connection, batch_id)
            if batch.num_done == batch.num_pairs:
                self._move(connection, batch_id, "succeeded")
            self._blobs.take(connection, kept_bytes)  # last: see `enqueue`
            return True

    def fail(self, batch_id: str, error: str) -> None:
        """End a batch that can't go on, with what it has come to; `error` as JSON."""
        with self._database.begin() as connection:
            self._move(connection, batch_id, "failed", error=error)

    def running(self, batch_ids: Sequence[str]) -> set[str]:
        """Which of these should still be at work."""
        at_work = sa.and_(BATCHES.c.id.in_(batch_ids), BATCHES.c.status.in_(("queued", "running")))
        with self._database.read() as connection:
            return set(connection.execute(sa.select(BATCHES.c.id).where(at_work)).scalars())

    # --- for the timer

    def expire(self, limit: int) -> int:
        """Delete what up to `limit` batches left whose time is over; their ids stay. How many it were."""
        over = sa.select(BATCHES.c.id, BATCHES.c.stored_bytes)
        over = over.where(~BATCHES.c.is_expired, BATCHES.c.expires < self._clock()).limit(1)
        gone: list[str] = []
        while len(gone) < limit:
            with self._database.begin() as connection:  # one at a time: each may have many files to let go of
                row = connection.execute(over.with_for_update(skip_locked=True)).first()
                if row is None:
                    break
                self._empty(connection, row.id)
                self._blobs.give_back(connection, row.stored_bytes - BATCH_BYTES)
            gone.append(row.id)
        if gone:
            self._queue.forget_batches(gone)
        return len(gone)

    def forget(self, limit: int) -> int:
        """Delete up to `limit` ids that were kept long enough; how many it were."""
        until = self._clock() - self._settings.remember_s
        old = sa.select(BATCHES.c.id).where(BATCHES.c.is_expired, BATCHES.c.expires < until)
        with self._database.begin() as connection:
            ids = list(connection.execute(old.limit(limit)).scalars())
            connection.execute(sa.delete(BATCHES).where(BATCHES.c.id.in_(ids)))
            self._blobs.give_back(connection, BATCH_BYTES * len(ids))
        return len(ids)

    # --- the rows

    def _move(self, connection: sa.Connection, batch_id: str, status: JobStatus, **values: Any) -> bool:
        """One step of a batch's life, if it still is where such a step may begin."""
        now = self._clock()
        if status == "running":
            values = {"started": sa.func.coalesce(BATCHES.c.started, now), **values}
        elif status in ENDED:
            values = {"ended": now, "expires": now + self._settings.keep_s, **values}
        step = sa.update(BATCHES).where(
            BATCHES.c.id == batch_id, BATCHES.c.status.in_(sorted(SOURCES[status])), ~BATCHES.c.is_expired
        )
        values = {"status": status, "version": BATCHES.c.version + 1, **values}
        return connection.execute(step.values(values).returning(BATCHES.c.id)).first() is not None

    def _add(self, connection: sa.Connection, batch_id: str, fresh: Sequence[PairResult]) -> int:
        """How many bytes that are."""
        rows = [
            {"batch_id": batch_id, "number": each.number, "outcome": each.outcome}
            | {"report": each.report, "error": each.error}
            for each in fresh
        ]
        connection.execute(sa.insert(RESULTS), rows)
        kept_bytes = sum(len((each.report or each.error or "").encode()) for each in fresh)
        counted: dict[str, Any] = {"stored_bytes": BATCHES.c.stored_bytes + kept_bytes}
        for outcome in OUTCOMES:
            counted[outcome] = BATCHES.c[outcome] + sum(each.outcome == outcome for each in fresh)
        connection.execute(sa.update(BATCHES).where(BATCHES.c.id == batch_id).values(counted))
        return kept_bytes

    def _empty(self, connection: sa.Connection, batch_id: str) -> None:
        sides = (PAIRS.c.reference, PAIRS.c.candidate)
        held = {
            digest
            for side in sides
            for digest in connection.execute(sa.select(side).where(PAIRS.c.batch_id == batch_id).distinct()).scalars()
        }
        self._blobs.let_go(connection, held - {None})
        for table in (PAIRS, RESULTS):
            connection.execute(sa.delete(table).where(table.c.batch_id == batch_id))
        gone = {"is_expired": True, "config": "", "error": None, "stored_bytes": BATCH_BYTES}
        connection.execute(sa.update(BATCHES).where(BATCHES.c.id == batch_id).values(gone))

    def _known(self, connection: sa.Connection, request: BatchRequest) -> Batch | None:
        row = connection.execute(sa.select(BATCHES.c.body_hash).where(BATCHES.c.id == request.id)).first()
        if row is None:
            return None
        if row.body_hash != request.body_hash:
            raise IdempotencyConflict("This Idempotency-Key was sent with another body; use a new key for a new batch.")
        return self._own(connection, request.caller, request.id)

    def _own(self, connection: sa.Connection, caller: str, batch_id: str) -> Batch:
        mine = sa.select(BATCHES.c.is_expired).where(BATCHES.c.id == batch_id, BATCHES.c.caller == caller)
        row = connection.execute(mine).first()
        if row is None:
            raise NotFound("There is no such batch of this caller.")
        if row.is_expired:
            raise Expired("This batch's time is over, and what it left is deleted.")
        return self._one(connection, batch_id)

    def _one(self, connection: sa.Connection, batch_id: str) -> Batch:
        row = connection.execute(sa.select(*SUMMARY).where(BATCHES.c.id == batch_id)).one()
        return self._placed(connection, batch_of(row))

    def _placed(self, connection: sa.Connection, batch: Batch) -> Batch:
        if batch.status != "queued":
            return batch
        tie = sa.and_(BATCHES.c.created == batch.created, BATCHES.c.id <= batch.id)
        before = sa.and_(BATCHES.c.status == "queued", sa.or_(BATCHES.c.created < batch.created, tie))
        counted = connection.execute(sa.select(sa.func.count()).where(before)).scalar_one()
        return replace(batch, position=max(1, counted))  # it may have begun since it was read

    def _check_room(self, connection: sa.Connection) -> None:
        queued = sa.select(sa.func.count()).where(BATCHES.c.status == "queued")
        waiting = connection.execute(queued).scalar_one()
        if waiting >= self._settings.max_queued:
            raise Overloaded(f"{waiting} batches wait already.", retry_after_s=FULL_RETRY_AFTER_S)


def _rows(request: BatchRequest) -> list[dict[str, Any]]:
    return [pair_row(request.id, pair) for pair in request.pairs]


def _kept_bytes(request: BatchRequest, rows: Sequence[dict[str, Any]]) -> int:
    """What a batch is counted with before its first report, beside its files."""
    said = sum(len(str(row[name] or "").encode()) for row in rows for name in NAMES)
    return BATCH_BYTES + PAIR_BYTES * len(rows) + len(request.config.model_dump_json().encode()) + said
