"""`/v1/jobs`: work left here, its state, its events, its end. No comparison is made on these routes.
Asks the store in threads: it blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core
from fastapi import Depends, FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from serve_app.errors import MalformedRequest, NotFound
from serve_app.jobs import events, webhook
from serve_app.jobs.events import Event
from serve_app.jobs.job import Job
from serve_app.jobs.job import Request as JobRequest
from serve_app.jobs.store import JobStore
from serve_app.schema import Envelope, JobEvent, JobList, JobReport
from serve_app.serving.api import asking, body, envelope
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.body import Asked
from serve_app.serving.api.door import JOBS
from serve_app.serving.api.streams import Streams
from serve_app.serving.image_urls import ImageUrls
from serve_app.settings import Profile
from serve_app.storage.blobs import Blobs

# Retry-After of a job that was taken: it may be done in a second, and each that stands before it may take as long.
LONGEST_RETRY_AFTER_S: Final = 30

_ANY: Final = (503, *envelope.KEYED)
_JOB_ID: Final = asking.parameter("job_id", "path", {"type": "string"}, "As the job's `id` says")
_LIST: Final = asking.parameters(asking.statuses_parameter("jobs"), *asking.PAGE)
_EVENTS: Final = asking.parameters(_JOB_ID, asking.LAST_EVENT)


@dataclass(frozen=True, slots=True)
class JobDesk:
    """Takes work in. `stop`: tells whoever is at work on an attempt that it was cancelled; `patience_s`: how long one
    stream of events lasts, after which a caller comes again with its Last-Event-ID. `takes_webhooks`: whether a caller
    may name a place that is told of its job's end."""

    store: JobStore
    blobs: Blobs
    stop: Callable[[str, int], None]
    patience_s: float
    takes_webhooks: bool = False

    async def take(self, caller: str, key: str | None, asked: Asked) -> Job:
        """Keep both images, then the job: when it returns nothing of it can be lost.

        Raises `MalformedRequest` for a webhook's URL that is none, `IdempotencyConflict`, `Expired`, `StorageFull`,
        `Overloaded`, `Unavailable`.
        """
        return await asyncio.to_thread(self._take, caller, key, asked)

    def _take(self, caller: str, key: str | None, asked: Asked) -> Job:
        url = _webhook(asked)
        request = JobRequest.of(caller, key, asked.reference, asked.candidate, asked.config, url)
        known = self.store.known(request) if key is not None else None
        if known is not None:
            return known
        self.store.check_room(request)
        self.blobs.put([(each.digest, each.data) for each in (request.reference, request.candidate)])
        return self.store.enqueue(request)


def add_jobs(
    app: FastAPI,
    desk: JobDesk | None,
    streams: Streams,
    profiles: Mapping[str, Profile],
    urls: ImageUrls | None = None,
) -> None:
    """The routes; without a desk they only say that jobs are off."""
    if desk is None:
        _add_refusal(app)
        return
    _add_taking(app, desk, body.Bodies(profiles, urls, takes_webhook=desk.takes_webhooks), urls is not None)
    _add_asking(app, desk)
    _add_events(app, desk, streams)


def _add_refusal(app: FastAPI) -> None:
    async def off(request: Request) -> Response:
        raise NotFound("Jobs are turned off at this service; its operator can turn them on (args.jobs).")

    for path in (JOBS, JOBS + "/{rest:path}"):
        app.add_api_route(path, off, methods=["GET", "POST", "DELETE"], include_in_schema=False)


def _add_taking(app: FastAPI, desk: JobDesk, bodies: body.Bodies, takes_urls: bool) -> None:
    sent = body.described(takes_webhook=desk.takes_webhooks, takes_urls=takes_urls)

    @app.post(
        JOBS,
        status_code=202,
        response_model=Envelope[JobReport],
        responses=envelope.responses(400, 409, 410, 413, 422, 429, 507, *_ANY),
        openapi_extra={"requestBody": sent, **asking.IDEMPOTENCY_KEY},
        summary="Leave two images to be compared",
    )
    async def post(request: Request) -> Response:
        key = asking.key(request)
        asked = await bodies.read(request)
        return _accepted(request, await desk.take(arrival(request).caller, key, asked))

    @app.post(
        JOBS + "/{job_id}/retry",
        status_code=202,
        response_model=Envelope[JobReport],
        responses=envelope.responses(409, 410, 429, *_ANY),
        openapi_extra=_JOB_ID,
        summary="Compare a failed or cancelled job's images once more",
    )
    async def retry(request: Request) -> Response:
        return _accepted(request, await _of(request, desk.store.retry))


