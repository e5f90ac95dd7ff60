"""Files by content: on disk before they are promised, counted, held, and gone once nobody holds them."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from serve_app.errors import StorageFull, Unavailable
from serve_app.storage.blobs import UNHELD_S, Blobs
from serve_app.storage.database import Database


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def blobs(database: Database, tmp_path: Path, clock: Clock) -> Blobs:
    database.create_tables()
    return Blobs(database, str(tmp_path / "kept"), 100, clock)


def named(content: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(content).hexdigest(), content


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


A, B = named(b"first"), named(b"second")


def test_what_was_put_can_be_read_and_is_counted_once(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put([A, B])
    blobs.put([A, A])
    assert (blobs.get(A[0]), blobs.get(B[0])) == (b"first", b"second")
    assert blobs.used_bytes() == 11
    assert files(tmp_path / "kept") == sorted([A[0], B[0]])


def test_what_would_go_over_the_quota_changes_nothing(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put([A])
    with pytest.raises(StorageFull):
        blobs.put([B, named(bytes(90))])  # B alone would fit
    assert (blobs.used_bytes(), files(tmp_path / "kept")) == (5, [A[0]])
    blobs.put([named(bytes(95))])  # exactly full
    blobs.put([A])  # is there already, and costs nothing
    assert blobs.used_bytes() == 100


def test_a_file_goes_once_its_last_holder_has_let_go(
    blobs: Blobs, database: Database, clock: Clock, tmp_path: Path
) -> None:
    blobs.put([A, B])
    for _ in range(2):
        with database.begin() as connection:
            blobs.hold(connection, [A[0], A[0]])  # reference and candidate are the same file: one holder
    with database.begin() as connection:
        blobs.let_go(connection, [A[0], A[0]])
    clock.now += UNHELD_S + 1
    assert blobs.sweep(10) == 1
    assert (blobs.used_bytes(), files(tmp_path / "kept")) == (5, [A[0]])
    with database.begin() as connection:
        blobs.let_go(connection, [A[0]])
    assert blobs.sweep(10) == 0  # only just
    clock.now += UNHELD_S + 1
    assert blobs.sweep(10) == 1
    assert (blobs.used_bytes(), files(tmp_path / "kept")) == (0, [])


def test_a_file_that_is_brought_again_is_not_swept_before_it_is_held(blobs: Blobs, clock: Clock) -> None:
    blobs.put([A])
    clock.now += UNHELD_S + 1
    blobs.put([A])
    assert blobs.sweep(10) == 0
    assert blobs.get(A[0]) == b"first"


def test_a_file_that_was_taken_away_cant_be_held(blobs: Blobs, database: Database) -> None:
    blobs.put([A])
    with pytest.raises(Unavailable), database.begin() as connection:
        blobs.hold(connection, [A[0], B[0]])


def test_half_a_file_of_a_writer_that_died_is_written_anew(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put([A])
    path = tmp_path / "kept/images" / A[0][:2] / A[0]
    path.write_bytes(b"fir")
    blobs.put([A])
    assert blobs.get(A[0]) == b"first"


def test_a_full_disk_is_told_and_gives_back_what_was_counted(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull) as refused:
        blobs.put([A])
    assert str(tmp_path) not in refused.value.detail
    assert (blobs.used_bytes(), files(tmp_path / "kept")) == (0, [])


def test_a_file_is_flushed_before_it_has_its_name(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    flush = os.fsync

    def flushed(descriptor: int) -> None:
        seen.append([name for name in files(tmp_path / "kept") if not name.startswith(".")])
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
    blobs.put([A])
    assert seen == [[], [A[0]]]  # the content, then the name


def test_missing_files_are_missing_and_not_a_fault(blobs: Blobs) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.get(A[0])


def test_any_file_system_that_fsspec_knows_will_do(database: Database, clock: Clock) -> None:
    database.create_tables()
    blobs = Blobs(database, "memory://kept", 100, clock)
    memory: Any = fsspec.filesystem("memory")
    blobs.put([A])
    assert blobs.get(A[0]) == b"first"
    assert memory.cat(f"/kept/images/{A[0][:2]}/{A[0]}") == b"first"
    with pytest.raises(FileNotFoundError):
        blobs.get(B[0])
    clock.now += UNHELD_S + 1
    assert blobs.sweep(10) == 1
    assert not memory.exists(f"/kept/images/{A[0][:2]}/{A[0]}")
