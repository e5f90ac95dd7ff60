"""What all questions about a pair have in common, read once: one prefill and its cache.
No images, no text: tensors of the prompt in, continuations out.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from serve_app.vlm.local import transfer
from serve_app.vlm.local.decoding import compiled, suffixes
from serve_app.vlm.local.decoding.branches import Branches, Single
from serve_app.vlm.local.decoding.head import Head

logger = logging.getLogger("pairlens.vlm")


class Prefix:
    """Prompts of one length, one a row, and what the model keeps of them.

    `length`: tokens in each row of the cache. `next_position`: of the token after them; under M-RoPE it is smaller
    than the length, because a picture advances positions by its longer side and not by its tokens. It is the same
    in every row: rows hold the same pictures in other orders.
    """

    def __init__(self, model: Any, cache: Any, *, length: int, next_position: int, has_axes: bool) -> None:
        self.model = model
        self.length = length
        self.next_position = next_position
        self.has_axes = has_axes
        self._cache = cache

    @property
    def can_batch(self) -> bool:
        """Whether continuations may share a batch: every layer's cache is of a kind that suffixes.py knows."""
        return suffixes.can_share(self._cache)

    @property
    def cache(self) -> Any:
        """Keys and values, or states, of every layer."""
        return self._cache

    @property
    def num_rows(self) -> int:
        return next(tensor.shape[0] for layer in self._cache.layers for tensor in tensors(layer))

    @property
    def _end(self) -> dict[str, Any]:
        return {"length": self.length, "next_position": self.next_position, "has_axes": self.has_axes}

    def stretched(self, length: int) -> Prefix:
        """As if a prompt of that length had been read: keys and values again and again. For measuring and recording."""
        cache = copy.copy(self._cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in cache.layers:
            if type(layer) is DynamicLayer:
                chosen = torch.arange(length, device=layer.keys.device) % self.length
                layer.keys, layer.values = (one.index_select(2, chosen) for one in (layer.keys, layer.values))
        ahead = length + self.next_position - self.length
        return Prefix(self.model, cache, length=length, next_position=ahead, has_axes=self.has_axes)

    def branch(
        self,
        rows: Sequence[int],
        *,
        together: bool = True,
        step: compiled.Step | None = None,
        head: Head | None = None,
    ) -> Branches | Single:
        """One continuation of the given row each; the prefix stays as it is and is not copied.

        `step`, `head`: see Branches. Not `together`: one row, with a copy of the prefix, for caches and models that
        can't share it.
        """
        if together:
            return Branches(self.model, self._cache, rows, step=step, head=head, **self._end)
        return Single(self.model, selected(self._cache, rows), head=head, **self._end)

    def lengthened(self, rows: Sequence[Sequence[int]]) -> tuple[Prefix, torch.Tensor]:
        """With these tokens behind each row, as many in each, by one plain pass; and the logits after them, (rows,
        vocabulary) float32. This prefix is used up."""
        logits = Single(self.model, self._cache, **self._end).feed(rows)
        length, ahead = (number + len(rows[0]) for number in (self.length, self.next_position))
        longer = Prefix(self.model, self._cache, length=length, next_position=ahead, has_axes=self.has_axes)
        return longer, logits

    def apart(self) -> list[Prefix]:
        """Each row as a prefix of its own. This one is used up, layer by layer, so that no copy of it is added."""
        caches = [copy.copy(self._cache) for _ in range(self.num_rows)]
        layers, self._cache.layers = self._cache.layers, []
        for cache in caches:
            cache.layers = []
        while layers:
            layer = layers.pop(0)
            for row, cache in enumerate(caches):
                cache.layers.append(_of_rows(layer, [row]))
        return [Prefix(self.model, cache, **self._end) for cache in caches]


def read(model: Any, inputs: Mapping[str, Any]) -> Prefix:
    """One forward pass over all rows of `inputs`."""
    for module in model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None  # of the prompt before this one: a prompt without pictures would keep it
    output = model(**inputs, use_cache=True, logits_to_keep=1)
    past = inputs["input_ids"].shape[1]
    deltas = next((m.rope_deltas for m in model.modules() if getattr(m, "rope_deltas", None) is not None), None)
    ahead = int(deltas.flatten()[0]) if deltas is not None else 0
    return Prefix(model, output.past_key_values, length=past, next_position=past + ahead, has_axes=deltas is not None)


def selected(cache: Any, rows: Sequence[int]) -> Any:
    """A cache of these rows, in tensors of its own."""
    chosen = copy.copy(cache)
    chosen.layers = [_of_rows(layer, rows) for layer in cache.layers]
    return chosen


def _of_rows(layer: Any, rows: Sequence[int]) -> Any:
    held = next(tensors(layer), None)
    return copy.copy(layer) if held is None else suffixes.picked(layer, transfer.sent(rows, held.device))


def tensors(layer: Any) -> Iterator[torch.Tensor]:
    """Everything a cache layer holds per row."""
    for value in vars(layer).values():
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, torch.Tensor) and one.ndim > 1:
                yield one


def can_share(model: Any) -> bool:
    """Tries with a few tokens whether rows that share a prefix get what a plain pass gives; if not, says so once."""
    begun, rows, last = list(range(3, 12)), ([3, 4, 5], [6]), ([7], [8])
    problem = "its answers differ"
    try:
        with torch.inference_mode():
            ids = torch.tensor([begun], device=model.device)
            branches = read(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).branch([0, 0])
            shared = [*branches.feed(rows), *branches.feed(last)]
            wholes = [begun + row for row in rows] + [begun + row + more for row, more in zip(rows, last, strict=True)]
            if all(_is_plain_pass(model, whole, logits) for whole, logits in zip(wholes, shared, strict=True)):
                return True
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as exc:
        # Whatever a foreign family's attention does with what it takes for tensors: the plain way remains.
        problem = type(exc).__name__
    logger.warning("questions are asked one at a time with this model: %s", problem)
    return False


def _is_plain_pass(model: Any, tokens: list[int], logits: torch.Tensor) -> bool:
    plain = model(input_ids=torch.tensor([tokens], device=model.device), logits_to_keep=1).logits[0, -1].float()
    # As wide as the rounding of half precision, far narrower than one token seen or missed.
    return torch.allclose(logits, plain, rtol=0.05, atol=0.05 * float(plain.abs().max()))
