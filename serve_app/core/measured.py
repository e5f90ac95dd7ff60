"""What the pixels of a pair prove, and what the CPU stage hands on.
Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.core.pictures import Box, ImageFacts, ShownImage
from serve_app.core.reading import UNREAD, Reading
from serve_app.schema import DifferenceKind, VisualKind


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the candidate lies on the reference: `shift` in reference pixels, `scale` candidate over reference.

    `matrix`: of a perspective and of a mirror image, the homography (3x3, its last number 1) from reference to
    candidate pixels; a perspective's `shift`, `scale` and `rotation_deg` are those of the picture's middle.
    `scales`: across and down, of a stretched picture; `scale` is then their geometric mean.
    """

    kind: str
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    rotation_deg: float = 0.0
    confidence: float = 1.0
    matrix: tuple[tuple[float, float, float], ...] | None = None
    scales: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Tone:
    """Another light on the whole candidate. `brightness`: its mean less the reference's, in parts of the full range;
    `contrast`: natural logarithm of the ratio of spreads; `gradient`: how far the gain goes apart over the frame;
    `cast`: how far a channel moved from the mean of all."""

    brightness: float
    contrast: float
    gradient: float
    cast: float


@dataclass(frozen=True, slots=True)
class MeasuredDifference:
    """One region that differs visibly; boxes in upright original pixels of each image. `tone`: of the one difference
    that is another light on everything."""

    kind: DifferenceKind
    reference_box: Box | None
    candidate_box: Box | None
    severity: float
    changed_pixels: int
    delta_e: float
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Where one picture changed, coarsely: a field for each of columns x rows equal parts, row by row.

    A field is the share of its pixels that changed visibly, in 1/200, at least 1 where any did; `UNMEASURED`
    where nothing of the other picture lies on it, so that pixels prove nothing there.
    """

    columns: int
    rows: int
    fields: bytes


UNMEASURED = 255


@dataclass(frozen=True, slots=True)
class Measurement:
    """What pixels prove about a pair, without any model.

    `identical`: equal after decoding, masks applied. `similarity` obeys the contract's laws.
    `aspects`: canonical English aspect name to score 0..1. `differences`: most severe first.
    `charts`: of reference and candidate, made where a model's findings are to be checked.
    """

    identical: bool
    similarity: float
    similarity_interval: tuple[float, float]
    changed_ratio: float
    ssim: float
    color_delta_e: float
    alignment: Alignment
    smallest_visible_px: float
    aspects: Mapping[str, float]
    differences: tuple[MeasuredDifference, ...]
    further_differences: int
    version: str
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, Chart] | None = None
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Visual:
    kind: VisualKind
    data: bytes
    media_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Crop:
    """One measured region at native resolution, cut from both pictures, for the model only.

    `index`: of `Measurement.differences`.
    """

    index: int
    reference: ShownImage
    candidate: ShownImage


@dataclass(frozen=True, slots=True)
class Examination:
    """All that the CPU stage found about a pair; small enough to cross a process border."""

    reference: ImageFacts
    candidate: ImageFacts
    shown_reference: ShownImage | None
    shown_candidate: ShownImage | None
    measurement: Measurement
    aspect_scores: tuple[float | None, ...]  # measured, in the order the config asks
    visuals: tuple[Visual, ...]
    prepare_ms: float
    measure_ms: float
    crops: tuple[Crop, ...] = ()
    reading: Reading = UNREAD
