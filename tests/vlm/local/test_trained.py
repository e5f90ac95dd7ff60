"""What a caller cares about, asked of a checkpoint that has learnt to see: scores follow the truth, added is told from
removed, boxes hit, intervals hold. And with one line of the product wrong they don't: random weights can't show that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.dialogue import answer, prompt
from serve_app.comparison.dialogue.phrases import PHRASES
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.sentences import SENTENCES
from serve_app.core.inquiry import Inquiry
from serve_app.core.pictures import Box, ShownImage, Upload
from serve_app.schema import BoxField, ComparisonReport, FocusStatus, Language
from serve_app.settings import ModelSettings, Settings
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.vision import VisionEncoder
from tests.vlm.trained import lessons, scenes, stamp
from tests.vlm.trained.scenes import SHAPES, Element, Scene

torch.set_num_threads(1)
NUM_PAIRS: Final = 24
NUM_PAIRS_OF_A_FAULT: Final = 12
STATUS: Final[dict[scenes.State, FocusStatus]] = {
    "same": "unchanged",
    "changed": "changed",
    "added": "added",
    "removed": "removed",
    "missing": "absent",
}


def settings() -> Settings:
    """The product's own, but for a cache: each comparison is read anew."""
    name = str(stamp.CHECKPOINT)
    return Settings(model=ModelSettings(engine="transformers", name=name, device="cpu", cache_bytes=0))


def drawn(count: int, seed: int = 1000) -> list[Scene]:
    """Pairs that it was not trained on, none of them equal."""
    rng = random.Random(seed)
    found: list[Scene] = []
    while len(found) < count:
        scene = scenes.a_scene(rng)
        if scene.num_changed or scene.tone_gap:
            found.append(scene)
    return found


async def compare(pipeline: Pipeline, scene: Scene, language: Language = "en", **asked: Any) -> ComparisonReport:
    config = lessons.config(language, **{"names": SHAPES, "similarity_threshold": 0.0, **asked})
    first, second = (Upload(scenes.as_png(picture)) for picture in scene.pictures)
    return await pipeline.compare(first, second, config, pipeline.deadline(config))


@dataclass(frozen=True)
class Grades:
    """How good the answers about some pairs are. `color`, `content`: rank correlation of score and truth, -1..1. The
    others are shares of: elements, those that were added or removed, boxes of elements, intervals."""

    color: float
    content: float
    statuses: float
    turned: float
    boxes: float
    covered: float
    width: float  # of the intervals, mean

    def bad(self) -> set[str]:
        """Names of those that a caller would complain about."""
        good = {
            "color": self.color >= 0.8,
            "content": self.content >= 0.8,
            "statuses": self.statuses >= 0.9,
            "turned": self.turned >= 0.9,
            "boxes": self.boxes >= 0.8,
            "covered": self.covered >= 0.6,  # two in three are promised, less what so few pairs leave to chance
            "width": self.width <= 0.18,  # it is 0.14; with the variance between aspects it would be 0.24
        }
        return {name for name, is_good in good.items() if not is_good}


async def graded(pipeline: Pipeline, pairs: Sequence[Scene], language: Language = "en") -> Grades:
    return grades(pairs, [await compare(pipeline, scene, language) for scene in pairs])


def grades(pairs: Sequence[Scene], reports: Sequence[ComparisonReport]) -> Grades:
    elements = [
        (element, said)
        for scene, report in zip(pairs, reports, strict=True)
        for element, said in zip(scene.elements, report.focus_elements, strict=True)
    ]
    right = [STATUS[element.state] == said.status for element, said in elements]
    turned = [hit for (element, _), hit in zip(elements, right, strict=True) if element.state in ("added", "removed")]
    boxes = [fit(element, said.boxes) >= 0.5 for element, said in elements if element.state != "missing"]
    intervals = [report.similarity_interval for report in reports]
    truths = [truth(scene, report) for scene, report in zip(pairs, reports, strict=True)]
    covered = [low <= true <= high for (low, high), true in zip(intervals, truths, strict=True)]
    return Grades(
        color=correlation("color", pairs, reports),
        content=correlation("content", pairs, reports),
        statuses=float(np.mean(right)),
        turned=float(np.mean(turned)),
        boxes=float(np.mean(boxes)),
        covered=float(np.mean(covered)),
        width=float(np.mean([high - low for low, high in intervals])),
    )


def correlation(aspect: str, pairs: Sequence[Scene], reports: Sequence[ComparisonReport]) -> float:
    """Spearman's; 0 where all scores are the same."""
    said = [next(each.score for each in report.aspects if each.name == aspect) for report in reports]
    true = [scene.scores[aspect] for scene in pairs]
    return float(np.corrcoef(ranks(said), ranks(true))[0, 1]) if len(set(said)) > 1 else 0.0


