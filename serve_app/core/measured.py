"""The nouns the stages hand to each other: frozen values, derived facts as properties.
No decoding, no model, no Ray."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serve_app.errors import DeadlineExceeded
from serve_app.schema import DifferenceKind, FocusStatus, Language, ModelStatus, VisualKind

Pixels = NDArray[np.uint8]
StageName = Literal["examine", "assess"]


class Box(NamedTuple):
    """A rectangle in upright pixels; `x`, `y` is its top left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    def overlap(self, other: Box) -> int:
        """Pixels that both hold."""
        across = min(self.right, other.right) - max(self.x, other.x)
        down = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, across) * max(0, down)

    def fit(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        shared = self.overlap(other)
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The one clock of a request: wall time, so that it means the same in every process."""

    at: float
    timeout_s: float

    @classmethod
    def after(cls, timeout_s: float, *, since: float | None = None) -> Deadline:
        """A deadline `timeout_s` seconds after `since` (`time.time()`, now if not given)."""
        return cls((time.time() if since is None else since) + timeout_s, timeout_s)

    @property
    def started(self) -> float:
        """When the clock started, as `time.time()`."""
        return self.at - self.timeout_s

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.at - time.time())

    @property
    def passed(self) -> bool:
        return time.time() >= self.at

    def exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The comparison did not end within {self.timeout_s:g} s.", field="/config/processing_timeout"
        )

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time is over."""
        if self.passed:
            raise self.exceeded()


class Stop:
    """Why a computation must end: read by the compute thread, set by the event loop."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    @property
    def reason(self) -> Literal["cancelled", "deadline"] | None:
        if self._cancelled.is_set():
            return "cancelled"
        return "deadline" if self.deadline.passed else None

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the work must end; a cancelled caller no longer reads it."""
        if self.reason is not None:
            raise self.deadline.exceeded()


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as it came: encoded bytes. `sha256`: of them, where it is known already."""

    data: bytes
    sha256: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex; 1 ms for a MB where it isn't known."""
        return self.sha256 or hashlib.sha256(self.data).hexdigest()

    def digested(self) -> Upload:
        """The same, its digest known; safe in a thread."""
        return self if self.sha256 else Upload(self.data, self.digest)


@dataclass(frozen=True, slots=True)
class ShownImage:
    """What the model is shown of one image: RGB, at most `max_image_size`."""

    width: int
    height: int
    encoding: Literal["jpeg", "rgb"]  # "rgb": width * height * 3 bytes, row by row
    data: bytes


@dataclass(frozen=True, slots=True)
class Raster:
    """Upright sRGB pixels to measure.

    `pixels` is (height, width, 3) uint8, composited on white; `alpha` is (height, width) uint8, or None
    where every pixel is opaque. On black a pixel is `pixels - (255 - alpha)`, so both backgrounds are here.
    """

    pixels: Pixels
    alpha: Pixels | None
    original_width: int
    original_height: int

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def scale(self) -> float:
        """Original pixels per pixel measured; 1.0 at native resolution."""
        return max(self.original_width / self.width, self.original_height / self.height)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the report says of one image; sizes are upright original pixels."""

    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    shown_width: int
    shown_height: int
    decode_notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One upload, decoded: `raster` to measure, `shown` for the model (None where no model asks)."""

    facts: ImageFacts
    raster: Raster
    shown: ShownImage | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the candidate lies on the reference: `shift` in reference pixels, `scale` candidate over reference."""

    kind: str
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    rotation_deg: float = 0.0
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class MeasuredDifference:
    """One region that differs visibly; boxes in upright original pixels of each image."""

    kind: DifferenceKind
    reference_box: Box | None
    candidate_box: Box | None
    severity: float
    changed_pixels: int
    delta_e: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Where one picture changed, coarsely: a field for each of columns x rows equal parts, row by row.

    A field is the share of its pixels that changed visibly, in 1/200, at least 1 where any did; `UNMEASURED`
    where nothing of the other picture lies on it, so that pixels prove nothing there.
    """

    columns: int
    rows: int
    fields: bytes


UNMEASURED = 255


@dataclass(frozen=True, slots=True)
class Measurement:
    """What pixels prove about a pair, without any model.

    `identical`: equal after decoding, masks applied. `similarity` obeys the contract's laws.
    `aspects`: canonical English aspect name to score 0..1. `differences`: most severe first.
    `charts`: of reference and candidate, made where a model's findings are to be checked.
    """

    identical: bool
    similarity: float
    similarity_interval: tuple[float, float]
    changed_ratio: float
    ssim: float
    color_delta_e: float
    alignment: Alignment
    smallest_visible_px: float
    aspects: Mapping[str, float]
    differences: tuple[MeasuredDifference, ...]
    further_differences: int
    version: str
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, Chart] | None = None


@dataclass(frozen=True, slots=True)
class Visual:
    kind: VisualKind
    png: bytes


@dataclass(frozen=True, slots=True)
class Crop:
    """One measured region at native resolution, cut from both pictures, for the model only.

    `index`: of `Measurement.differences`.
    """

    index: int
    reference: ShownImage
    candidate: ShownImage


