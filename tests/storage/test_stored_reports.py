"""Reports in a database that replicas share: told until their time is over, bounded in bytes, missed by nobody."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.settings import CacheSettings, JobSettings
from serve_app.storage import patience, stored_reports
from serve_app.storage.database import Database
from serve_app.storage.patience import PATIENCE_S
from serve_app.storage.report_stores import open_reports
from serve_app.storage.reports import ENTRY_BYTES, Kept
from serve_app.storage.stored_reports import REPORTS, USAGE, StoredReports
from tests.worlds.jobs import Clock


class Replicas:
    """Stores of several replicas over one database, with one clock."""

    def __init__(self, url: str, opened: AsyncExitStack) -> None:
        self.url = url
        self.clock = Clock()
        self._opened = opened

    def one(self, capacity_bytes: int = 100_000) -> StoredReports:
        reports = StoredReports(Database(self.url, is_durable=False), capacity_bytes, self.clock)
        self._opened.push_async_callback(reports.aclose)
        return reports

    def kept_and_counted(self) -> tuple[int, int]:
        """Bytes of the rows that are there, and as the store has added them up."""
        database = Database(self.url)
        with database.read() as connection:
            held = connection.execute(sa.select(sa.func.sum(REPORTS.c.bytes))).scalar_one()
            counted = connection.execute(sa.select(USAGE.c.bytes)).scalar_one()
        database.close()
        return int(held), int(counted)

    def kept(self, report: bytes = b"{}\n\x00", seconds: float = 1000) -> Kept:
        return Kept(report, self.clock.now + seconds)


@pytest.fixture
async def replicas(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replicas]:
    monkeypatch.setattr(patience, "PATIENCE_S", 30.0)  # a busy machine is no lost store
    async with AsyncExitStack() as opened:
        yield Replicas(database_url, opened)


async def test_what_one_replica_puts_in_another_gets(replicas: Replicas) -> None:
    one, other = replicas.one(), replicas.one()
    assert await other.get("key") is None
    await one.put("key", replicas.kept())
    assert await other.get("key") == replicas.kept()
    await other.put("key", replicas.kept(b"newer"))
    assert await one.get("key") == replicas.kept(b"newer")
    assert one.held_bytes == 0  # of this process's memory


async def test_a_report_is_told_until_its_time_is_over_and_then_makes_room(replicas: Replicas) -> None:
    reports = replicas.one()
    await reports.put("key", replicas.kept(seconds=10))
    replicas.clock.now += 9.9
    assert await reports.get("key") is not None
    replicas.clock.now += 0.1
    assert await reports.get("key") is None
    await reports.put("other", replicas.kept())
    assert replicas.kept_and_counted() == (ENTRY_BYTES + 4, ENTRY_BYTES + 4)


@pytest.mark.parametrize("stride", [1, 50])
async def test_those_that_would_end_first_go_first_and_the_bound_holds(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    monkeypatch.setattr(stored_reports, "STRIDE", stride)
    one, other = replicas.one(4 * ENTRY_BYTES + 400), replicas.one(4 * ENTRY_BYTES + 400)
    for number, store in enumerate((one, other, one, other)):
        await store.put(str(number), replicas.kept(bytes(100), 1000 + number))
    assert [await one.get(str(number)) is not None for number in range(4)] == [True] * 4
    await one.put("4", replicas.kept(bytes(100), 1004))
    assert [await other.get(str(number)) is not None for number in range(5)] == [False, True, True, True, True]
    await one.put("large", replicas.kept(bytes(ENTRY_BYTES + 200), 2000))
    assert [await other.get(str(number)) is not None for number in range(5)] == [False, False, False, True, True]
    await one.put("too large", replicas.kept(bytes(4 * ENTRY_BYTES)))
    assert await one.get("too large") is None
    assert await one.get("large") is not None
    held, counted = replicas.kept_and_counted()
    assert held == counted <= 4 * ENTRY_BYTES + 400


async def test_many_at_once_lose_no_count(replicas: Replicas) -> None:
    stores = [replicas.one(20 * ENTRY_BYTES) for _ in range(3)]
    await stores[0].put("first", replicas.kept())
    for turn in range(4):
        await asyncio.gather(*(store.put(f"{turn} {number}", replicas.kept()) for number, store in enumerate(stores)))
    held, counted = replicas.kept_and_counted()
    assert held == counted == 13 * (ENTRY_BYTES + 4)


async def test_a_store_that_hangs_or_is_gone_costs_one_comparison_a_moment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pairlens.cache")
    path = tmp_path / "reports.sqlite"
    reports = StoredReports.open(f"sqlite:///{path}", 100_000)
    await reports.put("key", Kept(b"{}", time.time() + 1000))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        for _ in range(40):
            await reports.put("key", Kept(b"newer", time.time() + 1000))
        assert time.monotonic() - began < 40 * PATIENCE_S / 2
        assert await reports.get("key") is None
    await reports.aclose()
    gone = StoredReports.open(f"sqlite:///{tmp_path}/file/below/reports.sqlite", 100_000)
    (tmp_path / "file").write_text("")
    assert await gone.get("key") is None
    await gone.aclose()
    said = [record.getMessage() for record in caplog.records if record.name == "pairlens.cache"]
    assert said == [
        "The store of reports is lost (TimeoutError): reports are kept in memory only",
        "The store of reports is lost (Unavailable): reports are kept in memory only",
    ]
    shutil.rmtree(tmp_path, ignore_errors=True)


async def test_it_stands_behind_the_memory_where_no_redis_is_named(tmp_path: Path) -> None:
    url = JobSettings(folder=str(tmp_path)).reports_database
    assert url == f"sqlite:///{tmp_path}/jobs-reports.sqlite"
    assert JobSettings(database_url="postgresql://u@h/d").reports_database == "postgresql://u@h/d"
    stores = [open_reports(CacheSettings(), shared=StoredReports.open(url, 100_000)) for _ in range(2)]
    one, other = (store for store in stores if store is not None)
    kept = Kept(b"{}", time.time() + 1000)
    await one.put("key", kept)
    assert await other.get("key") == kept
    for store in (one, other):
        await store.aclose()
    unused = StoredReports.open(url, 1)
    assert open_reports(CacheSettings(report_cache_bytes=0), shared=unused) is None
    await unused.aclose()
