"""The config and the measurement in, what the model is asked out.
No model, no tokenizer: whether words or letters stand for the answers, and how places are asked for, is given
(`Habits`).

Texts of callers, and what was read in the pictures, are quoted as JSON strings and stand in questions only, never in
the instructions. Measured regions
are "areas": what is the same for both orders of the pictures is told of them in the instructions, and so is which
pictures show them. One area more is a decoy, where nothing changed: a model that sees a change there too has named
nothing. No heat map goes along: models report its colours.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from serve_app.comparison.dialogue import decoy
from serve_app.comparison.dialogue.phrases import PHRASES, Options, Phrases
from serve_app.core.habits import UNKNOWN, Convention, Habits
from serve_app.core.inquiry import (
    FINDING_KINDS,
    LETTERS,
    MAX_FINDINGS,
    AnswerShape,
    Inquiry,
    ModelIdentity,
    Question,
    QuestionKind,
    Wording,
)
from serve_app.core.measured import Crop, Examination
from serve_app.core.pictures import Box, ImageFacts, ShownImage
from serve_app.core.read_text import tidied
from serve_app.core.reading import TextChange
from serve_app.schema import ImageComparisonConfig, Language

VERSION = "5"
MAX_REGIONS = 8  # measured regions the model is asked about, most severe first
MAX_TEXTS = 3  # read in one region, that the model is told
ANCHOR_ASPECTS = ("color", "layout", "content", "style")  # the contract's defaults
_EXCHANGED = (0, 1, 3, 2, 4)  # with the pictures exchanged, what was added is removed
_ANCHOR_AREA = (0.3, 0.6)  # of each side of an anchor: about its middle


def render(config: ImageComparisonConfig, examination: Examination, habits: Habits = UNKNOWN) -> Inquiry:
    """Put every aspect, focus element, top measured region, what else there may be and the summary into words.

    Raises ValueError if the examination was made without pictures for a model.
    """
    if examination.shown_reference is None or examination.shown_candidate is None:
        raise ValueError("the examination holds no pictures for a model")
    phrases = _phrases(config.language, habits)
    areas = _areas(phrases, examination)
    unchanged = _decoy(phrases, examination, len(areas) + 1)
    told = areas if unchanged is None else (*areas, unchanged)
    places = _Places(habits.boxes, (examination.shown_reference, examination.shown_candidate))
    swapped = _labelled(phrases, config, told, places.exchanged, exchanged=True) if config.swap_check else ()
    questions = (
        *_labelled(phrases, config, told, places, exchanged=False),
        *_findings(phrases, told, places),
        Question("summary", 0, (Wording(phrases.summary),)),
    )
    kinds = {question.kind for question in questions}
    return Inquiry(
        shown_reference=examination.shown_reference,
        shown_candidate=examination.shown_candidate,
        instructions=_instructions(phrases, told, examination.crops, kinds, places),
        questions=questions,
        swapped_questions=swapped,
        language=config.language,
        prompt_version=VERSION,
        crops=examination.crops,
        captions=_captions(phrases, examination.crops),
        decoy=None if unchanged is None else unchanged.number - 1,
        thought_request=phrases.thought,
    )


def version(model: ModelIdentity, words: str | None = None) -> str:
    """Of all that is said to this model: of the words, by default these, and how much it may write before the first
    question."""
    words = VERSION if words is None else words
    return f"{words}+thought{model.thought_tokens}" if model.thought_tokens else words


def calibration(first: ShownImage, second: ShownImage, language: Language, *, letters: bool) -> Inquiry:
    """How much two known pictures of one size differ: the default aspects, and one area, named as all real pairs have
    one. Only labels, one order."""
    phrases = _phrases(language, Habits(letters))
    start, end = (round(share * first.width) for share in _ANCHOR_AREA)
    place = _place(phrases, Box(start, start, end - start, end - start), first.width, first.height)
    area = _Area(1, place, (place, place))
    asked = (
        *(_aspect(phrases, index, name) for index, name in enumerate(ANCHOR_ASPECTS)),
        _region(phrases, area, exchanged=True),
    )
    told = _instructions(phrases, (area,), (), {"aspect", "region"}, _Places(None, (first, second)))
    names = _captions(phrases, ())
    thought = phrases.thought
    return Inquiry(second, first, told, (), asked, language, VERSION, captions=names, decoy=0, thought_request=thought)


def placing(picture: ShownImage, language: Language, habits: Habits) -> Inquiry:
    """Where the red square (`anchors.marked`) is that both pictures, the same twice, show; asked as for any element."""
    phrases = _phrases(language, habits)
    places = _Places(habits.boxes, (picture, picture))
    asked = _element(phrases, 0, phrases.mark, phrases.statuses, places)
    told = _instructions(phrases, (), (), {"focus_element"}, places)
    names, thought = _captions(phrases, ()), phrases.thought
    return Inquiry(picture, picture, told, (asked,), (), language, VERSION, captions=names, thought_request=thought)


def labels(language: Language) -> tuple[tuple[str, ...], ...]:
    """The words of each list of answers."""
    phrases = PHRASES[language]
    return tuple(tuple(word for word, _ in options) for options in (phrases.levels, phrases.statuses, phrases.kinds))


@dataclass(frozen=True, slots=True)
class _Places:
    """How places are asked for, None where they aren't, and the first and the second picture."""

    convention: Convention | None
    pictures: tuple[ShownImage, ShownImage]

    @property
    def exchanged(self) -> _Places:
        return _Places(self.convention, (self.pictures[1], self.pictures[0]))

    @property
    def shape(self) -> AnswerShape:
        return "text" if self.convention is None else "boxed_text"

    def told(self, phrases: Phrases) -> dict[str, str]:
        """The corners of a box and their unit, in words."""
        if self.convention is None:
            return {"corners": "", "unit": ""}
        units = {"thousandths": phrases.thousandths, "fractions": phrases.fractions}
        corners = phrases.corners_y_first if self.convention.y_first else phrases.corners
        return {"corners": corners, "unit": units.get(self.convention.unit, phrases.pixels)}

    def sizes(self, phrases: Phrases) -> str:
        """What a question for pixels has to tell, and the instructions can't tell for both orders."""
        if self.convention is None or not self.convention.in_pixels:
            return ""
        first, second = (f"{shown.width} x {shown.height}" for shown in self.pictures)
        return phrases.sizes.format(first=first, second=second)


