"""All evidence in, the report out: similarity, verdict and the weight of each voice are decided here only.
No HTTP, no Ray, no pixels, no model."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

from serve_app import __version__, wording
from serve_app.core import (
    Alignment,
    AspectAssessment,
    Assessment,
    Examination,
    FocusAssessment,
    ImageFacts,
    MeasuredDifference,
    Measurement,
)
from serve_app.schema import (
    AlignmentReport,
    AspectReport,
    ComparisonReport,
    Difference,
    FocusElementReport,
    FocusStatus,
    ImageComparisonConfig,
    ImageReport,
    ImagesReport,
    MeasurementReport,
    ModelReport,
    TimingsReport,
    TokenReport,
    Verdict,
    VisualReport,
)

# Share of the model's mean aspect score in the similarity. Half: the pixels say how much differs, the model
# whether it matters for the aspects asked; neither alone is what a person means.
MODEL_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """Similarity with its interval, the verdict that follows, and what had to be said on the way."""

    similarity: float
    interval: tuple[float, float]
    verdict: Verdict
    warnings: tuple[str, ...] = ()


def build(
    config: ImageComparisonConfig,
    examination: Examination,
    assessment: Assessment,
    timings: TimingsReport,
    warnings: tuple[str, ...] = (),
) -> ComparisonReport:
    """Put a report together. Pure: the same evidence gives the same report."""
    measured = examination.measurement
    judgement = judge(config, measured, assessment)
    focus, refuted = _focus_elements(config, measured, assessment)
    missing: tuple[str, ...] = ()
    if assessment.status in ("failed", "timed_out"):
        missing = (wording.model_missing(assessment.status, config.language),)
    return ComparisonReport(
        report_id=report_id(config, examination, assessment),
        verdict=judgement.verdict,
        similarity=judgement.similarity,
        similarity_interval=judgement.interval,
        similarity_threshold=config.similarity_threshold,
        summary=assessment.summary
        or wording.summary(measured, judgement.verdict, judgement.similarity, config.language),
        aspects=_aspects(config, examination, assessment),
        focus_elements=focus,
        differences=_differences(config, measured, assessment),
        measurement=_measurement(measured),
        images=ImagesReport(reference=_image(examination.reference), candidate=_image(examination.candidate)),
        model=_model(assessment),
        timings_ms=timings,
        visuals=tuple(
            VisualReport(kind=visual.kind, image="data:image/png;base64," + base64.b64encode(visual.png).decode())
            for visual in examination.visuals
        ),
        cached=False,
        warnings=(
            *warnings,
            *measured.notes,
            *missing,
            *refuted,
            *judgement.warnings,
            *assessment.warnings,
        ),
    )


def judge(config: ImageComparisonConfig, measured: Measurement, assessment: Assessment) -> Judgement:
    """Combine measurement and model.

    - Nothing visible differs: the measurement decides; a model has nothing to take away.
    - Otherwise similarity is the weighted mean of the measured similarity and the model's mean aspect score,
      its interval that of the measurement widened by the model's spread and by its gap between the two orders.
    - Safety law: where the measurement is below the threshold, the model may lift the pair over it only if it
      has named every measured difference.
    - `uncertain`: the threshold lies inside the interval.
    """
    scores = [aspect for aspect in assessment.aspects if aspect is not None]
    if not measured.differences or not scores:
        return _decided(config, measured.similarity, measured.similarity_interval)
    similarity, interval = _combined(measured, scores, assessment.order_gap or 0.0)
    lifted = measured.similarity < config.similarity_threshold and interval[1] >= config.similarity_threshold
    if lifted and not _names_all(measured, assessment):
        similarity = min(similarity, measured.similarity)
        interval = (min(interval[0], similarity), similarity)
        settled = _decided(config, similarity, interval)
        return Judgement(settled.similarity, settled.interval, settled.verdict, (wording.unnamed(config.language),))
    return _decided(config, similarity, interval)


def report_id(config: ImageComparisonConfig, examination: Examination, assessment: Assessment) -> str:
    """SHA-256 of all that decides a report: images, config, model, versions. Time limits decide none of it."""
    parts = {
        "reference": examination.reference.sha256,
        "candidate": examination.candidate.sha256,
        "config": config.model_dump(mode="json", exclude={"processing_timeout"}),
        "model": [assessment.model.engine, assessment.model.name, assessment.model.revision],
        "versions": [__version__, examination.measurement.version, assessment.prompt_version],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _combined(
    measured: Measurement, scores: list[AspectAssessment], order_gap: float
) -> tuple[float, tuple[float, float]]:
    mean = sum(aspect.score for aspect in scores) / len(scores)
    # The mean of n answers spreads by their mean spread over sqrt(n); the order gap is a bias, not noise.
    spread = sum(aspect.spread for aspect in scores) / len(scores) ** 1.5 + order_gap / 2
    low, high = measured.similarity_interval
    weight = MODEL_WEIGHT
    similarity = (1 - weight) * measured.similarity + weight * mean
    below = (1 - weight) * low + weight * max(0.0, mean - spread)
    above = (1 - weight) * high + weight * min(1.0, mean + spread)
    return similarity, (min(below, similarity), max(above, similarity))


def _names_all(measured: Measurement, assessment: Assessment) -> bool:
    named = {region.index for region in assessment.regions if region.seen and region.description}
    return not measured.further_differences and named >= set(range(len(measured.differences)))


def _decided(config: ImageComparisonConfig, similarity: float, interval: tuple[float, float]) -> Judgement:
    similarity, low, high = (round(min(1.0, max(0.0, value)), 4) for value in (similarity, *interval))
    threshold = config.similarity_threshold
    if low < threshold <= high and low < high:
        return Judgement(similarity, (low, high), "uncertain")
    return Judgement(similarity, (low, high), "match" if similarity >= threshold else "mismatch")


def _aspects(
    config: ImageComparisonConfig, examination: Examination, assessment: Assessment
) -> tuple[AspectReport, ...]:
    """The model's score where it gave one, else the measured one."""
    assessed = assessment.aspects or (None,) * len(config.comparison_aspects)
    reports = []
    for name, measured, said in zip(config.comparison_aspects, examination.aspect_scores, assessed, strict=True):
        if examination.measurement.identical:
            measured = 1.0  # equal pixels are equal in every respect, named by us or not
        score = measured if said is None else round(said.score, 4)
        explanation = said.explanation if said is not None else ""
        reports.append(
            AspectReport(
                name=name,
                score=score,
                measured_score=measured,
                explanation=explanation or wording.measured_aspect(measured, config.language),
            )
        )
    return tuple(reports)


