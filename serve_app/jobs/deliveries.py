"""Which ended jobs a place of the caller's is to be told of, and what came of each try.
A delivery is written in the transaction that ends its job, so neither is there without the other. No HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy as sa

from serve_app.jobs import webhook
from serve_app.jobs.job import Delivery
from serve_app.jobs.webhook import Message, Outcome
from serve_app.schema import JobStatus, WebhookStatus
from serve_app.storage.database import METADATA, Database

WEBHOOKS: Final = sa.Table(
    "pairlens_job_webhooks",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("said", sa.Text),
    sa.Column("next_try", sa.Float),
)


class Sender(Protocol):
    """The durable queue behind the deliveries."""

    def enqueue_try(
        self, connection: sa.Connection, job_id: str, attempt: int, number: int, caller: str, delay_s: float
    ) -> None:
        """Try `number` (from 1), in `delay_s` seconds, in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What is told of a job. Times as `time.time()`; `error` is JSON as it is stored."""

    job_id: str
    attempt: int
    caller: str
    url: str
    status: JobStatus
    created: float
    started: float | None
    ended: float
    error: str | None

    @property
    def message(self) -> Message:
        """Without the report, which may have megabytes of pictures and is nobody's but the caller's: it is asked for
        with the job's id."""
        data = {
            "id": self.job_id,
            "status": self.status,
            "attempt": self.attempt,
            "created": webhook.moment(self.created),
            "started": None if self.started is None else webhook.moment(self.started),
            "ended": webhook.moment(self.ended),
            "error": None if self.error is None else json.loads(self.error),
        }
        return Message.of(_message_id(self.job_id, self.attempt), f"job.{self.status}", self.ended, data)


def plan(connection: sa.Connection, queue: Sender, ended: EndedAttempt) -> None:
    """A first try at once, in the transaction that ends the attempt."""
    row = {
        "job_id": ended.job_id,
        "attempt": ended.attempt,
        "caller": ended.caller,
        "url": ended.url,
        "body": ended.message.body,
        "status": "pending",
        "tries": 0,
        "next_try": ended.ended,
    }
    connection.execute(sa.insert(WEBHOOKS).values(row))
    queue.enqueue_try(connection, ended.job_id, ended.attempt, 1, ended.caller, 0.0)


def message(delivery: Delivery) -> Message:
    return Message(_message_id(delivery.job_id, delivery.attempt), delivery.body)


def of(connection: sa.Connection, job_id: str, attempt: int) -> Delivery | None:
    mine = sa.select(WEBHOOKS).where(WEBHOOKS.c.job_id == job_id, WEBHOOKS.c.attempt == attempt)
    row = connection.execute(mine).first()
    return None if row is None else Delivery(**row._mapping)


def forget(connection: sa.Connection, job_ids: Sequence[str]) -> None:
    connection.execute(sa.delete(WEBHOOKS).where(WEBHOOKS.c.job_id.in_(job_ids)))


class Deliveries:
    """Blocks, so ask it in a thread. Both raise `Unavailable` where the database can't be reached."""

    def __init__(self, database: Database, queue: Sender, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    def due(self, job_id: str, attempt: int, number: int) -> Delivery | None:
        """The delivery whose try `number` is the next one; None where there is nothing to do."""
        with self._database.read() as connection:
            found = of(connection, job_id, attempt)
        return found if found is not None and (found.status, found.tries) == ("pending", number - 1) else None

    def record(self, delivery: Delivery, outcome: Outcome) -> WebhookStatus:
        """What came of the next try, and, in the same transaction, the one after it. A try that another process has
        recorded already changes nothing."""
        now, tries = self._clock(), delivery.tries + 1
        pause_s = None if outcome.is_over else webhook.pause_s(tries)
        status: WebhookStatus = "pending"
        if pause_s is None:
            status = "delivered" if outcome.is_delivered else "failed"
        values: dict[str, Any] = {
            "status": status,
            "tries": tries,
            "said": outcome.said,
            "next_try": None if pause_s is None else now + pause_s,
        }
        mine = sa.update(WEBHOOKS).where(
            WEBHOOKS.c.job_id == delivery.job_id,
            WEBHOOKS.c.attempt == delivery.attempt,
            WEBHOOKS.c.tries == delivery.tries,
            WEBHOOKS.c.status == "pending",
        )
        with self._database.begin() as connection:
            is_new = bool(connection.execute(mine.values(**values)).rowcount)
            if is_new and pause_s is not None:
                next_one = delivery.job_id, delivery.attempt, tries + 1
                self._queue.enqueue_try(connection, *next_one, delivery.caller, pause_s)
        return status


def _message_id(job_id: str, attempt: int) -> str:
    return f"{job_id}.{attempt}"
