"""`POST /v1/compare`: a body in, a promise made, a report out."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from serve_app.comparison.pipeline import Pipeline
from serve_app.core.clock import Deadline
from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig
from serve_app.serving import telemetry
from serve_app.serving.admission import Ticket
from serve_app.serving.api import body, envelope
from serve_app.serving.api.arrival import Arrival, arrival


def add_compare(app: FastAPI, pipeline: Pipeline) -> None:
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


def _note(record: telemetry.RequestRecord, report: ComparisonReport) -> None:
    record.verdict = report.verdict
    record.report_id = report.report_id
    record.model_status = report.model.status
    record.queue_ms = report.timings_ms.queue
    record.prepare_ms = report.timings_ms.prepare
    record.measure_ms = report.timings_ms.measure
    record.assess_ms = report.timings_ms.assess
