"""Reports in a database that replicas share, bounded in bytes: where there is a job store and no Redis.
One that is away or slow costs a comparison nothing but a short wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import sqlalchemy as sa

from serve_app.errors import ComparisonError
from serve_app.storage.database import Database
from serve_app.storage.patience import Patience
from serve_app.storage.reports import ENTRY_BYTES, Kept

T = TypeVar("T")

_METADATA: Final = sa.MetaData()  # apart from the jobs': they may lie in another file
REPORTS: Final = sa.Table(
    "pairlens_reports",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("report", sa.LargeBinary, nullable=False),
    sa.Index("pairlens_reports_by_until", "until"),
)
# One row: bytes of all of them. Who puts one in locks it, so that two can't both see room for the last one.
USAGE: Final = sa.Table(
    "pairlens_reports_usage",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
# Of those whose time is over, removed by each that is put in: more than come in.
CLEARED: Final = 20
# Looked at together when room is made: a report takes 4 to 10 KB without pictures.
STRIDE: Final = 50
THREADS: Final = 2


class StoredReports:
    """At most `capacity_bytes` for all replicas together; those that would end first go first. `clock` reads
    `time.time()` seconds."""

    def __init__(self, database: Database, capacity_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._is_made = False
        self._patience = Patience("The store of reports", (ComparisonError, sa.exc.SQLAlchemyError), time.monotonic)
        # Its own: a database that hangs is not to take the threads in which pictures are decoded.
        self._threads = ThreadPoolExecutor(THREADS, "reports")

    @classmethod
    def open(cls, url: str, capacity_bytes: int) -> StoredReports:
        """`url` as of `Database`; nothing is opened before it is used."""
        return cls(Database(url, is_durable=False), capacity_bytes)

    @property
    def held_bytes(self) -> int:
        return 0

    async def get(self, key: str) -> Kept | None:
        return await self._patience.asked(lambda: self._in_thread(lambda: self._get(key)))

    async def put(self, key: str, kept: Kept) -> None:
        """A report over the capacity is not kept."""
        if len(kept.report) + ENTRY_BYTES <= self._capacity_bytes:
            await self._patience.asked(lambda: self._in_thread(lambda: self._put(key, kept)))

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._database.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _get(self, key: str) -> Kept | None:
        self._make()
        mine = sa.select(REPORTS.c.report, REPORTS.c.until).where(REPORTS.c.key == key, REPORTS.c.until > self._clock())
        with self._database.read() as connection:
            row = connection.execute(mine).first()
        return None if row is None else Kept(row.report, row.until)

    def _put(self, key: str, kept: Kept) -> None:
        self._make()
        num_bytes = len(kept.report) + ENTRY_BYTES
        row = {"key": key, "until": kept.until, "bytes": num_bytes, "report": kept.report}
        with self._database.begin() as connection:
            self._database.insert_new(connection, USAGE, {"id": 1, "bytes": 0})
            self._take(connection, num_bytes)  # first: it locks, so that all of them come one after the other
            self._remove(connection, REPORTS.c.key == key)
            over = sa.select(REPORTS.c.key).where(REPORTS.c.until <= self._clock()).limit(CLEARED)
            used = self._remove(connection, REPORTS.c.key.in_(over))
            while keys := self._first(connection, used):
                used = self._remove(connection, REPORTS.c.key.in_(keys))
            connection.execute(sa.insert(REPORTS).values(row))

    def _first(self, connection: sa.Connection, used: int) -> list[str]:
        """The keys of some that would end first, no more than make room."""
        following = sa.select(REPORTS.c.key, REPORTS.c.bytes).order_by(REPORTS.c.until).limit(STRIDE)
        keys: list[str] = []
        for key, num_bytes in connection.execute(following):
            if used <= self._capacity_bytes:
                break
            keys.append(key)
            used -= num_bytes
        return keys

    def _remove(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
        """How many bytes are taken after it."""
        gone = connection.execute(sa.delete(REPORTS).where(which).returning(REPORTS.c.bytes)).scalars()
        return self._take(connection, -sum(gone))

    def _take(self, connection: sa.Connection, num_bytes: int) -> int:
        taken = sa.update(USAGE).values(bytes=USAGE.c.bytes + num_bytes).returning(USAGE.c.bytes)
        return int(connection.execute(taken).scalar_one())

    def _make(self) -> None:
        """The tables, where they are missing, once a process: whichever replica comes first."""
        if not self._is_made:
            with self._database.begin() as connection:
                _METADATA.create_all(connection)
            self._is_made = True
