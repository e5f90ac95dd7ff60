"""What the jobs of each caller take of the store, so that one caller can't fill it for everybody.
Counts an image for everyone who has left it, though it is kept once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from serve_app.errors import StorageFull
from serve_app.settings import MIB
from serve_app.storage.database import METADATA, Database

# One row a caller that has jobs.
SHARES: Final = sa.Table(
    "pairlens_job_shares",
    METADATA,
    sa.Column("caller", sa.Text, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)


def check(connection: sa.Connection, caller: str, num_bytes: int, limit: int) -> None:
    """Whether `take` would refuse it. Raises `StorageFull`."""
    taken = connection.execute(sa.select(SHARES.c.bytes).where(SHARES.c.caller == caller)).scalar() or 0
    if taken + num_bytes > limit:
        raise _full(limit)


def take(database: Database, connection: sa.Connection, caller: str, num_bytes: int, limit: int) -> None:
    """So many bytes more, in the caller's transaction. Raises `StorageFull` where that would be over `limit`."""
    mine = sa.update(SHARES).where(SHARES.c.caller == caller, SHARES.c.bytes + num_bytes <= limit)
    taken = mine.values(bytes=SHARES.c.bytes + num_bytes)
    if connection.execute(taken).rowcount:
        return
    is_first = database.insert_new(connection, SHARES, {"caller": caller, "bytes": 0})
    if not is_first or not connection.execute(taken).rowcount:
        raise _full(limit)


def add(connection: sa.Connection, caller: str, num_bytes: int) -> None:
    """The same whatever the limit: of a job that was taken already."""
    mine = sa.update(SHARES).where(SHARES.c.caller == caller)
    connection.execute(mine.values(bytes=SHARES.c.bytes + num_bytes))


def give_back(connection: sa.Connection, taken: Mapping[str, int]) -> None:
    """So many bytes less of each caller."""
    for caller, num_bytes in sorted(taken.items()):  # in one order: two that do this don't wait for each other
        add(connection, caller, -num_bytes)
    connection.execute(sa.delete(SHARES).where(SHARES.c.bytes <= 0))


def _full(limit: int) -> StorageFull:
    return StorageFull(
        f"The jobs of this caller would take over {limit / MIB:g} MiB; try again when some have expired."
    )