def _focus_elements(
    config: ImageComparisonConfig, measured: Measurement, assessment: Assessment
) -> tuple[tuple[FocusElementReport, ...], tuple[str, ...]]:
    """What the model says of each element, unless the pixels refute it; then what was refuted, as warnings."""
    assessed = assessment.focus_elements or (None,) * len(config.focus_elements)
    reports: list[FocusElementReport] = []
    warnings: list[str] = []
    for name, said in zip(config.focus_elements, assessed, strict=True):
        if not measured.differences and said is not None and said.status not in ("unchanged", "absent"):
            warnings.append(wording.refuted(name, config.language))
            said = None
        reports.append(_focus_element(config, name, measured, said, asked=assessment.status == "answered"))
    return tuple(reports), tuple(warnings)


def _focus_element(
    config: ImageComparisonConfig, name: str, measured: Measurement, said: FocusAssessment | None, *, asked: bool
) -> FocusElementReport:
    if said is not None:
        return FocusElementReport(
            name=name, status=said.status, score=round(said.score, 4), explanation=said.explanation, boxes=()
        )
    # Where nothing visible differs nothing can have changed, whether a model looked or not.
    status: FocusStatus = "unassessed" if measured.differences else "unchanged"
    return FocusElementReport(
        name=name,
        status=status,
        score=None if status == "unassessed" else 1.0,
        explanation=wording.focus_element(status, config.language, asked=asked),
        boxes=(),
    )


def _differences(
    config: ImageComparisonConfig, measured: Measurement, assessment: Assessment
) -> tuple[Difference, ...]:
    said = {region.index: region for region in assessment.regions}
    reports = []
    for index, found in enumerate(measured.differences):
        named = said.get(index)
        confirmed = named is not None and named.seen and bool(named.description)
        reports.append(_difference(found, config, named.description if named is not None and confirmed else None))
    return tuple(reports)


def _difference(found: MeasuredDifference, config: ImageComparisonConfig, named: str | None) -> Difference:
    return Difference(
        kind=found.kind,
        description=named or wording.difference(found, config.language),
        evidence="confirmed" if named else "measured_only",
        severity=found.severity,
        reference_box=found.reference_box,
        candidate_box=found.candidate_box,
    )


def _measurement(measured: Measurement) -> MeasurementReport:
    return MeasurementReport(
        identical=measured.identical,
        similarity=measured.similarity,
        changed_ratio=measured.changed_ratio,
        ssim=measured.ssim,
        color_delta_e=measured.color_delta_e,
        alignment=_alignment(measured.alignment),
        smallest_visible_px=measured.smallest_visible_px,
        further_differences=measured.further_differences,
        version=measured.version,
    )


def _alignment(found: Alignment) -> AlignmentReport:
    return AlignmentReport(
        kind=found.kind,
        shift=found.shift,
        scale=found.scale,
        rotation_deg=found.rotation_deg,
        confidence=found.confidence,
    )


def _image(facts: ImageFacts) -> ImageReport:
    return ImageReport(
        width=facts.width,
        height=facts.height,
        format=facts.format,
        bytes=facts.bytes,
        sha256=facts.sha256,
        shown_width=facts.shown_width,
        shown_height=facts.shown_height,
        decode_notes=facts.decode_notes,
    )


def _model(assessment: Assessment) -> ModelReport:
    answered = assessment.status == "answered"
    return ModelReport(
        engine=assessment.model.engine,
        name=assessment.model.name,
        revision=assessment.model.revision,
        status=assessment.status,
        order_gap=None if assessment.order_gap is None else round(assessment.order_gap, 4),
        tokens=TokenReport(prompt=assessment.prompt_tokens, generated=assessment.generated_tokens)
        if answered
        else None,
        prompt_version=assessment.prompt_version,
    )
