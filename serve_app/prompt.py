"""The config and the measurement in, what the model is asked out.
No model, no tokenizer: an engine picks the wording whose labels its tokenizer knows.

Texts of callers are quoted as JSON strings. Crops of measured regions are "areas" with the numbers of their pictures;
no heat map goes along: models report its colours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from serve_app.core import (
    FINDING_KINDS,
    MAX_FINDINGS,
    Box,
    Examination,
    ImageFacts,
    Inquiry,
    MeasuredDifference,
    Question,
    ShownImage,
    Wording,
)
from serve_app.phrases import PHRASES, Phrases
from serve_app.schema import ImageComparisonConfig, Language

VERSION = "2"
MAX_REGIONS = 8  # measured regions the model is asked about, most severe first
ANCHOR_ASPECTS = ("color", "layout", "content", "style")  # the contract's defaults
LETTERS = ("A", "B", "C", "D", "E")
_EXCHANGED = (0, 1, 3, 2, 4)  # with the pictures exchanged, what was added is removed


def render(config: ImageComparisonConfig, examination: Examination) -> Inquiry:
    """Put every aspect, focus element, top measured region, what else there may be and the summary into words.

    Raises ValueError if the examination was made without pictures for a model.
    """
    if examination.shown_reference is None or examination.shown_candidate is None:
        raise ValueError("the examination holds no pictures for a model")
    phrases = PHRASES[config.language]
    swapped = _labelled(phrases, config, examination, exchanged=True) if config.swap_check else ()
    return Inquiry(
        shown_reference=examination.shown_reference,
        shown_candidate=examination.shown_candidate,
        instructions=phrases.instructions + _crops(phrases, len(examination.crops)),
        questions=(
            *_labelled(phrases, config, examination, exchanged=False),
            *_findings(phrases, examination),
            Question("summary", 0, (Wording(phrases.summary.format()),)),
        ),
        swapped_questions=swapped,
        language=config.language,
        prompt_version=VERSION,
        crops=examination.crops,
    )


def calibration(first: ShownImage, second: ShownImage, language: Language) -> Inquiry:
    """How much two known pictures differ: the default aspects, only labels, one order."""
    phrases = PHRASES[language]
    asked = tuple(_aspect(phrases, index, name) for index, name in enumerate(ANCHOR_ASPECTS))
    return Inquiry(second, first, phrases.instructions, (), asked, language, VERSION)


def _labelled(
    phrases: Phrases, config: ImageComparisonConfig, examination: Examination, *, exchanged: bool
) -> tuple[Question, ...]:
    aspects = (_aspect(phrases, index, name) for index, name in enumerate(config.comparison_aspects))
    statuses = _turned(phrases.statuses, exchanged)
    elements = (
        Question("focus_element", index, _wordings(phrases, phrases.focus, statuses, name=_quoted(name)), "boxed_text")
        for index, name in enumerate(config.focus_elements)
    )
    kinds = _turned(phrases.kinds, exchanged)
    areas = {crop.index: number for number, crop in enumerate(examination.crops, 1)}
    regions = (
        Question("region", index, _wordings(phrases, phrases.region, kinds, place=place))
        for index, difference in enumerate(examination.measurement.differences[:MAX_REGIONS])
        if (place := _place(phrases, difference, examination, areas.get(index), exchanged=exchanged))
    )
    return (*aspects, *elements, *regions)


def _aspect(phrases: Phrases, index: int, name: str) -> Question:
    return Question("aspect", index, _wordings(phrases, phrases.aspect, phrases.levels, name=_quoted(name)))


def _findings(phrases: Phrases, examination: Examination) -> tuple[Question, ...]:
    """What else may have changed; not asked where nothing visible differs: whatever came would be invented."""
    listed = examination.measurement.differences[:MAX_REGIONS]
    if not listed:
        return ()
    places = (_place(phrases, each, examination, None, exchanged=False) for each in listed)
    text = phrases.findings.format(
        places=phrases.series.join(place for place in places if place),
        most=MAX_FINDINGS,
        kinds=phrases.separator.join(
            phrases.option.format(label=kind, meaning=meaning)
            for kind, (_, meaning) in zip(FINDING_KINDS, phrases.kinds[1:], strict=True)
        ),
    )
    return (Question("findings", 0, (Wording(text),), "findings"),)


def _crops(phrases: Phrases, count: int) -> str:
    """Which pictures after the first two show which area."""
    if not count:
        return ""
    areas = [phrases.crop.format(number=n, one=2 * n + 1, two=2 * n + 2) for n in range(1, count + 1)]
    return phrases.crops.format(crops=phrases.series.join(areas))


def _turned(options: Sequence[tuple[str, str]], exchanged: bool) -> Sequence[tuple[str, str]]:
    """Position i means the same in both orders, so with the pictures exchanged other words stand there."""
    return [options[i] for i in _EXCHANGED] if exchanged else options


def _wordings(
    phrases: Phrases, template: str, options: Sequence[tuple[str, str]], **values: str
) -> tuple[Wording, ...]:
    """The question with words for labels, then with letters, which are one token in every tokenizer."""
    lettered = [(letter, meaning) for letter, (_, meaning) in zip(LETTERS, options, strict=True)]
    return tuple(
        Wording(template.format(options=_listed(phrases, choice), **values), tuple(label for label, _ in choice))
        for choice in (options, lettered)
    )


def _listed(phrases: Phrases, options: Sequence[tuple[str, str]]) -> str:
    return phrases.separator.join(phrases.option.format(label=label, meaning=meaning) for label, meaning in options)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _place(
    phrases: Phrases, difference: MeasuredDifference, examination: Examination, area: int | None, *, exchanged: bool
) -> str:
    """Where a region lies, in percent of each picture's sides: no family of models disagrees about those.

    `area`: the number of its crop, if there is one.
    """
    sides = [
        (difference.reference_box, examination.reference),
        (difference.candidate_box, examination.candidate),
    ]
    if exchanged:
        sides.reverse()
    parts = [
        frame.format(place=_within(phrases, box, facts))
        for frame, (box, facts) in zip((phrases.in_first, phrases.in_second), sides, strict=True)
        if box is not None
    ]
    place = phrases.joint.join(parts)
    return phrases.area.format(number=area, place=place) if area is not None and place else place


def _within(phrases: Phrases, box: Box, facts: ImageFacts) -> str:
    column = min(2, 3 * (2 * box.x + box.width) // (2 * facts.width))
    row = min(2, 3 * (2 * box.y + box.height) // (2 * facts.height))
    return phrases.place.format(
        left=100 * box.x // facts.width,
        right=-(-100 * box.right // facts.width),
        top=100 * box.y // facts.height,
        bottom=-(-100 * box.bottom // facts.height),
        row=phrases.rows[row],
        column=phrases.columns[column],
    )
