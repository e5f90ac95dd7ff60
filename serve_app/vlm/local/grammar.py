"""Keeps what a model writes inside one JSON object of a known shape, or of a caller's schema: compact, on one line.
No model: it sees token ids and gives masks.

Texts have no bound here, because one of 500 characters makes each mask thirty times dearer: whoever writes counts
tokens. Only the descriptions of findings end by themselves, so that one can't take the place of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from serve_app.core.inquiry import FINDING_KINDS, MAX_FINDINGS, Question
from serve_app.vlm.local import transfer

# No control characters, no leading, trailing or double spaces: models loop on whitespace where a grammar lets them.
_CHARACTER = r'(\\["\\]|[^"\\\x00-\x20\x7f\u00a0\u2028\u2029\u3000])'
_TEXT = f"{_CHARACTER}( ?{_CHARACTER})*"
_NUMBER = (
    r"(0(\.[0-9]{1,4})?|1\.0{1,4}|[1-9][0-9]{0,3})"  # thousandths, pixels or fractions: habits.py tells them apart
)
_BOX = rf"\[{_NUMBER}(,{_NUMBER}){{3}}\]"


def opening(question: Question) -> str:
    """The JSON up to where the model goes on: after the label, where there are labels.

    It ends where a token ends whatever follows. `":[` is one token in most vocabularies: behind a lone `":` no `[`
    ever stood in training, so a model would write `null` for every box.
    """
    if question.shape == "findings":
        return '{"findings'
    key = "box" if question.shape == "boxed_text" else f'{question.text_key}":"'
    return f'","{key}' if question.num_labels else f'{{"{key}'


def rest(question: Question, max_tokens: int) -> str:
    """What may follow the opening, as llguidance's dialect of Lark. `max_tokens`: of one finding's description."""
    if question.shape == "findings":
        return _findings(max_tokens)
    text = rf'/{_TEXT}"\}}/'
    if question.shape == "boxed_text":
        return rf'start: /":(null|{_BOX}),"{question.text_key}":"/ {text}'
    return f"start: {text}"


def _findings(max_tokens: int) -> str:
    return "\n".join(
        (
            rf'start: "\":[" (finding ("," finding){{0,{MAX_FINDINGS - 1}}})? "]}}"',
            rf'finding: /\{{"kind":"({"|".join(FINDING_KINDS)})","box":{_BOX},"description":"/ description "\"}}"',
            f"description[max_tokens={max_tokens}]: /{_TEXT}/",
        )
    )


class JsonText:
    """Makes a matcher for what follows a question's opening, for each text written with one tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary_size: int, max_finding_tokens: int, device: torch.device) -> None:
        """`vocabulary_size`: columns of the model's logits, which may be more than the tokenizer's tokens.

        `device`: where masks are sent.
        """
        import llguidance
        import llguidance.hf

        self._matcher = llguidance.LLMatcher
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._max_finding_tokens = max_finding_tokens
        self._first: dict[str, Any] = {}
        self._threads = llguidance.LLExecutor()
        self.vocabulary_size = vocabulary_size
        self._words = -(-vocabulary_size // 32)
        self._device = device
        self._masks = torch.empty(0, self._words, dtype=torch.int32)

    def begin(self, question: Question) -> Writing:
        described = rest(question, self._max_finding_tokens)
        if described not in self._first:
            first = self._matcher(self._tokenizer, self._matcher.grammar_from_lark(described), log_level=0)
            if first.is_error():
                raise RuntimeError(first.get_error())
            self._first[described] = first
        return Writing(self._first[described].deep_copy())

    def of_schema(self, schema: str) -> Writing:
        """Of a JSON schema, as JSON, on one line. Raises ValueError for one that no text can be held to."""
        described = self._matcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
        matcher = self._matcher(self._tokenizer, described, log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return Writing(matcher)

    def spelling(self, token: int) -> bytes:
        """What a token is written as: perhaps a part of a character."""
        spelt: bytes = self._tokenizer.decode_bytes([token])
        return spelt

    def masks(self, texts: Sequence[Writing]) -> torch.Tensor:
        """(texts, vocabulary / 32) int32: a bit for each token, set where it may come next in that text.

        Made by as many threads as there are cores, without Python. Good until the next call, on its way to the device
        before that.
        """
        if len(self._masks) < len(texts):
            empty = torch.empty(len(texts), self._words, dtype=torch.int32)
            self._masks = transfer.staged(empty, self._device)
        matchers = [(text.matcher, i) for i, text in enumerate(texts)]
        self._threads.unsafe_compute_mask_ptr(matchers, self._masks.data_ptr(), self._words * 4, len(texts))
        return self._masks[: len(texts)]


class Writing:
    """One text being written."""

    def __init__(self, matcher: Any) -> None:
        self.matcher = matcher
        self.tokens: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether the object is closed: nothing may follow it."""
        return bool(self.matcher.is_accepting() or self.matcher.is_stopped())

    def accept(self, token: int) -> list[int]:
        """Write `token`; gives it and the tokens that the grammar forces after it, to be read in one step."""
        before = len(self.tokens)
        self.take(token)
        while not self.is_done and (forced := self.matcher.compute_ff_tokens()):
            for one in forced:
                self.take(one)
        return self.tokens[before:]

    def take(self, token: int) -> None:
        """Write this one alone."""
        if not self.matcher.consume_token(token):
            raise RuntimeError(self.matcher.get_error())
        self.tokens.append(token)
