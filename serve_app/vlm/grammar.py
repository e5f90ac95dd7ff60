"""Keeps what a model writes inside one JSON string: compact, on one line, bounded.
No model: it sees token ids and gives masks.
"""

from __future__ import annotations

from typing import Any

import torch

MAX_CHARACTERS = 500
# No control characters, no leading, trailing or double spaces: models loop on whitespace where a grammar lets them.
_CHARACTER = r'(\\["\\]|[^"\\\x00-\x20\x7f\u00a0\u2028\u2029\u3000])'
_REST_OF_OBJECT = rf'{_CHARACTER}( ?{_CHARACTER}){{0,{MAX_CHARACTERS}}}"\}}'


class JsonText:
    """Makes a matcher for the rest of `{"key":"` for each text written with one tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`vocabulary_size`: columns of the model's logits, which may be more than the tokenizer's tokens."""
        import llguidance
        import llguidance.hf

        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._first = llguidance.LLMatcher(
            self._tokenizer, llguidance.LLMatcher.grammar_from_regex(_REST_OF_OBJECT), log_level=0
        )
        if self._first.is_error():
            raise RuntimeError(self._first.get_error())

    def begin(self) -> Writing:
        return Writing(self._first.deep_copy())


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
