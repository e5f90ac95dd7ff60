"""What callers send and get: the contract as pydantic models.
No HTTP, no Ray, no pixels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serve_app.errors import ComparisonError

Language = Literal["en", "zh"]
VisualKind = Literal["overlay", "heatmap", "side_by_side"]
Verdict = Literal["match", "mismatch", "uncertain"]
VerdictReason = Literal["similarity", "differences", "changed_ratio"]
DifferenceKind = Literal["changed", "added", "removed", "moved"]
Evidence = Literal["confirmed", "measured_only", "model_only", "refuted"]
FocusStatus = Literal["unchanged", "changed", "added", "removed", "absent", "unassessed"]
ModelStatus = Literal["answered", "skipped", "timed_out", "failed", "disabled"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobStage = Literal["examine", "assess"]
TextKind = Literal["changed", "added", "removed", "moved", "same", "code"]
TextStatus = Literal["read", "nothing_to_read", "not_installed", "timed_out", "not_asked"]
WebhookStatus = Literal["pending", "delivered", "failed"]
Unit = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=64, le=4096)]
ElementName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
AspectName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
# Far beyond any picture, and a number that every later computation can hold.
_FARTHEST = 2**31 - 1
_Offset = Annotated[int, Field(ge=0, le=_FARTHEST)]
_Extent = Annotated[int, Field(gt=0, le=_FARTHEST)]
BoxField = tuple[_Offset, _Offset, _Extent, _Extent]
Row = tuple[float, float, float]  # of a matrix
Data = TypeVar("Data")


class ImageComparisonConfig(BaseModel):
    """How two images are to be compared. Validate it from JSON: it is strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    focus_elements: Annotated[tuple[ElementName, ...], Field(max_length=20)] = ()
    comparison_aspects: Annotated[tuple[AspectName, ...], Field(min_length=1, max_length=12)] = (
        "color",
        "layout",
        "content",
        "style",
    )
    similarity_threshold: Unit = 0.8
    max_differences: Annotated[
        int | None,
        Field(ge=0, description="More visible differences are a mismatch, whatever the similarity; 0: any is"),
    ] = None
    max_changed_ratio: Annotated[
        Unit | None, Field(description="A larger `measurement.changed_ratio` is a mismatch, whatever the similarity")
    ] = None
    max_image_size: Annotated[tuple[Side, Side], Field(description="[width, height] shown to the model at most")] = (
        1024,
        1024,
    )
    image_quality: Annotated[
        int, Field(ge=1, le=100, description="JPEG quality of what the model is shown; 100: pixels as they are")
    ] = 85
    processing_timeout: Annotated[float, Field(gt=0, description="Seconds for the whole request, waiting included")] = (
        60.0
    )
    ignore_regions: Annotated[
        tuple[BoxField, ...],
        Field(
            max_length=64,
            description="[x, y, width, height] in reference pixels; in the candidate where the pair's alignment says",
        ),
    ] = ()
    language: Language = "en"
    on_model_failure: Literal["error", "measurement"] = "error"
    swap_check: bool = True
    visuals: Annotated[tuple[VisualKind, ...], Field(max_length=3)] = ()
    frame: Annotated[int, Field(ge=0, le=9999, description="Which page or frame of both files, counted from 0")] = 0


