"""A label's probability is found wherever a tokenizer cuts the answer."""

from __future__ import annotations

import math

import pytest

from serve_app.vlm.remote import labels
from serve_app.vlm.remote.wire import Alternative, WrittenToken

WORDS = ("none", "small", "medium", "large", "total")


def a_token(text: str, probability: float = 1.0, **others: float) -> WrittenToken:
    return of_bytes(text.encode(), probability, {key.encode(): p for key, p in others.items()})


def of_bytes(spelling: bytes, probability: float, others: dict[bytes, float]) -> WrittenToken:
    def fields(one: bytes, p: float) -> dict[str, object]:
        return {"token": one.decode(errors="replace"), "logprob": math.log(p), "bytes": list(one)}

    alternatives = [fields(one, p) for one, p in {spelling: probability, **others}.items()]
    return WrittenToken.model_validate({**fields(spelling, probability), "top_logprobs": alternatives})


def test_alternatives_at_the_label_are_the_probabilities() -> None:
    tokens = [a_token('{"'), a_token("answer"), a_token('":"'), a_token("small", 0.6, none=0.3, Nothing=0.1)]
    found = labels.read([*tokens, a_token('"}')], WORDS)
    assert found is not None
    assert found.probabilities == pytest.approx((0.3, 0.6, 0.0, 0.0, 0.0))


def test_a_token_may_hold_the_quote_and_the_label() -> None:
    tokens = [a_token('{"answer":'), a_token(' "small', 0.7, **{' "none': 0.2, ' "': 0.05}), a_token('"}')]
    found = labels.read(tokens, WORDS)
    assert found is not None
    assert found.probabilities == pytest.approx((0.2, 0.7, 0.0, 0.0, 0.0))  # a bare quote begins every label


def test_whitespace_after_the_colon_changes_nothing() -> None:
    tokens = [a_token('{ "answer" : "'), a_token("t", 0.5, n=0.25, s=0.25), a_token('otal"}')]
    found = labels.read(tokens, WORDS)
    assert found is not None
    assert found.probabilities == pytest.approx((0.25, 0.25, 0.0, 0.0, 0.5))


def test_labels_that_share_their_first_token_are_told_apart_by_the_second() -> None:
    first, second = "增".encode(), "删".encode()
    shared = [bytes([0xE5]), "增".encode()[1:]]
    assert second[0] == first[0] == 0xE5
    tokens = [
        a_token('{"answer":"'),
        of_bytes(shared[0], 0.8, {"同".encode(): 0.1, "变".encode(): 0.05}),
        of_bytes(shared[1], 0.75, {second[1:]: 0.25}),
    ]
    found = labels.read(tokens, ("同", "变", "增", "删", "无"))
    assert found is not None
    assert found.probabilities == pytest.approx((0.1, 0.05, 0.6, 0.2, 0.0))


def copied(*pieces: str) -> list[WrittenToken]:
    return [a_token(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("tokens", "told_apart"),
    [
        (copied('{"answer":"', "none", '"}', ' {"answer":"', "moved", '"}'), True),
        (copied('{"', "answer", '":"', "no", 'ne"} {"answer": "', "mo", 'ved"}'), True),
        (copied('{"answer":"n', 'one"} {"answer":"m', 'oved"}'), True),
        (copied('{"answer":"none"} {"answer":"', "no", 'thing"}'), None),
        (copied('{"answer":"none"}'), None),
        ([], None),
    ],
)
def test_a_copied_list_tells_whether_first_tokens_tell_labels_apart(
    tokens: list[WrittenToken], told_apart: bool | None
) -> None:
    assert labels.are_told_apart(tokens, ("none", "moved")) is told_apart


def test_labels_that_share_a_first_token_are_not_told_apart() -> None:
    tokens = copied('{"answer":"', "no", "ne", '"} {"answer":"', "no", "thing", '"}')
    assert labels.are_told_apart(tokens, ("none", "nothing")) is False
    whole = copied('{"answer":"', "none", '"} {"answer":"', "nothing", '"}')
    assert labels.are_told_apart(whole, ("none", "nothing")) is True


def test_the_last_answer_counts_not_one_in_a_thought() -> None:
    tokens = [
        a_token('<think>{"answer":"'),
        a_token("none", 0.9),
        a_token('"}</think>{"answer":"'),
        a_token("large", 0.8),
    ]
    found = labels.read(tokens, WORDS)
    assert found is not None
    assert found.probabilities == pytest.approx((0.0, 0.0, 0.0, 0.8, 0.0))


@pytest.mark.parametrize("tokens", [[], [a_token("no JSON at all")]])
def test_tokens_without_an_answer_give_nothing(tokens: list[WrittenToken]) -> None:
    assert labels.read(tokens, WORDS) is None


def test_an_answer_that_is_no_label_has_no_mass() -> None:
    found = labels.read([a_token('{"answer":"'), a_token("maybe", 0.9, none=0.1)], WORDS)
    assert found is not None
    assert found.probabilities == pytest.approx((0.1, 0.0, 0.0, 0.0, 0.0))


def test_absurd_numbers_are_no_probabilities() -> None:
    token = a_token("none").model_copy(
        update={"logprob": math.nan, "top_logprobs": [Alternative(token="small", logprob=9.0)]}
    )
    found = labels.read([a_token('{"answer":"'), token], WORDS)
    assert found is not None
    assert found.probabilities == (0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ('{"answer":"small","explanation":"x"}', 1),
        ('```json\n{ "answer": "Small", "expl', 1),
        ('{"answer":"\\u006eone"}', 0),
        ("total.", 4),
        ('{"answer":"huge"}', None),
        ("", None),
    ],
)
def test_without_log_probabilities_the_word_itself_is_read(text: str, chosen: int | None) -> None:
    expected = tuple(labels.ASSUMED if index == chosen else 0.0 for index in range(len(WORDS)))
    assert labels.assumed(text, WORDS) == labels.Odds(expected, is_stated=True)
