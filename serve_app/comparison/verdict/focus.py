"""Focus elements in a report: what was read of each, whatever a model says of it; else what the model says, unless it
is said to have changed where no pixel did. No similarity, no verdict.
"""

from __future__ import annotations

from serve_app.comparison import grounding
from serve_app.comparison.grounding import Grounds
from serve_app.comparison.sentences import SENTENCES
from serve_app.core.assessed import Assessment, FocusAssessment
from serve_app.core.measured import Examination, Measurement
from serve_app.core.reading import ElementText, Reading
from serve_app.schema import FocusElementReport, FocusStatus, ImageComparisonConfig

OVERLOOKED = 0.5  # of an element's pixels changed, and the model says that it didn't


def focus_elements(
    config: ImageComparisonConfig, examination: Examination, reading: Reading, assessment: Assessment
) -> tuple[tuple[FocusElementReport, ...], tuple[str, ...]]:
    """What was read of each element, or what the model says, unless the pixels refute it; then what stands against the
    model's word, as warnings."""
    assessed = assessment.focus_elements or (None,) * len(config.focus_elements)
    read = reading.elements or (None,) * len(config.focus_elements)
    say = SENTENCES[config.language]
    reports: list[FocusElementReport] = []
    warnings: list[str] = []
    for name, said, text in zip(config.focus_elements, assessed, read, strict=True):
        if text is not None:
            if said is not None and said.status != text.status:
                warnings.append(say.misread.format(name=name))
            reports.append(_read(config, name, text, said))
            continue
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


def _read(
    config: ImageComparisonConfig, name: str, text: ElementText, said: FocusAssessment | None
) -> FocusElementReport:
    """Where both agree, the model's words follow what was read."""
    say = SENTENCES[config.language]
    agrees = said is not None and said.status == text.status and said.explanation
    box = text.box
    return FocusElementReport(
        name=name,
        status=text.status,
        score=round(text.score, 4),
        explanation=say.joined(say.read_element(text), *((said.explanation,) if said and agrees else ())),
        boxes=() if box is None else ((box.x, box.y, box.width, box.height),),
    )


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
