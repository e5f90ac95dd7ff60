"""Names of metrics, who counts, and the one log line a request leaves.
No Ray, no HTTP: a record in, a structured log entry out; never an image, a prompt or a key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol

STAGE_SECONDS: Final = "pairlens_stage_seconds"
REQUESTS: Final = "pairlens_requests_total"
ADMITTED: Final = "pairlens_admitted_total"
DEADLINE_MISSES: Final = "pairlens_deadline_misses_total"
REFUSALS: Final = "pairlens_refusals_total"
VERDICTS: Final = "pairlens_verdicts_total"
RETRIES: Final = "pairlens_retries_total"
EXPECTED_WAIT_SECONDS: Final = "pairlens_expected_wait_seconds"
PENDING_REQUESTS: Final = "pairlens_pending_requests"
ABANDONED_SECONDS: Final = "pairlens_abandoned_seconds_total"
MODEL_CACHE: Final = "pairlens_model_cache_total"
OUT_OF_MEMORY: Final = "pairlens_out_of_memory_total"
MODEL_ANSWERS: Final = "pairlens_model_answers_total"
MODEL_TOKENS: Final = "pairlens_model_tokens_total"
VISUAL_TOKENS: Final = "pairlens_visual_tokens"
ORDER_GAP: Final = "pairlens_order_gap"
PAIR_MEGAPIXELS: Final = "pairlens_pair_megapixels"
TEXT_READS: Final = "pairlens_text_reads_total"
REPORT_CACHE: Final = "pairlens_report_cache_total"
REPORT_CACHE_BYTES: Final = "pairlens_report_cache_bytes"
JOBS: Final = "pairlens_jobs"
JOBS_ENDED: Final = "pairlens_jobs_ended_total"
JOB_WAIT_SECONDS: Final = "pairlens_job_wait_seconds"
JOB_RUN_SECONDS: Final = "pairlens_job_run_seconds"
JOBS_EXPIRED: Final = "pairlens_jobs_expired_total"
JOBS_TAKEN_OVER: Final = "pairlens_jobs_taken_over_total"
JOB_STORED_BYTES: Final = "pairlens_job_stored_bytes"
JOB_STORE_LIMIT_BYTES: Final = "pairlens_job_store_limit_bytes"
CHAT_TOKENS: Final = "pairlens_chat_tokens_total"
WEBHOOK_TRIES: Final = "pairlens_webhook_tries_total"
CANARY_DRIFT: Final = "pairlens_canary_similarity_drift"
CANARY_RIGHT: Final = "pairlens_canary_right_ratio"
CANARY_PAIRS: Final = "pairlens_canary_pairs"
CANARY_AGE: Final = "pairlens_canary_age_seconds"

# Of jobs: from an empty queue to one of a whole night.
JOB_SECONDS_BOUNDARIES: Final = (0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0, 21600.0)
# Both pictures together: from two icons to two of the largest that are taken.
MEGAPIXEL_BOUNDARIES: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0)
TOKEN_BOUNDARIES: Final = (100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0)
# A probability that moves: above 0.2 a model answers the order of the pictures as much as the pictures.
ORDER_GAP_BOUNDARIES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
# From a comparison without a model to the longest that callers wait for.
SECONDS_BOUNDARIES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

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
    key_name: str | None = None  # whose API key it was, never the key
    admitted: bool = False  # it was promised an answer in time
    verdict: str | None = None
    report_id: str | None = None
    model_status: str | None = None
    cached: bool | None = None  # whether its report was there, or computed for somebody else
    body_bytes: int = 0
    ignored_fields: tuple[str, ...] | None = None  # of a chat request, names as a person would type them
    prompt_tokens: int | None = None  # of a conversation that was answered
    generated_tokens: int | None = None
    body_ms: float | None = None  # until all that it sends or names was here: not our own time
    queue_ms: float | None = None
    prepare_ms: float | None = None
    measure_ms: float | None = None
    read_ms: float | None = None
    assess_ms: float | None = None
    total_ms: float = 0.0

    def stage_seconds(self) -> Iterator[tuple[str, float]]:
        """Name and seconds of each stage that was reached, and of the whole where a report came of it."""
        for stage in ("body", "queue", "prepare", "measure", "read", "assess", "total"):
            took_ms: float | None = getattr(self, f"{stage}_ms")
            if took_ms is not None and self.report_id is not None:
                yield stage, took_ms / 1000


class Recorder(Protocol):
    """Counts what happens, wherever the counts are kept."""

    def request(self, record: RequestRecord) -> None:
        """A request has ended."""

    def load(self, pending: int, expected_wait_s: float) -> None:
        """How it stands now; told again and again."""


class Unrecorded:
    """Nobody counts."""

    def request(self, record: RequestRecord) -> None:
        pass

    def load(self, pending: int, expected_wait_s: float) -> None:
        pass


UNRECORDED: Final = Unrecorded()


def log_request(logger: logging.Logger, record: RequestRecord) -> None:
    """One entry named "request"; the fields become top-level keys under a JSON formatter."""
    fields = {key: value for key, value in asdict(record).items() if value is not None}
    # `request_id` is a key Ray Serve's own formatter sets from its context: ours goes beside it.
    fields["id"] = fields.pop("request_id")
    logger.info("request", extra=fields)
