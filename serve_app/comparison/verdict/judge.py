"""Similarity and verdict: what measurement and model weigh, and what neither may do alone.
No pixels, no words: scores and names in, a judgement out.

- Whether anything visible differs, the measurement alone decides. Where it finds nothing, it is a match at any
  threshold: what nobody sees is no mismatch, and no word of the model makes one.
- What the caller allows at most, differences, changed pixels or changed words, is a mismatch beyond, whatever the
  similarity.
- How similar the pair is: the weighted mean of the measured similarity and the model's mean aspect score (`judge`).
- Safety law: where the measurement is below the threshold, the model lifts the pair over it, or up to it, only if it
  has named every measured difference, each in its own words: seen in the region's own question, or found with a box
  that fits it. Its other side: where the measurement is not below, the model sinks the pair under the threshold only
  if it confirms a difference at all; else the interval reaches up to what was measured.
- A model that sees a change at a place where nothing changed (the decoy) names and confirms nothing.
- A model that rates an unrelated picture like an equal one at its start widens the interval.

"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from serve_app.comparison.grounding import Grounded
from serve_app.comparison.sentences import SENTENCES
from serve_app.core.assessed import Anchors, AspectAssessment, Assessment
from serve_app.core.measured import Measurement
from serve_app.schema import ImageComparisonConfig, Verdict, VerdictReason

# Share of the model's mean aspect score in the similarity. Half: the pixels say how much differs, the model
# whether it matters for the aspects asked; neither alone is what a person means.
MODEL_WEIGHT = 0.5
# Standard deviation of what lies between two levels, a quarter apart, and was called one of them: 0.25 / sqrt(12).
LEVEL_SPREAD = 0.072
# Standard deviation of a score of which nothing is known but that it lies in 0..1: sqrt(1/12). It is that of the mean
# too: what keeps a model from telling pictures apart keeps it in every aspect.
INDIFFERENT_SPREAD = 0.29


@dataclass(frozen=True, slots=True)
class Judgement:
    """Similarity with its interval, the verdict that follows, and what had to be said on the way."""

    similarity: float
    interval: tuple[float, float]
    verdict: Verdict
    warnings: tuple[str, ...] = ()
    reason: VerdictReason = "similarity"


def named(assessment: Assessment, found: Sequence[Grounded] = ()) -> dict[int, str]:
    """What the model calls each measured difference, by its index; nothing where it sees changes that aren't there."""
    if assessment.sees_ghosts:
        return {}
    by_place = {each.index: each.finding.description for each in found if each.index is not None}
    asked = {region.index: region.description for region in assessment.regions if region.seen and region.description}
    return by_place | asked


def judge(
    config: ImageComparisonConfig,
    measured: Measurement,
    assessment: Assessment,
    names: Mapping[int, str],
    *,
    other_words: bool = False,
) -> Judgement:
    """Combine measurement and model into similarity, interval and verdict; then what the caller allows at most.

    `other_words`: the text read in a difference has surely changed.
    """
    judged = _weighed(config, measured, assessment, names)
    return _within_limits(config, measured, judged, other_words=other_words)


def _within_limits(
    config: ImageComparisonConfig, measured: Measurement, judged: Judgement, *, other_words: bool
) -> Judgement:
    found = num_differences(measured)
    if not found:
        decided = judged.verdict != "match"
        return replace(judged, verdict="match", reason="differences" if decided else judged.reason)
    if config.max_differences is not None and found > config.max_differences:
        return replace(judged, verdict="mismatch", reason="differences")
    if config.max_changed_ratio is not None and measured.changed_ratio > config.max_changed_ratio:
        return replace(judged, verdict="mismatch", reason="changed_ratio")
    if other_words and config.text_changes == "mismatch":
        return replace(judged, verdict="mismatch", reason="text")
    return judged


def num_differences(measured: Measurement) -> int:
    return len(measured.differences) + measured.further_differences


def _weighed(
    config: ImageComparisonConfig, measured: Measurement, assessment: Assessment, names: Mapping[int, str]
) -> Judgement:
    """Similarity, interval and the verdict that follows from them.

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
    """The weighted mean, and a standard deviation of the model's part around it: two pairs in three or more lie inside.

    One model's answers about one pair may err together, so that of the mean is taken as the mean of theirs: the most it
    can be, however they err. What aspects differ in is no doubt: a pair may well have one color and another content.
    A bias is in all of them, and added. Coverage and width of this and of other rules: benchmarks/results/coverage.md.
    """
    mean = statistics.fmean(aspect.score for aspect in scores)
    level = LEVEL_SPREAD * (1.0 if anchors is None else anchors.stretch)
    own = statistics.fmean(math.hypot(aspect.spread, level) for aspect in scores)
    spread = min(0.5, own) + _bias(scores, anchors)
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


def _decided(config: ImageComparisonConfig, similarity: float, interval: tuple[float, float]) -> Judgement:
    similarity, low, high = (round(min(1.0, max(0.0, value)), 4) for value in (similarity, *interval))
    threshold = config.similarity_threshold
    if low < threshold <= high and low < high:
        return Judgement(similarity, (low, high), "uncertain")
    return Judgement(similarity, (low, high), "match" if similarity >= threshold else "mismatch")
