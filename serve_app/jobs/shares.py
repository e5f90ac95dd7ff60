"""What one caller's jobs and batches take of the store together: no caller can fill it for all.
Knows no files: what each takes stands in its row."""

from __future__ import annotations

import sqlalchemy as sa

from serve_app.errors import StorageFull
from serve_app.jobs.batch_tables import BATCHES
from serve_app.jobs.rows import JOBS
from serve_app.settings import MIB


def taken_bytes(connection: sa.Connection, caller: str) -> int:
    """Of what has not expired. A file counts for everyone who has left it, though it is kept once.

    Added up each time, from indexes: a counter would have all of a caller's jobs wait for one row.
    """
    jobs = sa.select(sa.func.sum(JOBS.c.stored_bytes + JOBS.c.image_bytes))
    batches = sa.select(sa.func.sum(BATCHES.c.stored_bytes + BATCHES.c.file_bytes))
    sums = (
        jobs.where(JOBS.c.caller == caller, ~JOBS.c.is_expired),
        batches.where(BATCHES.c.caller == caller, ~BATCHES.c.is_expired),
    )
    return sum(int(connection.execute(each).scalar() or 0) for each in sums)


def check(connection: sa.Connection, caller: str, limit: int, more: int = 0) -> None:
    """Whether a caller's jobs and batches, with `more` bytes to come, are within its share. Raises `StorageFull`."""
    if taken_bytes(connection, caller) + more > limit:
        raise StorageFull(
            f"The jobs of this caller would take over {limit / MIB:g} MiB; try again when some have expired."
        )
