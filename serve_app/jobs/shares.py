"""What the jobs and batches of each caller take of the store, so that one caller can't fill it for everybody.
Counts a file for everyone who has left it, though it is kept once. Writes nothing: it is added up each time, from an
index, 1 ms for 10,000 jobs; a counter would have all of a caller's jobs wait for one row."""

from __future__ import annotations

import sqlalchemy as sa

from serve_app.errors import StorageFull
from serve_app.jobs.batch_tables import BATCHES
from serve_app.jobs.rows import JOBS
from serve_app.settings import MIB


def taken(connection: sa.Connection, caller: str) -> int:
    """Bytes of all that has not expired."""
    jobs = sa.select(sa.func.sum(JOBS.c.stored_bytes + JOBS.c.image_bytes))
    batches = sa.select(sa.func.sum(BATCHES.c.stored_bytes + BATCHES.c.file_bytes))
    each = (
        jobs.where(JOBS.c.caller == caller, ~JOBS.c.is_expired),
        batches.where(BATCHES.c.caller == caller, ~BATCHES.c.is_expired),
    )
    return sum(int(connection.execute(asked).scalar() or 0) for asked in each)


def check(connection: sa.Connection, caller: str, more: int, limit: int) -> None:
    """Whether it is within `limit` with `more` bytes to come. Raises `StorageFull`."""
    if taken(connection, caller) + more > limit:
        raise StorageFull(
            f"The jobs of this caller would take over {limit / MIB:g} MiB; try again when some have expired."
        )
