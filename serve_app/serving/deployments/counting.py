"""What happens, counted in Ray's metrics: `ray_pairlens_*` on each node's metrics port.
Knows the names only; what they mean stands in `telemetry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ray.serve import metrics

from serve_app.serving import telemetry

if TYPE_CHECKING:  # `Jobs` counts as well, and a killed one is back the sooner for what it does not load
    from serve_app.comparison.remembered import Lookup
    from serve_app.core.assessed import Assessment
    from serve_app.core.clock import StageName
    from serve_app.core.measured import Examination
    from serve_app.errors import ComparisonError
    from serve_app.schema import JobStatus, WebhookStatus
    from serve_app.serving.canary import Standing
    from serve_app.serving.telemetry import RequestRecord

# Refusals are the answers that a caller could avoid by coming later or with a key; the others are their own fault.
_REFUSED = frozenset({401, 403, 429, 503})


class RayRecorder:
    """A `telemetry.Recorder` for one ingress replica. Serve adds application, deployment and replica."""

    def __init__(self) -> None:
        self._requests = metrics.Counter(
            telemetry.REQUESTS, "Requests ended, by route, outcome and error type.", ("path", "outcome", "error")
        )
        self._admitted = metrics.Counter(telemetry.ADMITTED, "Comparisons that were promised an answer in time.")
        self._misses = metrics.Counter(telemetry.DEADLINE_MISSES, "Promised comparisons that missed their deadline.")
        self._refusals = metrics.Counter(telemetry.REFUSALS, "Requests refused, by error type.", ("error",))
        self._verdicts = metrics.Counter(telemetry.VERDICTS, "Reports, by verdict.", ("verdict",))
        self._retries = metrics.Counter(telemetry.RETRIES, "Calls sent once more after a lost replica.", ("stage",))
        self._stages = metrics.Histogram(
            telemetry.STAGE_SECONDS,
            "Seconds of answered comparisons: body (its upload), queue (all waiting here), the work's stages, total.",
            list(telemetry.SECONDS_BOUNDARIES),
            ("stage",),
        )
        self._reports = metrics.Counter(
            telemetry.REPORT_CACHE,
            "Comparisons that an old report would do for: hit (there was one), joined (under way for another), miss.",
            ("outcome",),
        )
        self._report_bytes = metrics.Gauge(telemetry.REPORT_CACHE_BYTES, "Of finished reports, in memory here.")
        self._chat_tokens = metrics.Counter(
            telemetry.CHAT_TOKENS, "Tokens of answered conversations: prompt or generated.", ("kind",)
        )
        self._wait = metrics.Gauge(telemetry.EXPECTED_WAIT_SECONDS, "Expected wait of a request that comes now.")
        self._pending = metrics.Gauge(telemetry.PENDING_REQUESTS, "Requests let in and not yet answered.")

    def request(self, record: RequestRecord) -> None:
        error = record.error or "none"
        self._requests.inc(tags={"path": record.path, "outcome": record.outcome, "error": error})
        if record.status in _REFUSED:
            self._refusals.inc(tags={"error": error})
        if record.admitted:
            self._admitted.inc()
            if record.error == "deadline_exceeded":
                self._misses.inc()
        if record.verdict is not None:
            self._verdicts.inc(tags={"verdict": record.verdict})
        _add_tokens(self._chat_tokens, record.prompt_tokens, record.generated_tokens)
        for stage, seconds in record.stage_seconds():
            self._stages.observe(seconds, tags={"stage": stage})

    def retried(self, stage: StageName) -> None:
        self._retries.inc(tags={"stage": stage})

    def report_looked_up(self, outcome: Lookup) -> None:
        self._reports.inc(tags={"outcome": outcome})

    def reports_held(self, num_bytes: int) -> None:
        self._report_bytes.set(num_bytes)

    def load(self, pending: int, expected_wait_s: float) -> None:
        self._pending.set(pending)
        self._wait.set(expected_wait_s)


class RayExaminationRecorder:
    """What a replica of the CPU stage counts: of requests, jobs, batches, and of the service's own pairs."""

    def __init__(self) -> None:
        self._megapixels = metrics.Histogram(
            telemetry.PAIR_MEGAPIXELS,
            "Megapixels of a pair that was examined, both pictures together.",
            list(telemetry.MEGAPIXEL_BOUNDARIES),
        )
        self._reads = metrics.Counter(
            telemetry.TEXT_READS, "Pairs that were examined, by what came of reading their text.", ("status",)
        )

    def ended(self, outcome: Examination | ComparisonError) -> None:
        if isinstance(outcome, Exception):
            return  # refused: it is counted by its type where the request ends
        both = outcome.reference, outcome.candidate
        self._megapixels.observe(sum(facts.width * facts.height for facts in both) / 1e6)
        self._reads.inc(tags={"status": outcome.reading.status})


