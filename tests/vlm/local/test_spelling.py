"""Tokens to text that can be shown: whole characters, up to the first stop text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serve_app.core.conversation import Said, SaidToken
from serve_app.vlm.local.talking.spelling import Spelling


def spelt(pieces: Sequence[bytes], *stops: str) -> list[Said]:
    """All that is told of these tokens, until it stops; the rest of them at the end."""
    spelling, told = Spelling(stops, tells_tokens=True), []
    for piece in pieces:
        told.append(spelling.add(SaidToken(piece, -1.0)))
        if spelling.has_stopped:
            break
    else:
        told.append(spelling.rest())
    return [said for said in told if said is not None]


def texts(told: Sequence[Said]) -> list[str]:
    return [said.text for said in told]


def spellings(told: Sequence[Said]) -> list[bytes]:
    return [token.spelling for said in told for token in said.tokens]


def test_each_token_is_told_when_it_comes() -> None:
    told = spelt([b"one", b" two"])
    assert texts(told) == ["one", " two"]
    assert [len(said.tokens) for said in told] == [1, 1]


@pytest.mark.parametrize("character", ["é", "中", "😀"])
def test_a_character_of_several_tokens_is_told_whole(character: str) -> None:
    parts = [bytes([byte]) for byte in character.encode()]
    told = spelt([b"a", *parts, b"b"])
    assert texts(told) == ["a", character, "b"]
    assert [len(said.tokens) for said in told] == [1, len(parts), 1]


def test_a_character_that_is_cut_by_the_end_is_left_out() -> None:
    told = spelt([b"a", "中".encode()[:2]])
    assert texts(told) == ["a"]
    assert spellings(told) == [b"a"]


def test_bytes_that_are_no_character_are_told_as_such() -> None:
    assert "".join(texts(spelt([b"\xff", b"a"]))) == "\ufffda"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_stop_text_ends_it_however_it_is_cut(cut: int) -> None:
    told = spelt([b"well ", b"STOP"[:cut], b"STOP"[cut:] + b" more", b"never"], "STOP")
    assert "".join(texts(told)) == "well "
    assert spellings(told) == [b"well "]


def test_what_only_begins_like_a_stop_text_is_told_later() -> None:
    told = spelt([b"a ST", b"ONE"], "STOP")
    assert texts(told) == ["a ", "STONE"]


def test_the_first_of_several_stop_texts_counts() -> None:
    assert "".join(texts(spelt([b"one two three"], "three", "two"))) == "one "


def test_a_token_that_a_stop_text_cuts_is_told_with_what_is_left() -> None:
    told = spelt([b"end. more"], ".")
    assert texts(told) == ["end"]
    assert spellings(told) == [b"end. more"]


def test_tokens_are_told_only_where_they_are_wanted() -> None:
    told = Spelling((), tells_tokens=False).add(SaidToken(b"a", 0.0))
    assert told == Said("a")
