"""A real PostgreSQL server of the tests' own: in a folder, on a socket in it, gone with them."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.cluster.waiting import eventually

USER = "postgres"


class PostgresServer:
    """`new_database` makes an empty one and tells its URL; `stop` and `start` are those of a person at work."""

    def __init__(self, programs: Path, folder: Path, is_durable: bool) -> None:
        self._programs = programs
        self._folder = folder
        self._is_durable = is_durable
        self._names = (f"test{number}" for number in itertools.count())
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", "-D", str(folder / "data"))
        self.start()

    def start(self) -> None:
        options = ("-c", "listen_addresses=", *(() if self._is_durable else ("-c", "fsync=off")))
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder, *options],
            stderr=subprocess.DEVNULL,
            user=_user(),
        )
        eventually(self._answers, within_s=30)

    def stop(self) -> None:
        """At once, as at a crash: clients lose their connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)  # what PostgreSQL calls an immediate shutdown
        self._process.wait(timeout=30)

    def new_database(self) -> str:
        name = next(self._names)
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, name: str) -> str:
        return f"postgresql://{USER}@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, user=_user())


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    return USER if os.geteuid() == 0 else None


def _programs() -> Path | None:
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    on_path = shutil.which("initdb")
    return found[0] if found else Path(on_path).parent if on_path else None


@contextmanager
def server(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Skips the test where PostgreSQL is not installed, but for CI, which has it.

    `is_durable`: whether it survives a power cut, as who measures it wants; else the many databases of a run of tests
    are not flushed to disk at its end (98 s on a busy one).
    """
    programs = _programs()
    if programs is None:
        if "CI" in os.environ:
            raise FileNotFoundError("initdb")
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    with tempfile.TemporaryDirectory(prefix="pl-pg-", dir="/tmp") as name:  # short: its socket lies in it
        folder = Path(name)
        if _user() is not None:
            shutil.chown(folder, USER)
        running = PostgresServer(programs, folder, is_durable)
        try:
            yield running
        finally:
            running.stop()
