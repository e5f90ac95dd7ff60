"""What a model writes about a pair before it is asked: once an order of the pictures, then a part of the shared prefix.
No questions, no pictures: prefixes in, longer prefixes out. What was written is told nobody.

Each order has its own, because its words name the first and the second picture.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch

from serve_app.vlm.local import dialogue
from serve_app.vlm.local.decoding.branches import Branches, Single
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.lexicon import Lexicon, end_ids
from serve_app.vlm.thought_marks import THOUGHT_MARKS, Marks
from serve_app.vlm.unavailable import ModelUnavailable

logger = logging.getLogger("pairlens.vlm")
_PLAIN_TASK: Final = "What is 2 + 2?"
_TAIL: Final = 16  # tokens in which a mark that is several tokens is looked for
_CANT_TELL: Final = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


class Thought(NamedTuple):
    """The prefixes with what was written in them, and how many tokens that was."""

    prefixes: list[Prefix]
    num_tokens: int


class Thinking:
    """Of one model. `after`: text that then stands behind each question."""

    def __init__(
        self, model: Any, processor: Any, lexicon: Lexicon, marks: Marks | None, *, most_tokens: int, shares: bool
    ) -> None:
        """`marks`: see `marks_of`; None: the model says what it sees in a plain turn. Raises ModelUnavailable."""
        turn = dialogue.second_turn(processor)
        if turn is None:
            raise ModelUnavailable(
                "model.thought_tokens needs a chat template in which the model can speak before it is asked: "
                "this one has no place for that."
            )
        self.after = turn.after
        self._marks = marks
        self._lexicon = lexicon
        self._tokenizer = processor.tokenizer
        self._opening = lexicon.template(_opening(processor, marks))
        self._closing = lexicon.template((dialogue.end(marks) if marks else "") + turn.between)
        self._ends = lexicon.control_ids | end_ids(model, processor.tokenizer)
        self._most_tokens = most_tokens
        self._shares = shares

    def num_tokens(self, request: str) -> tuple[int, int]:
        """By how many it makes a prefix longer: before it writes, and then at most."""
        return len(self._asked(request)), self._most_tokens + len(self._closing)

    def think(self, prefixes: Sequence[Prefix], request: str) -> Thought:
        """Have something written in every row; `prefixes` are used up.

        Rows whose texts differ in length are a prefix each from then on: nothing may be padded.
        """
        longer, count = [], 0
        for one in prefixes:
            begun, logits = one.lengthened([self._asked(request)] * one.num_rows)
            texts = self._texts(begun, logits)
            count += sum(map(len, texts))
            rows = [[*text, *self._closing] for text in texts]
            if len({len(row) for row in rows}) == 1:
                longer.append(begun.lengthened(rows)[0])
            else:
                longer += [each.lengthened([row])[0] for each, row in zip(begun.apart(), rows, strict=True)]
        return Thought(longer, count)

    def _asked(self, request: str) -> list[int]:
        return [*self._lexicon.data(request), *self._opening]

    def _texts(self, begun: Prefix, logits: torch.Tensor) -> list[list[int]]:
        """Of all rows, side by side where they can. `logits`: of their first tokens. Compiled steps are for one place
        and would take them in turn."""
        texts: list[list[int]] = [[] for _ in range(begun.num_rows)]
        active = [row for row, token in enumerate(_likeliest(logits)) if self._goes_on(texts[row], token)]
        together = self._shares and begun.can_batch
        for batch in [active] if together else [[row] for row in active]:
            if batch:
                self._write(begun.branch(batch, together=together), batch, texts)
        return [self._before_the_end(text) for text in texts]

    def _write(self, branches: Branches | Single, active: Sequence[int], texts: Sequence[list[int]]) -> None:
        """Greedily, until the model ends its thought or its turn, or the bound is reached."""
        while True:
            tokens = _likeliest(branches.feed([[texts[row][-1]] for row in active]))
            chosen = zip(active, tokens, strict=True)
            going = [i for i, (row, token) in enumerate(chosen) if self._goes_on(texts[row], token)]
            if not going:
                return
            if len(going) < len(active):
                branches.keep(going)
                active = [active[i] for i in going]

    def _goes_on(self, text: list[int], token: int) -> bool:
        """Any control token ends it: none may stand in a prompt that is not the template's."""
        if token in self._ends:
            return False
        text.append(token)
        return len(text) < self._most_tokens and not self._ends_in_words(text[-_TAIL:])

    def _ends_in_words(self, tokens: Sequence[int]) -> bool:
        """Where the mark is several tokens of this tokenizer."""
        return self._marks is not None and self._marks.ends in self._tokenizer.decode(tokens)

    def _before_the_end(self, text: list[int]) -> list[int]:
        if not self._ends_in_words(text[-_TAIL:]):
            return text
        assert self._marks is not None
        return self._lexicon.data(self._tokenizer.decode(text).partition(self._marks.ends)[0])


def marks_of(model: Any, processor: Any, lexicon: Lexicon) -> Marks | None:
    """Of the thoughts that this model was trained to write before it answers: its template begins one, or the model
    does so itself, which is tried on a plain task. None if it wasn't."""
    before, after = dialogue.around(processor, _PLAIN_TASK, 0, thinks=True)
    if marks := dialogue.opened(after):
        return marks
    asked = lexicon.template(before + after)
    return next((marks for marks in THOUGHT_MARKS if _begins(model, asked, lexicon.template(marks.begins))), None)


def log_unused(name: str | None, processor: Any, marks: Marks | None) -> None:
    """Say that a model that thinks is not let to; not of those that were trained for both."""
    if marks is not None and not dialogue.has_switch(processor):
        logger.warning(
            "%s was trained to think before it answers, and its thought stays empty: "
            "model.thought_tokens lets it write one",
            name,
        )


def _likeliest(logits: torch.Tensor) -> list[int]:
    tokens: list[int] = logits.argmax(-1).tolist()
    return tokens


def _begins(model: Any, asked: Sequence[int], mark: Sequence[int]) -> bool:
    """Whether each token of the mark is the likeliest behind what stands before it."""
    ids = torch.tensor([[*asked, *mark]], device=model.device)
    try:
        with torch.inference_mode():
            output = model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, logits_to_keep=len(mark) + 1
            )
    except _CANT_TELL as exc:
        logger.info("whether the model begins a thought by itself isn't known: %s", type(exc).__name__)
        return False
    return bool(output.logits[0, :-1].argmax(-1).tolist() == list(mark))


def _opening(processor: Any, marks: Marks | None) -> str:
    """Behind the request; with the thought begun, if the template leaves that to the model."""
    _, after = dialogue.around(processor, "", 0, thinks=True)
    return after if marks is None or dialogue.opened(after) else f"{after}{marks.begins}\n"
