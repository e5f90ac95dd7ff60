"""A conversation through the checkpoint's chat template, its callers' texts told apart from the template's own.
No model, no pixels: turns in, words and places of pictures out.

Each text stands in the template as a mark that no caller knows and is put in afterwards, as plain data: what spells a
control token in it begins no turn and no picture.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from serve_app.core.conversation import Turn
from serve_app.errors import MalformedRequest
from serve_app.vlm.local import dialogue
from serve_app.vlm.local.lexicon import Lexicon
from serve_app.vlm.local.vision import VisionEncoder

Turns = Sequence[Turn]


class Words(NamedTuple):
    """`is_ours`: the template's, in which control tokens are meant; else a caller's."""

    text: str
    is_ours: bool


def rendered(processor: Any, turns: Turns) -> list[Words]:
    """Everything before the model's next turn. Where the template has no place for a system's turn, what it says goes
    before the first user's.

    Raises MalformedRequest where the template has no place for these turns.
    """
    key = secrets.token_hex(8)
    texts: list[str] = []
    for said in (turns, _without_system(turns)):
        texts = [part for turn in said for part in turn.parts if isinstance(part, str)]
        whole = dialogue.conversation(processor, list(_marked(said, key)))
        if whole is not None and _has_all(whole, key, len(texts)):
            return list(_parts(whole, key, texts))
    raise MalformedRequest(
        "This model's chat template has no place for these turns: let user and assistant take turns, the user last.",
        field="/messages",
    )


def stretches(
    words: Sequence[Words], sight: VisionEncoder, lexicon: Lexicon, num_pictures: int
) -> list[list[int]] | None:
    """Tokens around the pictures, one list more than there are; None where the template hides their places."""
    found: list[list[int]] = [[]]
    is_first = True
    for text, is_ours in words:
        if not is_ours:
            found[-1] += lexicon.data(text)
            continue
        for number, piece in enumerate(text.split(sight.processor.image_token)):
            if number:
                found.append([])
            found[-1] += sight.opening(piece) if is_first else lexicon.template(piece)
            is_first = False
    return found if len(found) == num_pictures + 1 else None


def as_text(words: Sequence[Words], lexicon: Lexicon) -> str:
    """The whole as one text, for processors that take nothing else."""
    return "".join(text if is_ours else lexicon.defused(text) for text, is_ours in words)


def _without_system(turns: Turns) -> list[Turn]:
    told = tuple(part for turn in turns if turn.speaker == "system" for part in (*turn.parts, "\n\n"))
    others = [turn for turn in turns if turn.speaker != "system"]
    first = next((number for number, turn in enumerate(others) if turn.speaker == "user"), None)
    if first is not None:
        others[first] = Turn("user", (*told, *others[first].parts))
    return others


def _marked(turns: Turns, key: str) -> Iterator[tuple[str, list[str | None]]]:
    number = 0
    for turn in turns:
        parts: list[str | None] = []
        for part in turn.parts:
            if isinstance(part, str):
                parts.append(_mark(key, number))
                number += 1
            else:
                parts.append(None)
        yield turn.speaker, parts


def _mark(key: str, number: int) -> str:
    return f"[[{key} {number}]]"


def _has_all(whole: str, key: str, count: int) -> bool:
    return re.findall(rf"\[\[{key} (\d+)\]\]", whole) == [str(number) for number in range(count)]


def _parts(whole: str, key: str, texts: Sequence[str]) -> Iterator[Words]:
    for number, piece in enumerate(re.split(rf"\[\[{key} \d+\]\]", whole)):
        if number:
            yield Words(texts[number - 1], is_ours=False)
        yield Words(piece, is_ours=True)
