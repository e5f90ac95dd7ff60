"""Memory that stays where it is, for steps of rows that continue one prefix: what a recording reads and writes.
No model, no compiler: it takes the rows of a `Suffixes` in and gives views of one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from serve_app.vlm.local.decoding.suffixes import Suffixes, SuffixLayer

SPARE = 64  # columns of each buffer that no view reaches: a view that fills its buffer is another case to compilers
_NO_TOKEN = 1 << 40  # number of a column behind the prefix's end: no token has seen so many


class Shape(NamedTuple):
    """What decides a recording: rows, columns of the full layers' prefix, columns of the suffixes."""

    rows: int
    tokens: int
    room: int

    def holds(self, other: Shape) -> bool:
        return all(mine >= its for mine, its in zip(self, other, strict=True))

    def joined(self, other: Shape) -> Shape:
        return Shape(*(max(mine, its) for mine, its in zip(self, other, strict=True)))


class Layer(NamedTuple):
    """Buffers of one layer: the prefix's (1, key-value heads, tokens, size), the suffixes' (rows, ..., room, size)."""

    prefix_keys: torch.Tensor
    prefix_values: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


class Buffers:
    """Everything a step reads and writes, for shapes up to `capacity`."""

    def __init__(self, suffixes: Sequence[SuffixLayer], capacity: Shape, device: torch.device) -> None:
        self.capacity = capacity
        self.windows = [layer.window for layer in suffixes]
        self.layers = [_buffers_of(layer, capacity) for layer in suffixes]
        # Token, its number in its row (-1: an idle row), the column it goes to (the same for all).
        self.inputs = torch.zeros(3, capacity.rows + SPARE, dtype=torch.long, device=device)
        self.index = torch.full((capacity.rows, capacity.room + SPARE), -1, dtype=torch.long, device=device)
        self.numbers = {
            window: torch.full((columns(window, capacity.tokens),), _NO_TOKEN, dtype=torch.long, device=device)
            for window in set(self.windows)
        }
        self.ahead = torch.zeros(1, dtype=torch.long, device=device)

    def begin(self, suffixes: Suffixes, ahead: int) -> None:
        """Copy the prefix in. Columns behind its end keep old keys and are not seen."""
        place, length = suffixes.layout.places[0], suffixes.layout.length
        self.ahead.fill_(ahead)
        for window, layer, mine in zip(self.windows, suffixes.layers, self.layers, strict=True):
            keys, values = layer.prefix
            held = keys.shape[2]
            mine.prefix_keys[0, :, :held] = keys[place]
            mine.prefix_values[0, :, :held] = values[place]
            self.numbers[window].fill_(_NO_TOKEN)
            self.numbers[window][:held] = torch.arange(length - held, length, device=keys.device)

    def arguments(self, shape: Shape) -> tuple[Any, ...]:
        """Views of that shape, as `compiled` takes them."""
        layers = [
            Layer(
                layer.prefix_keys[:, :, : columns(window, shape.tokens)],
                layer.prefix_values[:, :, : columns(window, shape.tokens)],
                layer.keys[: shape.rows, :, : shape.room],
                layer.values[: shape.rows, :, : shape.room],
            )
            for window, layer in zip(self.windows, self.layers, strict=True)
        ]
        numbers = {window: one[: columns(window, shape.tokens)] for window, one in self.numbers.items()}
        inputs, index = self.inputs[:, : shape.rows], self.index[: shape.rows, : shape.room]
        return inputs, self.ahead, index, numbers, self.windows, layers


def columns(window: int | None, tokens: int) -> int:
    return tokens if window is None else window


def _buffers_of(layer: SuffixLayer, capacity: Shape) -> Layer:
    def zeros(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        # Zeros, because what is masked is still multiplied, by nought.
        return like.new_zeros(rows, like.shape[1], columns + SPARE, like.shape[3])

    keys, values = layer.prefix
    held = columns(layer.window, capacity.tokens)
    return Layer(
        zeros(keys, 1, held),
        zeros(values, 1, held),
        zeros(keys, capacity.rows, capacity.room),
        zeros(values, capacity.rows, capacity.room),
    )


def num_bytes(layer: SuffixLayer, shape: Shape) -> int:
    held = columns(layer.window, shape.tokens) + SPARE + shape.rows * (shape.room + SPARE)
    return sum(held * one.shape[1] * one.shape[3] * one.element_size() for one in layer.prefix)


def vary(tensor: torch.Tensor, *dims: int) -> None:
    """Tell the compiler which sizes differ from call to call."""
    for dim in dims:
        torch._dynamo.mark_dynamic(tensor, dim)
