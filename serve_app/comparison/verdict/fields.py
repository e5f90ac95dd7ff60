"""What the stages found, field by field as the report states it.
Decides nothing: every value goes over as it is, rounded."""

from __future__ import annotations

from serve_app.core.assessed import Anchors, AspectAssessment, Assessment
from serve_app.core.inquiry import MemoryPlan
from serve_app.core.measured import Examination, Measurement, Tone
from serve_app.core.pictures import ImageFacts
from serve_app.core.reading import VERSION, Reading, TextChange
from serve_app.schema import (
    AlignmentReport,
    AnchorsReport,
    CertaintyReport,
    ImageReport,
    ImagesReport,
    MeasurementReport,
    MemoryReport,
    ModelReport,
    TextEvidenceReport,
    TextReport,
    TokenReport,
    ToneReport,
)


def measurement(measured: Measurement, reading: Reading) -> MeasurementReport:
    found = measured.alignment
    return MeasurementReport(
        identical=measured.identical,
        similarity=measured.similarity,
        changed_ratio=measured.changed_ratio,
        ssim=measured.ssim,
        color_delta_e=measured.color_delta_e,
        alignment=AlignmentReport(
            kind=found.kind,
            shift=found.shift,
            scale=found.scale,
            rotation_deg=found.rotation_deg,
            confidence=found.confidence,
            matrix=found.matrix,
            scales=found.scales,
        ),
        smallest_visible_px=measured.smallest_visible_px,
        further_differences=measured.further_differences,
        version=measured.version,
        tone=None if measured.tone is None else tone(measured.tone),
        text=TextEvidenceReport(
            status=reading.status,
            lines=reading.num_lines,
            engine=reading.engine,
            model=reading.model,
            version=None if reading.engine is None else VERSION,
        ),
    )


def tone(found: Tone) -> ToneReport:
    return ToneReport(brightness=found.brightness, contrast=found.contrast, gradient=found.gradient, cast=found.cast)


def text(found: TextChange) -> TextReport:
    return TextReport(
        kind=found.kind,
        reference=found.reference,
        candidate=found.candidate,
        reference_word=found.reference_word,
        candidate_word=found.candidate_word,
        confidence=round(found.confidence, 4),
    )


def images(examination: Examination, plan: MemoryPlan | None) -> ImagesReport:
    """`shown_width` and `shown_height` are what the model really got, also where it was shrunk to fit its memory."""
    first, second = examination.reference, examination.candidate
    if plan is None:
        shown = ((first.shown_width, first.shown_height), (second.shown_width, second.shown_height))
    else:
        shown = (plan.shown_reference, plan.shown_candidate)
    return ImagesReport(reference=image(first, shown[0]), candidate=image(second, shown[1]))


def image(facts: ImageFacts, shown: tuple[int, int]) -> ImageReport:
    return ImageReport(
        width=facts.width,
        height=facts.height,
        format=facts.format,
        bytes=facts.bytes,
        sha256=facts.sha256,
        shown_width=shown[0],
        shown_height=shown[1],
        decode_notes=facts.decode_notes,
    )


def model(assessment: Assessment) -> ModelReport:
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
        memory=None if assessment.plan is None else _memory(assessment.plan),
        anchors=None if assessment.anchors is None else _anchors(assessment.anchors),
        boxes=assessment.boxes,
        sees_ghosts=assessment.sees_ghosts,
    )


def certainty(said: AspectAssessment) -> CertaintyReport:
    return CertaintyReport(
        spread=round(said.spread, 4), entropy=round(said.entropy, 4), outside_mass=round(said.outside_mass, 4)
    )


def _memory(plan: MemoryPlan) -> MemoryReport:
    return MemoryReport(
        visual_tokens=plan.visual_tokens,
        prompt_tokens=plan.prompt_tokens,
        predicted_bytes=plan.predicted_bytes,
        available_bytes=plan.available_bytes,
        rows_per_batch=plan.rows_per_batch,
        scale=round(plan.scale, 4),
    )


def _anchors(ends: Anchors) -> AnchorsReport:
    return AnchorsReport(same=round(ends.same, 4), unrelated=round(ends.unrelated, 4))
