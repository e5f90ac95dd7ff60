"""One decoder layer compiled for all: they are alike, and what a compiler does in a minute for one it did for each.
No recordings, no shapes: within it a model's layers go through the compiled function, the rest of the model doesn't.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._pytree import tree_leaves
from transformers.cache_utils import Cache, CacheLayerMixin

from serve_app.vlm.local.decoding.attention import Group, SplitKV
from serve_app.vlm.local.decoding.buffers import Layer, vary


class Layers:
    """The decoder layers of one model."""

    def __init__(self, model: Any, backend: str | Callable[..., Any]) -> None:
        self._layers = [(layer, _numbered(layer)) for layer in _decoder_layers(model)]
        self._compiled = torch.compile(_forward, backend=backend, fullgraph=True)

    @contextmanager
    def compiled(self) -> Iterator[None]:
        """Inside it the model takes a cache of `StepLayer`s only. A layer's own number would be a constant to the
        compiler and each layer another case: all are number 0 of a cache of one."""
        numbers = [[part.layer_idx for part in parts] for _, parts in self._layers]
        try:
            for number, (layer, parts) in enumerate(self._layers):
                for part in parts:
                    part.layer_idx = 0
                layer.forward = functools.partial(self._run, layer, number)
            yield
        finally:
            for (layer, parts), old in zip(self._layers, numbers, strict=True):
                for part, number in zip(parts, old, strict=True):
                    part.layer_idx = number
                vars(layer).pop("forward", None)

    def _run(self, layer: Any, number: int, hidden: torch.Tensor, *args: Any, past_key_values: Any, **more: Any) -> Any:
        own: StepLayer = past_key_values.layers[number]
        rows = hidden.shape[0]
        for tensor in tree_leaves((hidden, args, more)):
            # The first only: a size behind it may happen to be the same.
            if isinstance(tensor, torch.Tensor) and rows in tensor.shape:
                torch._dynamo.maybe_mark_dynamic(tensor, tensor.shape.index(rows))
        for tensor in (own.layer.keys, own.layer.values):
            vary(tensor, 0, 2)
        vary(own.sees_suffix, 0, 2)
        vary(own.sees_prefix, 0)
        if own.window is None:
            vary(own.sees_prefix, 2)
            vary(own.layer.prefix_keys, 2)
            vary(own.layer.prefix_values, 2)
        return self._compiled(layer, hidden, own.layer, own.column, own.sees_prefix, own.sees_suffix, args, more)


class StepLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's buffers as the model's cache, within a step."""

    is_sliding = False

    def __init__(
        self,
        layer: Layer,
        column: torch.Tensor,
        prefix: torch.Tensor,
        suffix: torch.Tensor,
        window: int | None = None,
    ) -> None:
        """`column`: where this step's keys go; `prefix`, `suffix`: what is seen of both, see `SplitKV`."""
        super().__init__()
        self.window = window
        self.layer, self.column = layer, column
        self.sees_prefix, self.sees_suffix = prefix, suffix
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """All is there."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[SplitKV, SplitKV]:
        layer, group = self.layer, (Group(0, 0, key_states.shape[0]),)
        layer.keys.index_copy_(2, self.column, key_states)
        layer.values.index_copy_(2, self.column, value_states)
        return (
            SplitKV(layer.prefix_keys, layer.keys, group, self.sees_prefix, self.sees_suffix),
            SplitKV(layer.prefix_values, layer.values, group, self.sees_prefix, self.sees_suffix),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.layer.prefix_keys.shape[2] + self.layer.keys.shape[2]

    def get_max_length(self) -> int:
        return -1


def _forward(
    layer: Any,
    hidden: torch.Tensor,
    own: Layer,
    column: torch.Tensor,
    sees_prefix: torch.Tensor,
    sees_suffix: torch.Tensor,
    args: tuple[Any, ...],
    more: Mapping[str, Any],
) -> Any:
    cache = Cache(layers=[StepLayer(own, column, sees_prefix, sees_suffix)])
    return type(layer).forward(layer, hidden, *args, past_key_values=cache, **more)


def _decoder_layers(model: Any) -> list[Any]:
    """Those of the language model: each has parts that know its number. None where there is no such list."""
    count = model.config.get_text_config().num_hidden_layers
    for group in model.modules():
        if isinstance(group, torch.nn.ModuleList) and len(group) == count:
            layers = list(group)
            if all({part.layer_idx for part in _numbered(layer)} == {i} for i, layer in enumerate(layers)):
                return layers
    return []


def _numbered(layer: Any) -> list[Any]:
    return [part for part in layer.modules() if isinstance(getattr(part, "layer_idx", None), int)]
