"""HTTP in, HTTP out: every route of the service, as a plain function of a pipeline.
No Ray and no pixels: who compares and who knows whether the service is ready are passed in."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from serve_app import __version__
from serve_app.comparison import identity
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.measured import Deadline
from serve_app.errors import ComparisonError, MalformedRequest, MethodNotAllowed, NotFound
from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig
from serve_app.serving import telemetry
from serve_app.serving.admission import Admission, KeyRing, Quota, Ticket
from serve_app.serving.api import body, envelope
from serve_app.serving.api.callers import Callers
from serve_app.serving.api.reception import Arrival, Door, Reception, arrival
from serve_app.settings import Settings

__all__ = ["AlwaysReady", "Door", "Readiness", "create_app", "open_door", "promised"]

UNRECORDED: Final = telemetry.Unrecorded()


class Readiness(Protocol):
    """Knows whether a comparison sent now would be answered."""

    async def check(self) -> None:
        """Raise `Unavailable` with the reason if not."""

    def watch(self) -> AbstractAsyncContextManager[None]:
        """Keep knowing for as long as the context is open: the server's life."""


class AlwaysReady:
    """For a pipeline in this process: its model was loaded and asked before it came to be."""

    async def check(self) -> None:
        return None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        yield


def create_app(
    pipeline: Pipeline,
    settings: Settings,
    *,
    readiness: Readiness,
    logger: logging.Logger,
    door: Door | None = None,
    context_request_id: Callable[[], str | None] | None = None,
) -> FastAPI:
    """The ASGI app. `door`: who is let in, by default what the settings say. `context_request_id`: the id that a
    server in front has given the request being handled; such a server also puts it on the answer."""
    door = door or open_door(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with readiness.watch():
            yield

    app = FastAPI(
        title="PairLens",
        version=__version__,
        description="Compares two images and says, with evidence, whether and where they differ.",
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect has no envelope, and its Location is the caller's own Host
    )
    app.add_middleware(
        Reception, door=door, limits=settings.limits, logger=logger, context_request_id=context_request_id
    )
    app.add_exception_handler(ComparisonError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    _add_operations(app, settings, readiness, door.admission)
    _add_compare(app, pipeline)
    return app


def open_door(settings: Settings, *, recorder: telemetry.Recorder = UNRECORDED) -> Door:
    """Admission, keys and quota as the operator has set them. Raises `KeysUnreadable`."""
    limits, keys_file = settings.limits, settings.access.api_keys_file
    keys = KeyRing.load(Path(keys_file)) if keys_file is not None else None
    quota = Quota(limits.requests_per_minute, limits.burst) if limits.requests_per_minute is not None else None
    admission = Admission(limits, ("examine", "assess") if settings.model.is_asked else ("examine",))
    return Door(Callers(keys, settings.access.trusted_proxies), admission, quota, recorder)


def _add_compare(app: FastAPI, pipeline: Pipeline) -> None:
    bodies = body.Bodies()

    @app.post(
        "/v1/compare",
        response_model=Envelope[ComparisonReport],
        responses=envelope.responses(400, 413, 415, 422, 429, *envelope.KEYED),
        openapi_extra={"requestBody": body.OPENAPI},
        summary="Compare two images",
    )
    async def compare(request: Request) -> Response:
        asked = await bodies.read(request)
        deadline = pipeline.deadline(asked.config, arrived=arrival(request).time)
        ticket = promised(arrival(request), deadline, asked.config)
        report = await pipeline.compare(asked.reference, asked.candidate, asked.config, deadline, ticket)
        _note(arrival(request).record, report)
        return envelope.success(report, arrival(request).request_id)


def promised(arrived: Arrival, deadline: Deadline, config: ImageComparisonConfig) -> Ticket:
    """The request's ticket, with the promise of an answer by `deadline`: without the model's part where the model
    has no time and the caller can do without. Raises `Overloaded`, `Unavailable`, `DeadlineExceeded`."""
    deadline.check()
    assert arrived.ticket is not None  # Reception gives one to every POST
    arrived.ticket.promise(deadline, optional="assess" if config.on_model_failure == "measurement" else None)
    arrived.record.admitted = True
    return arrived.ticket


def _add_operations(app: FastAPI, settings: Settings, readiness: Readiness, admission: Admission) -> None:
    @app.get("/livez", summary="Is this process alive?", responses=envelope.responses())
    async def livez(request: Request) -> Response:
        return envelope.success({"status": "alive"}, arrival(request).request_id)

    @app.get("/readyz", summary="Would a comparison sent now be answered?", responses=envelope.responses())
    async def readyz(request: Request) -> Response:
        admission.refuse_if_draining()
        await readiness.check()
        return envelope.success({"status": "ready"}, arrival(request).request_id)

    @app.get("/version", summary="Which software and which model answer here?", responses=envelope.responses())
    async def version(request: Request) -> Response:
        model = identity.configured(settings.model)
        running = {"engine": model.engine, "name": model.name, "revision": model.revision}
        data = {"name": "pairlens", "version": __version__, "model": running}
        return envelope.success(data, arrival(request).request_id)

    @app.get("/v1/limits", summary="What this service accepts", responses=envelope.responses(*envelope.KEYED))
    async def limits(request: Request) -> Response:
        return envelope.success(settings.limits.model_dump(mode="json"), arrival(request).request_id)


def _note(record: telemetry.RequestRecord, report: ComparisonReport) -> None:
    record.verdict = report.verdict
    record.report_id = report.report_id
    record.model_status = report.model.status
    record.queue_ms = report.timings_ms.queue
    record.prepare_ms = report.timings_ms.prepare
    record.measure_ms = report.timings_ms.measure
    record.assess_ms = report.timings_ms.assess


async def _refuse(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, ComparisonError)  # what it is registered for
    arrived = arrival(request)
    arrived.record.error = exc.type
    return envelope.failure(exc, arrived.language, arrived.request_id)


async def _refuse_route(request: Request, exc: Exception) -> Response:
    """Routes that don't exist, methods that a route doesn't have: the framework's own refusals."""
    assert isinstance(exc, HTTPException)
    known: dict[int, ComparisonError] = {
        404: NotFound("There is no such route."),
        405: MethodNotAllowed("This route does not take this method."),
    }
    refused = await _refuse(request, known.get(exc.status_code, MalformedRequest("The request can't be read.")))
    if exc.status_code == 405:
        refused.headers.update(exc.headers or {})  # Allow, as RFC 9110 wants it
    return refused
