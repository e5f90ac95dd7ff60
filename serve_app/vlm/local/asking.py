"""Questions through the model: the labels of both orders first, then each text, written under what both say together.
No pictures, no memory: prefixes and rows in; the rows hold what came out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from serve_app.core.inquiry import Question, Wording
from serve_app.settings import ModelSettings
from serve_app.vlm.local import grammar, transfer
from serve_app.vlm.local.decoding.branches import Branches, Single, most_likely
from serve_app.vlm.local.decoding.compiled import Step
from serve_app.vlm.local.decoding.head import Head
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.grammar import JsonText, Writing
from serve_app.vlm.local.lexicon import ANSWER_OPENING, Lexicon


@dataclass(slots=True)
class Row:
    """One question on its way through the model."""

    question: Question
    order: int  # of the pictures: 0 as they came, 1 exchanged, where only the label is read
    wording: Wording
    label_ids: tuple[int, ...]
    suffix: list[int]
    opening: str = ""  # JSON put into the model's mouth
    probabilities: tuple[float, ...] = ()
    writing: Writing | None = None


class Asking:
    """Takes rows through one model. `shares`: see `prefix.can_share`; `step`: see `Branches`."""

    def __init__(
        self, head: Head, lexicon: Lexicon, json: JsonText, settings: ModelSettings, *, shares: bool, step: Step | None
    ) -> None:
        self._head = head
        self._lexicon = lexicon
        self._json = json
        self._settings = settings
        self._shares = shares
        self._step = step

    def row(self, question: Question, after: Sequence[int], order: int) -> Row:
        """`after`: the template's tokens behind a question."""
        wording, label_ids = self._lexicon.choose(question)
        suffix = [*self._lexicon.data(wording.text), *after]
        if question.num_labels:
            suffix += self._lexicon.template(ANSWER_OPENING)
        return Row(question, order, wording, label_ids, suffix)

    def ask(self, prefixes: Sequence[Prefix], rows: Sequence[Row], rows_per_batch: int) -> int:
        """How many steps were decoded. `prefixes`: one that holds both orders, or one an order. Rows that write are
        read once more where they don't all fit in one batch, because nothing is written before the last label is known.
        """
        batches = self._batches(prefixes, rows, rows_per_batch)
        branches: Branches | Single | None = None
        num_steps = 0
        for one, batch in batches:
            branches = None  # gives its memory back before the next takes some
            branches = self._branch(one, batch)
            self._read_labels(batch, branches.feed([row.suffix for row in batch], _tokens(batch)))
        openings = self._openings(rows)
        for one, batch in reversed(batches):
            writing = [i for i, row in enumerate(batch) if row.order == 0]
            active = [batch[i] for i in writing]
            if not active:
                continue
            if branches is None:
                branches = self._branch(one, active)
                branches.feed([row.suffix for row in active])
            elif len(active) < len(batch):
                branches.keep(writing)
            num_steps += self._write(branches, active, branches.feed([openings[id(row)] for row in active]))
            branches = None
        return num_steps

    def _batches(
        self, prefixes: Sequence[Prefix], rows: Sequence[Row], rows_per_batch: int
    ) -> list[tuple[Prefix, list[Row]]]:
        """Both orders' questions as one batch if they share a prefix; in turns where memory is short; those that
        write last."""
        batches = []
        for number, one in enumerate(prefixes):
            mine = [row for row in rows if len(prefixes) == 1 or row.order == number]
            most = rows_per_batch if self._shares and one.can_batch else 1
            batches += [(one, mine[start : start + most]) for start in range(0, len(mine), most)]
        return sorted(batches, key=lambda batch: any(row.order == 0 for row in batch[1]))

    def _branch(self, one: Prefix, rows: Sequence[Row]) -> Branches | Single:
        places = [row.order if one.num_rows > 1 else 0 for row in rows]
        return one.branch(places, together=self._shares and one.can_batch, step=self._step, head=self._head)

    def _read_labels(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        """All rows' at once: one wait for the device."""
        tokens = _tokens(rows)
        if not tokens:
            return
        columns = transfer.sent(tokens, logits.device)
        for row, found in zip(rows, logits.softmax(-1).gather(1, columns).tolist(), strict=True):
            row.probabilities = tuple(found[: len(row.label_ids)])

    def _openings(self, rows: Sequence[Row]) -> dict[int, list[int]]:
        """Put the label that both orders together find likeliest into each writing row's mouth; the tokens up to the
        text's first, by the row's `id`."""
        exchanged = {(row.question.kind, row.question.index): row for row in rows if row.order}
        openings = {}
        for row in (row for row in rows if row.order == 0):
            again = exchanged.get((row.question.kind, row.question.index), row)
            both = [one + other for one, other in zip(row.probabilities, again.probabilities, strict=True)]
            chosen = max(range(len(both)), key=both.__getitem__, default=None)
            openings[id(row)] = self._opening(row, chosen)
        return openings

    def _opening(self, row: Row, chosen: int | None) -> list[int]:
        rest = grammar.opening(row.question)
        if chosen is None:
            row.opening = rest
            return self._lexicon.template(rest)
        row.opening = ANSWER_OPENING + row.wording.labels[chosen] + rest
        # As the tokenizer cuts the whole: alone, some put a space before the rest.
        head = [*self._lexicon.template(ANSWER_OPENING), row.label_ids[chosen]]
        whole = self._lexicon.template(row.opening)
        return whole[len(head) - 1 :] if whole[: len(head)] == head else [head[-1], *self._lexicon.template(rest)]

    def _write(self, branches: Branches | Single, rows: Sequence[Row], logits: torch.Tensor) -> int:
        """Greedy decoding under the grammar; a row that is done leaves the batch. How many steps it took."""
        active = [(row, self._json.begin(row.question)) for row in rows]
        for row, text in active:
            row.writing = text
        for num_steps in itertools.count(1):
            # The masks are made while the device works.
            tokens = most_likely(logits, self._json.masks([text for _, text in active]))
            fed = [text.accept(token) for (_, text), token in zip(active, tokens, strict=True)]
            going = [i for i, (row, text) in enumerate(active) if not self._is_done(row, text)]
            if not going:
                return num_steps
            if len(going) < len(active):
                branches.keep(going)
                active = [active[i] for i in going]
            logits = branches.feed([fed[i] for i in going])
        raise AssertionError("unreachable")

    def _is_done(self, row: Row, text: Writing) -> bool:
        is_long = row.question.kind in ("summary", "findings")
        most = self._settings.max_summary_tokens if is_long else self._settings.max_explanation_tokens
        return text.is_done or len(text.tokens) >= most


def _tokens(rows: Sequence[Row]) -> list[list[int]]:
    """Every row's labels, as many in each: the first fills up, and token 0 a row without any. None: no row has some."""
    most = max((len(row.label_ids) for row in rows), default=0)
    return [[*row.label_ids, *[(row.label_ids or (0,))[0]] * (most - len(row.label_ids))] for row in rows if most]
