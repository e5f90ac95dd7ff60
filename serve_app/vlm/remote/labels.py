"""Which label an answer chose and with what probability, from what a chat server says of its tokens.
No requests: text and log probabilities in, numbers out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.vlm.remote.wire import WrittenToken

_ANSWER = r'"answer"\s*:\s*"'
_OPENING = re.compile(_ANSWER.encode())
_ASSUMED = re.compile(_ANSWER + r'((?:[^"\\]|\\.)*)"')

ASSUMED = 0.9
"""Probability of a label of which the server says nothing but the word.

1.0 would claim a certainty nobody stated: the tenth left over lies outside the labels, where it widens the score's
interval (by 0.09 to 0.18) and leaves the score itself alone.
"""


@dataclass(frozen=True, slots=True)
class Odds:
    """`probabilities`: of the labels, at most 1 in sum. `is_stated`: see `stated`."""

    probabilities: tuple[float, ...]
    is_stated: bool = False


def read(tokens: Sequence[WrittenToken], labels: Sequence[str]) -> Odds | None:
    """The labels' probabilities where the answer's value begins; None if the tokens hold no answer.

    Tokens are laid end to end to find `"answer":"`. An alternative counts for the one label that it can begin;
    one that begins several, or none, is mass outside. Where the token written begins several labels, the next
    token decides among them, weighted by the probability of having come there.
    """
    written = b"".join(token.spelling for token in tokens)
    openings = list(_OPENING.finditer(written))
    if not openings:
        return None
    begin = openings[-1].end()  # a thought before the answer may quote the question
    endings = [label.encode() + b'"' for label in labels]
    shares = [0.0] * len(labels)
    possible, weight, start = list(range(len(labels))), 1.0, 0
    for token in tokens:
        end = start + len(token.spelling)
        if end > begin:
            lead, done = written[start:begin], max(0, start - begin)
            targets = {i: lead + endings[i][done:] for i in possible}
            fitting = _share_out(token, targets, weight, shares)
            if len(fitting) <= 1:
                break
            possible, weight = fitting, weight * _probability(token.logprob)
        start = end
    return Odds(tuple(shares))


def are_told_apart(tokens: Sequence[WrittenToken], labels: Sequence[str]) -> bool | None:
    """Whether the first token of each label begins no other; None if the tokens don't hold `{"answer":LABEL}` of all.

    Only then do the likely alternatives to an answer's first token say what they stand for.
    """
    written = b"".join(token.spelling for token in tokens)
    endings = [label.encode() + b'"' for label in labels]
    for number, ending in enumerate(endings):
        found = re.search(_OPENING.pattern + re.escape(ending), written)
        if found is None:
            return None
        first = _token_at(tokens, found.end() - len(ending))
        if any(other.startswith(first) for i, other in enumerate(endings) if i != number):
            return False
    return True


def _token_at(tokens: Sequence[WrittenToken], position: int) -> bytes:
    """The token that holds this byte of all that was written, from there on."""
    start = 0
    for token in tokens:
        end = start + len(token.spelling)
        if position < end:
            return token.spelling[position - start :]
        start = end
    return b""


def assumed(text: str, labels: Sequence[str]) -> Odds:
    """`STATED` for the label that the text names as its answer; all zero if it names none."""
    found = _ASSUMED.findall(text)
    said = _unescaped(found[-1]) if found else text
    chosen = said.strip(" \t\r\n\"'.").casefold()
    return Odds(tuple(ASSUMED if label.casefold() == chosen else 0.0 for label in labels), is_stated=True)


def _share_out(token: WrittenToken, targets: dict[int, bytes], weight: float, shares: list[float]) -> list[int]:
    """Add each candidate's probability to the label it begins; gives the labels that the written token begins."""
    others = (one for one in token.top_logprobs if one.spelling != token.spelling)
    for one in (token, *others):
        fitting = _begun(one.spelling, targets)
        if len(fitting) == 1:
            shares[fitting[0]] += weight * _probability(one.logprob)
    return _begun(token.spelling, targets)


def _begun(spelling: bytes, targets: dict[int, bytes]) -> list[int]:
    if not spelling:
        return []
    return [i for i, target in targets.items() if target.startswith(spelling) or spelling.startswith(target)]


def _probability(logprob: float) -> float:
    return math.exp(min(0.0, logprob)) if logprob == logprob else 0.0  # NaN is nobody's probability


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
