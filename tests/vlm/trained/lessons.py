"""What the product asks about a drawn pair, and the right answers, word for word.
No tensors: texts and pictures come out. The prompts are the product's own, the truth is the scene's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageEnhance, ImageOps

from serve_app.comparison import anchors
from serve_app.comparison.dialogue import prompt
from serve_app.comparison.dialogue.phrases import PHRASES
from serve_app.comparison.examiner import Examiner
from serve_app.core.assessed import PictureBox
from serve_app.core.clock import Deadline
from serve_app.core.habits import UNKNOWN
from serve_app.core.inquiry import Question
from serve_app.core.measured import Examination
from serve_app.core.pictures import Box, ShownImage, Upload
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.settings import Limits, PreprocessingSettings
from serve_app.vlm.local import grammar, picture_bytes
from serve_app.vlm.local.lexicon import ANSWER_OPENING
from tests.vlm.trained.scenes import CELLS, SHAPES, STATES, Element, Scene, as_png

ASPECTS: Final = ("color", "content")
GHOST: Final = "ghost"
GHOST_CELL: Final = 0
NAMES: Final[dict[Language, dict[str, str]]] = {
    "en": {"circle": "circle", "square": "square", "triangle": "triangle", GHOST: "ghost", "ground": "ground"},
    "zh": {"circle": "圆形", "square": "方块", "triangle": "三角", GHOST: "幽灵", "ground": "背景"},
}
WORDS: Final = (*prompt.ANCHOR_ASPECTS, *(name for names in NAMES.values() for name in names.values()))
CHANGES: Final = ("changed", "added", "removed")
NUM_HAPPENINGS: Final = 1 + len(SHAPES) * 4  # in a cell: nothing, or one of four states of one of the shapes


@dataclass(frozen=True, slots=True)
class Lesson:
    """One prompt in one order of its pictures. `asked`: questions with their whole answers.

    `happened`: in each cell, row by row, as a number under `NUM_HAPPENINGS`; `tone_gap` of the grounds. Both None
    where the pictures aren't a scene. `found`: cell and state, as its
    number, of the element that each question asks about, None where it asks about none that is there.
    """

    instructions: str
    captions: tuple[str, ...]
    pictures: tuple[Image.Image, Image.Image]
    asked: tuple[tuple[str, str], ...]
    happened: tuple[int, ...] | None = None
    tone_gap: float | None = None
    found: tuple[tuple[int, int] | None, ...] = ()


def config(language: Language, *, names: Sequence[str] = (*SHAPES, GHOST), **more: object) -> ImageComparisonConfig:
    """What a caller asks about these scenes: the shapes, and a thing that the model is taught to see anywhere."""
    elements = tuple(NAMES[language][name] for name in names)
    asked = {"focus_elements": elements, "comparison_aspects": ASPECTS, "language": language, **more}
    return ImageComparisonConfig.model_validate(asked)


def examined(drawn: Sequence[Scene]) -> list[Examination]:
    """As the product sees them, with the copies for a model."""
    return asyncio.run(_examined(drawn))


async def _examined(drawn: Sequence[Scene]) -> list[Examination]:
    examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=True)
    try:
        asked = config("en")
        seen = []
        for scene in drawn:
            first, second = (Upload(as_png(picture)) for picture in scene.pictures)
            seen.append(await examiner.examine(first, second, asked, Deadline.after(60)))
        return seen
    finally:
        examiner.close()


def of_scene(scene: Scene, examination: Examination, language: Language, *, is_exchanged: bool) -> Lesson:
    inquiry = prompt.render(config(language), examination)
    shown = scene.exchanged if is_exchanged else scene
    truth = _Truth(shown, examination, language, inquiry.decoy)
    questions = inquiry.swapped_questions if is_exchanged else inquiry.questions
    asked = tuple((question.wordings[0].text, truth.answer(question)) for question in questions)
    happened = tuple(_happened(shown.in_cell(cell)) for cell in range(CELLS * CELLS))
    pictures = inquiry.exchanged_pictures if is_exchanged else inquiry.pictures
    found = tuple(truth.found(question) for question in questions)
    return Lesson(inquiry.instructions, inquiry.captions, _opened(pictures), asked, happened, shown.tone_gap, found)


def of_mark(place: PictureBox, language: Language) -> Lesson:
    """The question by which the product finds out how a model writes boxes."""
    inquiry = prompt.placing(anchors.marked(place), language, UNKNOWN)
    (question,) = inquiry.questions
    word, meaning = PHRASES[language].statuses[0]
    answer = f'{ANSWER_OPENING}{word}{_boxed(place)},"explanation":"{meaning}"}}'
    return Lesson(
        inquiry.instructions, inquiry.captions, _opened(inquiry.pictures), ((question.wordings[0].text, answer),)
    )


def of_anchors(rng: random.Random, language: Language) -> Lesson:
    """The question by which the product finds out between which ends a model's scores lie."""
    pages = [anchors.page(), anchors.landscape()]
    rng.shuffle(pages)
    is_equal = rng.random() < 0.5
    one = _varied(rng, pages[0])
    other = one if is_equal else _varied(rng, pages[1])
    inquiry = prompt.calibration(one, other, language, letters=False)
    phrases = PHRASES[language]
    said = {"aspect": phrases.levels[0 if is_equal else -1], "region": phrases.kinds[0 if is_equal else 1]}
    asked = tuple((each.wordings[0].text, _said(each, *said[each.kind])) for each in inquiry.swapped_questions)
    return Lesson(inquiry.instructions, inquiry.captions, _opened(inquiry.exchanged_pictures), asked)


