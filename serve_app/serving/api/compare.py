"""`POST /v1/compare`: a body in, a report out: one that there is, or one computed in a place that was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.responses import HTMLResponse

from serve_app.comparison.pipeline import Pipeline, Turns
from serve_app.comparison.remembered import Freshness, Remembered
from serve_app.core import spans
from serve_app.core.clock import Deadline
from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig
from serve_app.serving import telemetry
from serve_app.serving.api import body, envelope
from serve_app.serving.api.arrival import Arrival, arrival
from serve_app.serving.image_urls import ImageUrls
from serve_app.settings import Profile
from serve_app.views import html_report

HTML: Final = "text/html"
# What the file says itself, once it is saved; here also that no other page may frame it.
_OF_HTML: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
CACHE_CONTROL: Final[dict[str, Any]] = {
    "name": "Cache-Control",
    "in": "header",
    "description": "no-cache: compute the report anew. no-store: keep it for nobody, either.",
    "schema": {"type": "string"},
}


def add_compare(
    app: FastAPI,
    pipeline: Pipeline,
    remembered: Remembered,
    profiles: Mapping[str, Profile],
    urls: ImageUrls | None = None,
) -> None:
    """`urls`: fetches pictures that are named by a URL; None: none is."""
    bodies = body.Bodies(profiles, urls)

    @app.post(
        "/v1/compare",
        response_model=Envelope[ComparisonReport],
        responses={**envelope.responses(400, 413, 415, 422, 429, *envelope.KEYED), 200: {"content": {HTML: {}}}},
        openapi_extra={"requestBody": body.described(takes_urls=urls is not None), "parameters": [CACHE_CONTROL]},
        summary="Compare two images",
        description="With `Accept: text/html` the report is one HTML file that opens offline.",
    )
    async def compare(request: Request) -> Response:
        with spans.span("body"):
            asked, arrived = await bodies.read(request), arrival(request)
        is_html = wants_html(request)
        config = html_report.wanted(asked.config) if is_html else asked.config
        deadline = pipeline.deadline(asked.config, arrived=arrived.time)
        report = await remembered.compare(
            asked.reference,
            asked.candidate,
            config,
            deadline,
            lambda: promised(arrived, deadline, config),
            owner=arrived.record.key_name or "",
            freshness=freshness(request),
        )
        note(arrived.record, report)
        if is_html:
            made = await asyncio.to_thread(html_report.html_report, report, config.language)
            return HTMLResponse(made, headers=_OF_HTML)
        return envelope.success(report, arrived.request_id)


def wants_html(request: Request) -> bool:
    """Whether the caller takes a page and no JSON; `*/*` asks for what is usual here."""
    kinds = [part.partition(";")[0].strip().lower() for part in ",".join(request.headers.getlist("accept")).split(",")]
    return HTML in kinds and "application/json" not in kinds


def freshness(request: Request) -> Freshness:
    """What the caller's Cache-Control wants; directives that only a proxy could obey are passed over."""
    lines = ",".join(request.headers.getlist("cache-control"))
    directives = {part.strip().lower() for part in lines.split(",")}
    if "no-store" in directives:
        return "no-store"
    return "no-cache" if "no-cache" in directives else "any"


@contextmanager
def promised(arrived: Arrival, deadline: Deadline, config: ImageComparisonConfig) -> Iterator[Turns]:
    """A computation's place in the queues, with the promise of an answer by `deadline`: without the model's part where
    the model has no time and the caller can do without. Raises `Overloaded`, `Unavailable`."""
    assert arrived.ticket is not None  # Reception gives one to every POST
    ticket = arrived.ticket.apart()
    try:
        ticket.promise(deadline, optional="assess" if config.on_model_failure == "measurement" else None)
        arrived.record.admitted = True
        yield ticket
    finally:
        ticket.leave()


def note(record: telemetry.RequestRecord, report: ComparisonReport) -> None:
    record.verdict = report.verdict
    record.report_id = report.report_id
    record.model_status = report.model.status
    record.cached = report.cached
    if report.cached:
        return  # no stage was reached
    # The report's clock starts with the request: a slow upload is no queue here.
    record.queue_ms = round(max(0.0, report.timings_ms.queue - (record.body_ms or 0.0)), 2)
    record.prepare_ms = report.timings_ms.prepare
    record.measure_ms = report.timings_ms.measure
    record.read_ms = report.timings_ms.read
    record.assess_ms = report.timings_ms.assess
