"""Text to token ids with one tokenizer: questions as plain data, labels that are one token.
No images.
"""

from __future__ import annotations

import re
from typing import Any

from serve_app.core.inquiry import Question, Wording

ANSWER_OPENING = '{"answer":"'


class Lexicon:
    """What one tokenizer makes of questions and labels. `control_ids`: tokens that no text of a caller becomes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        control = tokenizer.get_added_vocab()
        self.control_ids = {id_ for token, id_ in control.items() if len(token.strip()) > 1}
        longest_first = sorted((token for token in control if len(token) > 1), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._labels: dict[tuple[str, ...], tuple[int, ...] | None] = {}

    def template(self, text: str) -> list[int]:
        """Ids of our own text, in which control tokens are meant."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def data(self, text: str) -> list[int]:
        """Ids of text that may hold anything a caller sends: what spells a control token stays plain text.

        Each such spelling is cut after its first character and both halves are tokenized apart. A normalizer
        can still put one together; then every character goes alone, and what is left of control goes.
        """
        ids: list[int] = []
        for part in self._cut(text):
            piece = self.template(part)
            if self.control_ids.intersection(piece):
                piece = [id_ for char in part for id_ in self.template(char) if id_ not in self.control_ids]
            ids += piece
        return ids

    def choose(self, question: Question) -> tuple[Wording, tuple[int, ...]]:
        """The first wording whose labels are one distinct token each after `{"answer":"`, and those tokens.

        Raises LookupError if there is none.
        """
        for wording in question.wordings:
            ids = self.label_ids(wording.labels)
            if ids is not None:
                return wording, ids
        raise LookupError("no wording's labels are one token each in this tokenizer")

    def _cut(self, text: str) -> list[str]:
        parts, start, position = [], 0, 0
        while found := self._control.search(text, position):
            parts.append(text[start : found.start() + 1])
            start = position = found.start() + 1
        return [part for part in (*parts, text[start:]) if part]

    def label_ids(self, labels: tuple[str, ...]) -> tuple[int, ...] | None:
        """The one token of each after `{"answer":"`; None if one of them is split, or two are the same."""
        if labels not in self._labels:
            opening = self.template(ANSWER_OPENING)
            whole = [self.template(ANSWER_OPENING + label) for label in labels]
            fits = all(ids[:-1] == opening for ids in whole)
            ids = tuple(ids[-1] for ids in whole)
            self._labels[labels] = ids if fits and len(set(ids)) == len(ids) else None
        return self._labels[labels]

    def defused(self, text: str) -> str:
        """A caller's text for a processor that takes only text: what spells a control token has a space in it."""
        return " ".join(self._cut(text))


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end what this model says."""
    config = getattr(model, "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    found = ends if isinstance(ends, list) else [ends]
    return {one for one in (*found, tokenizer.eos_token_id) if one is not None}
