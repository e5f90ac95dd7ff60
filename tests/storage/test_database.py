"""One database of either kind: what others see of a transaction, and what a caller is told when it is gone."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.errors import StorageFull, Unavailable
from serve_app.storage.database import METADATA, Database
from tests.rigs.postgres import PostgresServer

COUNTER = sa.Table("test_counter", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))


def counted(database: Database) -> int | None:
    with database.read() as connection:
        return connection.execute(sa.select(COUNTER.c.n)).scalar()


def test_what_is_written_is_there_for_the_next_process(database: Database, database_url: str) -> None:
    database.create_tables()
    with database.begin() as connection:
        database.insert_new(connection, COUNTER, {"id": 1, "n": 7})
    other = Database(database_url)
    other.create_tables()  # as after a restart: they are there
    assert counted(other) == 7
    other.close()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    database.create_tables()

    def fail() -> None:
        with database.begin() as connection:
            database.insert_new(connection, COUNTER, {"id": 1, "n": 7})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert counted(database) is None


def test_a_row_that_is_there_stays_as_it_is(database: Database) -> None:
    database.create_tables()
    with database.begin() as connection:
        assert database.insert_new(connection, COUNTER, {"id": 1, "n": 7}) is True
        assert database.insert_new(connection, COUNTER, {"id": 1, "n": 8}) is False
    assert counted(database) == 7


def test_what_is_read_in_a_transaction_holds_until_its_end(tmp_path: Path) -> None:
    """SQLite: two that read a number and write one more get two numbers, and none meets a locked database."""
    database = Database(f"sqlite:///{tmp_path}/jobs.sqlite")
    database.create_tables()
    with database.begin() as connection:
        database.insert_new(connection, COUNTER, {"id": 1, "n": 0})

    def count() -> None:
        for _ in range(10):
            with database.begin() as connection:
                seen = connection.execute(sa.select(COUNTER.c.n)).scalar_one()
                connection.execute(sa.update(COUNTER).values(n=seen + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(database) == 40
    database.close()


def test_readers_of_the_file_wait_for_no_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/deep/er/jobs.sqlite")
    database.create_tables()
    with database.begin() as connection:
        database.insert_new(connection, COUNTER, {"id": 1, "n": 7})
        assert counted(database) is None  # the writer has not ended
    with sqlite3.connect(tmp_path / "deep/er/jobs.sqlite") as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
    assert (tmp_path / "deep/er").stat().st_mode & 0o777 == 0o700
    database.close()


def test_a_database_without_tables_is_not_there_yet(database: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        counted(database)
    assert refused.value.retry_after_s == 5


def test_a_mistake_of_ours_stays_one(database: Database) -> None:
    database.create_tables()
    with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
        connection.execute(sa.insert(COUNTER), [{"id": 1}, {"id": 1}])


def test_a_server_that_goes_away_is_told_and_comes_back(postgres_server: PostgresServer) -> None:
    database = Database(postgres_server.new_database())
    database.create_tables()
    postgres_server.stop()
    try:
        with pytest.raises(Unavailable) as refused:
            counted(database)
        for secret in ("postgres", "/", "socket", "connection"):
            assert secret not in refused.value.detail
    finally:
        postgres_server.start()
    assert counted(database) is None
    database.close()


def test_a_folder_that_nobody_may_write_is_told_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = Database(f"sqlite:///{tmp_path}/file/jobs.sqlite")
    with pytest.raises(Unavailable) as refused:
        database.create_tables()
    assert str(tmp_path) not in refused.value.detail


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/jobs.sqlite")
    database.create_tables()

    def fill() -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE large (content BLOB)")
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # SQLite's own stand-in for a full disk
            connection.exec_driver_sql("INSERT INTO large VALUES (zeroblob(100000))")

    with pytest.raises(StorageFull):
        fill()
    database.close()
