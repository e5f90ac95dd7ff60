"""What a model is asked about a pair, and what it hands back.
What an engine's author reads: no prompt's words, no scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serve_app.core.measured import Crop
from serve_app.core.pictures import ShownImage
from serve_app.schema import DifferenceKind, Language

QuestionKind = Literal["aspect", "focus_element", "region", "findings", "summary"]
AnswerShape = Literal["text", "boxed_text", "findings"]
FINDING_KINDS: tuple[DifferenceKind, ...] = ("changed", "added", "removed", "moved")
MAX_FINDINGS = 4
LETTERS = ("A", "B", "C", "D", "E")  # answers that are one token each in every tokenizer seen


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to put a question: its text and the words one of which is the answer, best first."""

    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One thing the model is asked.

    `wordings`: the same question in other words, the liked one first. An engine takes the first whose labels
    are one token each in its tokenizer; position i means the same in every wording and in both orders of
    the images. The summary and the findings have no labels.

    `shape`: of the one JSON object to be written, compact and in this order of keys:
    - "text": `{"answer":LABEL,KEY:STRING}`, without `answer` where there are no labels;
    - "boxed_text": `{"answer":LABEL,"box":BOX,KEY:STRING}`, BOX `null` or four numbers, two opposite corners in the
      convention that the texts tell (`habits.Convention`);
    - "findings": `{"findings":[{"kind":KIND,"box":BOX,"description":STRING}, ...]}`, 0 to `MAX_FINDINGS` of them, BOX
      never null, KIND one of `FINDING_KINDS`; about as long as a summary.
    LABEL is one of the chosen wording's labels, KEY is `text_key`, STRING a short text on one line.
    """

    kind: QuestionKind
    index: int  # position among the questions of its kind: the aspect's, element's or region's index
    wordings: tuple[Wording, ...]
    shape: AnswerShape = "text"

    @property
    def num_labels(self) -> int:
        return len(self.wordings[0].labels)

    @property
    def text_key(self) -> str:
        """The JSON key under which the model writes its text."""
        names = {"region": "description", "summary": "summary", "findings": "findings"}
        return names.get(self.kind, "explanation")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything the model gets for one pair: all pictures once, then the questions.

    `swapped_questions` are those with labels again, in the same order, worded for the pictures exchanged;
    empty without a swap check. Only their labels are read, no text is written: so the anchors of a model's
    scores are asked as these alone, with `questions` empty.
    `crops`: parts of both pictures at native resolution; the measured difference i is area i + 1 in the texts.
    `captions`: the name of each picture, to stand before it, the same in both orders; empty where they have none.
    `decoy`: index of the region question that is about a place where nothing changed; None where there is none.
    `thought_request`: asks for a few sentences about the pair, where an engine lets the model write some first.
    """

    shown_reference: ShownImage
    shown_candidate: ShownImage
    instructions: str
    questions: tuple[Question, ...]
    swapped_questions: tuple[Question, ...]
    language: Language
    prompt_version: str
    crops: tuple[Crop, ...] = ()
    captions: tuple[str, ...] = ()
    decoy: int | None = None
    thought_request: str = ""

    @property
    def pictures(self) -> tuple[ShownImage, ...]:
        """All that the model is handed, in the order that the instructions tell: both pictures, then each area
        in both of them."""
        areas = [shown for crop in self.crops for shown in (crop.reference, crop.candidate)]
        return (self.shown_reference, self.shown_candidate, *areas)

    @property
    def exchanged(self) -> tuple[int, ...]:
        """For `swapped_questions`: the places in `pictures`, each pair the other way round."""
        return tuple(place ^ 1 for place in range(len(self.pictures)))

    @property
    def exchanged_pictures(self) -> tuple[ShownImage, ...]:
        """`pictures` in that order."""
        pictures = self.pictures
        return tuple(pictures[place] for place in self.exchanged)


@dataclass(frozen=True, slots=True)
class Reply:
    """The engine's answer to one question, in one order of the images.

    `probabilities`: of the question's labels, in their order, summing to at most 1: what is missing lies on
    other words. `text`: the JSON the model wrote, schema-true or not: `answer` judges it.
    """

    probabilities: tuple[float, ...]
    text: str


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What an inquiry was predicted to take on the model's device, decided before the work.

    `predicted_bytes`: most at one time, beside the weights. `scale`: of the pictures that were to be shown;
    `shown_reference` and `shown_candidate`: width and height that the model was really handed.
    """

    visual_tokens: int  # of all pictures, in one order
    prompt_tokens: int  # of one order, before the questions
    predicted_bytes: int
    available_bytes: int
    rows_per_batch: int
    scale: float
    shown_reference: tuple[int, int]
    shown_candidate: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Replies in the order of `Inquiry.questions` and `Inquiry.swapped_questions`.

    `num_assumed`: replies whose probabilities nobody computed: a server named a label and said no more, so the engine
    assumes one for it. `resized`: width and height to which the engine brought reference and candidate for the model;
    None where it doesn't know.
    """

    replies: tuple[Reply, ...]
    swapped_replies: tuple[Reply, ...]
    prompt_tokens: int
    generated_tokens: int
    plan: MemoryPlan | None = None  # None: the engine decides no memory
    num_assumed: int = 0
    resized: tuple[tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """`thought_tokens`: how much it may write about a pair before it is asked."""

    engine: str
    name: str | None
    revision: str | None
    thought_tokens: int = 0
