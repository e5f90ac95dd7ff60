"""`/v1/jobs`: work left here, its state, its events, its end. No comparison is made on these routes.
Asks the store in threads: it blocks."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

import pydantic_core
from fastapi import Depends, FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from serve_app.errors import ComparisonError, MalformedRequest, NotFound, Overloaded, RateLimited
from serve_app.jobs import events, webhook
from serve_app.jobs.events import Event
from serve_app.jobs.job import Job
from serve_app.jobs.job import Request as JobRequest
from serve_app.jobs.store import JobStore
from serve_app.schema import Envelope, ErrorReport, JobEvent, JobList, JobReport, JobStatus
from serve_app.serving.api import body, envelope
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.body import Asked
from serve_app.serving.api.door import UNHURRIED
from serve_app.storage.blobs import Blobs

_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
MOST_LISTED: Final = 100
LISTED: Final = 20
# Retry-After of a job that was taken: it may be done in a second, and each that stands before it may take as long.
LONGEST_RETRY_AFTER_S: Final = 30

# Streams of events open at once at one entrance: each holds one of its places for requests, and asks the database.
MOST_STREAMS: Final = 64
STREAMS_PER_CALLER: Final = 16
STREAM_RETRY_AFTER_S: Final = 10

_ANY: Final = (503, *envelope.KEYED)
_STATUSES: Final[tuple[JobStatus, ...]] = get_args(JobStatus)


def _parameter(name: str, where: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    told = {"name": name, "in": where, "required": where == "path", "schema": schema, "description": description}
    return {"parameters": [told]}


def _parameters(*each: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [parameter for one in each for parameter in one["parameters"]]}


_JOB_ID: Final = _parameter("job_id", "path", {"type": "string"}, "As the job's `id` says")
_IDEMPOTENCY_KEY: Final = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "Sent again with the same body it names the same job, with another body it is refused (409)",
)
_LIST: Final = _parameters(
    _parameter(
        "status",
        "query",
        {"type": "array", "items": {"type": "string", "enum": list(_STATUSES)}},
        "Only jobs of this state; may be given several times",
    ),
    _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}, f"{LISTED} if not given"),
    _parameter("cursor", "query", {"type": "string"}, "`next_cursor` of the page before"),
)
_EVENTS: Final = _parameters(
    _JOB_ID,
    _parameter(
        "Last-Event-ID", "header", {"type": "string", "pattern": "^[0-9]{1,9}$"}, "Only what happened after this one"
    ),
)


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


class _Streams:
    """How many streams of events are open here, and whose."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Raises `RateLimited`, `Overloaded`."""
        if self._open[caller] >= STREAMS_PER_CALLER:
            raise RateLimited(
                f"{STREAMS_PER_CALLER} streams of this caller are open here already.",
                retry_after_s=STREAM_RETRY_AFTER_S,
            )
        if self._open.total() >= MOST_STREAMS:
            raise Overloaded("Too many streams are open here already.", retry_after_s=STREAM_RETRY_AFTER_S)

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open -= Counter((caller,))


def add_jobs(app: FastAPI, desk: JobDesk | None, logger: logging.Logger) -> None:
    """The routes; without a desk they only say that jobs are off."""
    if desk is None:
        _add_refusal(app)
        return
    _add_taking(app, desk)
    _add_asking(app, desk)
    _add_events(app, desk, logger)


def _add_refusal(app: FastAPI) -> None:
    async def off(request: Request) -> Response:
        raise NotFound("Jobs are turned off at this service; its operator can turn them on (args.jobs).")

    for path in (UNHURRIED, UNHURRIED + "/{rest:path}"):
        app.add_api_route(path, off, methods=["GET", "POST", "DELETE"], include_in_schema=False)


def _add_taking(app: FastAPI, desk: JobDesk) -> None:
    bodies = body.Bodies(takes_webhook=desk.takes_webhooks)

    @app.post(
        UNHURRIED,
        status_code=202,
        response_model=Envelope[JobReport],
        responses=envelope.responses(400, 409, 410, 413, 422, 429, 507, *_ANY),
        openapi_extra={"requestBody": body.described(takes_webhook=desk.takes_webhooks), **_IDEMPOTENCY_KEY},
        summary="Leave two images to be compared",
    )
    async def post(request: Request) -> Response:
        key = _key(request)
        asked = await bodies.read(request)
        return _accepted(request, await desk.take(arrival(request).caller, key, asked))

    @app.post(
        UNHURRIED + "/{job_id}/retry",
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
        UNHURRIED,
        response_model=Envelope[JobList],
        responses=envelope.responses(400, *_ANY),
        openapi_extra=_LIST,
        summary="One's own jobs, newest first",
    )
    async def page(request: Request) -> Response:
        asked = request.query_params
        statuses, limit = _statuses(asked.getlist("status")), _limit(asked.get("limit"))
        found = await asyncio.to_thread(
            desk.store.page, arrival(request).caller, statuses, limit, asked.get("cursor") or None
        )
        jobs = {"jobs": [present(job) for job in found.jobs], "next_cursor": found.next_cursor}
        return envelope.success(jobs, arrival(request).request_id)

    @app.get(
        UNHURRIED + "/{job_id}",
        response_model=Envelope[JobReport],
        responses=envelope.responses(410, *_ANY),
        openapi_extra=_JOB_ID,
        summary="How far a job is, and its report",
    )
    async def one(request: Request) -> Response:
        return envelope.success(present(await _of(request, desk.store.find)), arrival(request).request_id)

    @app.delete(
        UNHURRIED + "/{job_id}",
        response_model=Envelope[JobReport],
        responses=envelope.responses(409, 410, *_ANY),
        openapi_extra=_JOB_ID,
        summary="Cancel a job that has not ended",
    )
    async def cancel(request: Request) -> Response:
        job = await _of(request, desk.store.cancel)
        desk.stop(job.id, job.attempt)
        return envelope.success(present(job), arrival(request).request_id)


