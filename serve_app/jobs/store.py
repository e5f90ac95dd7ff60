"""Jobs as they are kept: enqueued, read, listed, moved from state to state, cancelled, repeated, forgotten.
Every change is one transaction that names the states it may come from, so a late or second writer changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import sqlalchemy as sa

from serve_app.errors import (
    AlreadyEnded,
    Expired,
    IdempotencyConflict,
    NotFound,
    Overloaded,
)
from serve_app.jobs import cursors, deliveries, events, shares
from serve_app.jobs.deliveries import EndedAttempt, Sender
from serve_app.jobs.events import Event
from serve_app.jobs.job import ENDED, SOURCES, Job, Request
from serve_app.jobs.rows import JOBS, SUMMARY, job_of
from serve_app.schema import JobStage, JobStatus
from serve_app.settings import JobSettings
from serve_app.storage.blobs import Blobs
from serve_app.storage.database import Database

# What one attempt is counted with beside config and report: its row, its events, its place in the queue, their indexes.
ATTEMPT_BYTES: Final = 4096
# And one whose end is told to somebody: its message, and six tries in the queue.
WEBHOOK_BYTES: Final = 8192
FULL_RETRY_AFTER_S: Final = 10
_TOLD_AT_ONCE: Final = (
    "id",
    "caller",
    "status",
    "attempt",
    "created",
    "reference",
    "candidate",
    "config",
    "webhook",
)


class Enqueuing(Sender, Protocol):
    """The durable queue behind the store."""

    def enqueue(self, connection: sa.Connection, job_id: str, attempt: int, caller: str) -> None:
        """In the caller's transaction."""

    def forget(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Delete all that it keeps of these jobs, by id and last attempt."""


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first; `next_cursor` names the following page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


class JobStore:
    """Blocks, so ask it in a thread; safe in several, and in several processes. All raise `Unavailable` where the
    database can't be reached."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        queue: Enqueuing,
        settings: JobSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._queue = queue
        self._settings = settings
        self._clock = clock

    # --- for callers

    def known(self, request: Request) -> Job | None:
        """The job that this request has made already. Raises `IdempotencyConflict`, `Expired`."""
        with self._database.read() as connection:
            return self._known(connection, request)

    def check_room(self, request: Request) -> None:
        """Before its images are kept: whether `enqueue` would refuse it. Raises `Overloaded`, `StorageFull`."""
        row = self._row(request, self._clock())
        with self._database.read() as connection:
            self._check_room(connection, 1)
            shares.check(
                connection, request.caller, self._settings.share_bytes, row["stored_bytes"] + row["image_bytes"]
            )

    def enqueue(self, request: Request) -> Job:
        """Take a job whose images are stored; the one there is where it was taken before.

        Raises `IdempotencyConflict`, `Expired`, `Overloaded` where too many wait, `StorageFull`.
        """
        now = self._clock()
        row = self._row(request, now)
        with self._database.begin() as connection:
            if not self._database.insert_new(connection, JOBS, row):
                known = self._known(connection, request)
                assert known is not None  # what was in its way
                return known
            position = self._check_room(connection)
            shares.check(connection, request.caller, self._settings.share_bytes)
            self._blobs.hold(connection, (request.reference.digest, request.candidate.digest))
            self._queue.enqueue(connection, request.id, 1, request.caller)
            events.record(connection, request.id, Event(1, "queued", 1, None, now))
            self._blobs.take(connection, row["stored_bytes"])  # last: it locks a row that all jobs want
        told = {name: row[name] for name in _TOLD_AT_ONCE}
        return Job(**told, position=position)

    def find(self, caller: str, job_id: str) -> Job:
        """With its report and its position. Raises `NotFound` for another caller's too, `Expired`."""
        with self._database.read() as connection:
            return self._own(connection, caller, job_id)

    def page(self, caller: str, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> Page:
        """Up to `limit` of this caller's jobs, newest first, without reports. No `statuses`: all of them.

        Raises `MalformedRequest` for a cursor that is none of ours.
        """
        wanted = sa.select(*SUMMARY).where(JOBS.c.caller == caller, ~JOBS.c.is_expired)
        if statuses:
            wanted = wanted.where(JOBS.c.status.in_(statuses))
        wanted = cursors.newest_first(wanted, JOBS, cursor, limit)
        with self._database.read() as connection:
            found = [job_of(row) for row in connection.execute(wanted)]
            jobs = tuple(self._placed(connection, job) for job in found[:limit])
        return Page(jobs, cursors.following(found, limit))

    def cancel(self, caller: str, job_id: str) -> Job:
        """Raises `NotFound`, `Expired`, `AlreadyEnded`."""
        with self._database.begin() as connection:
            job = self._own(connection, caller, job_id)
            moved = self._move(connection, job_id, job.attempt, "cancelled")
            if moved is None:
                job = self._own(connection, caller, job_id)  # it ended between the two
                raise AlreadyEnded(f"This job has ended: it is {job.status}.")
            return self._placed(connection, job_of(moved))

    def retry(self, caller: str, job_id: str) -> Job:
        """Begin a failed or cancelled job anew; one that waits or runs stays as it is.

        Raises `NotFound`, `Expired`, `Overloaded`, `StorageFull`, `AlreadyEnded` for one that succeeded.
        """
        with self._database.begin() as connection:
            job = self._own(connection, caller, job_id)
            if job.status == "succeeded":
                raise AlreadyEnded("This job has ended: it is succeeded, and has a report.")
            if not job.has_ended:
                return job
            num_bytes = _attempt_bytes(job.webhook)
            kept = JOBS.c.stored_bytes + num_bytes
            if self._move(connection, job_id, job.attempt, "queued", stored_bytes=kept) is not None:
                self._check_room(connection)
                shares.check(connection, caller, self._settings.share_bytes)
                self._queue.enqueue(connection, job_id, job.attempt + 1, caller)
                self._blobs.take(connection, num_bytes)
            return self._own(connection, caller, job_id)

    def happened(self, caller: str, job_id: str, after: int) -> tuple[list[Event], bool]:
        """What happened to a job after event `after`, and whether it has ended. Raises `NotFound`, `Expired`."""
        with self._database.read() as connection:
            job = self._own(connection, caller, job_id)  # before its events: the last one is then among them
            return events.since(connection, job_id, after), job.has_ended

    # --- for the worker

    def begin(self, job_id: str, attempt: int) -> Job | None:
        """Mark an attempt as running, also one that a dead worker had begun; None where there is nothing to do."""
        with self._database.begin() as connection:
            moved = self._move(connection, job_id, attempt, "running")
        return None if moved is None else job_of(moved)

    def reached(self, job_id: str, attempt: int, stage: JobStage) -> None:
        """A running attempt is at this stage now."""
        with self._database.begin() as connection:
            self._move(connection, job_id, attempt, "running", stage=stage)

    def finish(self, job_id: str, attempt: int, status: JobStatus, *, report: str | None, error: str | None) -> bool:
        """End a running attempt; False where it was cancelled or ended before, and nothing is changed.

        Raises `StorageFull` where there is no room for the report.
        """
        num_bytes = len((report or "").encode())
        kept = {"report": report, "error": error, "stored_bytes": JOBS.c.stored_bytes + num_bytes}
        with self._database.begin() as connection:
            moved = self._move(connection, job_id, attempt, status, **kept)
            if moved is not None:
                self._blobs.take(connection, num_bytes)
        return moved is not None

    def running(self, jobs: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Which of these attempts should still be at work."""
        wanted = sa.select(JOBS.c.id, JOBS.c.attempt).where(
            JOBS.c.id.in_([job_id for job_id, _ in jobs]), JOBS.c.status.in_(("queued", "running"))
        )
        with self._database.read() as connection:
            return {(job_id, attempt) for job_id, attempt in connection.execute(wanted)} & set(jobs)

    # --- for the timer

    def census(self) -> dict[JobStatus, int]:
        """How many jobs there are of each state, without those that have expired."""
        counted = (
            sa.select(JOBS.c.status, sa.func.count().label("number")).where(~JOBS.c.is_expired).group_by(JOBS.c.status)
        )
        with self._database.read() as connection:
            found = {row.status: int(row.number) for row in connection.execute(counted)}
        return {status: found.get(status, 0) for status in SOURCES}

    def expire(self, limit: int) -> int:
        """Delete what up to `limit` jobs left whose time is over; their ids stay. How many it were."""
        now = self._clock()
        over = sa.select(JOBS.c.id, JOBS.c.attempt, JOBS.c.reference, JOBS.c.candidate, JOBS.c.stored_bytes)
        over = over.where(~JOBS.c.is_expired, JOBS.c.expires < now).limit(limit)
        with self._database.begin() as connection:
            rows = list(connection.execute(over.with_for_update(skip_locked=True)))
            ids = [row.id for row in rows]
            for row in rows:
                self._blobs.let_go(connection, (row.reference, row.candidate))
            gone = {"is_expired": True, "config": "", "stored_bytes": ATTEMPT_BYTES}
            gone |= dict.fromkeys(("report", "error", "webhook"))
            connection.execute(sa.update(JOBS).where(JOBS.c.id.in_(ids)).values(**gone))
            events.forget(connection, ids)
            deliveries.forget(connection, ids)
            self._blobs.give_back(connection, sum(row.stored_bytes - ATTEMPT_BYTES for row in rows))
        if rows:
            self._queue.forget([(row.id, row.attempt) for row in rows])
        return len(rows)

    def forget(self, limit: int) -> int:
        """Delete up to `limit` ids that were kept long enough; how many it were."""
        old = sa.select(JOBS.c.id).where(JOBS.c.is_expired, JOBS.c.expires < self._clock() - self._settings.remember_s)
        with self._database.begin() as connection:
            ids = list(connection.execute(old.limit(limit)).scalars())
            connection.execute(sa.delete(JOBS).where(JOBS.c.id.in_(ids)))
            self._blobs.give_back(connection, ATTEMPT_BYTES * len(ids))
        return len(ids)

    # --- the rows

    def _move(self, connection: sa.Connection, job_id: str, attempt: int, status: JobStatus, **values: Any) -> Any:
        """One step of a job's life with its event, and with the message about its end; what it is now, as a row.

        None where the job is no longer where such a step may begin.
        """
        now = self._clock()
        if status == "running":
            values = {"stage": "examine", "started": sa.func.coalesce(JOBS.c.started, now), **values}
        elif status in ENDED:
            values = {"stage": None, "ended": now, "expires": now + self._settings.keep_s, **values}
        else:
            fresh = dict.fromkeys(("started", "ended", "expires", "report", "error"))
            values = {"attempt": attempt + 1, **fresh, **values}
        step = sa.update(JOBS).where(
            JOBS.c.id == job_id,
            JOBS.c.attempt == attempt,
            JOBS.c.status.in_(sorted(SOURCES[status])),
            ~JOBS.c.is_expired,
        )
        step = step.values(status=status, num_events=JOBS.c.num_events + 1, **values)
        moved = connection.execute(step.returning(*SUMMARY, JOBS.c.num_events)).first()
        if moved is None:
            return None
        events.record(connection, job_id, Event(moved.num_events, status, moved.attempt, moved.stage, now))
        if status in ENDED and moved.webhook is not None:
            ended = moved.caller, moved.webhook, status, moved.created, moved.started, now, moved.error
            deliveries.plan(connection, self._queue, EndedAttempt(job_id, moved.attempt, *ended))
        return moved

    def _row(self, request: Request, now: float) -> dict[str, Any]:
        config = request.config.model_dump_json()
        return {
            "id": request.id,
            "caller": request.caller,
            "body_hash": request.body_hash,
            "status": "queued",
            "attempt": 1,
            "num_events": 1,
            "created": now,
            "reference": request.reference.digest,
            "candidate": request.candidate.digest,
            "config": config,
            "webhook": request.webhook,
            "is_expired": False,
            "stored_bytes": _attempt_bytes(request.webhook) + len(config.encode()),
            "image_bytes": len(request.reference.data) + len(request.candidate.data),
        }

    def _known(self, connection: sa.Connection, request: Request) -> Job | None:
        row = connection.execute(sa.select(JOBS.c.body_hash).where(JOBS.c.id == request.id)).first()
        if row is None:
            return None
        if row.body_hash != request.body_hash:
            raise IdempotencyConflict("This Idempotency-Key was sent with another body; use a new key for a new job.")
        return self._own(connection, request.caller, request.id)

    def _own(self, connection: sa.Connection, caller: str, job_id: str) -> Job:
        mine = sa.select(*SUMMARY, JOBS.c.report, JOBS.c.is_expired)
        row = connection.execute(mine.where(JOBS.c.id == job_id, JOBS.c.caller == caller)).first()
        if row is None:
            raise NotFound("There is no such job of this caller.")
        if row.is_expired:
            raise Expired("This job's time is over, and what it left is deleted.")
        return self._placed(connection, replace(job_of(row), report=row.report))

    def _placed(self, connection: sa.Connection, job: Job) -> Job:
        if job.has_ended and job.webhook is not None:
            return replace(job, delivery=deliveries.of(connection, job.id, job.attempt))
        if job.status != "queued":
            return job
        tie = sa.and_(JOBS.c.created == job.created, JOBS.c.id <= job.id)
        before = sa.select(sa.func.count()).where(JOBS.c.status == "queued", sa.or_(JOBS.c.created < job.created, tie))
        # At least 1: it may have begun since it was read.
        return replace(job, position=max(1, connection.execute(before).scalar_one()))

    def _check_room(self, connection: sa.Connection, more: int = 0) -> int:
        """How many jobs wait, with `more` to come: the position of the last one. Raises `Overloaded`."""
        waiting = sa.select(sa.func.count()).where(JOBS.c.status == "queued")
        num_waiting = int(connection.execute(waiting).scalar_one()) + more
        if num_waiting > self._settings.max_queued:
            raise Overloaded(f"{num_waiting - 1} jobs wait already.", retry_after_s=FULL_RETRY_AFTER_S)
        return num_waiting


def _attempt_bytes(webhook: str | None) -> int:
    return ATTEMPT_BYTES if webhook is None else ATTEMPT_BYTES + WEBHOOK_BYTES
