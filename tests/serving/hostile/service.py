"""The whole service in this process, without Ray: real decoding and measuring behind the HTTP door.
Knows no test; what it logs is kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from serve_app.local import open_pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Limits, Settings
from serve_app.storage.database import Database
from tests.worlds.jobs import Desk


class Log(logging.Handler):
    """Keeps each line of `logger` as a file of it would stand."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.logger = logging.Logger("hostile")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()} {vars(record)}")

    @property
    def errors(self) -> list[str]:
        return [line for line in self.lines if line.startswith(("ERROR", "CRITICAL"))]


@dataclass(slots=True)
class Service:
    """A client of one app, and what that logs."""

    client: httpx2.AsyncClient
    log: Log


def desk_in(folder: Path) -> JobDesk:
    """Takes jobs in that nobody does, and places to tell of their end."""
    desk = Desk(Database(f"sqlite:///{folder}/jobs.sqlite"), folder)
    return JobDesk(desk.store, desk.blobs, lambda job_id, attempt: None, 1.0, takes_webhooks=True)


@asynccontextmanager
async def opened(limits: Limits | None = None, jobs: Path | None = None) -> AsyncIterator[Service]:
    """A service without a model. `jobs`: the folder in which it takes jobs; None: it takes none."""
    settings, log = Settings(limits=limits or Limits()), Log()
    async with open_pipeline(settings) as local:
        desk = None if jobs is None else desk_in(jobs)
        app = create_app(local, settings, readiness=AlwaysReady(), logger=log.logger, jobs=desk)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            yield Service(client, log)
