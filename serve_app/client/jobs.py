"""What a client does about jobs, step by step: requests to be sent, pauses to be made, what their answers become.
No sockets and no clock but its own: the clients, one that waits and one with an event loop, carry the steps out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx2

from serve_app.client import wire
from serve_app.client.wire import Picture, Sent, ServerFailed
from serve_app.core.comparing import CantCompare
from serve_app.errors import Unavailable
from serve_app.schema import (
    ComparisonReport,
    ImageComparisonConfig,
    JobList,
    JobReport,
    JobStatus,
)

T = TypeVar("T")

ENDED: Final[frozenset[JobStatus]] = frozenset({"succeeded", "failed", "cancelled"})
# How often a job is left where the first try was not answered: it has a name of its own, so it is never done twice.
TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
# Between looks at a job that is waited for: an empty one ends in a tenth of a second.
FIRST_LOOK_S: Final = 0.1
LONGEST_LOOK_S: Final = 2.0
# Of one answer about a job; no image is sent.
ANSWER_S: Final = 30.0
WAIT_S: Final = 600.0


class StillAtWork(TimeoutError):
    """A job that was waited for has not ended yet; it goes on, and can be waited for again."""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


# Who carries the steps out sends back the answer to a request, or throws `ServerFailed` where there is none.
Steps = Generator[Sent | Pause, httpx2.Response | None, T]


@dataclass(frozen=True, slots=True)
class JobCalls:
    """The steps of each call to one service. All end by themselves, and raise `ComparisonError` and its kinds as the
    service refuses, `ServerFailed` where it does not answer."""

    server: str
    api_key: str | None

    def create(
        self,
        reference: Picture,
        candidate: Picture,
        config: ImageComparisonConfig | None,
        idempotency_key: str | None,
        webhook_url: str | None,
    ) -> Steps[JobReport]:
        """Tried again where no answer came, or the service has no room at the moment: under the same key, so that it
        is one job. Raises OSError for a path."""
        beside = {} if webhook_url is None else {"webhook_url": webhook_url}
        asked = wire.request(self.server, reference, candidate, config or ImageComparisonConfig(), self.api_key)
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        sent = Sent(
            self._url(),
            files=asked.files,
            data={**asked.data, **beside},
            headers={**asked.headers, **key},
            timeout_s=ANSWER_S,
        )
        for number in range(1, TRIES + 1):
            try:
                return self._job((yield sent))
            except (ServerFailed, Unavailable) as exc:
                if number == TRIES:
                    raise
                yield Pause(_pause_s(exc, number))
        raise AssertionError  # the last try has ended it

    def get(self, job_id: str) -> Steps[JobReport]:
        return self._job((yield self._ask("GET", f"/{job_id}")))

    def page(self, statuses: Sequence[JobStatus], limit: int, cursor: str | None) -> Steps[JobList]:
        params = [("limit", str(limit)), *(("status", status) for status in statuses)]
        if cursor is not None:
            params.append(("cursor", cursor))
        return wire.data_of(_answered((yield self._ask("GET", "", params))), self.server, JobList)

    def cancel(self, job_id: str) -> Steps[JobReport]:
        return self._job((yield self._ask("DELETE", f"/{job_id}")))

    def retry(self, job_id: str) -> Steps[JobReport]:
        return self._job((yield self._ask("POST", f"/{job_id}/retry")))

    def wait(self, job_id: str, timeout_s: float) -> Steps[JobReport]:
        """Until it has ended. Whoever does not answer meanwhile is asked again. Raises `StillAtWork`."""
        until, pause_s = time.monotonic() + timeout_s, FIRST_LOOK_S
        while True:
            left_s = until - time.monotonic()
            try:
                found = self._job((yield self._ask("GET", f"/{job_id}", timeout_s=max(0.1, min(ANSWER_S, left_s)))))
                if found.status in ENDED:
                    return found
            except (ServerFailed, Unavailable):
                pass
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise StillAtWork(f"The job {job_id} has not ended within {timeout_s:g} s.")
            yield Pause(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)

    def _url(self, below: str = "") -> str:
        return f"{self.server.rstrip('/')}/v1/jobs{below}"

    def _ask(
        self, method: str, below: str, params: Sequence[tuple[str, str]] = (), timeout_s: float = ANSWER_S
    ) -> Sent:
        headers = wire.authorization(self.api_key)
        return Sent(self._url(below), method=method, params=params, headers=headers, timeout_s=timeout_s)

    def _job(self, answer: httpx2.Response | None) -> JobReport:
        return wire.data_of(_answered(answer), self.server, JobReport)


def report_of(job: JobReport) -> ComparisonReport:
    """Raises the `ComparisonError` that a failed job ended with, `CantCompare` for one that was cancelled, or has not
    ended."""
    if job.report is not None:
        return job.report
    if job.error is not None:
        raise wire.refusal(job.error)
    raise CantCompare(f"The job {job.id} has no report: it is {job.status}.")


def _pause_s(exc: ServerFailed | Unavailable, number: int) -> float:
    asked_s = exc.retry_after_s if isinstance(exc, Unavailable) else None
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (number - 1) if asked_s is None else asked_s)


def _answered(answer: httpx2.Response | None) -> httpx2.Response:
    assert answer is not None  # what a request is sent for
    return answer