@dataclass(frozen=True, slots=True)
class _Area:
    """A measured region in words. `common`: where it lies, if that is the same in both pictures."""

    number: int
    common: str
    places: tuple[str, str]  # in the first and in the second picture, empty where it isn't
    texts: tuple[TextChange, ...] = ()  # read there

    def told(self, phrases: Phrases, *, exchanged: bool) -> str:
        """Where it lies, if the instructions can't say it for both orders."""
        if self.common:
            return ""
        sides = zip((phrases.in_first, phrases.in_second), self.places[:: -1 if exchanged else 1], strict=True)
        return phrases.joint.join(frame.format(place=place) for frame, place in sides if place)

    def read(self, phrases: Phrases, *, exchanged: bool) -> str:
        """What was read there in the first and in the second picture, as data."""
        if not self.texts:
            return ""
        sides = ([each.reference for each in self.texts], [each.candidate for each in self.texts])
        quoted = [phrases.series.join(map(_quoted, filter(None, side))) or phrases.nothing for side in sides]
        first, second = quoted[:: -1 if exchanged else 1]
        return phrases.read.format(first=first, second=second)


def _phrases(language: Language, habits: Habits) -> Phrases:
    """With letters in place of the words where the tokenizer splits those: one form only, in all questions."""
    return PHRASES[language].lettered(LETTERS) if habits.letters else PHRASES[language]


def _areas(phrases: Phrases, examination: Examination) -> tuple[_Area, ...]:
    found, reading = examination.measurement.differences[:MAX_REGIONS], tidied(examination.reading)
    return tuple(
        _area(phrases, examination, index + 1, each.reference_box, each.candidate_box, reading.text_in(index))
        for index, each in enumerate(found)
    )


def _decoy(phrases: Phrases, examination: Examination, number: int) -> _Area | None:
    boxes = decoy.place(examination)
    return None if boxes is None else _area(phrases, examination, number, *boxes)


def _area(
    phrases: Phrases,
    examination: Examination,
    number: int,
    one: Box | None,
    two: Box | None,
    texts: Sequence[TextChange] = (),
) -> _Area:
    first = _within(phrases, one, examination.reference)
    second = _within(phrases, two, examination.candidate)
    return _Area(number, first if first == second else "", (first, second), tuple(texts[:MAX_TEXTS]))


