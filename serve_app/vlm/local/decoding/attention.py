"""Attention over a shared beginning and each row's own tail, without one copy of the beginning.
No cache, no text: tensors and masks in, tensors out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface

NAME = "pairlens_shared"
# Scores of one slice of queries: 64 MiB in float32, whatever the prompt's length.
MOST_SCORES = 1 << 24


class Group(NamedTuple):
    """Rows `start` to `end` continue the same row `place` of the beginning."""

    place: int
    start: int
    end: int


class Halves(NamedTuple):
    """What a cache layer hands to `attend` in the place of keys, and of values.

    `beginning`: (places, key-value heads, length, size), shared; `tail`: (rows, key-value heads, columns, size).
    `sees_beginning` (rows, queries, length), None for all of it, and `sees_tail` (rows, queries, columns): bool.
    """

    beginning: torch.Tensor
    tail: torch.Tensor
    groups: tuple[Group, ...]
    sees_beginning: torch.Tensor | None
    sees_tail: torch.Tensor


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: Halves,
    value: Halves,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: `query` is (rows, heads, queries, size).

    All rows of a group read the shared keys in one matrix product, as in Hydragen (Juravsky et al. 2024,
    arXiv:2402.05099); the scores of both halves go through one softmax, so nothing has to be merged.
    """
    rows, heads, queries, size = query.shape
    scale = size**-0.5 if scaling is None else scaling
    if queries == 1:
        return _slice(query, key, value, scale, softcap, 0, 1), None
    per_query = rows * heads * (key.beginning.shape[2] + key.tail.shape[2])
    step = max(1, MOST_SCORES // per_query)
    parts = [_slice(query, key, value, scale, softcap, at, min(at + step, queries)) for at in range(0, queries, step)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)), None


def _slice(
    query: torch.Tensor, key: Halves, value: Halves, scale: float, softcap: float | None, start: int, end: int
) -> torch.Tensor:
    """Queries `start` to `end`: (rows, queries, heads, size of a value).

    Late layers of Gemma 4 ask for the last tokens only: masks are read from their end.
    """
    first = key.sees_tail.shape[1] - query.shape[2] + start
    seen = slice(first, first + end - start)
    rows, heads, _, size = query.shape
    kv_heads, length = key.beginning.shape[1:3]
    queries = end - start
    # Heads that share keys lie beside each other: one product serves them all.
    grouped = (query[:, :, start:end] * scale).reshape(rows, kv_heads, -1, size)
    scores = torch.cat([_on_beginning(grouped, key), grouped @ key.tail.transpose(2, 3)], dim=-1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.reshape(rows, heads, queries, -1)
    lowest = torch.finfo(scores.dtype).min
    scores[..., length:].masked_fill_(~key.sees_tail[:, None, seen], lowest)
    if key.sees_beginning is not None:
        scores[..., :length].masked_fill_(~key.sees_beginning[:, None, seen], lowest)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype).view(rows, kv_heads, -1, scores.shape[-1])
    mixed = _of_beginning(weights[..., :length], value) + weights[..., length:] @ value.tail
    return mixed.reshape(rows, heads, queries, -1).transpose(1, 2).contiguous()


def _on_beginning(grouped: torch.Tensor, key: Halves) -> torch.Tensor:
    return _by_group(grouped, key, key.beginning.transpose(2, 3))


def _of_beginning(weights: torch.Tensor, value: Halves) -> torch.Tensor:
    return _by_group(weights, value, value.beginning)


def _by_group(left: torch.Tensor, halves: Halves, right: torch.Tensor) -> torch.Tensor:
    """`left` (rows, key-value heads, n, k) times `right` (places, key-value heads, k, m), each group at once."""
    products = []
    for place, start, end in halves.groups:
        mine = left[start:end].transpose(0, 1)
        flat = mine.reshape(mine.shape[0], -1, mine.shape[-1])
        product = (flat @ right[place]).view(*mine.shape[:-1], -1)
        products.append(product.transpose(0, 1))
    return products[0] if len(products) == 1 else torch.cat(products)


@contextmanager
def shared(model: torch.nn.Module) -> Iterator[None]:
    """Inside it the language model's layers attend with `attend` and build no masks of their own."""
    modules = [module for module in model.modules() if hasattr(module, "layer_idx") and hasattr(module, "config")]
    configs: dict[int, Any] = {id(module.config): module.config for module in modules}
    usual = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in usual:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in usual:
            config._attn_implementation = name


AttentionInterface.register(NAME, attend)
