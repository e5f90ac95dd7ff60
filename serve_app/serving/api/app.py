"""The HTTP app: which routes there are, and what a refusal looks like. No logic of a comparison."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from serve_app import __version__
from serve_app.chat.chat import Chat
from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.remembered import Remembered
from serve_app.errors import ComparisonError, MalformedRequest, MethodNotAllowed, NotFound
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.batches import BatchDesk, add_batches
from serve_app.serving.api.callers import route_of
from serve_app.serving.api.chat import refusals
from serve_app.serving.api.chat.routes import add_chat
from serve_app.serving.api.compare import add_compare
from serve_app.serving.api.door import Door, open_door
from serve_app.serving.api.jobs import JobDesk, add_jobs
from serve_app.serving.api.mcp_door import add_mcp, open_mcp, running
from serve_app.serving.api.operations import add_operations
from serve_app.serving.api.pages.assets import add_assets
from serve_app.serving.api.pages.docs import add_docs
from serve_app.serving.api.pages.examples import Described
from serve_app.serving.api.pages.page import add_page
from serve_app.serving.api.reception import Reception
from serve_app.serving.api.stream import add_stream
from serve_app.serving.api.streams import Streams
from serve_app.serving.image_urls import ImageUrls, open_image_urls
from serve_app.serving.readiness import Readiness
from serve_app.settings import Settings
from serve_app.storage.report_stores import open_reports

_ABOUT: Final[dict[str, Any]] = {
    "title": "PairLens",
    "version": __version__,
    "description": "Compares two images and says, with evidence, whether and where they differ.",
    "docs_url": None,  # FastAPI's own load their scripts from another host
    "redoc_url": None,
    # Serve's tracing has its spans, `core.spans` ours: FastAPI's own would hang beside them on a caller's, and its logs
    # quote what callers sent.
    "telemetry": {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
    "redirect_slashes": False,  # a redirect has no envelope, and its Location is the caller's own Host
}


def create_app(
    pipeline: Pipeline,
    settings: Settings,
    *,
    readiness: Readiness,
    logger: logging.Logger,
    door: Door | None = None,
    remembered: Remembered | None = None,
    jobs: JobDesk | None = None,
    batches: BatchDesk | None = None,
    chat: Chat | None = None,
    image_urls: ImageUrls | None = None,
    context_request_id: Callable[[], str | None] | None = None,
) -> FastAPI:
    """The ASGI app. `door`: who is let in, and `remembered`: what is kept of reports, by default what the settings say.
    `jobs` and `batches`: take work in that outlives its request; None where the operator has them off. `chat`: None
    where no model is served that could talk. `image_urls`: fetches pictures, by default as the settings say.
    `context_request_id`: the id that a server in front has given the request being handled; such a server also puts it
    on the answer."""
    door = door or open_door(settings)
    remembering = remembered or Remembered(pipeline, settings, open_reports(settings.cache))
    urls = image_urls or open_image_urls(settings)
    mcp = open_mcp(settings, pipeline, remembering, logger)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with readiness.watch(), running(mcp):
            yield
        await remembering.aclose()

    app = Described(lifespan=lifespan, **_ABOUT)
    app.add_middleware(
        Reception, door=door, limits=settings.limits, logger=logger, context_request_id=context_request_id
    )
    app.add_exception_handler(ComparisonError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    add_assets(app)
    add_docs(app)
    add_page(app)
    add_operations(app, settings, readiness, door.admission)
    add_compare(app, pipeline, remembering, settings.profiles, urls)
    streams = Streams(logger)
    add_stream(app, pipeline, remembering, streams, settings.profiles, urls)
    add_jobs(app, jobs, streams, settings.profiles, urls)
    add_batches(app, batches, streams, settings.profiles)
    add_chat(app, chat, settings, logger, urls)
    add_mcp(app, mcp)
    return app


async def _refuse(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, ComparisonError)  # what it is registered for
    arrived = arrival(request)
    arrived.record.error = exc.type
    return refusals.refusal(route_of(request.scope), exc, arrived.language, arrived.request_id)


async def _refuse_route(request: Request, exc: Exception) -> Response:
    """Routes that don't exist, methods that a route doesn't have: the framework's own refusals."""
    assert isinstance(exc, HTTPException)
    known: dict[int, ComparisonError] = {
        404: NotFound("There is no such route."),
        405: MethodNotAllowed("This route does not take this method."),
    }
    refused = await _refuse(request, known.get(exc.status_code, MalformedRequest("The request can't be read.")))
    if exc.status_code == 405:
        refused.headers["Allow"] = ", ".join(sorted(_methods(request)))  # all of them, as RFC 9110 wants it
    return refused


def _methods(request: Request) -> set[str]:
    """What can be asked of this path; the framework itself names those of the first route that has it."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in here for method in route.methods or ()}