def _add_asking(app: FastAPI, desk: JobDesk) -> None:
    @app.get(
        JOBS,
        response_model=Envelope[JobList],
        responses=envelope.responses(400, *_ANY),
        openapi_extra=_LIST,
        summary="One's own jobs, newest first",
    )
    async def page(request: Request) -> Response:
        statuses, limit = asking.statuses(request), asking.limit(request)
        found = await asyncio.to_thread(
            desk.store.page, arrival(request).caller, statuses, limit, asking.cursor(request)
        )
        jobs = {"jobs": [present(job) for job in found.jobs], "next_cursor": found.next_cursor}
        return envelope.success(jobs, arrival(request).request_id)

    @app.get(
        JOBS + "/{job_id}",
        response_model=Envelope[JobReport],
        responses=envelope.responses(410, *_ANY),
        openapi_extra=_JOB_ID,
        summary="How far a job is, and its report",
    )
    async def one(request: Request) -> Response:
        return envelope.success(present(await _of(request, desk.store.find)), arrival(request).request_id)

    @app.delete(
        JOBS + "/{job_id}",
        response_model=Envelope[JobReport],
        responses=envelope.responses(409, 410, *_ANY),
        openapi_extra=_JOB_ID,
        summary="Cancel a job that has not ended",
    )
    async def cancel(request: Request) -> Response:
        job = await _of(request, desk.store.cancel)
        desk.stop(job.id, job.attempt)
        return envelope.success(present(job), arrival(request).request_id)


def _add_events(app: FastAPI, desk: JobDesk, streams: Streams) -> None:
    async def found(request: Request) -> int:
        """Before the stream begins, where a refusal can still be one. The number to go on after."""
        after = asking.after(request)
        streams.check(arrival(request).caller)
        await _of(request, desk.store.find)
        return after

    @app.get(
        JOBS + "/{job_id}/events",
        response_class=EventSourceResponse,
        responses=envelope.responses_beside_events(400, 410, 429, *_ANY),
        openapi_extra=_EVENTS,
        summary="What happens to a job, as it happens",
    )
    async def happening(request: Request, after: int = Depends(found)) -> AsyncIterator[ServerSentEvent]:
        caller, job_id = arrival(request).caller, _job_id(request)

        def look(number: int) -> tuple[list[Event], bool]:
            return desk.store.happened(caller, job_id, number)

        happened = events.follow(look, after, desk.patience_s)
        async with aclosing(streams.told(caller, happened, _sent)) as told:
            async for event in told:
                yield event


def present(job: Job) -> dict[str, Any]:
    """A job as `schema.JobReport` describes it. Its report is handed on as it was stored: another version of this
    service may have written it."""
    return {
        "id": job.id,
        "status": job.status,
        "attempt": job.attempt,
        "position": job.position,
        "stage": job.stage,
        "created": asking.moment(job.created),
        "started": asking.moment(job.started),
        "ended": asking.moment(job.ended),
        "expires": asking.moment(job.expires),
        "report": pydantic_core.from_json(job.report) if job.report is not None else None,
        "error": pydantic_core.from_json(job.error) if job.error is not None else None,
        "webhook": _delivery(job),
    }


def _delivery(job: Job) -> dict[str, Any] | None:
    if job.webhook is None:
        return None
    told = job.delivery
    if told is None:  # it has not ended yet
        return {"url": job.webhook, "status": "pending", "tries": 0, "said": None, "next_try": None}
    return {
        "url": told.url,
        "status": told.status,
        "tries": told.tries,
        "said": told.said,
        "next_try": asking.moment(told.next_try),
    }


def _webhook(asked: Asked) -> str | None:
    if asked.webhook_url is None:
        return None
    try:
        return webhook.checked(asked.webhook_url)
    except ValueError as exc:
        raise MalformedRequest(str(exc), field=f"/{body.WEBHOOK}") from None


def _sent(event: Event) -> ServerSentEvent:
    told = JobEvent(
        status=event.status, attempt=event.attempt, stage=event.stage, time=datetime.fromtimestamp(event.at, UTC)
    )
    return ServerSentEvent(event=event.status, id=str(event.number), data=told)


def _accepted(request: Request, job: Job) -> Response:
    location = f"{request.scope.get('root_path', '')}{JOBS}/{job.id}"
    wait_s = min(LONGEST_RETRY_AFTER_S, job.position or 1)
    return envelope.accepted(present(job), arrival(request).request_id, location, wait_s)


async def _of(request: Request, ask: Callable[[str, str], Job]) -> Job:
    return await asyncio.to_thread(ask, arrival(request).caller, _job_id(request))


def _job_id(request: Request) -> str:
    return asking.named(request, "job_id", "There is no such job of this caller.")
