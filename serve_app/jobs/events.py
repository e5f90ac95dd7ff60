"""What happened to a job, numbered, so that who lost the connection asks for what came after.
Writes in the transaction of the change itself; no HTTP."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import sqlalchemy as sa

from serve_app.schema import JobStage, JobStatus
from serve_app.storage.database import METADATA

EVENTS: Final = sa.Table(
    "pairlens_job_events",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(16)),
    sa.Column("at", sa.Float, nullable=False),
)
# How often a follower looks; a look costs one read of an index, about 0.3 ms.
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Event:
    """`number` counts from 1 for each job."""

    number: int
    status: JobStatus
    attempt: int
    stage: JobStage | None
    at: float


def record(connection: sa.Connection, job_id: str, event: Event) -> None:
    """Keep one event, in the transaction that changed the job and so made `number` its own."""
    connection.execute(
        sa.insert(EVENTS).values(
            job_id=job_id,
            number=event.number,
            status=event.status,
            attempt=event.attempt,
            stage=event.stage,
            at=event.at,
        )
    )


def since(connection: sa.Connection, job_id: str, number: int) -> list[Event]:
    """What happened after event `number`, in order."""
    columns = (EVENTS.c.number, EVENTS.c.status, EVENTS.c.attempt, EVENTS.c.stage, EVENTS.c.at)
    found = sa.select(*columns).where(EVENTS.c.job_id == job_id, EVENTS.c.number > number).order_by(EVENTS.c.number)
    return [Event(*row) for row in connection.execute(found)]


def forget(connection: sa.Connection, job_ids: list[str]) -> None:
    connection.execute(sa.delete(EVENTS).where(EVENTS.c.job_id.in_(job_ids)))


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


N = TypeVar("N", bound=Numbered)


async def follow(
    look: Callable[[int], tuple[list[N], bool]], after: int, patience_s: float = math.inf
) -> AsyncGenerator[N, None]:
    """Each event after number `after` as it happens, until the job has ended or `patience_s` seconds have passed.

    `look` blocks, so it is asked in a thread: what came after a number, and whether it is over. What it raises ends
    the iteration.
    """
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        found, is_over = await asyncio.to_thread(look, after)
        for event in found:
            after = event.number
            yield event
        if is_over:
            return
        await asyncio.sleep(LOOK_S)