def _add_events(app: FastAPI, desk: JobDesk, logger: logging.Logger) -> None:
    streams = _Streams()

    async def found(request: Request) -> int:
        """Before the stream begins, where a refusal can still be one. The number to go on after."""
        after = _after(request)
        streams.check(arrival(request).caller)
        await _of(request, desk.store.find)
        return after

    @app.get(
        UNHURRIED + "/{job_id}/events",
        response_class=EventSourceResponse,
        responses=envelope.responses(400, 410, 429, *_ANY),
        openapi_extra=_EVENTS,
        summary="What happens to a job, as it happens",
    )
    async def happening(request: Request, after: int = Depends(found)) -> AsyncIterator[ServerSentEvent]:
        caller, job_id = arrival(request).caller, _job_id(request)

        def look(number: int) -> tuple[list[Event], bool]:
            return desk.store.happened(caller, job_id, number)

        try:
            with streams.one(caller):
                async for event in events.follow(look, after, desk.patience_s):
                    yield _sent(event)
        except ComparisonError as exc:  # an exception would cut the stream off without a word
            yield _broken(exc)
        except Exception as bug:  # noqa: BLE001
            where = "".join(traceback.format_tb(bug.__traceback__))
            logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
            yield _broken(ComparisonError("Something went wrong here; the request is in our log."))


def present(job: Job) -> dict[str, Any]:
    """A job as `schema.JobReport` describes it. Its report is handed on as it was stored: another version of this
    service may have written it."""
    return {
        "id": job.id,
        "status": job.status,
        "attempt": job.attempt,
        "position": job.position,
        "stage": job.stage,
        "created": _moment(job.created),
        "started": _moment(job.started),
        "ended": _moment(job.ended),
        "expires": _moment(job.expires),
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
        "next_try": _moment(told.next_try),
    }


def _webhook(asked: Asked) -> str | None:
    if asked.webhook_url is None:
        return None
    try:
        return webhook.checked(asked.webhook_url)
    except ValueError as exc:
        raise MalformedRequest(str(exc), field=f"/{body.WEBHOOK}") from None


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _sent(event: Event) -> ServerSentEvent:
    told = JobEvent(
        status=event.status, attempt=event.attempt, stage=event.stage, time=cast(datetime, _moment(event.at))
    )
    return ServerSentEvent(event=event.status, id=str(event.number), data=told)


def _broken(exc: ComparisonError) -> ServerSentEvent:
    return ServerSentEvent(event="error", data=ErrorReport(type=exc.type, detail=exc.detail))


def _accepted(request: Request, job: Job) -> Response:
    location = f"{request.scope.get('root_path', '')}{UNHURRIED}/{job.id}"
    wait_s = min(LONGEST_RETRY_AFTER_S, job.position or 1)
    return envelope.accepted(present(job), arrival(request).request_id, location, wait_s)


async def _of(request: Request, ask: Callable[[str, str], Job]) -> Job:
    return await asyncio.to_thread(ask, arrival(request).caller, _job_id(request))


def _job_id(request: Request) -> str:
    """Raises `NotFound` for what can't be the id of a job: databases refuse some characters."""
    job_id: str = request.path_params["job_id"]
    if not _ID.fullmatch(job_id):
        raise NotFound("There is no such job of this caller.")
    return job_id


def _key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedRequest("An Idempotency-Key is one header of 1..255 visible ASCII characters.")
    return keys[0]


def _statuses(asked: list[str]) -> list[JobStatus]:
    known = [status for status in _STATUSES if status in asked]
    if len(known) != len(set(asked)):
        raise MalformedRequest(f"A status is one of {', '.join(_STATUSES)}.", field="/status")
    return known


def _limit(asked: str | None) -> int:
    if asked is None:
        return LISTED
    if not _NUMBER.fullmatch(asked) or not 1 <= int(asked) <= MOST_LISTED:
        raise MalformedRequest(f"The limit is a number from 1 to {MOST_LISTED}.", field="/limit")
    return int(asked)


def _after(request: Request) -> int:
    last = request.headers.get("last-event-id", "0")
    if not _NUMBER.fullmatch(last):
        raise MalformedRequest("The Last-Event-ID is not one of ours.")
    return int(last)
