"""Names of metrics, and the one log line a request leaves.
No Ray, no HTTP: a record in, a structured log entry out; never an image, a prompt or a key."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Literal

ABANDONED_SECONDS = "pairlens_abandoned_seconds_total"

Outcome = Literal["answered", "refused", "failed", "client_left"]


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request when it ends; stages that were not reached stay None."""

    request_id: str
    method: str
    path: str  # the route's pattern or "unknown": never what a caller typed
    status: int = 0
    outcome: Outcome = "failed"
    error: str | None = None
    verdict: str | None = None
    report_id: str | None = None
    model_status: str | None = None
    body_bytes: int = 0
    queue_ms: float | None = None
    prepare_ms: float | None = None
    measure_ms: float | None = None
    assess_ms: float | None = None
    total_ms: float = 0.0


def log_request(logger: logging.Logger, record: RequestRecord) -> None:
    """One entry named "request"; the fields become top-level keys under a JSON formatter."""
    fields = {key: value for key, value in asdict(record).items() if value is not None}
    # `request_id` is a key Ray Serve's own formatter sets from its context: ours goes beside it.
    fields["id"] = fields.pop("request_id")
    logger.info("request", extra=fields)
