"""Many continuations of one prefix as one batch that shares its cache.
No images, no text: token ids and logits, and a stop that is looked at before every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from serve_app.core.clock import Stop
from serve_app.vlm.local import transfer
from serve_app.vlm.local.decoding import attention
from serve_app.vlm.local.decoding.compiled import Step
from serve_app.vlm.local.decoding.head import Head
from serve_app.vlm.local.decoding.suffixes import Suffixes


class Branches:
    """Rows that continue one prefix, each with its own tokens."""

    def __init__(
        self,
        model: Any,
        cache: Any,
        places: Sequence[int],
        *,
        length: int,
        next_position: int,
        has_axes: bool,
        step: Step | None = None,
        head: Head | None = None,
    ) -> None:
        """`cache`: of `length` tokens a row, left as it is; row i here continues its row `places[i]`.

        `has_axes`: positions have three axes (M-RoPE). Equal places should stand together. `step`: takes the steps
        of one token a row where it can. `head`: for the logits of labels.
        """
        self._step = step
        self._head = head
        self._model = model
        self._device = model.device
        self._has_axes = has_axes
        self._ahead = next_position - length
        self._cache = Suffixes(cache, places, length, self._device)
        self._lengths = [length] * len(places)

    def feed(self, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]] = ()) -> torch.Tensor:
        """Append each row's tokens (at least one); gives the logits after them, (rows, vocabulary) float32.

        `labels`: tokens of each row, as many in each, whose logits are computed in float32 as well, not only given so.
        Shorter rows are padded in front and the padding is masked. A recurrent state would read padding: there the
        rows go together as far as the shortest, then those with tokens left, and so on.
        """
        if self._step is not None and self._step.is_on and not labels and all(len(row) == 1 for row in rows):
            return self._one_each(self._step, rows)
        if not self._cache.is_recurrent or len({len(row) for row in rows}) == 1:
            return self._pass(None, rows, labels)
        logits: list[Any] = [None] * len(rows)
        left = [list(row) for row in rows]
        while active := [i for i, row in enumerate(left) if row]:
            width = min(len(left[i]) for i in active)
            chosen = active if len(active) < len(rows) else None
            together = self._pass(chosen, [left[i][:width] for i in active], [labels[i] for i in active if labels])
            for i, after in zip(active, together, strict=True):
                logits[i], left[i] = after, left[i][width:]
        return torch.stack(logits)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self._cache.keep(rows)
        self._lengths = [self._lengths[i] for i in rows]

    def _one_each(self, step: Step, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        tokens = [row[0] for row in rows]
        logits = step.take(self._cache, tokens, self._lengths, ahead=self._ahead, has_axes=self._has_axes)
        if logits is None or step.is_unproven:
            plain = self._pass(None, rows)
            if logits is not None:
                step.compare(logits, plain)
            return plain
        self._cache.layout.columns += 1
        self._lengths = [length + 1 for length in self._lengths]
        return logits

    def _pass(
        self, active: Sequence[int] | None, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]] = ()
    ) -> torch.Tensor:
        """One forward pass over all rows, or over the active ones only."""
        width = max(map(len, rows))
        numbers = range(len(rows)) if active is None else active
        ids, index = [], []
        for i, row in zip(numbers, rows, strict=True):
            padding, start = width - len(row), self._lengths[i]
            ids.append([0] * padding + list(row))
            index.append([-1] * padding + list(range(start, start + len(row))))
            self._lengths[i] += len(row)
        tensors = transfer.sent([ids, index], self._device)
        positions = (tensors[1] + self._ahead).clamp(min=0)
        with self._cache.at_work(active, tensors[1]), attention.shared(self._model):
            return _logits(
                self._model,
                self._head if labels else None,
                labels,
                input_ids=tensors[0],
                position_ids=positions[None].expand(3, -1, -1) if self._has_axes else positions,
                past_key_values=self._cache,
            )


class Single:
    """What Branches is for any cache, which it changes: for one row, or for several with as many tokens in each."""

    def __init__(
        self,
        model: Any,
        cache: Any,
        *,
        length: int,
        next_position: int,
        has_axes: bool,
        head: Head | None = None,
    ) -> None:
        self._model = model
        self._head = head
        self._cache = cache
        self._axes = 3 if has_axes else 0
        self._length = length
        self._next = next_position

    def feed(self, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]] = ()) -> torch.Tensor:
        """See Branches."""
        ids = transfer.sent(rows, self._model.device)
        positions = torch.arange(self._next, self._next + ids.shape[1], device=ids.device).expand(ids.shape)
        self._length, self._next = self._length + ids.shape[1], self._next + ids.shape[1]
        return _logits(
            self._model,
            self._head if labels else None,
            labels,
            input_ids=ids,
            attention_mask=torch.ones(len(ids), self._length, dtype=torch.long, device=ids.device),
            position_ids=positions.expand(self._axes, -1, -1) if self._axes else positions,
            past_key_values=self._cache,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """There are no others: whoever writes has one row here."""


def _logits(model: Any, head: Head | None, labels: Sequence[Sequence[int]], **inputs: Any) -> torch.Tensor:
    """After the last token of each row; those of `labels` by `head`, if there is one."""
    watching: AbstractContextManager[list[torch.Tensor]] = head.watched() if head else nullcontext([])
    with watching as given:
        output = model(**inputs, use_cache=True, logits_to_keep=1)
    logits: torch.Tensor = output.logits[:, -1].float()
    if head is not None:
        head.put(logits, given, labels)
    return logits


def most_likely(logits: torch.Tensor, masks: torch.Tensor) -> list[int]:
    """For each row of `logits` (rows, vocabulary) the likeliest token whose bit is set in `masks`, see `JsonText`.

    The one wait of a step: masks go to the device while it still computes the logits, and become bits there.
    """
    tokens: list[int] = logits.masked_fill(~allowed(logits, masks), -torch.inf).argmax(-1).tolist()
    return tokens


def allowed(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(rows, vocabulary) bool, where the logits are: the bits of `masks`."""
    bits = masks.to(logits.device, non_blocking=True).view(torch.uint8)[:, :, None]
    places = torch.arange(8, dtype=torch.uint8, device=logits.device)
    return ((bits >> places) & 1).bool().view(len(logits), -1)[:, : logits.shape[1]]


@contextmanager
def stoppable(model: torch.nn.Module, stop: Stop, step: Step | None = None) -> Iterator[None]:
    """Inside it, a forward pass raises DeadlineExceeded before the next layer once `stop` has a reason.

    A compiled `step` raises it before it begins.
    """

    def look(*_: object) -> None:
        if step is None or not step.is_at_work:
            stop.check()

    layers = [layer for group in model.modules() if isinstance(group, torch.nn.ModuleList) for layer in group]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    if step is not None:
        step.stop = stop
    try:
        stop.check()
        yield
        stop.check()
    finally:
        if step is not None:
            step.stop = None
        for hook in hooks:
            hook.remove()