@dataclass(frozen=True, slots=True)
class _Truth:
    """What is right to say of a scene. `decoy`: index of the area in which nothing changed."""

    scene: Scene
    examination: Examination
    language: Language
    decoy: int | None

    def answer(self, question: Question) -> str:
        phrases = PHRASES[self.language]
        if question.kind == "aspect":
            return _said(question, *phrases.levels[level(self.scene.scores[ASPECTS[question.index]])])
        if question.kind == "focus_element":
            return self._element(question)
        if question.kind == "region":
            return self._region(question)
        if question.kind == "findings":
            return grammar.opening(question) + '":[]}'
        return f'{{"summary":"{phrases.levels[level(self.scene.scores["content"])][1]}"}}'

    def found(self, question: Question) -> tuple[int, int] | None:
        """Cell and state of an element that is in one of the pictures, and not seen by the model alone."""
        if question.kind != "focus_element" or question.index >= len(SHAPES):
            return None
        element = self.scene.elements[question.index]
        return None if element.state == "missing" else (element.cell, STATES.index(element.state))

    def _element(self, question: Question) -> str:
        statuses = PHRASES[self.language].statuses
        shape = (*SHAPES, GHOST)[question.index]
        if shape == GHOST:
            return _said(question, *statuses[STATES.index("changed")], _boxed(cell_place(GHOST_CELL)))
        element = next(one for one in self.scene.elements if one.shape == shape)
        box = '","box":null' if element.state == "missing" else _boxed(cell_place(element.cell))
        return _said(question, *statuses[STATES.index(element.state)], box)

    def _region(self, question: Question) -> str:
        kinds = PHRASES[self.language].kinds
        if question.index == self.decoy:
            return _said(question, *kinds[0])
        box = self.examination.measurement.differences[question.index].reference_box
        changed = [one for one in self.scene.elements if one.state in CHANGES and box and _touches(one, box)]
        names = [NAMES[self.language][one.shape] for one in changed]
        states = {one.state for one in changed}
        if self.scene.tone_gap:
            names, states = [NAMES[self.language]["ground"], *names], {"changed"}
        kind = states.pop() if len(states) == 1 else "changed"
        word, meaning = kinds[STATES.index(kind)]
        return _said(question, word, f"{','.join(names)}: {meaning}")


def level(score: float) -> int:
    """The level that stands for a score of 1 to 0: five of them, the best first."""
    return round(4 * (1 - score))


def cell_place(cell: int) -> PictureBox:
    side = 1000 // CELLS
    left, top = side * (cell % CELLS), side * (cell // CELLS)
    return PictureBox(left, top, left + side, top + side)


def _said(question: Question, word: str, meaning: str, box: str = "") -> str:
    return f'{ANSWER_OPENING}{word}{box or chr(34)},"{question.text_key}":"{meaning}"}}'


def _boxed(place: PictureBox) -> str:
    return f'","box":[{",".join(map(str, place))}]'


def _touches(element: Element, box: Box) -> bool:
    left, top, right, bottom = element.box
    return left < box.right and box.x < right and top < box.bottom and box.y < bottom


def _happened(element: Element | None) -> int:
    return 0 if element is None else 1 + 4 * SHAPES.index(element.shape) + STATES.index(element.state)


def _varied(rng: random.Random, shown: ShownImage) -> ShownImage:
    """The same picture a little brighter or darker, perhaps mirrored: what is taught isn't these very pixels."""
    picture = ImageEnhance.Brightness(picture_bytes.opened(shown)).enhance(rng.uniform(0.85, 1.15))
    picture = ImageOps.mirror(picture) if rng.random() < 0.5 else picture
    return ShownImage(picture.width, picture.height, "rgb", picture.tobytes())


def _opened(pictures: Sequence[ShownImage]) -> tuple[Image.Image, Image.Image]:
    first, second = (picture_bytes.opened(one) for one in pictures)
    return first, second
