"""Jobs as steps: left, looked at, waited for, followed, cancelled. No sockets.
A job is left under a key of its own, so that no try pays twice."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.client.failures import refusal
from serve_app.client.report import Report
from serve_app.client.service import Service
from serve_app.client.steps import Flow, Request
from serve_app.client.wire import Pair
from serve_app.core.comparing import CantCompare
from serve_app.errors import AlreadyEnded
from serve_app.schema import JobEvent, JobList, JobReport, JobStatus

JOBS = "/v1/jobs"
WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class JobCalls:
    service: Service

    def create(self, pair: Pair, idempotency_key: str | None, webhook_url: str | None) -> Flow[JobReport]:
        fields = pair.fields if webhook_url is None else {**pair.fields, "webhook_url": webhook_url}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        request = Request("POST", JOBS, headers=headers, fields=fields, parts=pair.parts)
        return (yield from self.service.asked(request, JobReport))

    def get(self, job_id: str) -> Flow[JobReport]:
        return (yield from self.service.asked(_one(job_id), JobReport))

    def page(self, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> Flow[JobList]:
        request = Request("GET", JOBS, params=paged("status", statuses, limit, cursor))
        return (yield from self.service.asked(request, JobList))

    def cancel(self, job_id: str) -> Flow[JobReport]:
        """One that is cancelled already stays so: the answer to an earlier try may have been lost."""
        try:
            return (yield from self.service.asked(_one(job_id, "DELETE"), JobReport))
        except AlreadyEnded:
            found = yield from self.get(job_id)
            if found.status != "cancelled":
                raise
            return found

    def retry(self, job_id: str) -> Flow[JobReport]:
        """Not sent again where it may have arrived: it may have failed anew by then, and would be paid once more."""
        request = Request("POST", f"{JOBS}/{job_id}/retry", is_safe=False)
        return (yield from self.service.asked(request, JobReport))

    def wait(self, job_id: str, timeout_s: float) -> Flow[JobReport]:
        """Until it has ended, also while the service restarts. Raises `StillAtWork`."""
        return (yield from self.service.waited(_one(job_id), JobReport, timeout_s, f"The job {job_id}", job_id))

    def events(self, job_id: str, timeout_s: float) -> Flow[None]:
        """Tells each `JobEvent`, once. Raises `StillAtWork`."""
        request = Request("GET", f"{JOBS}/{job_id}/events")
        yield from self.service.followed(request, JobEvent, timeout_s, f"The job {job_id}", job_id)


def report_of(job: JobReport, pair: Pair | None = None) -> Report:
    """Raises the `ComparisonError` that a failed job ended with, `CantCompare` for one that was cancelled, or has not
    ended. `pair`: what was sent, where that is known."""
    if job.report is not None:
        return Report.of(job.report, pair)
    if job.error is not None:
        raise refusal(job.error)
    raise CantCompare(f"The job {job.id} has no report: it is {job.status}.")


def paged(name: str, words: Sequence[str], limit: int, cursor: str | None) -> list[tuple[str, str]]:
    more = [] if cursor is None else [("cursor", cursor)]
    return [("limit", str(limit)), *((name, word) for word in words), *more]


def _one(job_id: str, method: str = "GET") -> Request:
    return Request(method, f"{JOBS}/{job_id}")
