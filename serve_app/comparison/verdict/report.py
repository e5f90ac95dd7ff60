"""All evidence in, the report out: similarity, verdict and the weight of each voice are decided here only.
No HTTP, no Ray, no pixels, no model.

How measurement and model combine:
- Whether anything visible differs, and where, the measurement alone decides. Where it finds nothing, no word of the
  model makes a difference, a changed element or a mismatch: what it claims is refuted, in the warnings.
- How similar the pair is: the weighted mean of the measured similarity and the model's mean aspect score (`judge`).
- Safety law: where the measurement is below the threshold, the model lifts the pair over it, or up to it, only if it
  has named every measured difference, each in its own words: seen in the region's own question, or found with a box
  that fits it. Its other side: where the measurement is not below, the model sinks the pair under the threshold only
  if it confirms a difference at all; else the interval reaches up to what was measured.
- A model that sees a change at a place where nothing changed (the decoy) names and confirms nothing.
- What a difference is: the model's words where it names it (confirmed), else the box (measured_only).
- What else the model finds, with a box: where pixels changed by less than what is listed, or can't tell, it is listed
  last (model_only); where nothing visible changed it is refuted, and never listed: `differences` holds what differs.
- A focus element is what the model says of it, unless it is said to have changed at a place where no pixel did.
- A model that rates an unrelated picture like an equal one at its start widens the interval.
"""

from __future__ import annotations

import base64
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from serve_app.comparison.sentences import SENTENCES
from serve_app.comparison.verdict import fields, grounding
from serve_app.comparison.verdict.grounding import Grounded, Grounds
from serve_app.core.measured import (
    Anchors,
    AspectAssessment,
    Assessment,
    Examination,
    FocusAssessment,
    MeasuredDifference,
    Measurement,
)
from serve_app.schema import (
    AspectReport,
    ComparisonReport,
    Difference,
    FocusElementReport,
    FocusStatus,
    ImageComparisonConfig,
    TimingsReport,
    Verdict,
    VisualReport,
)

# Share of the model's mean aspect score in the similarity. Half: the pixels say how much differs, the model
# whether it matters for the aspects asked; neither alone is what a person means.
MODEL_WEIGHT = 0.5
# Standard deviation of what lies between two levels, a quarter apart, and was called one of them: 0.25 / sqrt(12).
LEVEL_SPREAD = 0.072
# Standard deviation of a score of which nothing is known but that it lies in 0..1: sqrt(1/12). It is that of the mean
# too: what keeps a model from telling pictures apart keeps it in every aspect.
INDIFFERENT_SPREAD = 0.29
MODEL_ONLY_SEVERITY = 0.02  # at most: the pixels hold it for less than the least that they list
OVERLOOKED = 0.5  # of an element's pixels changed, and the model says that it didn't


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
    report_id: str,
    warnings: tuple[str, ...] = (),
) -> ComparisonReport:
    """Put a report together. Pure: the same evidence gives the same report. `report_id`: see `identity`."""
    measured, say = examination.measurement, SENTENCES[config.language]
    found = grounding.ground(assessment.findings, examination)
    names = named(assessment, found)
    judgement = judge(config, measured, assessment, names)
    focus, held_against = _focus_elements(config, examination, assessment)
    return ComparisonReport(
        report_id=report_id,
        verdict=judgement.verdict,
        similarity=judgement.similarity,
        similarity_interval=judgement.interval,
        similarity_threshold=config.similarity_threshold,
        summary=assessment.summary or say.summary(measured, judgement.verdict, judgement.similarity),
        aspects=_aspects(config, examination, assessment),
        focus_elements=focus,
        differences=_differences(config, measured, names, found),
        measurement=fields.measurement(measured),
        images=fields.images(examination, assessment.plan),
        model=fields.model(assessment),
        timings_ms=timings,
        visuals=tuple(
            VisualReport(kind=visual.kind, image="data:image/png;base64," + base64.b64encode(visual.png).decode())
            for visual in examination.visuals
        ),
        cached=False,
        warnings=(
            *warnings,
            *measured.notes,
            *_about_model(config, measured, assessment),
            *held_against,
            *(
                say.refuted_finding.format(description=each.finding.description)
                for each in found
                if each.evidence == "refuted"
            ),
            *judgement.warnings,
            *assessment.warnings,
        ),
    )


