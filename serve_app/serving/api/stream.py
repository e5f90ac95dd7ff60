"""`POST /v1/compare/stream`: a comparison that tells how it gets on: each stage, what was measured, then the report.
Asked, admitted, computed and refused as `POST /v1/compare` is; until the first event a refusal has its own status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import time
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.remembered import Remembered
from serve_app.comparison.verdict import report
from serve_app.core.assessed import Assessment
from serve_app.core.clock import StageName
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import Examination
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig, TimingsReport
from serve_app.schema.stream import Measured, Progress, Read
from serve_app.schema.words import StageState
from serve_app.serving.api import body, envelope
from serve_app.serving.api.arrival import Arrival, arrival
from serve_app.serving.api.compare import CACHE_CONTROL, freshness, note, promised
from serve_app.serving.api.streams import Streams
from serve_app.serving.image_urls import ImageUrls
from serve_app.settings import Profile

STREAM: Final = "/v1/compare/stream"
_NO_TIME: Final = TimingsReport(queue=0.0, prepare=0.0, measure=0.0, assess=0.0, total=0.0)
_NOBODY: Final = Assessment(ModelIdentity("none", None, None), "disabled")


Rendering = Callable[[], list[ServerSentEvent]]


@dataclass(slots=True)
class Telling:
    """One comparison under way, and what is to be told of it. Fills `comparison.watching.Watching`: what it hears is
    put into words later, so that no fault in that ends the comparison."""

    arrived: Arrival
    config: ImageComparisonConfig
    heard: asyncio.Queue[Rendering | None] = field(default_factory=asyncio.Queue)
    first: Rendering | None = None
    task: asyncio.Task[ComparisonReport] | None = None

    def at(self, stage: StageName, state: StageState) -> None:
        elapsed_ms = round((time() - self.arrived.time) * 1000, 2)
        told = Progress(stage=stage, state=state, elapsed_ms=elapsed_ms)
        self.heard.put_nowait(lambda: [ServerSentEvent(event="progress", data=told)])

    def examined(self, examination: Examination) -> None:
        self.heard.put_nowait(lambda: _measured(self.config, examination))

    async def begin(self, comparing: Callable[[Telling], Any]) -> None:
        """Until there is something to tell. Raises what the comparison is refused with before that."""

        async def compared() -> ComparisonReport:
            try:
                found: ComparisonReport = await comparing(self)
                return found
            finally:
                self.heard.put_nowait(None)

        self.task = asyncio.create_task(compared())
        self.first = await self.heard.get()
        if self.first is None and self.task.exception() is not None:
            await self.task

    async def happened(self) -> AsyncGenerator[ServerSentEvent, None]:
        assert self.task is not None
        rendering = self.first
        while rendering is not None:
            for event in rendering():
                yield event
            rendering = await self.heard.get()
        try:
            found = await self.task
        except ComparisonError as refusal:
            self.arrived.record.error = refusal.type
            yield self.failed(refusal)
            return
        note(self.arrived.record, found)
        told = envelope.success(found, self.arrived.request_id)
        yield ServerSentEvent(event="report", raw_data=bytes(told.body).decode())

    def failed(self, refusal: ComparisonError) -> ServerSentEvent:
        """The same envelope as anywhere; `retry` is its Retry-After."""
        told = envelope.failure(refusal, self.arrived.language, self.arrived.request_id)
        after = told.headers.get("Retry-After")
        retry = None if after is None else int(after) * 1000
        return ServerSentEvent(event="error", raw_data=bytes(told.body).decode(), retry=retry)

    async def end(self) -> None:
        """Whoever asked is gone or has the report: nothing works on for nobody."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})
            if not self.task.cancelled():
                self.task.exception()  # told already, or to nobody


def add_stream(
    app: FastAPI,
    pipeline: Pipeline,
    remembered: Remembered,
    streams: Streams,
    profiles: Mapping[str, Profile],
    urls: ImageUrls | None = None,
) -> None:
    bodies = body.Bodies(profiles, urls)

    async def begun(request: Request) -> AsyncIterator[Telling]:
        arrived = arrival(request)
        streams.check(arrived.caller)
        asked = await bodies.read(request)
        deadline = pipeline.deadline(asked.config, arrived=arrived.time)
        telling = Telling(arrived, asked.config)
        try:
            await telling.begin(
                lambda watching: remembered.compare(
                    asked.reference,
                    asked.candidate,
                    asked.config,
                    deadline,
                    lambda: promised(arrived, deadline, asked.config),
                    owner=arrived.record.key_name or "",
                    freshness=freshness(request),
                    watching=watching,
                )
            )
            yield telling
        finally:
            await telling.end()

    @app.post(
        STREAM,
        response_class=EventSourceResponse,
        responses=envelope.responses_beside_events(400, 413, 415, 422, 429, *envelope.KEYED),
        openapi_extra={"requestBody": body.described(takes_urls=urls is not None), "parameters": [CACHE_CONTROL]},
        summary="Compare two images, and hear how it gets on",
    )
    async def stream(request: Request, telling: Telling = Depends(begun)) -> AsyncIterator[ServerSentEvent]:  # noqa: B008
        happened = streams.told(arrival(request).caller, telling.happened(), lambda event: event, telling.failed)
        async with aclosing(happened) as told:
            async for event in told:
                yield event


def _measured(config: ImageComparisonConfig, examination: Examination) -> list[ServerSentEvent]:
    """The report as it would be without a model, as far as it is known."""
    found = report.build(config, examination, _NOBODY, _NO_TIME, "")
    told = Measured(
        similarity=found.similarity,
        similarity_interval=found.similarity_interval,
        similarity_threshold=found.similarity_threshold,
        summary=found.summary,
        differences=found.differences,
        measurement=found.measurement,
        images=found.images,
    )
    events = [ServerSentEvent(event="measurement", data=told)]
    if found.measurement.text.status == "read":
        worded = tuple(each for each in found.differences if each.text is not None)
        events.append(ServerSentEvent(event="text", data=Read(text=found.measurement.text, differences=worded)))
    return events
