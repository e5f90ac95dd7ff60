"""All evidence in, the report out: its parts put together, and what has to be said beside them.
No HTTP, no Ray, no pixels, no model; what each voice weighs is decided in `judge`.
"""

from __future__ import annotations

import base64
from typing import Any

from serve_app.comparison import grounding, ignored
from serve_app.comparison.sentences import SENTENCES, Sentences
from serve_app.comparison.unseen import unseen
from serve_app.comparison.verdict import fields, wording
from serve_app.comparison.verdict.differences import differences
from serve_app.comparison.verdict.focus import focus_elements
from serve_app.comparison.verdict.judge import judge, named
from serve_app.core.assessed import Assessment
from serve_app.core.measured import Examination, Measurement
from serve_app.core.pictures import Box
from serve_app.core.read_text import tidied
from serve_app.core.reading import Reading
from serve_app.schema import AspectReport, ComparisonReport, ImageComparisonConfig, TimingsReport, VisualReport


def build(
    config: ImageComparisonConfig,
    examination: Examination,
    assessment: Assessment,
    timings: TimingsReport,
    report_id: str,
    warnings: tuple[str, ...] = (),
) -> ComparisonReport:
    """Put a report together. Pure: the same evidence gives the same report. `report_id`: see `identity`."""
    measured, say = examination.measurement, SENTENCES[config.language]
    reading = tidied(examination.reading)
    unlooked_at = say.unseen_parts(unseen(examination.reference, examination.candidate))
    found = grounding.ground(assessment.findings, examination)
    told = wording.held_against(reading, assessment, found, examination)
    assessment, found = told.assessment, told.found
    names = named(assessment, found)
    judgement = judge(config, measured, assessment, names, other_words=bool(reading.sure))
    summary = assessment.summary or say.summary(measured, judgement.verdict, judgement.similarity)
    focus, held_against = focus_elements(config, examination, reading, assessment)
    return ComparisonReport(
        report_id=report_id,
        verdict=judgement.verdict,
        verdict_reason=judgement.reason,
        similarity=judgement.similarity,
        similarity_interval=judgement.interval,
        **_thresholds(config),
        summary=say.joined(*say.some_texts(reading.sure), summary, *unlooked_at),
        aspects=_aspects(config, examination, reading, assessment),
        focus_elements=focus,
        differences=differences(config, measured, reading, names, found),
        measurement=fields.measurement(measured, reading),
        images=fields.images(examination, assessment.plan),
        model=fields.model(assessment),
        timings_ms=timings,
        visuals=_visuals(examination),
        cached=False,
        warnings=(
            *warnings,
            *_about_ignored(config, examination),
            *measured.notes,
            *unlooked_at,
            *_about_model(config, measured, assessment),
            *held_against,
            *_refuted(say, told),
            *judgement.warnings,
            *assessment.warnings,
        ),
    )


def _thresholds(config: ImageComparisonConfig) -> dict[str, Any]:
    """As they were asked for, or as a profile has them."""
    return config.model_dump(include={"similarity_threshold", "max_differences", "max_changed_ratio", "profile"})


def _refuted(say: Sentences, told: wording.Told) -> tuple[str, ...]:
    refuted = (each.finding.description for each in told.found if each.evidence == "refuted")
    return (
        *(say.misquoted.format(description=each) for each in told.misquoted),
        *(say.refuted_finding.format(description=each) for each in refuted),
    )


def _visuals(examination: Examination) -> tuple[VisualReport, ...]:
    return tuple(
        VisualReport(
            kind=visual.kind,
            image=f"data:{visual.media_type};base64,{base64.b64encode(visual.data).decode()}",
        )
        for visual in examination.visuals
    )


def _about_ignored(config: ImageComparisonConfig, examination: Examination) -> tuple[str, ...]:
    say, facts = SENTENCES[config.language], examination.reference
    regions = [Box(*region) for region in config.ignore_regions]
    if ignored.cover(regions, facts.width, facts.height):
        return (say.all_ignored,)
    return tuple(
        say.ignored_outside.format(index=index, region=list(regions[index]), width=facts.width, height=facts.height)
        for index in ignored.outside(regions, facts.width, facts.height)
    )


def _about_model(config: ImageComparisonConfig, measured: Measurement, assessment: Assessment) -> tuple[str, ...]:
    say = SENTENCES[config.language]
    if assessment.status in ("failed", "timed_out"):
        return (say.timed_out if assessment.status == "timed_out" else say.failed,)
    blind = assessment.anchors is not None and not assessment.anchors.tell_apart
    return (
        *((say.indifferent,) if blind else ()),
        *((say.sees_ghosts,) if assessment.sees_ghosts and measured.differences else ()),
    )


def _aspects(
    config: ImageComparisonConfig, examination: Examination, reading: Reading, assessment: Assessment
) -> tuple[AspectReport, ...]:
    """The model's score where it gave one, else the measured one."""
    assessed = assessment.aspects or (None,) * len(config.comparison_aspects)
    reports = []
    for name, measured, said in zip(config.comparison_aspects, examination.aspect_scores, assessed, strict=True):
        measured, plainly = _measured(config, examination, reading, name, measured)
        reports.append(
            AspectReport(
                name=name,
                score=measured if said is None else round(said.score, 4),
                measured_score=measured,
                explanation=(said.explanation if said is not None else "") or plainly,
                certainty=None if said is None else fields.certainty(said),
            )
        )
    return tuple(reports)


def _measured(
    config: ImageComparisonConfig, examination: Examination, reading: Reading, name: str, by_pixels: float | None
) -> tuple[float | None, str]:
    """An aspect's score without a model, and what is said of it: equal pixels are equal in every respect, named by us
    or not, and wording is the same where nothing visible differs."""
    say, is_text = SENTENCES[config.language], wording.is_text(name)
    if examination.measurement.identical or (is_text and not examination.measurement.differences):
        return 1.0, say.measured_aspect(1.0)
    if is_text:
        kept = None if reading.unchanged is None else round(reading.unchanged, 4)
        return kept, say.letters_kept(kept)
    return by_pixels, say.measured_aspect(by_pixels)
