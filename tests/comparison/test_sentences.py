"""What the service says by itself, in every language that callers may ask for."""

from __future__ import annotations

import dataclasses
import string
from typing import get_args

import pytest

from serve_app.comparison.sentences import SENTENCES
from serve_app.core.inquiry import QuestionKind
from serve_app.core.pictures import Box
from serve_app.errors import ComparisonError
from serve_app.schema import DifferenceKind, Language, Verdict
from serve_app.serving import messages
from tests.worlds.samples import difference, measured, same


def every_type() -> set[str]:
    found, left = set(), [ComparisonError]
    while left:
        kind = left.pop()
        found.add(kind.type)
        left += kind.__subclasses__()
    return found


@pytest.mark.parametrize("language", get_args(Language))
def test_every_error_has_a_sentence_of_its_own(language: Language) -> None:
    said = messages.MESSAGES[language]
    assert said.keys() == every_type()
    assert len(set(said.values())) == len(said)
    assert messages.message("overloaded", language) == {"en": "The service is overloaded", "zh": "服务繁忙"}[language]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", get_args(Language))
def test_every_sentence_tells_the_same_in_each_language(language: Language) -> None:
    own, english = SENTENCES[language], SENTENCES["en"]
    for each in dataclasses.fields(own):
        said, there = getattr(own, each.name), getattr(english, each.name)
        if isinstance(said, str):
            assert placeholders(said) - {"found"} == placeholders(there) - {"found"}, each.name
            assert said.endswith(("。", "."))
            assert (language == "en") == said.isascii() or "“" in said, each.name
        else:
            assert said.keys() == there.keys(), each.name
            assert len(set(said.values())) == len(said), each.name


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "en",
            (
                "The decoded pixels of both images are identical: a match.",
                "Nothing visible differs; similarity 0.97: a match.",
                "1 visible difference, covering 3.75% of the pixels; similarity 0.70: a mismatch.",
                "3 visible differences, covering 3.75% of the pixels; similarity 0.70: "
                "too close to the threshold to tell.",
            ),
        ),
        (
            "zh",
            (
                "两张图像解码后的像素完全相同，判定为一致。",
                "未发现可见差异，相似度 0.97，判定为一致。",
                "发现 1 处可见差异，涉及 3.75% 的像素，相似度 0.70，判定为不一致。",
                "发现 3 处可见差异，涉及 3.75% 的像素，相似度 0.70，无法确定。",
            ),
        ),
    ],
)
def test_a_summary_says_what_was_found(language: Language, sentences: tuple[str, ...]) -> None:
    say = SENTENCES[language]
    assert (
        say.summary(same(), "match", 1.0),
        say.summary(measured(0.97, differences=()), "match", 0.97),
        say.summary(measured(0.7), "mismatch", 0.7),
        say.summary(measured(0.7, further_differences=2), "uncertain", 0.7),
    ) == sentences


@pytest.mark.parametrize("kind", get_args(DifferenceKind))
def test_a_difference_says_where_it_is(kind: DifferenceKind) -> None:
    found = difference(kind=kind, reference_box=None, candidate_box=Box(3, 4, 50, 60))
    said = SENTENCES["en"].difference(found)
    assert said == f"The region of 50 x 60 px at (3, 4) was {kind}."
    assert "(3, 4)" in SENTENCES["zh"].difference(found)


def test_an_element_that_nobody_looked_for_is_told_from_one_that_was_not_understood() -> None:
    say = SENTENCES["en"]
    assert say.unsaid_element("unchanged", asked=True) == say.unsaid_element("unchanged", asked=False) == say.unchanged
    assert say.unsaid_element("unassessed", asked=True) == say.unreadable_element
    assert say.unsaid_element("unassessed", asked=False) == say.unassessed


@pytest.mark.parametrize("kind", get_args(QuestionKind))
def test_a_question_is_named_by_what_it_is_about(kind: QuestionKind) -> None:
    named = SENTENCES["en"].asked(kind, 1)
    assert named.endswith(" 2") == (kind not in ("summary", "findings"))
    assert set(SENTENCES["en"].verdicts) == set(get_args(Verdict))