class PdfOptions(BaseModel):
    """How the pages of two PDFs become pictures. Validate it from JSON: it is strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dpi: Annotated[int, Field(ge=18, le=600)] = 150
    page_regions: Annotated[
        dict[Annotated[int, Field(ge=1)], Annotated[tuple[BoxField, ...], Field(max_length=64)]],
        Field(description="Boxes to ignore on one page of the reference, by its number, in its pixels at this dpi"),
    ] = {}


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CertaintyReport(_Out):
    """How sure the model was of one score."""

    spread: Annotated[float, Field(ge=0, description="Standard deviation of the score")]
    entropy: Annotated[Unit, Field(description="Of the answers offered: 0 one of them, 1 all alike")]
    outside_mass: Annotated[Unit, Field(description="Probability of anything but the answers offered")]


class AspectReport(_Out):
    name: str
    score: Unit | None
    measured_score: Unit | None
    explanation: str
    certainty: CertaintyReport | None = None


class FocusElementReport(_Out):
    name: str
    status: FocusStatus
    score: Unit | None
    explanation: str
    boxes: Annotated[
        tuple[BoxField, ...],
        Field(description="Where it is in the candidate, or was in the reference if removed; original pixels"),
    ]


class Difference(_Out):
    """One place where the images differ, boxes in upright original pixels of each image."""

    kind: DifferenceKind
    description: str
    evidence: Evidence
    severity: Unit
    reference_box: BoxField | None
    candidate_box: BoxField | None


class AlignmentReport(_Out):
    kind: Annotated[
        str,
        Field(
            description="identical, none, shift, crop, bands, resized, stretched, mirrored, features (turned or "
            "zoomed), perspective or unaligned"
        ),
    ]
    shift: tuple[float, float]
    scale: float
    rotation_deg: float
    confidence: Unit
    matrix: Annotated[
        tuple[Row, Row, Row] | None,
        Field(description="Of a perspective or a mirror image: 3 x 3, from upright reference to candidate pixels"),
    ] = None
    scales: Annotated[
        tuple[float, float] | None, Field(description="Of a stretched picture: across and down, candidate by reference")
    ] = None


class ToneReport(_Out):
    """Another light on the whole candidate: taken out before other differences were looked for, and told once."""

    brightness: Annotated[float, Field(description="Its mean less the reference's, in parts of the full range: -1..1")]
    contrast: Annotated[float, Field(description="Natural logarithm of the candidate's spread over the reference's")]
    gradient: Annotated[float, Field(ge=0, description="How far the gain goes apart over the frame: light from a side")]
    cast: Annotated[float, Field(ge=0, description="How far a channel moved from the mean of all: white balance")]


class MeasurementReport(_Out):
    identical: bool
    similarity: Unit
    changed_ratio: Unit
    ssim: Annotated[float, Field(ge=-1, le=1)]
    color_delta_e: Annotated[float, Field(ge=0)]
    alignment: AlignmentReport
    smallest_visible_px: Annotated[float, Field(gt=0)]
    further_differences: Annotated[int, Field(ge=0, description="Regions found beyond those listed")]
    version: str
    tone: ToneReport | None = None


class ImageReport(_Out):
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    shown_width: int
    shown_height: int
    decode_notes: tuple[str, ...]


class ImagesReport(_Out):
    reference: ImageReport
    candidate: ImageReport


class TokenReport(_Out):
    prompt: int
    generated: int


class MemoryReport(_Out):
    """What the model's device was predicted to need for this pair, beside the weights, before the work began."""

    visual_tokens: Annotated[int, Field(ge=0, description="Of all pictures, in one order")]
    prompt_tokens: Annotated[int, Field(ge=0, description="Of one order, before the questions")]
    predicted_bytes: Annotated[int, Field(ge=0)]
    available_bytes: Annotated[int, Field(ge=0)]
    rows_per_batch: Annotated[int, Field(ge=1, description="Questions answered at once")]
    scale: Annotated[float, Field(gt=0, le=1, description="Both pictures were shrunk by it to fit")]


class AnchorsReport(_Out):
    """The model's mean score at its start of a picture against itself and against an unrelated one.

    Scores are rescaled to lie between them; where they are too close together to do so, intervals are wider.
    """

    same: Unit
    unrelated: Unit


class ModelReport(_Out):
    engine: str
    name: str | None
    revision: str | None
    status: ModelStatus
    order_gap: Annotated[
        Unit | None, Field(description="Probability that moves to another answer when the images are exchanged, mean")
    ]
    tokens: TokenReport | None
    prompt_version: str
    memory: MemoryReport | None = None
    anchors: AnchorsReport | None = None
    boxes: Annotated[
        str | None, Field(description="In what it writes places, found out at its start; null: its boxes say nothing")
    ] = None
    sees_ghosts: Annotated[
        bool | None, Field(description="It saw a change at a place where nothing changed; null: not asked")
    ] = None


