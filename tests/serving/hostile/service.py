"""The whole service in this process, without Ray: real decoding and measuring behind the HTTP door.
Knows no test; what it logs is kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx2

from serve_app.chat.chat import Chat
from serve_app.chat.pictures import Pictures
from serve_app.chat.talker import Talker
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.budget import MemoryBudget
from serve_app.imaging.pdf.documents import Documents
from serve_app.local import open_pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Limits, ModelSettings, Settings
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
async def with_all_doors(folder: Path) -> AsyncIterator[Service]:
    """A service with a scripted model: jobs and batches, which nobody does, conversations, agents."""
    settings, log = Settings(model=ModelSettings(engine="scripted")), Log()
    desk = Desk(Database(f"sqlite:///{folder}/jobs.sqlite"), folder)
    assessor = Assessor(settings.model)
    pictures = Pictures(settings.limits, MemoryBudget(settings.preprocessing.memory_budget_bytes), 2)
    async with open_pipeline(settings) as local:
        with closing(Documents(settings.limits)) as documents, closing(pictures), closing(assessor):
            app = create_app(
                local,
                settings,
                readiness=AlwaysReady(),
                logger=log.logger,
                jobs=JobDesk(desk.store, desk.blobs, lambda job_id, attempt: None, 1.0, takes_webhooks=True),
                batches=BatchDesk(desk.batches, desk.blobs, documents, lambda batch_id: None, 1.0),
                chat=Chat(pictures, Talker(assessor.model, assessor.device, telling_s=0.0)),
            )
            async with (
                app.router.lifespan_context(app),
                httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client,
            ):
                yield Service(client, log)


@asynccontextmanager
async def opened(limits: Limits | None = None, jobs: Path | None = None) -> AsyncIterator[Service]:
    """A service without a model. `jobs`: the folder in which it takes jobs; None: it takes none."""
    settings, log = Settings(limits=limits or Limits()), Log()
    async with open_pipeline(settings) as local:
        desk = None if jobs is None else desk_in(jobs)
        app = create_app(local, settings, readiness=AlwaysReady(), logger=log.logger, jobs=desk)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            yield Service(client, log)