def named(assessment: Assessment, found: Sequence[Grounded] = ()) -> dict[int, str]:
    """What the model calls each measured difference, by its index; nothing where it sees changes that aren't there."""
    if assessment.sees_ghosts:
        return {}
    by_place = {each.index: each.finding.description for each in found if each.index is not None}
    asked = {region.index: region.description for region in assessment.regions if region.seen and region.description}
    return by_place | asked


def judge(
    config: ImageComparisonConfig, measured: Measurement, assessment: Assessment, names: Mapping[int, str]
) -> Judgement:
    """Combine measurement and model into similarity, interval and verdict.

    - Nothing visible differs: the measurement decides; a model has nothing to take away.
    - Otherwise similarity is the weighted mean of the measured similarity and the model's mean aspect score, its
      interval what both may be off by (`_combined`).
    - The safety law has two sides: lifting takes a name for every measured difference, sinking one at least (`names`,
      by index).
    - `uncertain`: the threshold lies inside the interval.
    """
    scores = [aspect for aspect in assessment.aspects if aspect is not None]
    if not measured.differences or not scores:
        return _decided(config, measured.similarity, measured.similarity_interval)
    similarity, interval = _combined(measured, scores, assessment.anchors)
    threshold, said, say = config.similarity_threshold, "", SENTENCES[config.language]
    if measured.similarity < threshold <= interval[1] and not _names_all(measured, names):
        similarity = min(similarity, measured.similarity)
        interval, said = (min(interval[0], similarity), similarity), say.unnamed
    elif similarity < threshold <= measured.similarity and not _confirms(assessment, names):
        interval, said = (interval[0], max(interval[1], measured.similarity)), say.unconfirmed
    settled = _decided(config, similarity, interval)
    return replace(settled, warnings=(said,)) if said else settled


def _combined(
    measured: Measurement, scores: Sequence[AspectAssessment], anchors: Anchors | None
) -> tuple[float, tuple[float, float]]:
    """The weighted mean, and one standard deviation of the model's part around it: about two pairs in three lie inside.

    Its variance is that of a single answer, because one model's answers about one pair err together; what the aspects
    disagree about, as of any mean; and what the levels leave open. A bias is in all of them, and added.
    """
    mean = statistics.fmean(aspect.score for aspect in scores)
    single = statistics.fmean(aspect.spread**2 for aspect in scores)
    between = statistics.variance(aspect.score for aspect in scores) / len(scores) if len(scores) > 1 else 0.0
    level = LEVEL_SPREAD * (1.0 if anchors is None else anchors.stretch)
    spread = min(0.5, math.sqrt(single + between + level**2)) + _bias(scores, anchors)
    low, high = measured.similarity_interval
    weight = MODEL_WEIGHT
    similarity = (1 - weight) * measured.similarity + weight * mean
    below = (1 - weight) * low + weight * max(0.0, mean - spread)
    above = (1 - weight) * high + weight * min(1.0, mean + spread)
    return similarity, (min(below, similarity), max(above, similarity))


def _bias(scores: Sequence[AspectAssessment], anchors: Anchors | None) -> float:
    """How far off the mean may be: half the gap between the orders' scores, and more where it tells nothing apart."""
    blind = anchors is not None and not anchors.tell_apart
    return statistics.fmean(aspect.gap for aspect in scores) / 2 + (INDIFFERENT_SPREAD if blind else 0.0)


def _confirms(assessment: Assessment, names: Mapping[int, str]) -> bool:
    """Whether the model sees a measured difference, in its own words or without."""
    return bool(names) or (not assessment.sees_ghosts and any(region.seen for region in assessment.regions))


def _names_all(measured: Measurement, names: Mapping[int, str]) -> bool:
    """Whether each has a name of its own: a model that says the same of several has told none of them apart."""
    own = {name.casefold() for name in names.values()}
    return (
        not measured.further_differences
        and names.keys() >= set(range(len(measured.differences)))
        and len(own) == len(names)
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
                explanation=explanation or SENTENCES[config.language].measured_aspect(measured),
                certainty=None if said is None else fields.certainty(said),
            )
        )
    return tuple(reports)


