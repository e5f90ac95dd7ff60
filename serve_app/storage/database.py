"""One database for all that outlives a request: SQLite in a folder, or PostgreSQL by URL.
Knows no table: those who keep something declare theirs on `METADATA`."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateColumn

from serve_app.errors import StorageFull, Unavailable

logger = logging.getLogger("pairlens.storage")

METADATA: Final = sa.MetaData()
# Of one process. PostgreSQL's own default allows 100 to all of them.
CONNECTIONS: Final = 8
# SQLite has one writer at a time; a slow disk under load keeps the next one waiting longer than its default of 5 s.
BUSY_TIMEOUT_S: Final = 30
# A server that does not answer is told to callers, not waited for.
CONNECT_TIMEOUT_S: Final = 3
RETRY_AFTER_S: Final = 5
# What PostgreSQL says of a table and of a schema that nobody has made yet: `Jobs` is about to.
_NOT_MADE_YET: Final = frozenset({"42P01", "3F000"})


class Database:
    """`url`: `sqlite:///<path>` or `postgresql://...`. Opens nothing until it is used; safe in threads.

    `is_durable`: whether what was written is on disk, come a power cut, when `begin` ends; else a second or so later,
    and four times as fast. The death of a process costs nothing either way.
    """

    def __init__(self, url: str, *, is_durable: bool = True) -> None:
        self.engine = _sqlite(url, is_durable) if url.startswith("sqlite:") else _postgres(url, is_durable)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction, that may read before it writes. Raises `Unavailable` where the database can't be reached,
        `StorageFull` where its disk has no room."""
        try:
            with self.engine.begin() as connection:
                if self.is_sqlite:
                    # pysqlite begins only before the first write: what was read until then could have changed.
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        except (DBAPIError, PoolTimeoutError, OSError, sqlite3.Error) as exc:
            raise _refusal(exc) from None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """To read only; waits for no writer. Raises `Unavailable`."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError, OSError, sqlite3.Error) as exc:
            raise _refusal(exc) from None

    def insert_new(self, connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
        """Insert a row unless one with its key is there; whether it was new."""
        insert = sqlite.insert if self.is_sqlite else postgresql.insert
        row = insert(table).values(values).on_conflict_do_nothing()
        # Not by `rowcount`: PostgreSQL's driver has none for an insert.
        return connection.execute(row.returning(*table.primary_key)).first() is not None

    def create_tables(self) -> None:
        """Those of ours that are missing, with columns and indexes that an older version has not made. One process
        does it.

        Raises `Unavailable`.
        """
        with self.begin() as connection:
            METADATA.create_all(connection)
            known = sa.inspect(connection)
            for table in METADATA.sorted_tables:
                there = {column["name"] for column in known.get_columns(table.name)}
                for column in table.columns:
                    if column.name not in there:
                        described = CreateColumn(column).compile(dialect=self.engine.dialect)
                        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")
                for index in table.indexes:
                    index.create(connection, checkfirst=True)

    def close(self) -> None:
        self.engine.dispose()


def _refusal(exc: Exception) -> Exception:
    """What a caller is told of a failure of the database; a mistake of ours stays one."""
    original: Any = getattr(exc, "orig", exc)
    logger.warning("database: %s", type(original).__name__)
    if (
        getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(original, "sqlstate", "") == "53100"
    ):
        return StorageFull("The disk of the job store is full.")
    is_ours = isinstance(exc, DBAPIError) and not isinstance(exc, OperationalError | InterfaceError)
    not_yet = isinstance(exc, ProgrammingError) and getattr(original, "sqlstate", None) in _NOT_MADE_YET
    if is_ours and not not_yet:
        return exc
    return Unavailable("The job store can't be reached right now.", retry_after_s=RETRY_AFTER_S)


def _sqlite(url: str, is_durable: bool) -> sa.Engine:
    path = Path(sa.make_url(url).database or "").expanduser()

    def connect() -> sqlite3.Connection:
        if not path.exists():
            _make_file(path)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level="IMMEDIATE")
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
        connection.execute("PRAGMA foreign_keys=ON")
        if not is_durable:  # in WAL mode the file stays whole all the same
            connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return sa.create_engine(
        f"sqlite:///{path}", creator=connect, poolclass=sa.QueuePool, pool_size=CONNECTIONS, max_overflow=0
    )


def _make_file(path: Path) -> None:
    """WAL is a property of the file: readers and the writer don't wait for each other (54 jobs/s instead of 20)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _postgres(url: str, is_durable: bool) -> sa.Engine:
    options = {} if is_durable else {"options": "-c synchronous_commit=off"}
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "pairlens", **options},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=True,  # a server that was restarted: the next call connects anew instead of failing
    )
