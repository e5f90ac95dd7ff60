"""The config and the measurement in, what the model is asked out.
No model, no tokenizer: an engine picks the wording whose labels its tokenizer knows.

Texts of callers are quoted as JSON strings and stand in questions only, never in the instructions. Measured regions
are "areas": what is the same for both orders of the pictures is told of them in the instructions, and so is which
pictures show them. No heat map goes along: models report its colours.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from serve_app.core import (
    FINDING_KINDS,
    MAX_FINDINGS,
    Box,
    Crop,
    Examination,
    ImageFacts,
    Inquiry,
    Question,
    QuestionKind,
    ShownImage,
    Wording,
)
from serve_app.phrases import PHRASES, Phrases
from serve_app.schema import ImageComparisonConfig, Language

VERSION = "3"
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
    areas = _areas(phrases, examination)
    swapped = _labelled(phrases, config, areas, exchanged=True) if config.swap_check else ()
    questions = (
        *_labelled(phrases, config, areas, exchanged=False),
        *_findings(phrases, areas),
        Question("summary", 0, (Wording(phrases.summary),)),
    )
    return Inquiry(
        shown_reference=examination.shown_reference,
        shown_candidate=examination.shown_candidate,
        instructions=_instructions(phrases, areas, examination.crops, {question.kind for question in questions}),
        questions=questions,
        swapped_questions=swapped,
        language=config.language,
        prompt_version=VERSION,
        crops=examination.crops,
    )


def calibration(first: ShownImage, second: ShownImage, language: Language) -> Inquiry:
    """How much two known pictures differ: the default aspects, only labels, one order."""
    phrases = PHRASES[language]
    asked = tuple(_aspect(phrases, index, name) for index, name in enumerate(ANCHOR_ASPECTS))
    return Inquiry(second, first, _instructions(phrases, (), (), {"aspect"}), (), asked, language, VERSION)


@dataclass(frozen=True, slots=True)
class _Area:
    """A measured region in words. `common`: where it lies, if that is the same in both pictures."""

    number: int
    common: str
    places: tuple[str, str]  # in the first and in the second picture, empty where it isn't

    def told(self, phrases: Phrases, *, exchanged: bool) -> str:
        """Where it lies, if the instructions can't say it for both orders."""
        if self.common:
            return ""
        sides = zip((phrases.in_first, phrases.in_second), self.places[:: -1 if exchanged else 1], strict=True)
        return phrases.joint.join(frame.format(place=place) for frame, place in sides if place)


def _areas(phrases: Phrases, examination: Examination) -> tuple[_Area, ...]:
    areas = []
    for number, difference in enumerate(examination.measurement.differences[:MAX_REGIONS], 1):
        first = _within(phrases, difference.reference_box, examination.reference)
        second = _within(phrases, difference.candidate_box, examination.candidate)
        areas.append(_Area(number, first if first == second else "", (first, second)))
    return tuple(areas)


def _instructions(
    phrases: Phrases, areas: Sequence[_Area], crops: Sequence[Crop], asked: Collection[QuestionKind]
) -> str:
    """All that every question needs, the same in both orders of the pictures: read once, shared by all."""
    meant = dict(zip(FINDING_KINDS, (meaning for _, meaning in phrases.kinds[1:]), strict=True))
    about = {
        "aspect": phrases.about_aspects.format(options=_listed(phrases, phrases.levels)),
        "focus_element": phrases.about_elements.format(options=_listed(phrases, phrases.statuses)),
        "region": phrases.about_regions.format(options=_listed(phrases, phrases.kinds)),
        "findings": phrases.about_findings.format(most=MAX_FINDINGS, kinds=_listed(phrases, list(meant.items()))),
        "summary": phrases.about_summary.format(),
    }
    common = [
        phrases.area.format(number=area.number) + phrases.joint + phrases.in_both.format(place=area.common)
        for area in areas
        if area.common
    ]
    pictures = [
        phrases.crop.format(number=crop.index + 1, one=2 * n + 1, two=2 * n + 2) for n, crop in enumerate(crops, 1)
    ]
    return "".join(
        [
            phrases.instructions,
            phrases.areas.format(areas=phrases.series.join(common)) if common else "",
            phrases.crops.format(crops=phrases.series.join(pictures)) if pictures else "",
            *(text for kind, text in about.items() if kind in asked),
        ]
    )


def _labelled(
    phrases: Phrases, config: ImageComparisonConfig, areas: Sequence[_Area], *, exchanged: bool
) -> tuple[Question, ...]:
    aspects = (_aspect(phrases, index, name) for index, name in enumerate(config.comparison_aspects))
    statuses = _turned(phrases.statuses, exchanged)
    elements = (
        Question("focus_element", index, _wordings(phrases, phrases.focus, statuses, name=_quoted(name)), "boxed_text")
        for index, name in enumerate(config.focus_elements)
    )
    kinds = _turned(phrases.kinds, exchanged)
    regions = []
    for area in areas:
        told = (phrases.area.format(number=area.number), area.told(phrases, exchanged=exchanged))
        named = phrases.joint.join(part for part in told if part)
        regions.append(Question("region", area.number - 1, _wordings(phrases, phrases.region, kinds, area=named)))
    return (*aspects, *elements, *regions)


def _aspect(phrases: Phrases, index: int, name: str) -> Question:
    return Question("aspect", index, _wordings(phrases, phrases.aspect, phrases.levels, name=_quoted(name)))


def _findings(phrases: Phrases, areas: Sequence[_Area]) -> tuple[Question, ...]:
    """What else may have changed; not asked where nothing visible differs: whatever came would be invented."""
    if not areas:
        return ()
    places = phrases.series.join(told for area in areas if (told := area.told(phrases, exchanged=False)))
    elsewhere = phrases.elsewhere.format(places=places) if places else ""
    return (Question("findings", 0, (Wording(phrases.findings.format(elsewhere=elsewhere)),), "findings"),)


def _turned(options: Sequence[tuple[str, str]], exchanged: bool) -> Sequence[tuple[str, str]]:
    """Position i means the same in both orders, so with the pictures exchanged other words stand there."""
    return [options[i] for i in _EXCHANGED] if exchanged else options


def _wordings(
    phrases: Phrases, template: str, options: Sequence[tuple[str, str]], **values: str
) -> tuple[Wording, ...]:
    """The question with words for labels, which the instructions tell, then with letters, which are one token in
    every tokenizer and which it tells itself."""
    lettered = [(letter, meaning) for letter, (_, meaning) in zip(LETTERS, options, strict=True)]
    text = template.format(**values)
    return (
        Wording(text, tuple(label for label, _ in options)),
        Wording(text + phrases.lettered.format(options=_listed(phrases, lettered)), LETTERS),
    )


def _listed(phrases: Phrases, options: Sequence[tuple[str, str]]) -> str:
    return phrases.separator.join(phrases.option.format(label=label, meaning=meaning) for label, meaning in options)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _within(phrases: Phrases, box: Box | None, facts: ImageFacts) -> str:
    """A place in percent of the picture's sides: no family of models disagrees about those."""
    if box is None:
        return ""
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
