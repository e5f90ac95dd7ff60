"""What all tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from serve_app.storage.database import Database
from tests.rigs import postgres

# A change is judged by the same examples each time; a person's runs go on looking for new ones. Without a deadline for
# an example: on a busy machine it would fail whatever is slow there.
settings.register_profile("person", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if "CI" in os.environ else "person")


@pytest.fixture(autouse=True)
def loggers_that_speak() -> None:
    """A command that ran in this process, also in a module's fixture, has quieted our loggers for good."""
    logging.getLogger("pairlens").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that is empty: every test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/database/jobs.sqlite"
    server: postgres.PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened; without tables."""
    opened = Database(database_url)
    yield opened
    opened.close()