@dataclass(frozen=True, slots=True)
class Examination:
    """All that the CPU stage found about a pair; small enough to cross a process border."""

    reference: ImageFacts
    candidate: ImageFacts
    shown_reference: ShownImage | None
    shown_candidate: ShownImage | None
    measurement: Measurement
    aspect_scores: tuple[float | None, ...]  # measured, in the order the config asks
    visuals: tuple[Visual, ...]
    prepare_ms: float
    measure_ms: float
    crops: tuple[Crop, ...] = ()


QuestionKind = Literal["aspect", "focus_element", "region", "findings", "summary"]
AnswerShape = Literal["text", "boxed_text", "findings"]
FINDING_KINDS: tuple[DifferenceKind, ...] = ("changed", "added", "removed", "moved")
MAX_FINDINGS = 4


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

    @property
    def pictures(self) -> tuple[ShownImage, ...]:
        """All that the model is handed, in the order that the instructions tell: both pictures, then each area
        in both of them."""
        areas = [shown for crop in self.crops for shown in (crop.reference, crop.candidate)]
        return (self.shown_reference, self.shown_candidate, *areas)

    @property
    def exchanged_pictures(self) -> tuple[ShownImage, ...]:
        """The same for `swapped_questions`."""
        areas = [shown for crop in self.crops for shown in (crop.candidate, crop.reference)]
        return (self.shown_candidate, self.shown_reference, *areas)


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

    `num_stated`: replies whose probabilities nobody computed: a server named a label and said no more, so the engine
    assumes one for it. `resized`: width and height to which the engine brought reference and candidate for the model;
    None where it doesn't know.
    """

    replies: tuple[Reply, ...]
    swapped_replies: tuple[Reply, ...]
    prompt_tokens: int
    generated_tokens: int
    plan: MemoryPlan | None = None  # None: the engine decides no memory
    num_stated: int = 0
    resized: tuple[tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class Anchors:
    """A model's mean aspect score of a picture against itself and against an unrelated one, before rescaling."""

    same: float
    unrelated: float

    LEAST_GAP: ClassVar[float] = 0.1  # less is the noise of one label more or less, and rescaling would blow it up

    @property
    def tell_apart(self) -> bool:
        """Whether this model's scores say anything: those of random weights don't."""
        return self.same - self.unrelated >= self.LEAST_GAP

    @property
    def stretch(self) -> float:
        """By how much rescaling spreads scores out."""
        return 1 / (self.same - self.unrelated) if self.tell_apart else 1.0

    def rescaled(self, score: float) -> float:
        """`score` where 0 is an unrelated picture and 1 the same one; as it is where they can't be told apart."""
        if not self.tell_apart:
            return score
        return min(1.0, max(0.0, (score - self.unrelated) * self.stretch))


@dataclass(frozen=True, slots=True)
class AspectAssessment:
    score: float
    spread: float  # standard deviation of the score under the label probabilities
    explanation: str
    entropy: float = 0.0  # of the label probabilities, 0 one label to 1 all alike
    outside_mass: float = 0.0  # probability of anything but the labels
    gap: float = 0.0  # between the scores of the two orders of the pictures


class PictureBox(NamedTuple):
    """A place that a model names, in thousandths of the picture's width and height, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def fit(self, other: PictureBox) -> float:
        """Intersection over union, 0..1."""
        one, two = (Box(box[0], box[1], box[2] - box[0], box[3] - box[1]) for box in (self, other))
        return one.fit(two)


@dataclass(frozen=True, slots=True)
class FocusAssessment:
    """`box`: where the element is, in the candidate; in the reference where it was removed."""

    status: FocusStatus
    score: float
    explanation: str
    box: PictureBox | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A change that the model names by itself. `box`: in the candidate; in the reference where it was removed."""

    kind: DifferenceKind
    box: PictureBox
    description: str


@dataclass(frozen=True, slots=True)
class RegionAssessment:
    """What the model says of `Measurement.differences[index]`: whether it sees a change, and its name."""

    index: int
    seen: bool
    description: str


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    engine: str
    name: str | None
    revision: str | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the model says of a pair. Without an answer all tuples are empty and `status` says why.

    `order_gap`: how far apart its answers lie in the two orders of the pictures, 0..1. `sees_ghosts`: whether it sees
    a change where nothing changed; None where that wasn't asked. `boxes`: name of the convention in which it places
    what it sees, None where it places nothing.
    """

    model: ModelIdentity
    status: ModelStatus
    aspects: tuple[AspectAssessment | None, ...] = ()
    focus_elements: tuple[FocusAssessment | None, ...] = ()
    regions: tuple[RegionAssessment, ...] = ()
    summary: str = ""
    order_gap: float | None = None
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prompt_version: str = ""
    assess_ms: float = 0.0
    warnings: tuple[str, ...] = field(default=())
    plan: MemoryPlan | None = None
    findings: tuple[Finding, ...] = ()
    anchors: Anchors | None = None
    sees_ghosts: bool | None = None
    boxes: str | None = None
