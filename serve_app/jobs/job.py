"""A job's states, and what may follow what.
No I/O: `store` writes only what this allows, and one state machine of the tests drives both."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serve_app.core.pictures import Upload
from serve_app.schema import ImageComparisonConfig, JobStage, JobStatus, WebhookStatus

# From where each state may come. A job that runs may be begun again: its worker died, and another took it over.
SOURCES: Final[Mapping[JobStatus, frozenset[JobStatus]]] = {
    "queued": frozenset({"failed", "cancelled"}),  # asked for once more
    "running": frozenset({"queued", "running"}),
    "succeeded": frozenset({"running"}),
    "failed": frozenset({"queued", "running"}),  # queued: its images are gone
    "cancelled": frozenset({"queued", "running"}),
}
ENDED: Final[frozenset[JobStatus]] = frozenset({"succeeded", "failed", "cancelled"})


def may_become(status: JobStatus, following: JobStatus) -> bool:
    return status in SOURCES[following]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the message about an ended attempt is. `body`: the same on every try; `next_try`: as `time.time()`,
    None once it is over."""

    job_id: str
    attempt: int
    caller: str
    url: str
    body: str
    status: WebhookStatus
    tries: int
    said: str | None
    next_try: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands. Times are `time.time()` seconds; `report` and `error` are JSON as they were stored."""

    id: str
    caller: str
    status: JobStatus
    attempt: int
    created: float
    reference: str  # digests of the images
    candidate: str
    config: str  # JSON, as it was asked
    stage: JobStage | None = None
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    report: str | None = None
    error: str | None = None
    webhook: str | None = None  # the URL that is told of its end
    delivery: Delivery | None = None
    position: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks to be done: both pictures with their digests, a config, and a name for the whole."""

    id: str
    caller: str
    reference: Upload
    candidate: Upload
    config: ImageComparisonConfig
    webhook: str | None = None

    @classmethod
    def of(
        cls,
        caller: str,
        key: str | None,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        webhook: str | None = None,
    ) -> Request:
        """`key`: the caller's Idempotency-Key; the same names the same job again. Hashes both pictures."""
        named = uuid.uuid4().hex if key is None else hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()[:32]
        return cls(named, caller, reference.digested(), candidate.digested(), config, webhook)

    @property
    def body_hash(self) -> str:
        """Of what is asked, however it was written down: a form has another boundary each time."""
        said = [self.reference.digest, self.candidate.digest, self.config.model_dump_json()]
        if self.webhook is not None:
            said.append(self.webhook)
        return hashlib.sha256("\0".join(said).encode()).hexdigest()
