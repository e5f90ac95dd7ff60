"""The chat door over real stages in this process, and the official client in front of it. No Ray, no sockets."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
from fastapi import FastAPI

from serve_app.chat.chat import Chat
from serve_app.chat.pictures import Pictures
from serve_app.chat.talker import Talker
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import open_door
from serve_app.serving.readiness import AlwaysReady
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.worlds.samples import card, encoded

PICTURE = encoded(card())
SCRIPTED = "scripted"


class Counted:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def load(self, pending: int, expected_wait_s: float) -> None:
        pass


class Service:
    """An app, who asks it, and what came of it."""

    def __init__(self, app: FastAPI, counted: Counted, assessor: Assessor, drain: Callable[[], int]) -> None:
        self.app = app
        self.counted = counted
        self.assessor = assessor
        self.drain = drain
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test/v1")

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The official one; an answer that isn't what its own models say is an error."""
        return openai.AsyncOpenAI(
            base_url="http://test/v1",
            api_key="none",
            http_client=self.http,
            max_retries=0,
            _strict_response_validation=True,
        )

    async def ask(self, **fields: Any) -> httpx2.Response:
        """One request as plain JSON: a question about a picture, and these fields."""
        return await self.http.post("/chat/completions", json={**asked(), **fields})


def url(picture: bytes = PICTURE) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def shown(*pictures: bytes) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url(picture)}} for picture in pictures]


def user(*pictures: bytes, text: str = "What is this?") -> dict[str, Any]:
    """What a user says of some pictures."""
    return {"role": "user", "content": [*shown(*pictures), {"type": "text", "text": text}]}


def asked(model: str = SCRIPTED) -> dict[str, Any]:
    return {"model": model, "messages": [user(PICTURE)]}


def scripted(**fields: Any) -> Settings:
    return Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(**fields)))


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    """These settings, every stage in this process."""
    counted = Counted()
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=settings.model.is_asked)
    assessor = Assessor(settings.model)
    pictures = Pictures(settings.limits, examiner.budget, settings.preprocessing.threads)
    door = open_door(settings, recorder=counted)
    app = create_app(
        Pipeline(examiner, assessor, settings),
        settings,
        readiness=AlwaysReady(),
        logger=logging.Logger("test"),
        door=door,
        chat=Chat(pictures, Talker(assessor.model, assessor.device)) if settings.model.is_asked else None,
    )
    service = Service(app, counted, assessor, door.admission.drain)
    try:
        yield service
    finally:
        await service.http.aclose()
        for stage in (pictures, examiner, assessor):
            stage.close()
