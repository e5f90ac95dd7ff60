"""What callers get of work that outlives a request: jobs and batches; and the envelope around every answer.
Knows no work."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from serve_app.schema.report import ComparisonReport, ErrorReport, Out
from serve_app.schema.words import JobStage, JobStatus, WebhookStatus

Data = TypeVar("Data")


class WebhookReport(Out):
    """Whether the place that wants to hear of a job's end has heard of it. It changes nothing about the job."""

    url: str
    status: WebhookStatus
    tries: Annotated[int, Field(ge=0, description="Six at most, the last one an hour after the one before")]
    said: Annotated[str | None, Field(description="What came of the last try")] = None
    next_try: datetime | None = None


class JobReport(Out):
    """A comparison that outlives its request."""

    id: str
    status: JobStatus
    attempt: Annotated[int, Field(ge=1, description="1, and one more with each retry that was asked for")]
    position: Annotated[int | None, Field(ge=1, description="In the queue, 1: next; null once it has begun")]
    stage: Annotated[JobStage | None, Field(description="Of a job that runs; waiting for its turn there included")]
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: Annotated[datetime | None, Field(description="When report, error and images are deleted")]
    report: Annotated[ComparisonReport | None, Field(description="Of a job that succeeded; null in lists")] = None
    error: ErrorReport | None = None
    webhook: Annotated[WebhookReport | None, Field(description="Where one was asked for")] = None


class JobList(Out):
    """Newest first."""

    jobs: tuple[JobReport, ...]
    next_cursor: Annotated[str | None, Field(description="For the next page; null on the last one")]


class JobEvent(Out):
    """What happened to a job; its name is the event's, its number the event's id."""

    status: JobStatus
    attempt: int
    stage: JobStage | None
    time: datetime


PairOutcome = Literal["match", "mismatch", "uncertain", "added", "removed", "failed"]


class PairReport(Out):
    """One pair of a batch: a line of `results.jsonl`. `reference` and `candidate` are paths as they were named."""

    name: str
    outcome: PairOutcome  # added, removed: on one side only; failed: see `error`
    reference: str | None
    candidate: str | None
    report: ComparisonReport | None = None
    error: ErrorReport | None = None


class BatchOutcomes(Out):
    """How many pairs ended how."""

    match: Annotated[int, Field(ge=0)] = 0
    mismatch: Annotated[int, Field(ge=0)] = 0
    uncertain: Annotated[int, Field(ge=0)] = 0
    added: Annotated[int, Field(ge=0)] = 0
    removed: Annotated[int, Field(ge=0)] = 0
    failed: Annotated[int, Field(ge=0)] = 0


class BatchReport(Out):
    """Many pairs under one config, compared in the background."""

    id: str
    status: Annotated[JobStatus, Field(description="succeeded: every pair has a result, `failed` ones too")]
    position: Annotated[int | None, Field(ge=1, description="In the queue of batches; null once it has begun")]
    num_pairs: Annotated[int, Field(ge=1)]
    num_done: Annotated[int, Field(ge=0)]
    outcomes: BatchOutcomes
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: Annotated[datetime | None, Field(description="When the results and images are deleted")]
    error: ErrorReport | None = None


class BatchList(Out):
    """Newest first."""

    batches: tuple[BatchReport, ...]
    next_cursor: Annotated[str | None, Field(description="For the next page; null on the last one")]


class BatchResult(PairReport):
    """One pair of a batch at the server; a line of its JSONL."""

    number: Annotated[int, Field(ge=1, description="Of the pair in its batch, as they were sent")]


class BatchResults(Out):
    """In the order of the pairs, as far as they are done without a gap."""

    results: tuple[BatchResult, ...]
    next_cursor: Annotated[str | None, Field(description="For what comes after; null once all has been told")]


class Envelope(Out, Generic[Data]):
    """What every answer is wrapped in; the HTTP status equals `code`."""

    code: int
    msg: str
    data: Data | None
    error: ErrorReport | None
    request_id: str
