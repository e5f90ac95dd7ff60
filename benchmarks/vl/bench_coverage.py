"""How often the similarity that true answers would give lies in a report's interval, and how wide the interval is.

    OMP_NUM_THREADS=1 python -m benchmarks.vl.bench_coverage               # 50 drawn pairs, in English and in Chinese
    OMP_NUM_THREADS=1 python -m benchmarks.vl.bench_coverage --pairs 5

Asks the checkpoint in tests/vlm/trained about pairs it was not trained on, and the same weights with all logits times
`SURE`: a model as sure of itself as instruction-tuned ones, and no righter. Each pair is asked once, then each rule for
the spread of the model's part is tried on its answers. Prints a table and a last line of JSON. Needs the extra [vl].
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import load_file, save_file

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.verdict.judge import LEVEL_SPREAD, MODEL_WEIGHT, judge
from serve_app.core.assessed import AspectAssessment
from serve_app.core.clock import Deadline
from serve_app.core.pictures import Upload
from serve_app.schema import Language
from serve_app.settings import ModelSettings, Settings
from tests.vlm.local.test_trained import drawn
from tests.vlm.trained import lessons, scenes, stamp
from tests.vlm.trained.scenes import SHAPES, Scene

SURE = 4.0  # puts 0.94 on a label that had twice the probability of the only other
LAST_NORM = "model.language_model.norm.weight"  # before the head, which has no bias: it scales all logits
NUM_PAIRS = 50


@dataclass(frozen=True)
class Said:
    """One pair's answers. `true`: the mean aspect score that would be right; `reported`: the product's interval."""

    measured: float
    measured_interval: tuple[float, float]
    aspects: tuple[AspectAssessment, ...]
    level: float  # LEVEL_SPREAD, as rescaled
    true: float
    reported: tuple[float, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(each.score for each in self.aspects)

    @property
    def single(self) -> float:
        return statistics.fmean(each.spread**2 for each in self.aspects)

    @property
    def between(self) -> float:
        return statistics.variance(each.score for each in self.aspects) / len(self.aspects)

    @property
    def bias(self) -> float:
        return statistics.fmean(each.gap for each in self.aspects) / 2

    def interval(self, spread: float) -> tuple[float, float]:
        """As the product makes it of the model's spread, its bias added."""
        ends = max(0.0, self.mean - spread - self.bias), min(1.0, self.mean + spread + self.bias)
        low, high = map(self._weighted, self.measured_interval, ends)
        similarity = self._weighted(self.measured, self.mean)
        return min(low, similarity), max(high, similarity)

    def is_in(self, interval: tuple[float, float]) -> bool:
        return interval[0] - 1e-4 <= self._weighted(self.measured, self.true) <= interval[1] + 1e-4

    def _weighted(self, measured: float, model: float) -> float:
        return (1 - MODEL_WEIGHT) * measured + MODEL_WEIGHT * model


RULES: dict[str, Callable[[Said], float]] = {
    "A, the former: root of the mean spread² + variance between aspects / n + level²": lambda said: math.sqrt(
        said.single + said.between + said.level**2
    ),
    "B: A, the variance between aspects at most the mean spread²": lambda said: math.sqrt(
        said.single + min(said.between, said.single) + said.level**2
    ),
    "C: A without the variance between aspects": lambda said: math.sqrt(said.single + said.level**2),
    "D, the product's: mean of the aspects' own root of spread² + level²": lambda said: statistics.fmean(
        math.hypot(each.spread, said.level) for each in said.aspects
    ),
    "E: D, as if aspects erred independently": lambda said: (
        math.sqrt(sum(each.spread**2 + said.level**2 for each in said.aspects)) / len(said.aspects)
    ),
    "F: level alone": lambda said: said.level,
}


@contextmanager
def a_checkpoint(sure: float) -> Iterator[Path]:
    """The trained one, all logits times `sure`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkpoint"
        shutil.copytree(stamp.CHECKPOINT, copy)
        weights = load_file(copy / "model.safetensors")
        weights[LAST_NORM] *= sure
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        yield copy


async def answers(checkpoint: Path, pairs: Sequence[Scene]) -> list[Said]:
    """About all pairs in every language."""
    settings = Settings(model=ModelSettings(engine="transformers", name=str(checkpoint), device="cpu", cache_bytes=0))
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=True)
    assessor = Assessor(settings.model)
    try:
        return [
            await _answer(examiner, assessor, scene, language) for language in get_args(Language) for scene in pairs
        ]
    finally:
        examiner.close()
        assessor.close()


async def _answer(examiner: Examiner, assessor: Assessor, scene: Scene, language: Language) -> Said:
    config = lessons.config(language, names=SHAPES, similarity_threshold=0.0)  # 0: no rule bends the interval
    first, second = (Upload(scenes.as_png(picture)) for picture in scene.pictures)
    examination = await examiner.examine(first, second, config, Deadline.after(60))
    assessment = await assessor.assess(config, examination, Deadline.after(60))
    measured = examination.measurement
    aspects = tuple(each for each in assessment.aspects if each is not None)
    assert len(aspects) == len(scene.scores)
    assert assessment.anchors is not None
    return Said(
        measured=measured.similarity,
        measured_interval=measured.similarity_interval,
        aspects=aspects,
        level=LEVEL_SPREAD * assessment.anchors.stretch,
        true=statistics.fmean(scene.scores.values()),
        reported=judge(config, measured, assessment, {}).interval,
    )


@dataclass(frozen=True)
class Row:
    """Of one rule: the share of intervals that hold, and their mean width."""

    rule: str
    covered: float
    width: float


def rows(said: Sequence[Said]) -> list[Row]:
    found = [_row("as reported", said, [each.reported for each in said])]
    return found + [_row(name, said, [each.interval(rule(each)) for each in said]) for name, rule in RULES.items()]


def _row(name: str, said: Sequence[Said], intervals: Sequence[tuple[float, float]]) -> Row:
    covered = statistics.fmean(each.is_in(interval) for each, interval in zip(said, intervals, strict=True))
    return Row(name, round(covered, 3), round(statistics.fmean(high - low for low, high in intervals), 3))


def error(said: Sequence[Said]) -> float:
    """Root mean square, of the model's mean score."""
    return round(math.sqrt(statistics.fmean((each.mean - each.true) ** 2 for each in said)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS)
    num_pairs: int = parser.parse_args().pairs
    torch.set_num_threads(1)
    found, errors = {}, {}
    for sure in (1.0, SURE):
        with a_checkpoint(sure) as checkpoint:
            said = asyncio.run(answers(checkpoint, drawn(num_pairs)))
        name = "as trained" if sure == 1 else f"logits times {sure:g}"
        found[name], errors[name] = rows(said), error(said)
        print(f"\n{name}: {len(said)} reports, the mean score off by {errors[name]} (root mean square)\n")
        print("| spread of the model's part | covered | mean width |\n|---|---|---|")
        for row in found[name]:
            print(f"| {row.rule} | {row.covered:.2f} | {row.width:.3f} |")
    said_of = {name: {row.rule: [row.covered, row.width] for row in table} for name, table in found.items()}
    machine = f"{os.cpu_count()} x {platform.machine()}"
    print(json.dumps({"pairs": num_pairs, "machine": machine, "errors": errors, "rules": said_of}))


if __name__ == "__main__":
    main()
