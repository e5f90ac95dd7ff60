"""The differences of a report: first the text that changed, as it was read; then the model's words where it names one
(confirmed), else the box (measured_only).
What else the model finds, with a box: where pixels changed by less than what is listed, or can't tell, it is listed
last (model_only); where nothing visible changed it is refuted, and never listed: `differences` holds what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serve_app.comparison.grounding import Grounded
from serve_app.comparison.sentences import SENTENCES
from serve_app.comparison.verdict import fields
from serve_app.core.measured import MeasuredDifference, Measurement
from serve_app.core.reading import Reading, TextChange
from serve_app.schema import Difference, ImageComparisonConfig

MODEL_ONLY_SEVERITY = 0.02  # at most: the pixels hold it for less than the least that they list


def differences(
    config: ImageComparisonConfig,
    measured: Measurement,
    reading: Reading,
    names: Mapping[int, str],
    found: Sequence[Grounded],
) -> tuple[Difference, ...]:
    listed = [
        _difference(each, config, names.get(index), reading.text_in(index))
        for index, each in enumerate(measured.differences)
    ]
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


def _difference(
    found: MeasuredDifference, config: ImageComparisonConfig, named: str | None, texts: Sequence[TextChange]
) -> Difference:
    say = SENTENCES[config.language]
    told = [fields.text(each) for each in texts]
    return Difference(
        kind=found.kind,
        description=say.joined(*say.some_texts(texts), named or say.difference(found)),
        evidence="confirmed" if named else "measured_only",
        severity=found.severity,
        reference_box=found.reference_box,
        candidate_box=found.candidate_box,
        text=told[0] if told else None,
        further_texts=tuple(told[1:]),
    )
