"""The whole service in this process, without Ray: real decoding and measuring behind the HTTP door.
Knows no test; what it logs is kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI

from serve_app import pipeline
from serve_app.api import AlwaysReady, create_app
from serve_app.settings import Limits, Settings


class Log(logging.Handler):
    """Keeps each line as a file of it would stand."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()} {vars(record)}")

    @property
    def errors(self) -> list[str]:
        return [line for line in self.lines if line.startswith(("ERROR", "CRITICAL"))]


@dataclass(slots=True)
class Service:
    """One app and a client for it."""

    app: FastAPI
    client: httpx.AsyncClient
    log: Log = field(default_factory=Log)


@asynccontextmanager
async def opened(limits: Limits | None = None) -> AsyncIterator[Service]:
    """A service without a model."""
    settings, log = Settings(limits=limits or Limits()), Log()
    logger = logging.Logger("hostile")
    logger.addHandler(log)
    async with pipeline.open_local(settings) as local:
        app = create_app(local, settings, readiness=AlwaysReady(), logger=logger)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            yield Service(app, client, log)