def _instructions(
    phrases: Phrases, areas: Sequence[_Area], crops: Sequence[Crop], asked: Collection[QuestionKind], places: _Places
) -> str:
    """All that every question needs, the same in both orders of the pictures: read once, shared by all."""
    meant = dict(zip(FINDING_KINDS, (meaning for _, meaning in phrases.kinds[1:]), strict=True))
    told = places.told(phrases)
    box = {"box": "", "where": ""}
    if places.convention is not None:
        box = {"box": f'"box":{told["corners"]},', "where": phrases.element_box.format(**told)}
    about = {
        "aspect": phrases.about_aspects.format(options=_listed(phrases, phrases.levels)),
        "focus_element": phrases.about_elements.format(options=_listed(phrases, phrases.statuses), **box),
        "region": phrases.about_regions.format(options=_listed(phrases, phrases.kinds)),
        "findings": phrases.about_findings.format(
            most=MAX_FINDINGS, kinds=_listed(phrases, tuple(meant.items())), **told
        ),
        "summary": phrases.about_summary.format(),
    }
    common = [
        phrases.area.format(number=area.number) + phrases.joint + phrases.in_both.format(place=area.common)
        for area in areas
        if area.common
    ]
    closer = [phrases.area.format(number=crop.index + 1) for crop in crops]
    return "".join(
        [
            phrases.instructions,
            phrases.areas.format(areas=phrases.series.join(common)) if common else "",
            phrases.crops.format(crops=phrases.series.join(closer)) if closer else "",
            *(text for kind, text in about.items() if kind in asked),
        ]
    )


def _captions(phrases: Phrases, crops: Sequence[Crop]) -> tuple[str, ...]:
    """The names of all pictures, by their places: the same in both orders."""
    sides = phrases.first_of, phrases.second_of
    areas = (side.format(number=crop.index + 1) for crop in crops for side in sides)
    return (phrases.first, phrases.second, *areas)


def _labelled(
    phrases: Phrases, config: ImageComparisonConfig, areas: Sequence[_Area], places: _Places, *, exchanged: bool
) -> tuple[Question, ...]:
    statuses = _turned(phrases.statuses, exchanged)
    return (
        *(_aspect(phrases, index, name) for index, name in enumerate(config.comparison_aspects)),
        *(_element(phrases, index, name, statuses, places) for index, name in enumerate(config.focus_elements)),
        *(_region(phrases, area, exchanged=exchanged) for area in areas),
    )


def _element(phrases: Phrases, index: int, name: str, statuses: Options, places: _Places) -> Question:
    text = phrases.focus.format(name=_quoted(name)) + places.sizes(phrases)
    return Question("focus_element", index, (_wording(text, statuses),), places.shape)


def _aspect(phrases: Phrases, index: int, name: str) -> Question:
    return Question("aspect", index, (_wording(phrases.aspect.format(name=_quoted(name)), phrases.levels),))


def _region(phrases: Phrases, area: _Area, *, exchanged: bool) -> Question:
    told = (phrases.area.format(number=area.number), area.told(phrases, exchanged=exchanged))
    text = phrases.region.format(area=phrases.joint.join(part for part in told if part))
    text += area.read(phrases, exchanged=exchanged)
    return Question("region", area.number - 1, (_wording(text, _turned(phrases.kinds, exchanged)),))


def _findings(phrases: Phrases, areas: Sequence[_Area], places: _Places) -> tuple[Question, ...]:
    """What else may have changed; not asked where nothing visible differs, whatever came would be invented, nor of a
    model whose places say nothing."""
    if not areas or places.convention is None:
        return ()
    told = phrases.series.join(told for area in areas if (told := area.told(phrases, exchanged=False)))
    elsewhere = phrases.elsewhere.format(places=told) if told else ""
    text = phrases.findings.format(elsewhere=elsewhere) + places.sizes(phrases)
    return (Question("findings", 0, (Wording(text),), "findings"),)


def _turned(options: Options, exchanged: bool) -> Options:
    """Position i means the same in both orders, so with the pictures exchanged another word, or letter, stands there:
    what a model likes about a letter itself counts once for what was added and once for what was removed."""
    return tuple(options[i] for i in _EXCHANGED) if exchanged else options


def _wording(text: str, options: Options) -> Wording:
    return Wording(text, tuple(word for word, _ in options))


def _listed(phrases: Phrases, options: Options) -> str:
    return phrases.separator.join(phrases.option.format(label=label, meaning=meaning) for label, meaning in options)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _within(phrases: Phrases, box: Box | None, facts: ImageFacts) -> str:
    return "" if box is None else _place(phrases, box, facts.width, facts.height)


def _place(phrases: Phrases, box: Box, width: int, height: int) -> str:
    """In percent of the picture's sides: no family of models disagrees about those."""
    column = min(2, 3 * (2 * box.x + box.width) // (2 * width))
    row = min(2, 3 * (2 * box.y + box.height) // (2 * height))
    return phrases.place.format(
        left=100 * box.x // width,
        right=-(-100 * box.right // width),
        top=100 * box.y // height,
        bottom=-(-100 * box.bottom // height),
        row=phrases.rows[row],
        column=phrases.columns[column],
    )
