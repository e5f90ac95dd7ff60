"""`/v1/batches`: many pairs left here at once, how far they are, what came of them. Compares nothing.
Asks the store in threads: it blocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core
from fastapi import Depends, FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import StreamingResponse

from serve_app.core.pictures import Upload
from serve_app.errors import MalformedRequest, NotFound
from serve_app.imaging.pdf.documents import Document, Documents, is_pdf
from serve_app.imaging.pdf.pages import paired
from serve_app.jobs import events
from serve_app.jobs.batch import OUTCOMES, Batch, BatchPair, BatchRequest, PairResult, Picture
from serve_app.jobs.batch_store import BatchStore, ResultPage
from serve_app.schema import BatchList, BatchReport, BatchResults, Envelope, PairOutcome, PdfOptions
from serve_app.serving.api import asking, batch_body, envelope
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.batch_body import AskedBatch, Sent
from serve_app.serving.api.door import BATCHES
from serve_app.serving.api.streams import Streams
from serve_app.settings import Profile
from serve_app.storage.blobs import Blobs

# Batches that are taken at once at one entrance, their bodies there: one of 100,000 lines takes 145 MB.
TAKEN_AT_ONCE: Final = 2
# Files of a batch are brought to the disk so many at a time, by so many threads: a disk flushes several files at once.
BROUGHT_FILES: Final = 16
BROUGHT_AT_ONCE: Final = 4
# Retry-After of a batch that was taken.
LOOK_AGAIN_S: Final = 2
JSON_LINES: Final = "application/x-ndjson"
# Results read from the database at once for JSONL.
READ_AT_ONCE: Final = 100

_ANY: Final = (503, *envelope.KEYED)
_BATCH_ID: Final = asking.parameter("batch_id", "path", {"type": "string"}, "As the batch's `id` says")
_LIST: Final = asking.parameters(asking.statuses_parameter("batches"), *asking.PAGE)
_RESULTS: Final = asking.parameters(
    _BATCH_ID, asking.words_parameter("outcome", OUTCOMES, "Only pairs of this outcome"), *asking.PAGE
)
_EVENTS: Final = asking.parameters(_BATCH_ID, asking.LAST_EVENT)


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """Takes batches in. `stop`: tells whoever is at work on one that it was cancelled; `patience_s`: how long one
    stream of events lasts."""

    store: BatchStore
    blobs: Blobs
    documents: Documents
    stop: Callable[[str], None]
    patience_s: float

    async def take(self, caller: str, key: str | None, asked: AskedBatch) -> Batch:
        """Keep all files, then the batch: when it returns nothing of it can be lost.

        Raises `IdempotencyConflict`, `Expired`, `StorageFull`, `Overloaded`, `Unavailable`, `PdfRejected`,
        `UnsupportedImageType` for a PDF where they can't be read, `MalformedRequest` for one among pictures.
        """
        return await asyncio.to_thread(self._take, caller, key, asked)

    def _take(self, caller: str, key: str | None, asked: AskedBatch) -> Batch:
        digests: dict[Sent, str] = {}
        sizes: dict[str, int] = {}
        num_pdfs = 0
        for sent in _files(asked):
            content = _content(sent)
            digests[sent] = digest = Upload(content).digest
            sizes[digest] = len(content)
            num_pdfs += is_pdf(content)
        request = self._request(caller, key, asked, digests, num_pdfs, sum(sizes.values()))
        known = self.store.known(request) if key is not None else None
        if known is not None:
            return known
        self.store.check_room(request)
        self._bring(digests)
        return self.store.enqueue(request)

    def _request(
        self,
        caller: str,
        key: str | None,
        asked: AskedBatch,
        digests: dict[Sent, str],
        num_pdfs: int,
        file_bytes: int,
    ) -> BatchRequest:
        if num_pdfs not in (0, 2) or (num_pdfs and len(asked.pairs) > 1):
            raise MalformedRequest("A PDF is compared with one other: send one reference and one candidate.")
        if not num_pdfs:
            if asked.pdf is not None:
                raise MalformedRequest("The part pdf is for two PDFs, and none was sent.", field="/pdf")
            return BatchRequest.of(caller, key, asked.config, _pairs(asked, digests), file_bytes=file_bytes)
        options = asked.pdf or PdfOptions()
        pages = self._pages(asked, options, digests)
        return BatchRequest.of(caller, key, asked.config, pages, file_bytes=file_bytes, dpi=options.dpi)

    def _pages(self, asked: AskedBatch, options: PdfOptions, digests: dict[Sent, str]) -> list[BatchPair]:
        """Of two PDFs; renders them small."""
        (pair,) = asked.pairs
        assert pair.reference is not None
        assert pair.candidate is not None
        one, other = pair.reference, pair.candidate
        both = (
            Document(digests[one], lambda: _content(one), "reference"),
            Document(digests[other], lambda: _content(other), "candidate"),
        )

        def picture(sent: Sent, page: int | None) -> Picture | None:
            return Picture(digests[sent], f"{sent.name}#page={page}", page) if page is not None else None

        return [
            BatchPair(
                number,
                pages.name,
                picture(one, pages.reference),
                picture(other, pages.candidate),
                json.dumps(pages.ignore_regions) if pages.ignore_regions else None,
            )
            for number, pages in enumerate(paired(self.documents, *both, options, asked.config), 1)
        ]

    def _bring(self, digests: dict[Sent, str]) -> None:
        """All files to where they are kept, a few at a time in memory."""
        sent = list(digests)
        # One iterator for all threads: each part is taken by one of them.
        waiting = iter([sent[at : at + BROUGHT_FILES] for at in range(0, len(sent), BROUGHT_FILES)])

        def bring() -> None:
            for some in waiting:
                self.blobs.put([(digests[each], _content(each)) for each in some])

        with ThreadPoolExecutor(BROUGHT_AT_ONCE, thread_name_prefix="bring") as threads:
            for brought in [threads.submit(bring) for _ in range(BROUGHT_AT_ONCE)]:
                brought.result()


@dataclass(frozen=True, slots=True)
class _Change:
    """A batch as it stands, numbered by how often it has changed: who missed some sees all that came of them."""

    batch: Batch

    @property
    def number(self) -> int:
        return self.batch.version


def add_batches(app: FastAPI, desk: BatchDesk | None, streams: Streams, profiles: Mapping[str, Profile]) -> None:
    """The routes; without a desk they only say that batches are off."""
    if desk is None:
        _add_refusal(app)
        return
    _add_taking(app, desk, profiles)
    _add_asking(app, desk)
    _add_results(app, desk)
    _add_events(app, desk, streams)


def _add_refusal(app: FastAPI) -> None:
    async def off(request: Request) -> Response:
        raise NotFound("Batches are turned off at this service; its operator can turn them on (args.jobs).")

    for path in (BATCHES, BATCHES + "/{rest:path}"):
        app.add_api_route(path, off, methods=["GET", "POST", "DELETE"], include_in_schema=False)


def _add_taking(app: FastAPI, desk: BatchDesk, profiles: Mapping[str, Profile]) -> None:
    turns = asyncio.Semaphore(TAKEN_AT_ONCE)

    @app.post(
        BATCHES,
        status_code=202,
        response_model=Envelope[BatchReport],
        responses=envelope.responses(400, 409, 410, 413, 415, 422, 429, 507, *_ANY),
        openapi_extra={"requestBody": batch_body.OPENAPI, **asking.IDEMPOTENCY_KEY},
        summary="Leave many pairs to be compared",
    )
    async def post(request: Request) -> Response:
        key = asking.key(request)
        form = await batch_body.read(request)
        try:
            async with turns:
                asked = await batch_body.asked_by(request, form, profiles)
                batch = await desk.take(arrival(request).caller, key, asked)
        finally:
            await form.close()
        location = f"{request.scope.get('root_path', '')}{BATCHES}/{batch.id}"
        return envelope.accepted(present(batch), arrival(request).request_id, location, LOOK_AGAIN_S)


def _add_asking(app: FastAPI, desk: BatchDesk) -> None:
    @app.get(
        BATCHES,
        response_model=Envelope[BatchList],
        responses=envelope.responses(400, *_ANY),
        openapi_extra=_LIST,
        summary="One's own batches, newest first",
    )
    async def page(request: Request) -> Response:
        statuses, limit, cursor = asking.statuses(request), asking.limit(request), asking.cursor(request)
        found = await asyncio.to_thread(desk.store.page, arrival(request).caller, statuses, limit, cursor)
        told = {"batches": [present(batch) for batch in found.batches], "next_cursor": found.next_cursor}
        return envelope.success(told, arrival(request).request_id)

    @app.get(
        BATCHES + "/{batch_id}",
        response_model=Envelope[BatchReport],
        responses=envelope.responses(410, *_ANY),
        openapi_extra=_BATCH_ID,
        summary="How far a batch is, and how many pairs ended how",
    )
    async def one(request: Request) -> Response:
        return envelope.success(present(await _of(request, desk.store.find)), arrival(request).request_id)

    @app.delete(
        BATCHES + "/{batch_id}",
        response_model=Envelope[BatchReport],
        responses=envelope.responses(409, 410, *_ANY),
        openapi_extra=_BATCH_ID,
        summary="Cancel a batch that has not ended; its results so far stay",
    )
    async def cancel(request: Request) -> Response:
        batch = await _of(request, desk.store.cancel)
        desk.stop(batch.id)
        return envelope.success(present(batch), arrival(request).request_id)


def _add_results(app: FastAPI, desk: BatchDesk) -> None:
    @app.get(
        BATCHES + "/{batch_id}/results",
        response_model=Envelope[BatchResults],
        responses={**envelope.responses(400, 410, *_ANY), 200: {"content": {JSON_LINES: {}}}},
        openapi_extra=_RESULTS,
        summary="What came of the pairs: a page, or with `Accept: application/x-ndjson` all there is, a line a pair",
    )
    async def results(request: Request) -> Response:
        batch_id, caller = _batch_id(request), arrival(request).caller
        outcomes, limit = asking.words(request, "outcome", OUTCOMES), asking.limit(request)
        after = asking.numbered_cursor(request)
        if JSON_LINES in request.headers.get("accept", ""):
            first = await asyncio.to_thread(desk.store.results, caller, batch_id, outcomes, after, READ_AT_ONCE)
            lines = _lines(desk.store, caller, batch_id, outcomes, first)
            return StreamingResponse(lines, media_type=JSON_LINES)
        page = await asyncio.to_thread(desk.store.results, caller, batch_id, outcomes, after, limit)
        last = page.results[-1][0].number if page.results else after
        told = {
            "results": [_result(*each) for each in page.results],
            "next_cursor": None if page.is_last else str(last),
        }
        return envelope.success(told, arrival(request).request_id)


def _add_events(app: FastAPI, desk: BatchDesk, streams: Streams) -> None:
    async def found(request: Request) -> int:
        """Before the stream begins, where a refusal can still be one. The number to go on after."""
        after = asking.after(request)
        streams.check(arrival(request).caller)
        await _of(request, desk.store.find)
        return after

    @app.get(
        BATCHES + "/{batch_id}/events",
        response_class=EventSourceResponse,
        responses=envelope.responses_beside_events(400, 410, 429, *_ANY),
        openapi_extra=_EVENTS,
        summary="How a batch gets on, as it does",
    )
    async def happening(request: Request, after: int = Depends(found)) -> AsyncIterator[ServerSentEvent]:
        caller, batch_id = arrival(request).caller, _batch_id(request)

        def look(number: int) -> tuple[list[_Change], bool]:
            batch = desk.store.find(caller, batch_id)
            return [_Change(batch)] if batch.version > number else [], batch.has_ended

        changes = events.follow(look, after, desk.patience_s)
        async with aclosing(streams.told(caller, changes, _sent)) as told:
            async for event in told:
                yield event


def _pairs(asked: AskedBatch, digests: dict[Sent, str]) -> list[BatchPair]:
    def picture(sent: Sent | None) -> Picture | None:
        return Picture(digests[sent], sent.name) if sent is not None else None

    return [
        BatchPair(number, pair.name, picture(pair.reference), picture(pair.candidate))
        for number, pair in enumerate(asked.pairs, 1)
    ]


def present(batch: Batch) -> dict[str, Any]:
    """A batch as `schema.BatchReport` describes it."""
    return {
        "id": batch.id,
        "status": batch.status,
        "position": batch.position,
        "num_pairs": batch.num_pairs,
        "num_done": batch.num_done,
        "outcomes": dict(batch.outcomes),
        "created": asking.moment(batch.created),
        "started": asking.moment(batch.started),
        "ended": asking.moment(batch.ended),
        "expires": asking.moment(batch.expires),
        "error": pydantic_core.from_json(batch.error) if batch.error is not None else None,
    }


def _result(pair: BatchPair, result: PairResult) -> dict[str, Any]:
    """As `schema.BatchResult` describes it; the report as it was stored: another version may have written it."""
    return {
        "number": pair.number,
        "name": pair.name,
        "outcome": result.outcome,
        "reference": _said(pair.reference),
        "candidate": _said(pair.candidate),
        "report": pydantic_core.from_json(result.report) if result.report is not None else None,
        "error": pydantic_core.from_json(result.error) if result.error is not None else None,
    }


def _said(picture: Picture | None) -> str | None:
    return picture.said if picture is not None else None


async def _lines(
    store: BatchStore, caller: str, batch_id: str, outcomes: Sequence[PairOutcome], page: ResultPage
) -> AsyncGenerator[bytes, None]:
    """A line of JSON a result, to the last one there is now."""
    while page.results:
        yield b"".join(pydantic_core.to_json(_result(*each)) + b"\n" for each in page.results)
        last = page.results[-1][0].number
        page = await asyncio.to_thread(store.results, caller, batch_id, outcomes, last, READ_AT_ONCE)


def _sent(change: _Change) -> ServerSentEvent:
    told = BatchReport.model_validate(present(change.batch))
    return ServerSentEvent(event=change.batch.status, id=str(change.number), data=told)


def _files(asked: AskedBatch) -> dict[Sent, None]:
    """Each once, in order."""
    sides = (side for pair in asked.pairs for side in (pair.reference, pair.candidate))
    return dict.fromkeys(side for side in sides if side is not None)


def _content(sent: Sent) -> bytes:
    sent.file.file.seek(0)
    return sent.file.file.read()


async def _of(request: Request, ask: Callable[[str, str], Batch]) -> Batch:
    return await asyncio.to_thread(ask, arrival(request).caller, _batch_id(request))


def _batch_id(request: Request) -> str:
    return asking.named(request, "batch_id", "There is no such batch of this caller.")
