"""Jobs as they are kept: enqueued, read, listed, moved from state to state, cancelled, repeated, forgotten.
Every change is one transaction that names the states it may come from, so a late or second writer changes nothing."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import sqlalchemy as sa

from serve_app.errors import (
    AlreadyEnded,
    Expired,
    IdempotencyConflict,
    MalformedRequest,
    NotFound,
    Overloaded,
)
from serve_app.jobs import events
from serve_app.jobs.events import Event
from serve_app.jobs.job import ENDED, SOURCES, Job, Request
from serve_app.schema import JobStage, JobStatus
from serve_app.settings import JobSettings
from serve_app.storage.blobs import Blobs
from serve_app.storage.database import METADATA, Database

JOBS: Final = sa.Table(
    "pairlens_jobs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("num_events", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("reference", sa.String(64), nullable=False),
    sa.Column("candidate", sa.String(64), nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("stage", sa.String(16)),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("expires", sa.Float),
    sa.Column("is_expired", sa.Boolean, nullable=False),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.Column("report", sa.Text),
    sa.Column("error", sa.Text),
    sa.Index("pairlens_jobs_by_status", "status", "created"),
    sa.Index("pairlens_jobs_by_caller", "caller", "created"),
    sa.Index("pairlens_jobs_by_expiry", "is_expired", "expires"),
)
# What a `Job` says, but its report: a list leaves that where it is.
_SUMMARY: Final = tuple(
    column
    for column in JOBS.c
    if column.name not in ("body_hash", "num_events", "is_expired", "stored_bytes", "report")
)
# What one attempt is counted with beside config and report: its row, its events, its place in the queue, their indexes.
ATTEMPT_BYTES: Final = 4096
FULL_RETRY_AFTER_S: Final = 10


class Enqueuing(Protocol):
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

    def enqueue(self, request: Request) -> Job:
        """Take a job whose images are stored; the one there is where it was taken before.

        Raises `IdempotencyConflict`, `Expired`, `Overloaded` where too many wait, `StorageFull`.
        """
        now = self._clock()
        with self._database.begin() as connection:
            known = self._known(connection, request)
            if known is not None:
                return known
            self._check_room(connection)
            row = self._row(request, now)
            if not self._database.insert_new(connection, JOBS, row):
                known = self._known(connection, request)  # another entrance was quicker, at this very moment
                assert known is not None
                return known
            self._blobs.take(connection, row["stored_bytes"])
            self._blobs.hold(connection, (request.reference.digest, request.candidate.digest))
            self._queue.enqueue(connection, request.id, 1, request.caller)
            events.record(connection, request.id, Event(1, "queued", 1, None, now))
            return self._one(connection, request.id)

    def find(self, caller: str, job_id: str) -> Job:
        """With its report and its position. Raises `NotFound` for another caller's too, `Expired`."""
        with self._database.read() as connection:
            return self._own(connection, caller, job_id)

    def page(self, caller: str, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> Page:
        """Up to `limit` of this caller's jobs, newest first, without reports. No `statuses`: all of them.

        Raises `MalformedRequest` for a cursor that is none of ours.
        """
        wanted = sa.select(*_SUMMARY).where(JOBS.c.caller == caller, ~JOBS.c.is_expired)
        if statuses:
            wanted = wanted.where(JOBS.c.status.in_(statuses))
        if cursor is not None:
            created, job_id = _read_cursor(cursor)
            older = sa.and_(JOBS.c.created == created, JOBS.c.id < job_id)
            wanted = wanted.where(sa.or_(JOBS.c.created < created, older))
        wanted = wanted.order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            found = [_job(row) for row in connection.execute(wanted)]
            jobs = tuple(self._placed(connection, job) for job in found[:limit])
        return Page(jobs, _cursor(jobs[-1]) if len(found) > limit else None)

    def cancel(self, caller: str, job_id: str) -> Job:
        """Raises `NotFound`, `Expired`, `AlreadyEnded`."""
        with self._database.begin() as connection:
            job = self._own(connection, caller, job_id)
            if not self._move(connection, job_id, job.attempt, "cancelled"):
                job = self._own(connection, caller, job_id)  # it ended between the two
                raise AlreadyEnded(f"This job has ended: it is {job.status}.")
            return self._one(connection, job_id)

    def retry(self, caller: str, job_id: str) -> Job:
        """Begin a failed or cancelled job anew; one that waits or runs stays as it is.

        Raises `NotFound`, `Expired`, `Overloaded`, `StorageFull`, `AlreadyEnded` for one that succeeded.
        """
        with self._database.begin() as connection:
            job = self._own(connection, caller, job_id)
            if job.status == "succeeded":
                raise AlreadyEnded("This job has ended: it is succeeded, and has a report.")
            if job.has_ended:
                self._check_room(connection)
                if self._move(connection, job_id, job.attempt, "queued"):
                    self._keep(connection, job_id, ATTEMPT_BYTES)
                    self._queue.enqueue(connection, job_id, job.attempt + 1, caller)
            return self._one(connection, job_id)

    def happened(self, caller: str, job_id: str, after: int) -> tuple[list[Event], bool]:
        """What happened to a job after event `after`, and whether it has ended. Raises `NotFound`, `Expired`."""
        with self._database.read() as connection:
            job = self._own(connection, caller, job_id)  # before its events: the last one is then among them
            return events.since(connection, job_id, after), job.has_ended

    # --- for the worker

    def begin(self, job_id: str, attempt: int) -> Job | None:
        """Mark an attempt as running, also one that a dead worker had begun; None where there is nothing to do."""
        with self._database.begin() as connection:
            return self._one(connection, job_id) if self._move(connection, job_id, attempt, "running") else None

    def reached(self, job_id: str, attempt: int, stage: JobStage) -> None:
        """A running attempt is at this stage now."""
        with self._database.begin() as connection:
            self._move(connection, job_id, attempt, "running", stage=stage)

    def finish(self, job_id: str, attempt: int, status: JobStatus, *, report: str | None, error: str | None) -> bool:
        """End a running attempt; False where it was cancelled or ended before, and nothing is changed.

        Raises `StorageFull` where there is no room for the report.
        """
        with self._database.begin() as connection:
            moved = self._move(connection, job_id, attempt, status, report=report, error=error)
            if moved and report is not None:
                self._keep(connection, job_id, len(report.encode()))
            return moved

    def running(self, jobs: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Which of these attempts should still be at work."""
        wanted = sa.select(JOBS.c.id, JOBS.c.attempt).where(
            JOBS.c.id.in_([job_id for job_id, _ in jobs]), JOBS.c.status.in_(("queued", "running"))
        )
        with self._database.read() as connection:
            return {(job_id, attempt) for job_id, attempt in connection.execute(wanted)} & set(jobs)

    # --- for the timer

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
            gone = {"is_expired": True, "report": None, "error": None, "config": "", "stored_bytes": ATTEMPT_BYTES}
            self._blobs.give_back(connection, sum(row.stored_bytes - ATTEMPT_BYTES for row in rows))
            connection.execute(sa.update(JOBS).where(JOBS.c.id.in_(ids)).values(**gone))
            events.forget(connection, ids)
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

    def _move(self, connection: sa.Connection, job_id: str, attempt: int, status: JobStatus, **values: Any) -> bool:
        """One step of a job's life with its event, if the job still is where such a step may begin."""
        now = self._clock()
        if status == "running":
            values = {"stage": "examine", "started": sa.func.coalesce(JOBS.c.started, now), **values}
        elif status in ENDED:
            values = {"stage": None, "ended": now, "expires": now + self._settings.keep_s, **values}
        else:
            fresh = dict.fromkeys(("started", "ended", "expires", "report", "error"))
            values = {"attempt": attempt + 1, **fresh}
        step = sa.update(JOBS).where(
            JOBS.c.id == job_id,
            JOBS.c.attempt == attempt,
            JOBS.c.status.in_(sorted(SOURCES[status])),
            ~JOBS.c.is_expired,
        )
        step = step.values(status=status, num_events=JOBS.c.num_events + 1, **values)
        moved = connection.execute(step.returning(JOBS.c.num_events, JOBS.c.attempt, JOBS.c.stage)).first()
        if moved is not None:
            events.record(connection, job_id, Event(moved.num_events, status, moved.attempt, moved.stage, now))
        return moved is not None

    def _keep(self, connection: sa.Connection, job_id: str, num_bytes: int) -> None:
        """Count so many bytes more for a job. Raises `StorageFull`."""
        self._blobs.take(connection, num_bytes)
        mine = sa.update(JOBS).where(JOBS.c.id == job_id)
        connection.execute(mine.values(stored_bytes=JOBS.c.stored_bytes + num_bytes))

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
            "is_expired": False,
            "stored_bytes": ATTEMPT_BYTES + len(config.encode()),
        }

    def _known(self, connection: sa.Connection, request: Request) -> Job | None:
        row = connection.execute(sa.select(JOBS.c.body_hash).where(JOBS.c.id == request.id)).first()
        if row is None:
            return None
        if row.body_hash != request.body_hash:
            raise IdempotencyConflict("This Idempotency-Key was sent with another body; use a new key for a new job.")
        return self._own(connection, request.caller, request.id)

    def _own(self, connection: sa.Connection, caller: str, job_id: str) -> Job:
        mine = sa.select(JOBS.c.is_expired).where(JOBS.c.id == job_id, JOBS.c.caller == caller)
        row = connection.execute(mine).first()
        if row is None:
            raise NotFound("There is no such job of this caller.")
        if row.is_expired:
            raise Expired("This job's time is over, and what it left is deleted.")
        return self._one(connection, job_id)

    def _one(self, connection: sa.Connection, job_id: str) -> Job:
        row = connection.execute(sa.select(*_SUMMARY, JOBS.c.report).where(JOBS.c.id == job_id)).one()
        return self._placed(connection, replace(_job(row), report=row.report))

    def _placed(self, connection: sa.Connection, job: Job) -> Job:
        if job.status != "queued":
            return job
        tie = sa.and_(JOBS.c.created == job.created, JOBS.c.id <= job.id)
        before = sa.select(sa.func.count()).where(JOBS.c.status == "queued", sa.or_(JOBS.c.created < job.created, tie))
        return replace(job, position=connection.execute(before).scalar_one())

    def _check_room(self, connection: sa.Connection) -> None:
        waiting = connection.execute(sa.select(sa.func.count()).where(JOBS.c.status == "queued")).scalar_one()
        if waiting >= self._settings.max_queued:
            raise Overloaded(f"{waiting} jobs wait already.", retry_after_s=FULL_RETRY_AFTER_S)


def _job(row: Any) -> Job:
    return Job(**{column.name: row._mapping[column] for column in _SUMMARY})


def _cursor(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.created, job.id]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        created, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(job_id, str) and isinstance(created, float):
            return created, job_id
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    raise MalformedRequest("This cursor is not one of ours.", field="/cursor")
