"""Labelled pairs asked of whoever compares: what is kept, when it holds, and that a run goes on where it was ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from serve_app.core.comparing import CantCompare
from serve_app.core.pictures import Upload
from serve_app.errors import ImageRejected, Overloaded
from serve_app.evaluation import pairs
from serve_app.evaluation.observed import Kept, NotResults, Observation, rows_of
from serve_app.evaluation.pairs import LabelledPair
from serve_app.evaluation.run import Asking, observe
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from tests.worlds.jobs import made_report

Wrap = Callable[[int], None]


class Comparer:
    """Answers with a report whose id is made as the real one is; similarity by order of the pictures."""

    def __init__(self, version: str = "1", *, answers: bool = False, before: Wrap = lambda _: None) -> None:
        self.version, self.answers, self.before = version, answers, before
        self.asked: list[tuple[bytes, bytes]] = []

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.before(len(self.asked))
        self.asked.append((reference, candidate))
        report = made_report()
        said = [Upload(each).digest for each in (reference, candidate)] + [config.model_dump_json(), self.version]
        model = report.model.model_copy(update={"status": "answered" if self.answers else "disabled"})
        exchanged = reference > candidate
        return report.model_copy(
            update={
                "report_id": "|".join(said),
                "model": model,
                "similarity": 0.4 if exchanged else 0.9,
                "verdict": "mismatch" if exchanged else "match",
            }
        )


@pytest.fixture
def world(tmp_path: Path) -> list[LabelledPair]:
    """Six pairs of files that differ."""
    lines = ["reference,candidate,label"]
    for number in range(6):
        (tmp_path / f"{number}a.png").write_text(f"a{number}")
        (tmp_path / f"{number}b.png").write_text(f"b{number}")
        lines.append(f"{number}a.png,{number}b.png,{number % 2}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return pairs.read(tmp_path / "pairs.csv")


def observed(
    world: Sequence[LabelledPair], comparer: Comparer, path: Path, asking: Asking | None = None
) -> list[Observation]:
    with Kept(path) as kept:
        return asyncio.run(observe(world, comparer, asking or Asking(ImageComparisonConfig()), kept))


def test_each_pair_has_its_row_in_order(world: list[LabelledPair], tmp_path: Path) -> None:
    comparer = Comparer()
    rows = observed(world, comparer, tmp_path / "kept.jsonl")
    assert [row.name for row in rows] == [pair.name for pair in world]
    assert [row.label for row in rows] == ["mismatch", "match"] * 3
    assert {row.answer.similarity for row in rows if row.answer} == {0.9}
    assert sorted(comparer.asked) == [(f"a{number}".encode(), f"b{number}".encode()) for number in range(6)]


def test_what_was_answered_is_not_asked_again_but_for_one_pair(world: list[LabelledPair], tmp_path: Path) -> None:
    first = observed(world, Comparer(), tmp_path / "kept.jsonl")
    again = Comparer()
    assert observed(world, again, tmp_path / "kept.jsonl") == first
    assert len(again.asked) == 1


def test_a_run_that_was_ended_goes_on(world: list[LabelledPair], tmp_path: Path) -> None:
    def ended(number: int) -> None:
        if number == 4:
            raise CantCompare("gone")

    with pytest.raises(CantCompare):
        observed(world, Comparer(before=ended), tmp_path / "kept.jsonl")
    path = tmp_path / "kept.jsonl"
    done = len(path.read_text().splitlines())
    assert 3 <= done <= 4
    with path.open("a") as file:
        file.write('{"run": "torn by a ki')
    rest = Comparer()
    rows = observed(world, rest, path)
    assert len(rows) == 6
    assert len(rest.asked) == 1 + 6 - done
    assert len(list(rows_of(path.read_bytes()))) == 6


@pytest.mark.parametrize("other", [{"version": "2"}, {"config": ImageComparisonConfig(similarity_threshold=0.5)}])
def test_another_version_or_config_is_asked_anew_beside_the_old(
    world: list[LabelledPair], tmp_path: Path, other: dict[str, object]
) -> None:
    path = tmp_path / "kept.jsonl"
    observed(world, Comparer(), path)
    comparer = Comparer(str(other.get("version", "1")))
    config = other.get("config", ImageComparisonConfig())
    assert isinstance(config, ImageComparisonConfig)
    observed(world, comparer, path, Asking(config))
    assert {reference for reference, _ in comparer.asked} == {f"a{number}".encode() for number in range(6)}
    assert len(list(rows_of(path.read_bytes()))) == 12


def test_a_changed_file_is_asked_again_and_a_changed_label_is_not(world: list[LabelledPair], tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    observed(world, Comparer(), path)
    world[2].candidate.write_text("b2, other")
    text = (tmp_path / "pairs.csv").read_text().replace("0a.png,0b.png,0", "0a.png,0b.png,match")
    (tmp_path / "pairs.csv").write_text(text)
    comparer = Comparer()
    rows = observed(pairs.read(tmp_path / "pairs.csv"), comparer, path)
    assert (b"a2", b"b2, other") in comparer.asked
    assert len(comparer.asked) == 2
    assert rows[0].label == "match"


def test_a_refused_pair_is_a_row_with_its_reason_and_is_asked_again(world: list[LabelledPair], tmp_path: Path) -> None:
    def refused(number: int) -> None:
        if number == 0:
            raise ImageRejected("It is no image.", image="candidate")

    path, comparer = tmp_path / "kept.jsonl", Comparer(before=refused)
    comparer.asked = []
    rows = observed(world[:1], comparer, path)
    assert [(row.answer, row.error) for row in rows] == [(None, "candidate: It is no image.")]
    world[1].reference.unlink()
    both = observed(world[:2], Comparer(), path)
    assert both[0].answer is not None
    assert both[1].error is not None
    assert both[1].error.endswith("1a.png can't be read: No such file or directory.")


def test_a_busy_service_is_asked_again(world: list[LabelledPair], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    calls = iter([True, False])

    def busy(_: int) -> None:
        if next(calls, False):
            raise Overloaded("Later.", retry_after_s=7)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    (row,) = asyncio.run(observe(world[:1], Comparer(before=busy), Asking(ImageComparisonConfig())))
    assert row.answer is not None
    assert slept == [7]


def test_a_model_is_asked_with_the_pictures_exchanged_and_pixels_are_not(world: list[LabelledPair]) -> None:
    asking = Asking(ImageComparisonConfig())
    (by_model,) = asyncio.run(observe(world[:1], Comparer(answers=True), asking))
    (by_pixels,) = asyncio.run(observe(world[:1], Comparer(), asking))
    assert by_model.answer is not None
    assert by_model.answer.exchanged is not None
    assert (by_model.answer.exchanged.verdict, by_model.answer.exchanged.similarity) == ("mismatch", 0.4)
    assert by_pixels.answer is not None
    assert by_pixels.answer.exchanged is None


@pytest.mark.parametrize(
    "asking",
    [Asking(ImageComparisonConfig(), both_orders=False), Asking(ImageComparisonConfig(ignore_regions=((0, 0, 5, 5),)))],
)
def test_it_is_not_where_that_is_not_wanted_or_regions_would_be_others(
    world: list[LabelledPair], asking: Asking
) -> None:
    (row,) = asyncio.run(observe(world[:1], Comparer(answers=True), asking))
    assert row.answer is not None
    assert row.answer.exchanged is None


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"some": "thing"}\n')
    with pytest.raises(NotResults, match="holds no results of this version"):
        Kept(tmp_path / "mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_text() == '{"some": "thing"}\n'


def test_rows_hold_no_picture_and_little_else(world: list[LabelledPair], tmp_path: Path) -> None:
    observed(world, Comparer(), tmp_path / "kept.jsonl")
    for line in (tmp_path / "kept.jsonl").read_text().splitlines():
        assert len(line) < 2000
        assert "data:" not in json.loads(line)["answer"]["summary"]
