"""What callers get of one pair: the report, or a refusal.
Knows nothing of jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import ComparisonError
from serve_app.schema.words import (
    BoxField,
    DifferenceKind,
    Evidence,
    FocusStatus,
    ModelStatus,
    Row,
    TextKind,
    TextStatus,
    Unit,
    Verdict,
    VerdictReason,
    VisualKind,
)


class Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CertaintyReport(Out):
    """How sure the model was of one score."""

    spread: Annotated[float, Field(ge=0, description="Standard deviation of the score")]
    entropy: Annotated[Unit, Field(description="Of the answers offered: 0 one of them, 1 all alike")]
    outside_mass: Annotated[Unit, Field(description="Probability of anything but the answers offered")]


class AspectReport(Out):
    name: str
    score: Unit | None
    measured_score: Unit | None
    explanation: str
    certainty: CertaintyReport | None = None


class FocusElementReport(Out):
    name: str
    status: FocusStatus
    score: Unit | None
    explanation: str
    boxes: Annotated[
        tuple[BoxField, ...],
        Field(description="Where it is in the candidate, or was in the reference if removed; original pixels"),
    ]


class TextReport(Out):
    """What became of one line of text, or of one code. Strings as they were read: data, never markup."""

    kind: Annotated[
        TextKind, Field(description="same: the look changed, the words didn't; code: a QR or bar code changed")
    ]
    reference: Annotated[str | None, Field(description="The line in the reference; null where there is none")]
    candidate: Annotated[str | None, Field(description="The line in the candidate; null where there is none")]
    reference_word: Annotated[str | None, Field(description="What of the line changed, in whole words")]
    candidate_word: Annotated[str | None, Field(description="What it changed to")]
    confidence: Unit


class Difference(Out):
    """One place where the images differ, boxes in upright original pixels of each image."""

    kind: DifferenceKind
    description: str
    evidence: Evidence
    severity: Unit
    reference_box: BoxField | None
    candidate_box: BoxField | None
    text: Annotated[
        TextReport | None, Field(description="The text that changed there; null where none was read for sure")
    ] = None
    further_texts: Annotated[tuple[TextReport, ...], Field(description="Of a place with several lines")] = ()


class AlignmentReport(Out):
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


class ToneReport(Out):
    """Another light on the whole candidate: taken out before other differences were looked for, and told once."""

    brightness: Annotated[float, Field(description="Its mean less the reference's, in parts of the full range: -1..1")]
    contrast: Annotated[float, Field(description="Natural logarithm of the candidate's spread over the reference's")]
    gradient: Annotated[float, Field(ge=0, description="How far the gain goes apart over the frame: light from a side")]
    cast: Annotated[float, Field(ge=0, description="How far a channel moved from the mean of all: white balance")]


class TextEvidenceReport(Out):
    """Whether text was read in this pair, and by what."""

    status: TextStatus = "off"
    lines: Annotated[int, Field(ge=0, description="Read in both pictures, in and around the differences")] = 0
    engine: str | None = None
    model: str | None = None
    version: str | None = None


class MeasurementReport(Out):
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
    text: TextEvidenceReport = TextEvidenceReport()


class ImageReport(Out):
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    shown_width: int
    shown_height: int
    decode_notes: tuple[str, ...]


class ImagesReport(Out):
    reference: ImageReport
    candidate: ImageReport


class TokenReport(Out):
    prompt: int
    generated: int


class MemoryReport(Out):
    """What the model's device was predicted to need for this pair, beside the weights, before the work began."""

    visual_tokens: Annotated[int, Field(ge=0, description="Of all pictures, in one order")]
    prompt_tokens: Annotated[int, Field(ge=0, description="Of one order, before the questions")]
    predicted_bytes: Annotated[int, Field(ge=0)]
    available_bytes: Annotated[int, Field(ge=0)]
    rows_per_batch: Annotated[int, Field(ge=1, description="Questions answered at once")]
    scale: Annotated[float, Field(gt=0, le=1, description="Both pictures were shrunk by it to fit")]


class AnchorsReport(Out):
    """The model's mean score at its start of a picture against itself and against an unrelated one.

    Scores are rescaled to lie between them; where they are too close together to do so, intervals are wider.
    """

    same: Unit
    unrelated: Unit


class ModelReport(Out):
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


class TimingsReport(Out):
    queue: float
    prepare: float
    measure: float
    read: float = 0.0
    assess: float
    total: float


class VisualReport(Out):
    kind: VisualKind
    image: Annotated[str, Field(description="A data URL: PNG, of reference and candidate JPEG")]


class ComparisonReport(Out):
    report_id: str
    verdict: Verdict
    verdict_reason: Annotated[VerdictReason, Field(description="What decided the verdict")] = "similarity"
    similarity: Unit
    similarity_interval: tuple[Unit, Unit]
    similarity_threshold: Unit
    max_differences: Annotated[int | None, Field(description="As asked for, or as the profile has it")] = None
    max_changed_ratio: Annotated[Unit | None, Field(description="As asked for, or as the profile has it")] = None
    profile: Annotated[str | None, Field(description="The thresholds that were asked for by name")] = None
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


class ErrorReport(Out):
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
        """Whatever its sentences quote, they can be sent: half a character, which JSON's escapes can spell, can't."""
        return cls(
            type=error.type,
            detail=_sendable(error.detail),
            image=error.image,
            field=None if error.field is None else _sendable(error.field),
            faults=None if error.faults is None else tuple(map(_sendable, error.faults)),
        )


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
