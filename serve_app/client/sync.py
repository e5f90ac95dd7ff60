"""A service over HTTP, for programs that wait."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self, TypeVar

import httpx2

from serve_app.client import jobs, wire
from serve_app.client.jobs import JobCalls, Pause, Steps
from serve_app.client.wire import Picture, Sent, ServerFailed
from serve_app.schema import ComparisonReport, ImageComparisonConfig, JobList, JobReport, JobStatus

T = TypeVar("T")


class Done(Protocol):
    """Carries the steps of a call out."""

    def __call__(self, steps: Steps[T]) -> T: ...


class Job:
    """A comparison that outlives its request, as it was last seen; each call sees it anew."""

    def __init__(self, jobs: Jobs, seen: JobReport) -> None:
        self._jobs = jobs
        self.seen = seen

    @property
    def id(self) -> str:
        return self.seen.id

    @property
    def status(self) -> JobStatus:
        return self.seen.status

    @property
    def report(self) -> ComparisonReport:
        """Raises what a failed job ended with, `CantCompare` where there is none."""
        return jobs.report_of(self.seen)

    def wait(self, timeout: float = jobs.WAIT_S) -> Self:
        """Until it has ended, for `timeout` seconds at most. Raises `StillAtWork`."""
        self.seen = self._jobs.wait(self.id, timeout).seen
        return self

    def refresh(self) -> Self:
        self.seen = self._jobs.get(self.id).seen
        return self

    def cancel(self) -> Self:
        """Raises `AlreadyEnded`."""
        self.seen = self._jobs.cancel(self.id).seen
        return self

    def retry(self) -> Self:
        """A failed or cancelled one is begun anew. Raises `AlreadyEnded` for one that has a report."""
        self.seen = self._jobs.retry(self.id).seen
        return self


class Jobs:
    """The jobs of one caller at one service. All raise `ComparisonError` and its kinds, and `ServerFailed`."""

    def __init__(self, done: Done, calls: JobCalls) -> None:
        self._done = done
        self._calls = calls

    def create(
        self,
        reference: Picture,
        candidate: Picture,
        config: ImageComparisonConfig | None = None,
        *,
        idempotency_key: str | None = None,
        webhook_url: str | None = None,
    ) -> Job:
        """Leave both images, bytes or paths, to be compared. Without an answer it is tried again, and stays one job.

        Raises OSError for a path.
        """
        return self._job(self._calls.create(reference, candidate, config, idempotency_key, webhook_url))

    def get(self, job_id: str) -> Job:
        return self._job(self._calls.get(job_id))

    def list(self, *statuses: JobStatus, limit: int = 20, cursor: str | None = None) -> JobList:
        """One's own, newest first, without reports. No `statuses`: all."""
        return self._done(self._calls.page(statuses, limit, cursor))

    def cancel(self, job_id: str) -> Job:
        return self._job(self._calls.cancel(job_id))

    def retry(self, job_id: str) -> Job:
        return self._job(self._calls.retry(job_id))

    def wait(self, job_id: str, timeout: float = jobs.WAIT_S) -> Job:
        return self._job(self._calls.wait(job_id, timeout))

    def _job(self, steps: Steps[JobReport]) -> Job:
        return Job(self, self._done(steps))


class Client:
    """One service, at a base URL such as `http://127.0.0.1:8000`; its connections are kept until it is closed."""

    def __init__(
        self, server: str, *, api_key: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.server = server
        self.jobs = Jobs(self._done, JobCalls(server, api_key))
        self._api_key = api_key
        self._http = httpx2.Client(transport=transport)

    def compare(
        self, reference: Picture, candidate: Picture, config: ImageComparisonConfig | None = None
    ) -> ComparisonReport:
        """Send both images, bytes or paths, and wait for the report.

        Raises `ComparisonError` and its kinds as the service refuses, `ServerFailed`, and OSError for a path.
        """
        sent = wire.request(self.server, reference, candidate, config or ImageComparisonConfig(), self._api_key)
        return wire.report_of(self._sent(sent), self.server)

    def _sent(self, sent: Sent) -> httpx2.Response:
        with wire.failing(self.server):
            return self._http.request(**sent.parts)

    def _done(self, steps: Steps[T]) -> T:
        """Carry the steps out, one after the other."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    answer = self._sent(step)
                except ServerFailed as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