def _focus_elements(
    config: ImageComparisonConfig, examination: Examination, assessment: Assessment
) -> tuple[tuple[FocusElementReport, ...], tuple[str, ...]]:
    """What the model says of each element, unless the pixels refute it; then what they say against it, as warnings."""
    assessed = assessment.focus_elements or (None,) * len(config.focus_elements)
    say = SENTENCES[config.language]
    reports: list[FocusElementReport] = []
    warnings: list[str] = []
    for name, said in zip(config.focus_elements, assessed, strict=True):
        if said is None:
            reports.append(_unsaid(config, name, examination.measurement, asked=assessment.status == "answered"))
            continue
        grounds = Grounds.of(examination, grounding.side_of(said.status))
        if is_refuted := _is_refuted(said, grounds):
            warnings.append(say.refuted.format(name=name))
        elif said.status == "unchanged" and said.box and grounds.changed_share(said.box) >= OVERLOOKED:
            warnings.append(say.overlooked.format(name=name))
        reports.append(_said(config, name, said, grounds, is_refuted=is_refuted))
    return tuple(reports), tuple(warnings)


def _is_refuted(said: FocusAssessment, grounds: Grounds) -> bool:
    if said.status not in ("changed", "added", "removed"):
        return False
    return not grounds.boxes or (said.box is not None and grounds.evidence(said.box, said.status) == "refuted")


def _said(
    config: ImageComparisonConfig, name: str, said: FocusAssessment, grounds: Grounds, *, is_refuted: bool
) -> FocusElementReport:
    say = SENTENCES[config.language]
    boxes = () if said.box is None else (grounds.box(said.box),)
    if not is_refuted:
        explanation = said.explanation or say.unexplained
        score = round(said.score, 4)
        return FocusElementReport(name=name, status=said.status, score=score, explanation=explanation, boxes=boxes)
    explanation = say.unchanged_there if grounds.boxes else say.unchanged
    return FocusElementReport(name=name, status="unchanged", score=1.0, explanation=explanation, boxes=boxes)


def _unsaid(config: ImageComparisonConfig, name: str, measured: Measurement, *, asked: bool) -> FocusElementReport:
    """Where nothing visible differs nothing can have changed, whether a model looked or not."""
    status: FocusStatus = "unassessed" if measured.differences else "unchanged"
    return FocusElementReport(
        name=name,
        status=status,
        score=None if status == "unassessed" else 1.0,
        explanation=SENTENCES[config.language].unsaid_element(status, asked=asked),
        boxes=(),
    )


def _differences(
    config: ImageComparisonConfig, measured: Measurement, names: Mapping[int, str], found: Sequence[Grounded]
) -> tuple[Difference, ...]:
    listed = [_difference(each, config, names.get(index)) for index, each in enumerate(measured.differences)]
    least = min((each.severity for each in measured.differences), default=0.0)
    severity = min(MODEL_ONLY_SEVERITY, least)
    return (*listed, *(_found(each, measured, severity) for each in found if each.evidence == "model_only"))


def _found(found: Grounded, measured: Measurement, severity: float) -> Difference:
    """A finding of the model's own: its box in the picture that it named, in both where both lie on one place."""
    in_both = measured.alignment.kind == "none"
    return Difference(
        kind=found.finding.kind,
        description=found.finding.description,
        evidence="model_only",
        severity=severity,
        reference_box=found.box if in_both or found.side == "reference" else None,
        candidate_box=found.box if in_both or found.side == "candidate" else None,
    )


def _difference(found: MeasuredDifference, config: ImageComparisonConfig, named: str | None) -> Difference:
    return Difference(
        kind=found.kind,
        description=named or SENTENCES[config.language].difference(found),
        evidence="confirmed" if named else "measured_only",
        severity=found.severity,
        reference_box=found.reference_box,
        candidate_box=found.candidate_box,
    )
