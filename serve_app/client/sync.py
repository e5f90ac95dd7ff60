"""A service over HTTP, for programs that wait: the calls by name, each carried out by a pump."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self, Unpack

import httpx2

from serve_app.client import batches, jobs, wire
from serve_app.client.batches import BatchCalls, Form, Pairs
from serve_app.client.calls import Comparisons, StreamEvent
from serve_app.client.jobs import JobCalls
from serve_app.client.pictures import Picture
from serve_app.client.pumps import Pump
from serve_app.client.report import Report
from serve_app.client.service import MAX_RETRIES, Options, Service, key_or_environment
from serve_app.client.wire import Config, Pair
from serve_app.schema import (
    BatchList,
    BatchReport,
    BatchResult,
    JobEvent,
    JobList,
    JobReport,
    JobStatus,
    PairOutcome,
    PdfOptions,
)


class Job:
    """A comparison that outlives its request, as it was last seen; each call sees it anew."""

    def __init__(self, jobs: Jobs, seen: JobReport, pair: Pair | None = None) -> None:
        self._jobs = jobs
        self._pair = pair
        self.seen = seen

    @property
    def id(self) -> str:
        return self.seen.id

    @property
    def status(self) -> JobStatus:
        return self.seen.status

    @property
    def report(self) -> Report:
        """Raises what a failed job ended with, `CantCompare` where there is none."""
        return jobs.report_of(self.seen, self._pair)

    def wait(self, timeout: float = jobs.WAIT_S) -> Self:
        """Until it has ended, for `timeout` seconds at most. Raises `StillAtWork`."""
        self.seen = self._jobs.wait(self.id, timeout).seen
        return self

    def events(self, timeout: float = jobs.WAIT_S) -> Iterator[JobEvent]:
        """What happens to it, as it happens, until it has ended. Raises `StillAtWork`."""
        return self._jobs.events(self.id, timeout)

    def refresh(self) -> Self:
        self.seen = self._jobs.get(self.id).seen
        return self

    def cancel(self) -> Self:
        """Raises `AlreadyEnded` for one that has come to an end of its own."""
        self.seen = self._jobs.cancel(self.id).seen
        return self

    def retry(self) -> Self:
        """A failed or cancelled one is begun anew. Raises `AlreadyEnded` for one that has a report."""
        self.seen = self._jobs.retry(self.id).seen
        return self


class Jobs:
    """The jobs of one caller at one service. All raise `ComparisonError` and its kinds, and `ServerFailed`."""

    def __init__(self, pump: Pump, service: Service) -> None:
        self._pump = pump
        self._calls = JobCalls(service)

    def create(
        self,
        reference: Picture,
        candidate: Picture,
        config: Config | None = None,
        *,
        idempotency_key: str | None = None,
        webhook_url: str | None = None,
    ) -> Job:
        """Leave both pictures to be compared. Without an answer it is tried again, and stays one job.

        Raises OSError for a path.
        """
        pair = wire.pair(reference, candidate, config)
        return Job(self, self._pump.run(self._calls.create(pair, idempotency_key, webhook_url)), pair)

    def get(self, job_id: str) -> Job:
        return Job(self, self._pump.run(self._calls.get(job_id)))

    def list(self, *statuses: JobStatus, limit: int = 20, cursor: str | None = None) -> JobList:
        """One's own, newest first, without reports. No `statuses`: all."""
        return self._pump.run(self._calls.page(statuses, limit, cursor))

    def cancel(self, job_id: str) -> Job:
        return Job(self, self._pump.run(self._calls.cancel(job_id)))

    def retry(self, job_id: str) -> Job:
        return Job(self, self._pump.run(self._calls.retry(job_id)))

    def wait(self, job_id: str, timeout: float = jobs.WAIT_S) -> Job:
        return Job(self, self._pump.run(self._calls.wait(job_id, timeout)))

    def events(self, job_id: str, timeout: float = jobs.WAIT_S) -> Iterator[JobEvent]:
        return self._pump.tell(self._calls.events(job_id, timeout))


class Batch:
    """Many pairs under one config, as they were last seen; each call sees them anew."""

    def __init__(
        self, batches: Batches, seen: BatchReport, form: Form | None = None, config: Config | None = None
    ) -> None:
        self._batches = batches
        self._form = form
        self._config = config
        self.seen = seen

    @property
    def id(self) -> str:
        return self.seen.id

    @property
    def status(self) -> JobStatus:
        return self.seen.status

    def wait(self, timeout: float = batches.WAIT_S) -> Self:
        """Until it has ended, for `timeout` seconds at most. Raises `StillAtWork`."""
        self.seen = self._batches.wait(self.id, timeout).seen
        return self

    def events(self, timeout: float = batches.WAIT_S) -> Iterator[BatchReport]:
        """It as it stands after each change, until it has ended. Raises `StillAtWork`."""
        return self._batches.events(self.id, timeout)

    def results(self, *outcomes: PairOutcome, timeout: float = batches.WAIT_S) -> Iterator[BatchResult]:
        """Each pair as it is done, in the order they were sent; no `outcomes`: all. Raises `StillAtWork`."""
        for row in self._batches.results(self.id, *outcomes, timeout=timeout):
            yield batches.pictured(row, self._form, self._config)

    def refresh(self) -> Self:
        self.seen = self._batches.get(self.id).seen
        return self

    def cancel(self) -> Self:
        """What is done stays. Raises `AlreadyEnded` for one that has come to an end of its own."""
        self.seen = self._batches.cancel(self.id).seen
        return self