class RayAssessmentRecorder:
    """What a replica of the model stage counts: of requests, jobs, batches, and of the service's own pairs."""

    def __init__(self) -> None:
        self._answers = metrics.Counter(
            telemetry.MODEL_ANSWERS,
            "Work that the model was given, comparison or conversation: answered, or the error's type.",
            ("work", "status"),
        )
        self._tokens = metrics.Counter(
            telemetry.MODEL_TOKENS, "Tokens of answered comparisons: prompt or generated.", ("kind",)
        )
        self._visual = metrics.Histogram(
            telemetry.VISUAL_TOKENS,
            "Tokens of all pictures of a comparison, in one order.",
            list(telemetry.TOKEN_BOUNDARIES),
        )
        self._gap = metrics.Histogram(
            telemetry.ORDER_GAP,
            "Probability that moved to another answer when the pictures were exchanged, mean of a comparison.",
            list(telemetry.ORDER_GAP_BOUNDARIES),
        )

    def assessed(self, outcome: Assessment | ComparisonError) -> None:
        if isinstance(outcome, Exception):
            self._answered("comparison", outcome.type)
            return
        self._answered("comparison", outcome.status)
        _add_tokens(self._tokens, outcome.prompt_tokens, outcome.generated_tokens)
        if outcome.plan is not None:
            self._visual.observe(outcome.plan.visual_tokens)
        if outcome.order_gap is not None:
            self._gap.observe(outcome.order_gap)

    def talked(self, refusal: ComparisonError | None) -> None:
        """A conversation has ended; `refusal`: how, where it did not as it should."""
        self._answered("conversation", "answered" if refusal is None else refusal.type)

    def _answered(self, work: str, status: str) -> None:
        self._answers.inc(tags={"work": work, "status": status})


class RayJobRecorder:
    """What the deployment `Jobs` counts. `limit_bytes`: the quota."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._jobs = metrics.Gauge(telemetry.JOBS, "Jobs that are kept, by state.", ("status",))
        self._bytes = metrics.Gauge(telemetry.JOB_STORED_BYTES, "Of the quota for jobs, what is taken.")
        self._limit = metrics.Gauge(telemetry.JOB_STORE_LIMIT_BYTES, "The quota for jobs.")
        self._ended = metrics.Counter(telemetry.JOBS_ENDED, "Jobs that were done, by their end.", ("status",))
        self._wait = _job_seconds(telemetry.JOB_WAIT_SECONDS, "Seconds in the queue, of jobs that were done.")
        self._run = _job_seconds(telemetry.JOB_RUN_SECONDS, "Seconds from their turn to their end.")
        self._expired = metrics.Counter(telemetry.JOBS_EXPIRED, "Jobs whose report and images were deleted.")
        self._taken_over = metrics.Counter(
            telemetry.JOBS_TAKEN_OVER, "Jobs, and messages about them, that a dead process had begun."
        )
        self._tries = metrics.Counter(
            telemetry.WEBHOOK_TRIES, "Tries to tell of a job's end, by what became of the message.", ("outcome",)
        )

    def standing(self, census: Mapping[JobStatus, int], stored_bytes: int) -> None:
        """How it stands now; told again and again."""
        for status, number in census.items():
            self._jobs.set(number, tags={"status": status})
        self._bytes.set(stored_bytes)
        self._limit.set(self._limit_bytes)

    def ended(self, status: JobStatus, waited_s: float, ran_s: float) -> None:
        """A `worker.Ended`."""
        self._ended.inc(tags={"status": status})
        self._wait.observe(max(0.0, waited_s))
        self._run.observe(max(0.0, ran_s))

    def expired(self, number: int) -> None:
        _add(self._expired, number)

    def taken_over(self, number: int) -> None:
        _add(self._taken_over, number)

    def tried(self, outcome: WebhookStatus) -> None:
        self._tries.inc(tags={"outcome": outcome})


class RayCanaryRecorder:
    """What the canary found."""

    def __init__(self) -> None:
        self._drift = metrics.Gauge(telemetry.CANARY_DRIFT, "Of similarity from the baseline, mean of the last round.")
        self._right = metrics.Gauge(telemetry.CANARY_RIGHT, "Verdicts that are the label, of the last round.")
        self._pairs = metrics.Gauge(telemetry.CANARY_PAIRS, "Of the last round, by what came of them.", ("outcome",))
        self._age = metrics.Gauge(telemetry.CANARY_AGE, "Seconds since the last round that was answered.")

    def standing(self, now: Standing) -> None:
        """Told again and again."""
        self._age.set(now.age_s)
        for outcome, number in (("answered", now.answered), ("failed", now.failed)):
            self._pairs.set(number, tags={"outcome": outcome})
        if now.drift is not None:
            self._drift.set(now.drift)
        if now.right is not None:
            self._right.set(now.right)


def _job_seconds(name: str, description: str) -> metrics.Histogram:
    return metrics.Histogram(name, description, list(telemetry.JOB_SECONDS_BOUNDARIES))


def _add(counter: metrics.Counter, number: int) -> None:
    if number:  # Ray refuses to add nothing
        counter.inc(number)


def _add_tokens(counter: metrics.Counter, prompt: int | None, generated: int | None) -> None:
    for kind, number in (("prompt", prompt), ("generated", generated)):
        if number:  # Ray refuses to add nothing
            counter.inc(number, tags={"kind": kind})


def out_of_memory() -> Callable[[], None]:
    """To be called each time the model's device ran out of memory."""
    times = metrics.Counter(
        telemetry.OUT_OF_MEMORY,
        "Times that the model's device ran out of memory; what it had begun is tried once more, smaller.",
    )
    return lambda: times.inc()


def abandoned_seconds() -> metrics.Counter:
    """The model stage's own counter."""
    return metrics.Counter(telemetry.ABANDONED_SECONDS, "Seconds the model worked on after its caller had gone.")


def model_cache() -> Callable[[str, str], None]:
    """To be told of each look into the model's cache: what was looked for, and `hit` or `miss`."""
    looked = metrics.Counter(telemetry.MODEL_CACHE, "Looks into the model's cache.", ("kind", "outcome"))
    return lambda kind, outcome: looked.inc(tags={"kind": kind, "outcome": outcome})
