"""One prefill, then many continuations of it as one batch that shares its cache.
No images, no text: token ids and logits, and a stop that is looked at before every layer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from serve_app.core import Stop
from serve_app.vlm import memory


class Prefix:
    """What all questions have in common, read once.

    `length`: tokens in the cache. `next_position`: of the token after them; under M-RoPE it is smaller than the
    length, because a picture advances positions by its longer side and not by its tokens.
    """

    def __init__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> None:
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        self.model = model
        self.length = int(inputs["input_ids"].shape[1])
        self._cache = output.past_key_values
        deltas = next((m.rope_deltas for m in model.modules() if getattr(m, "rope_deltas", None) is not None), None)
        self.has_axes = deltas is not None
        self.next_position = self.length + (int(deltas.flatten()[0]) if deltas is not None else 0)

    @property
    def can_batch(self) -> bool:
        """Whether rows of different lengths may share a batch.

        They are padded between prefix and question. Full attention masks the padding; a sliding window would
        count it and a recurrent state would read it, so there every question goes alone.
        """
        from transformers.cache_utils import DynamicLayer

        return all(type(layer) is DynamicLayer for layer in self._cache.layers)

    @property
    def row_bytes(self) -> int:
        """Memory of one more continuation."""
        return memory.row_bytes(self._cache, self.length)

    def branch(self, count: int) -> Branches:
        """`count` continuations. The prefix stays as it is and can be branched again."""
        cache = copy.deepcopy(self._cache)
        if count > 1:
            cache.batch_repeat_interleave(count)
        return Branches(self, cache, count)


class Branches:
    """Rows that continue one prefix, each with its own tokens."""

    def __init__(self, prefix: Prefix, cache: Any, count: int) -> None:
        self._prefix = prefix
        self._cache = cache
        self._device = prefix.model.device
        self._mask = torch.ones(count, prefix.length, dtype=torch.long, device=self._device)
        self._next = torch.full((count,), prefix.next_position, dtype=torch.long, device=self._device)

    def feed(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append each row's tokens (at least one); gives the logits after them, (rows, vocabulary) float32.

        Shorter rows are padded in front and the padding is masked, so that all rows end in the same column.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        columns = torch.arange(width, device=self._device) - (width - lengths)[:, None]  # 0 at a row's first token
        self._mask = torch.cat([self._mask, (columns >= 0).long()], dim=1)
        positions = self._next[:, None] + columns.clamp(min=0)
        self._next = self._next + lengths
        if self._prefix.has_axes:
            positions = positions[None].expand(3, -1, -1)
        output = self._prefix.model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        chosen = torch.tensor(rows, device=self._device)
        self._cache.batch_select_indices(chosen)
        self._mask, self._next = self._mask[chosen], self._next[chosen]


@contextmanager
def stoppable(model: torch.nn.Module, stop: Stop) -> Iterator[None]:
    """Inside it, a forward pass raises DeadlineExceeded before the next layer once `stop` has a reason."""

    def look(*_: object) -> None:
        stop.check()

    layers = [layer for group in model.modules() if isinstance(group, torch.nn.ModuleList) for layer in group]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        stop.check()
        yield
        stop.check()
    finally:
        for hook in hooks:
            hook.remove()
