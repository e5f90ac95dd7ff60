"""The commands of docs/operations.md, run: what was backed up in use is all there when it comes back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from serve_app.errors import NotFound
from serve_app.storage.database import Database
from tests.rigs.markdown import Page
from tests.worlds.jobs import Desk

PAGE = Page(Path(__file__).parents[2] / "docs/operations.md")
COMMANDS = [line for block in PAGE.blocks for line in block.splitlines()]
FOLDER = ("sqlite3", "tar")


def commands(*programs: str, back: bool) -> list[str]:
    """Those of the page that begin so, of the way there or back."""
    of = [line for line in COMMANDS if line.split()[0] in programs]
    return [line for line in of if (".restore" in line or "-xzf" in line or "pg_restore" in line) is back]


def run(lines: list[str], folder: Path, url: str) -> None:
    for line in lines:
        subprocess.run(["sh", "-euc", line], cwd=folder, env={"PATH": _path(), "DATABASE_URL": url}, check=True)


def _path() -> str:
    return "/usr/local/bin:/usr/bin:/bin"


def test_the_page_has_a_way_there_and_back_for_each() -> None:
    for program in (*FOLDER, "pg_dump"):
        assert len(commands(program, back=False)) == 1
    for program in (*FOLDER, "pg_restore"):
        assert len(commands(program, back=True)) == 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs sqlite3 (Debian: sqlite3)")
def test_a_sqlite_store_comes_back_whole(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    (folder / "backup").mkdir(parents=True)
    database = Database(f"sqlite:///{folder}/jobs.sqlite")
    before = Desk(database, folder)
    kept = before.post(images=(b"kept", b"too"))
    run(commands(*FOLDER, back=False), folder, "")
    later = before.post(images=(b"after", b"it"))
    database.close()
    for each in folder.iterdir():
        if each.name != "backup":
            shutil.rmtree(each) if each.is_dir() else each.unlink()

    run(commands(*FOLDER, back=True), folder, "")
    assert not list(folder.glob("backup/backup*"))
    check(Database(f"sqlite:///{folder}/jobs.sqlite"), folder, kept, later)


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="needs pg_dump (Debian: postgresql-client)")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_postgresql_store_comes_back_whole(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    database = Database(database_url)
    before = Desk(database, tmp_path / "files")
    kept = before.post(images=(b"kept", b"too"))
    run(commands("pg_dump", back=False), tmp_path, database_url)
    later = before.post(images=(b"after", b"it"))
    database.close()

    run(commands("pg_restore", back=True), tmp_path, database_url)
    check(Database(database_url), tmp_path / "files", kept, later)


def check(database: Database, folder: Path, kept: str, later: str) -> None:
    after = Desk(database, folder)
    job = after.store.find("alice", kept)
    assert (job.status, job.position) == ("queued", 1)
    assert [after.blobs.get(digest) for digest in (job.reference, job.candidate)] == [b"kept", b"too"]
    with pytest.raises(NotFound):
        after.store.find("alice", later)
    after.clock.now += 60
    again = after.post(images=(b"more", b"work"))
    assert after.store.find("alice", again).position == 2
    database.close()