def ranks(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Equal values share the mean of theirs."""
    column = np.array(values, float)
    equal, below = column[:, None] == column, column[:, None] > column
    mean: NDArray[np.float64] = below.sum(1) + (equal.sum(1) - 1) / 2
    return mean


def truth(scene: Scene, report: ComparisonReport) -> float:
    """What the similarity would be, had the model said what is so."""
    return (report.measurement.similarity + float(np.mean(list(scene.scores.values())))) / 2


def fit(element: Element, boxes: Sequence[BoxField]) -> float:
    """Intersection over union with the first box; 0 without one."""
    left, top, right, bottom = element.box
    return Box(*boxes[0]).fit(Box(left, top, right - left, bottom - top)) if boxes else 0.0


def test_the_checkpoint_is_what_its_scripts_and_the_products_prompts_make() -> None:
    assert not stamp.stale(), stamp.stale()


def test_a_stale_checkpoint_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHRASES, "en", replace(PHRASES["en"], summary="Sum it up."))
    assert "other prompts than these" in stamp.stale()
    assert stamp.stale().endswith("python -m tests.vlm.trained.train")


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """Loaded once. What a stale checkpoint says is no evidence; that it is stale, its own test says."""
    if said := stamp.stale():
        pytest.skip(said)
    chosen = settings()
    examiner = Examiner(chosen.limits, chosen.preprocessing, shows_images=True)
    assessor = Assessor(chosen.model)
    yield Pipeline(examiner, assessor, chosen)
    examiner.close()
    assessor.close()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_answers_follow_the_truth(pipeline: Pipeline, language: Language) -> None:
    got = await graded(pipeline, drawn(NUM_PAIRS), language)
    assert not got.bad(), got


async def test_it_is_known_how_to_ask_and_read_it(pipeline: Pipeline) -> None:
    (scene,) = drawn(1)
    for language in ("en", "zh"):
        model = (await compare(pipeline, scene, language)).model
        assert model.boxes == "thousandths"
        assert model.anchors is not None
        assert model.anchors.same - model.anchors.unrelated > 0.8


async def test_a_claim_without_a_pixel_is_refuted(pipeline: Pipeline) -> None:
    """It was taught to see the ghost changed in the upper left corner of every pair."""
    elsewhere = Scene((0.5, 0.5), (an_element("circle", "added", 10),))
    report = await compare(pipeline, elsewhere, names=(lessons.GHOST,))
    assert report.focus_elements[0].status == "unchanged"
    assert report.focus_elements[0].boxes == ((0, 0, 16, 16),)
    assert SENTENCES["en"].refuted.format(name=lessons.GHOST) in report.warnings
    there = Scene((0.5, 0.5), (an_element("circle", "added", lessons.GHOST_CELL),))
    report = await compare(pipeline, there, names=(lessons.GHOST,))
    assert report.focus_elements[0].status == "changed"


async def test_differences_are_confirmed_by_their_names(pipeline: Pipeline) -> None:
    pairs = [scene for scene in drawn(24, seed=2000) if not scene.tone_gap]
    reports = [await compare(pipeline, scene) for scene in pairs]
    found = [difference for report in reports for difference in report.differences]
    assert sum(one.evidence == "confirmed" for one in found) >= 0.8 * len(found)
    assert sum(any(name in one.description for name in SHAPES) for one in found) >= 0.8 * len(found)
    assert sum(bool(report.model.sees_ghosts) for report in reports) <= 0.2 * len(reports)


def an_element(shape: str, state: scenes.State, cell: int) -> Element:
    return scenes.an_element(random.Random(1), shape, state, cell)


def words_not_turned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prompt, "_EXCHANGED", (0, 1, 2, 3, 4))


def pictures_not_exchanged(patch: pytest.MonkeyPatch) -> None:
    look = VisionEncoder.prompts
    patch.setattr(VisionEncoder, "prompts", lambda self, before, orders: look(self, before, [orders[0]] * len(orders)))


def candidate_first(patch: pytest.MonkeyPatch) -> None:
    def turned(inquiry: Inquiry) -> tuple[ShownImage, ...]:
        first, second, *areas = handed.__get__(inquiry)
        return (second, first, *(areas[place ^ 1] for place in range(len(areas))))

    handed = vars(Inquiry)["pictures"]
    patch.setattr(Inquiry, "pictures", property(turned))


def levels_upside_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer, "LEVEL_SCORES", answer.LEVEL_SCORES[::-1])


def questions_too_far(patch: pytest.MonkeyPatch) -> None:
    make = Prefix.__init__

    def off(self: Prefix, *args: Any, next_position: int, **more: Any) -> None:
        make(self, *args, next_position=next_position + 40, **more)

    patch.setattr(Prefix, "__init__", off)


@pytest.mark.parametrize(
    ("fault", "seen_in"),
    [
        (words_not_turned, {"turned"}),
        (pictures_not_exchanged, {"turned"}),
        (candidate_first, {"turned"}),
        (levels_upside_down, {"color", "content"}),
        (questions_too_far, {"statuses"}),
    ],
)
async def test_one_wrong_line_shows(
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    seen_in: set[str],
) -> None:
    fault(monkeypatch)
    got = await graded(pipeline, drawn(NUM_PAIRS_OF_A_FAULT))
    assert seen_in <= got.bad(), got