class TimingsReport(_Out):
    queue: float
    prepare: float
    measure: float
    assess: float
    total: float


class VisualReport(_Out):
    kind: VisualKind
    image: Annotated[str, Field(description="PNG as a data URL")]


class ComparisonReport(_Out):
    report_id: str
    verdict: Verdict
    verdict_reason: Annotated[VerdictReason, Field(description="What decided the verdict")] = "similarity"
    similarity: Unit
    similarity_interval: tuple[Unit, Unit]
    similarity_threshold: Unit
    summary: str
    aspects: tuple[AspectReport, ...]
    focus_elements: tuple[FocusElementReport, ...]
    differences: tuple[Difference, ...]
    measurement: MeasurementReport
    images: ImagesReport
    model: ModelReport
    timings_ms: TimingsReport
    visuals: tuple[VisualReport, ...]
    cached: bool
    warnings: tuple[str, ...]


class ErrorReport(_Out):
    type: str
    detail: str
    image: Literal["reference", "candidate"] | None = None
    field: str | None = None
    faults: Annotated[
        tuple[str, ...] | None,
        Field(description="All that is wrong with a list of pairs, with lines", exclude_if=lambda it: it is None),
    ] = None

    @classmethod
    def of(cls, error: ComparisonError) -> ErrorReport:
        return cls(type=error.type, detail=error.detail, image=error.image, field=error.field, faults=error.faults)


class WebhookReport(_Out):
    """Whether the place that wants to hear of a job's end has heard of it. It changes nothing about the job."""

    url: str
    status: WebhookStatus
    tries: Annotated[int, Field(ge=0, description="Six at most, the last one an hour after the one before")]
    said: Annotated[str | None, Field(description="What came of the last try")] = None
    next_try: datetime | None = None


class JobReport(_Out):
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


class JobList(_Out):
    """Newest first."""

    jobs: tuple[JobReport, ...]
    next_cursor: Annotated[str | None, Field(description="For the next page; null on the last one")]


class JobEvent(_Out):
    """What happened to a job; its name is the event's, its number the event's id."""

    status: JobStatus
    attempt: int
    stage: JobStage | None
    time: datetime


PairOutcome = Literal["match", "mismatch", "uncertain", "added", "removed", "failed"]


class PairReport(_Out):
    """One pair of a batch: a line of `results.jsonl`. `reference` and `candidate` are paths as they were named."""

    name: str
    outcome: PairOutcome  # added, removed: on one side only; failed: see `error`
    reference: str | None
    candidate: str | None
    report: ComparisonReport | None = None
    error: ErrorReport | None = None


class BatchOutcomes(_Out):
    """How many pairs ended how."""

    match: Annotated[int, Field(ge=0)] = 0
    mismatch: Annotated[int, Field(ge=0)] = 0
    uncertain: Annotated[int, Field(ge=0)] = 0
    added: Annotated[int, Field(ge=0)] = 0
    removed: Annotated[int, Field(ge=0)] = 0
    failed: Annotated[int, Field(ge=0)] = 0


class BatchReport(_Out):
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


class BatchList(_Out):
    """Newest first."""

    batches: tuple[BatchReport, ...]
    next_cursor: Annotated[str | None, Field(description="For the next page; null on the last one")]


class BatchResult(PairReport):
    """One pair of a batch at the server; a line of its JSONL."""

    number: Annotated[int, Field(ge=1, description="Of the pair in its batch, as they were sent")]


class BatchResults(_Out):
    """In the order of the pairs, as far as they are done without a gap."""

    results: tuple[BatchResult, ...]
    next_cursor: Annotated[str | None, Field(description="For what comes after; null once all has been told")]


class Envelope(_Out, Generic[Data]):
    """What every answer is wrapped in; the HTTP status equals `code`."""

    code: int
    msg: str
    data: Data | None
    error: ErrorReport | None
    request_id: str
