"""Keeps what a model writes inside one JSON object of a known shape: compact, on one line, bounded.
No model: it sees token ids and gives masks.
"""

from __future__ import annotations

from typing import Any

import torch

from serve_app.core import FINDING_KINDS, MAX_FINDINGS, Question

MAX_CHARACTERS = 500
MAX_FINDING_CHARACTERS = 120  # four of them are to fit into the tokens of a summary
# No control characters, no leading, trailing or double spaces: models loop on whitespace where a grammar lets them.
_CHARACTER = r'(\\["\\]|[^"\\\x00-\x20\x7f\u00a0\u2028\u2029\u3000])'
_NUMBER = (
    r"(0(\.[0-9]{1,4})?|1\.0{1,4}|[1-9][0-9]{0,3})"  # thousandths, pixels or fractions: habits.py tells them apart
)
_BOX = rf"\[{_NUMBER}(,{_NUMBER}){{3}}\]"


def _text(most: int) -> str:
    """A string's characters and its closing quotation mark."""
    return rf'{_CHARACTER}( ?{_CHARACTER}){{0,{most}}}"'


_FINDING = rf'\{{"kind":"({"|".join(FINDING_KINDS)})","box":{_BOX},"description":"{_text(MAX_FINDING_CHARACTERS)}\}}'
_FINDINGS = rf"({_FINDING}(,{_FINDING}){{0,{MAX_FINDINGS - 1}}})?\]\}}"


def opening(question: Question) -> str:
    """The JSON up to where the model goes on: after the label, where there are labels."""
    if question.shape == "findings":
        return '{"findings":['
    key = "box" if question.shape == "boxed_text" else question.text_key
    mark = "" if question.shape == "boxed_text" else '"'
    return f'","{key}":{mark}' if question.num_labels else f'{{"{key}":{mark}'


def rest(question: Question) -> str:
    """What may follow the opening, as a regular expression."""
    if question.shape == "findings":
        return _FINDINGS
    text = rf"{_text(MAX_CHARACTERS)}\}}"
    return rf'(null|{_BOX}),"{question.text_key}":"{text}' if question.shape == "boxed_text" else text


class JsonText:
    """Makes a matcher for what follows a question's opening, for each text written with one tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`vocabulary_size`: columns of the model's logits, which may be more than the tokenizer's tokens."""
        import llguidance
        import llguidance.hf

        self._matcher = llguidance.LLMatcher
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._first: dict[str, Any] = {}

    def begin(self, question: Question) -> Writing:
        expression = rest(question)
        if expression not in self._first:
            grammar = self._matcher.grammar_from_regex(expression)
            first = self._matcher(self._tokenizer, grammar, log_level=0)
            if first.is_error():
                raise RuntimeError(first.get_error())
            self._first[expression] = first
        return Writing(self._first[expression].deep_copy())


class Writing:
    """One text being written."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self.tokens: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether the object is closed: nothing may follow it."""
        return bool(self._matcher.is_accepting() or self._matcher.is_stopped())

    def allowed(self) -> torch.Tensor:
        """(vocabulary,) bool: the tokens that may come next."""
        return torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) > 0

    def accept(self, token: int) -> list[int]:
        """Write `token`; gives it and the tokens that the grammar forces after it, to be read in one step."""
        before = len(self.tokens)
        self._take(token)
        while not self.is_done and (forced := self._matcher.compute_ff_tokens()):
            for one in forced:
                self._take(one)
        return self.tokens[before:]

    def _take(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise RuntimeError(self._matcher.get_error())
        self.tokens.append(token)