class Batches:
    """The batches of one caller at one service. All raise `ComparisonError` and its kinds, and `ServerFailed`."""

    def __init__(self, pump: Pump, service: Service) -> None:
        self._pump = pump
        self._calls = BatchCalls(service)

    def create(
        self,
        pairs: Pairs,
        config: Config | None = None,
        *,
        pdf: PdfOptions | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Leave many pairs: in order, by name, or the `.csv` or `.jsonl` that lists them. Tried again as jobs are.

        `pdf`: of one pair that is two PDFs. Raises `ManifestRejected`, OSError for a path.
        """
        form = batches.form(pairs)
        return Batch(self, self._pump.run(self._calls.create(form, config, pdf, idempotency_key)), form, config)

    def get(self, batch_id: str) -> Batch:
        return Batch(self, self._pump.run(self._calls.get(batch_id)))

    def list(self, *statuses: JobStatus, limit: int = 20, cursor: str | None = None) -> BatchList:
        """One's own, newest first. No `statuses`: all."""
        return self._pump.run(self._calls.page(statuses, limit, cursor))

    def cancel(self, batch_id: str) -> Batch:
        return Batch(self, self._pump.run(self._calls.cancel(batch_id)))

    def wait(self, batch_id: str, timeout: float = batches.WAIT_S) -> Batch:
        return Batch(self, self._pump.run(self._calls.wait(batch_id, timeout)))

    def events(self, batch_id: str, timeout: float = batches.WAIT_S) -> Iterator[BatchReport]:
        return self._pump.tell(self._calls.events(batch_id, timeout))

    def results(self, batch_id: str, *outcomes: PairOutcome, timeout: float = batches.WAIT_S) -> Iterator[BatchResult]:
        return self._pump.tell(self._calls.results(batch_id, outcomes, timeout))


class Client:
    """One service, at a base URL such as `http://127.0.0.1:8000`; its connections are kept until it is closed. Threads
    may share it; a process that was forked opens connections of its own.

    `timeout`: seconds of a call, all its tries and pauses included; None: what the comparison may take, and 15 s for
    the way; 60 s for other calls. `max_retries`: of what may pass by itself (no answer, 429, 503), after the
    service's Retry-After or about 0.5, 1, 2 … s.
    """

    def __init__(
        self,
        server: str,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        max_retries: int = MAX_RETRIES,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        key = key_or_environment(api_key)
        self._use(Pump(server, transport), Service(server, key, timeout, max_retries), is_owner=True)

    def compare(self, reference: Picture, candidate: Picture, config: Config | None = None) -> Report:
        """Send both pictures (bytes, paths, images of Pillow, arrays) and wait for the report.

        Raises `ComparisonError` and its kinds as the service refuses, `ServerFailed` and its kinds where it does not
        answer, and OSError for a path.
        """
        return self._pump.run(self._comparisons.compare(wire.pair(reference, candidate, config)))

    def stream(
        self, reference: Picture, candidate: Picture, config: Config | None = None
    ) -> Generator[StreamEvent, None, None]:
        """The same, told while it is made: `Progress`, `Measured`, `Read`, and the `Report` as the last. Leaving ends
        the work. A stream that ends before its report raises `CutOff`."""
        return self._pump.tell(self._comparisons.stream(wire.pair(reference, candidate, config)))

    def with_options(self, **options: Unpack[Options]) -> Self:
        """The same service under another `timeout`, `max_retries` or `api_key`, over the same connections, which only
        the first closes. Raises TypeError for another name."""
        made = type(self).__new__(type(self))
        made._use(self._pump, self._service.with_options(**options), is_owner=False)
        return made

    def _use(self, pump: Pump, service: Service, *, is_owner: bool) -> None:
        self.server = service.server
        self.jobs = Jobs(pump, service)
        self.batches = Batches(pump, service)
        self._comparisons = Comparisons(service)
        self._service = service
        self._pump = pump
        self._is_owner = is_owner

    def close(self) -> None:
        """Close its connections."""
        if self._is_owner:
            self._pump.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
