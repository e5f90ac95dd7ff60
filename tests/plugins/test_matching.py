"""What is asked of whom, with a comparer that keeps count."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.plugins.comparer import Comparer
from serve_app.plugins.matching import Matching, Wish
from serve_app.plugins.outcomes import Outcome
from serve_app.plugins.results import Results
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from tests.worlds.samples import card, encoded


class Counting(Comparer):
    def __init__(self) -> None:
        super().__init__(None)
        self.asked: list[ImageComparisonConfig] = []

    def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.asked.append(config)
        return super().compare(reference, candidate, config)


def held(folder: Path, picture: bytes, wish: Wish, *, keeps_all: bool = False) -> tuple[Outcome, Counting]:
    """A picture against a plain card."""
    told: list[Outcome] = []
    with Counting() as comparer:
        for update, content in (("missing", encoded(card())), ("none", picture)):
            matching = Matching(
                "test_a",
                folder / "test_look.py",
                comparer,
                Results(folder / "results", 10_000_000),
                update=update,  # type: ignore[arg-type]
                keeps_all=keeps_all,
                tell=told.append,
            )
            try:
                matching.hold(matching.see(content, (), full_page=False), None, wish)
            except AssertionError:
                assert told[-1].is_failure
    return told[-1], comparer


def test_one_that_matches_is_asked_for_once_without_words_and_pictures(tmp_path: Path) -> None:
    outcome, comparer = held(tmp_path, encoded(card("red", size=(200, 120))), Wish(threshold=0.1))

    assert outcome.kind == "match"
    (asked,) = comparer.asked
    assert (asked.read_text, asked.visuals, asked.max_differences) == (False, (), None)


def test_where_words_decide_they_are_read_at_once(tmp_path: Path) -> None:
    words = ImageComparisonConfig(text_changes="mismatch", similarity_threshold=0.1)

    _, comparer = held(tmp_path, encoded(card("red")), Wish(config=words))

    assert comparer.asked[0].read_text


def test_one_that_fails_is_asked_for_again_with_words_and_pictures(tmp_path: Path) -> None:
    outcome, comparer = held(tmp_path, encoded(card("red")), Wish())

    assert outcome.kind == "mismatch"
    first, second = comparer.asked
    assert (first.read_text, first.visuals) == (False, ())
    assert second.read_text
    assert "reference" in second.visuals
    assert outcome.report is not None
    assert outcome.report.measurement.text.status != "off"


@pytest.mark.parametrize("keeps_all", [False, True])
def test_the_same_bytes_are_asked_for_only_where_a_report_is_wanted(tmp_path: Path, keeps_all: bool) -> None:
    outcome, comparer = held(tmp_path, encoded(card()), Wish(), keeps_all=keeps_all)

    assert outcome.kind == "match"
    assert bool(comparer.asked) == keeps_all
    assert (outcome.results is not None) == keeps_all
