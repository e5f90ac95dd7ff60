"""Files by the hash of their content, counted against a quota, on disk before they are promised to be.
Knows no picture and no job: who keeps a file holds it, and lets go of it. What lies in tables beside the files can be
counted against the same quota."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import fsspec
import sqlalchemy as sa

from serve_app.errors import StorageFull, Unavailable
from serve_app.settings import MIB
from serve_app.storage.database import METADATA, Database

logger = logging.getLogger("pairlens.storage")

# One row a file; `holders`: how many want it kept. A file that nobody holds yet is being brought.
FILES: Final = sa.Table(
    "pairlens_files",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("holders", sa.Integer, nullable=False),
    sa.Column("touched", sa.Float, nullable=False),
)
# Bytes of all files, and of what `take` was told of, as the sum of some rows: who counts locks one until its
# transaction is on disk, and with a single row all jobs would stand in one line (57 a second on PostgreSQL).
USAGE: Final = sa.Table(
    "pairlens_files_usage",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
USAGE_ROWS: Final = 16
# Between being brought and being held lie milliseconds; after this long the one who brought it has died.
UNHELD_S: Final = 600.0


class Blobs:
    """`folder`: of this machine, or a URL that fsspec reads. `quota` in bytes. Safe in threads; blocks."""

    def __init__(self, database: Database, folder: str, quota: int, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._quota = quota
        self._clock = clock
        url = folder if "://" in folder else str(Path(folder).expanduser().absolute())
        self._fs, root = fsspec.core.url_to_fs(url)
        self._folder = f"{str(root).rstrip('/')}/images"
        self._is_local = "file" in ((self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol)

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Keep each (SHA-256 in hex, content): on disk when this returns, and for `UNHELD_S` if nobody holds it.

        Raises `StorageFull` with nothing changed, `Unavailable`.
        """
        wanted = dict(files)
        brought = self._reserve(wanted)
        try:
            for digest, content in wanted.items():
                if not self._is_there(digest, len(content)):
                    self._write(digest, content)
        except OSError as exc:
            self._forget(brought)
            raise _refusal(exc) from None

    def get(self, digest: str) -> bytes:
        """Raises FileNotFoundError, `Unavailable`."""
        try:
            content: bytes = self._fs.cat_file(self._path(digest))
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise _refusal(exc) from None
        return content

    def hold(self, connection: sa.Connection, digests: Iterable[str]) -> None:
        """One more holder of each, in the caller's transaction. Raises `Unavailable` for one that was taken away."""
        if not self._count(connection, digests, +1):
            raise Unavailable("An image of this job was not kept; please send it again.")

    def let_go(self, connection: sa.Connection, digests: Iterable[str]) -> None:
        """One holder of each less; `sweep` removes what nobody holds."""
        self._count(connection, digests, -1)

    def take(self, connection: sa.Connection, num_bytes: int) -> None:
        """Room for so many bytes that lie elsewhere, in the caller's transaction. Raises `StorageFull`.

        On PostgreSQL what others take at this very moment isn't seen: the quota can be passed by as much.
        """
        if not num_bytes:
            return
        used = sa.select(sa.func.sum(USAGE.c.bytes)).scalar_subquery()
        row = self._row()
        taken = sa.update(USAGE).where(USAGE.c.id == row, sa.func.coalesce(used, 0) + num_bytes <= self._quota)
        taken = taken.values(bytes=USAGE.c.bytes + num_bytes)
        if connection.execute(taken).rowcount:
            return
        is_first = self._database.insert_new(connection, USAGE, {"id": row, "bytes": 0})
        if not is_first or not connection.execute(taken).rowcount:
            raise StorageFull(f"All jobs together would take over {self._quota / MIB:g} MiB; try again later.")

    def give_back(self, connection: sa.Connection, num_bytes: int) -> None:
        """The opposite of `take`."""
        if not num_bytes:
            return
        row = self._row()
        given = sa.update(USAGE).where(USAGE.c.id == row).values(bytes=USAGE.c.bytes - num_bytes)
        if not connection.execute(given).rowcount:
            self._database.insert_new(connection, USAGE, {"id": row, "bytes": 0})
            connection.execute(given)

    def _row(self) -> int:
        """Which row of the usage this transaction counts in. SQLite has one writer at a time anyway."""
        return 1 if self._database.is_sqlite else random.randint(1, USAGE_ROWS)

    def sweep(self, limit: int) -> int:
        """Remove up to `limit` files that nobody has held for a while; how many it were. Raises `Unavailable`."""
        idle = sa.select(FILES.c.digest).where(FILES.c.holders <= 0, FILES.c.touched < self._clock() - UNHELD_S)
        with self._database.begin() as connection:
            # Locked, so that who brings one of them again at this moment waits and then finds no row.
            digests = list(connection.execute(idle.limit(limit).with_for_update(skip_locked=True)).scalars())
            if digests:
                self._remove_rows(connection, digests)
                for digest in digests:  # before the row is gone for others: else a new file could be deleted
                    with contextlib.suppress(OSError):
                        self._fs.rm_file(self._path(digest))
        return len(digests)

    def used_bytes(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.sum(USAGE.c.bytes))).scalar() or 0)

    def _reserve(self, wanted: dict[str, bytes]) -> list[str]:
        """Rows for files that have none yet, within the quota; which ones."""
        now = self._clock()
        with self._database.begin() as connection:
            brought = []
            for digest, content in sorted(wanted.items()):  # in one order: two that bring the same don't deadlock
                known = sa.update(FILES).where(FILES.c.digest == digest).values(touched=now)
                row = {"digest": digest, "bytes": len(content), "holders": 0, "touched": now}
                if connection.execute(known).rowcount:
                    continue
                if self._database.insert_new(connection, FILES, row):
                    brought.append(digest)
            self.take(connection, sum(len(wanted[digest]) for digest in brought))
        return brought

    def _forget(self, digests: list[str]) -> None:
        with contextlib.suppress(Unavailable, StorageFull), self._database.begin() as connection:
            self._remove_rows(connection, digests)

    def _remove_rows(self, connection: sa.Connection, digests: list[str]) -> None:
        gone = sa.delete(FILES).where(FILES.c.digest.in_(digests), FILES.c.holders <= 0).returning(FILES.c.bytes)
        self.give_back(connection, sum(connection.execute(gone).scalars()))

    def _count(self, connection: sa.Connection, digests: Iterable[str], change: int) -> bool:
        """Whether all of them were there."""
        changed = sa.update(FILES).values(holders=FILES.c.holders + change, touched=self._clock())
        wanted = sorted(set(digests))
        counted = [connection.execute(changed.where(FILES.c.digest == digest)).rowcount for digest in wanted]
        return all(counted)

    def _path(self, digest: str) -> str:
        return f"{self._folder}/{digest[:2]}/{digest}"

    def _is_there(self, digest: str, num_bytes: int) -> bool:
        try:
            return bool(self._fs.size(self._path(digest)) == num_bytes)
        except FileNotFoundError:
            return False

    def _write(self, digest: str, content: bytes) -> None:
        """Whole or not at all, under its name. Raises OSError."""
        path = self._path(digest)
        if not self._is_local:
            self._fs.pipe_file(path, content)  # an object store shows an object once it has all of it
            return
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = folder / f".{uuid.uuid4().hex}"
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _flush(folder)  # the name, too
        finally:
            part.unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _refusal(exc: OSError) -> StorageFull | Unavailable:
    # Only its class: the text of an error of the file system holds a path.
    logger.error("images of jobs: %s %s", type(exc).__name__, errno.errorcode.get(exc.errno or 0, ""))
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The disk for the images of jobs is full.")
    return Unavailable("The images of jobs can't be stored right now.", retry_after_s=5)
