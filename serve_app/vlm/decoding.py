"""Many continuations of one prefix as one batch that shares its cache.
No images, no text: token ids and logits, and a stop that is looked at before every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from serve_app.core import Stop


class Branches:
    """Rows that continue one prefix, each with its own tokens."""

    def __init__(self, model: Any, cache: Any, count: int, *, length: int, next_position: int, has_axes: bool) -> None:
        """`cache`: of `count` rows with `length` tokens each; `has_axes`: positions have three axes (M-RoPE)."""
        self._model = model
        self._cache = cache
        self._has_axes = has_axes
        self._device = model.device
        self._mask = torch.ones(count, length, dtype=torch.long, device=self._device)
        self._next = torch.full((count,), next_position, dtype=torch.long, device=self._device)

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
        if self._has_axes:
            positions = positions[None].expand(3, -1, -1)
        output = self._model(
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
