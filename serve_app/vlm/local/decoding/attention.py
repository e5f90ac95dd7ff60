"""Attention over a shared prefix and each row's own suffix, without one copy of the prefix.
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
    """Rows `start` to `end` continue the same row `place` of the prefix."""

    place: int
    start: int
    end: int


class SplitKV(NamedTuple):
    """What a cache layer hands to `attend` in the place of keys, and of values.

    `prefix`: (places, key-value heads, length, size), shared; `suffix`: (rows, key-value heads, columns, size).
    `sees_prefix` (rows, queries, length), None for all of it, and `sees_suffix` (rows, queries, columns): bool.
    """

    prefix: torch.Tensor
    suffix: torch.Tensor
    groups: tuple[Group, ...]
    sees_prefix: torch.Tensor | None
    sees_suffix: torch.Tensor


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: SplitKV,
    value: SplitKV,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: `query` is (rows, heads, queries, size).

    All rows of a group read the shared keys in one matrix product, as in Hydragen (Juravsky et al. 2024,
    arXiv:2402.05099); the scores of both parts go through one softmax, so nothing has to be merged.
    """
    rows, heads, queries, size = query.shape
    scale = size**-0.5 if scaling is None else scaling
    if queries == 1:
        return _slice(query, key, value, scale, softcap, 0, 1), None
    per_query = rows * heads * (key.prefix.shape[2] + key.suffix.shape[2])
    step = max(1, MOST_SCORES // per_query)
    parts = [_slice(query, key, value, scale, softcap, at, min(at + step, queries)) for at in range(0, queries, step)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)), None


def _slice(
    query: torch.Tensor, key: SplitKV, value: SplitKV, scale: float, softcap: float | None, start: int, end: int
) -> torch.Tensor:
    """Queries `start` to `end`: (rows, queries, heads, size of a value).

    Late layers of Gemma 4 ask for the last tokens only: masks are read from their end.
    """
    first = key.sees_suffix.shape[1] - query.shape[2] + start
    seen = slice(first, first + end - start)
    rows, heads, _, size = query.shape
    kv_heads, length = key.prefix.shape[1:3]
    queries = end - start
    # Heads that share keys lie beside each other: one product serves them all.
    grouped = (query[:, :, start:end] * scale).reshape(rows, kv_heads, -1, size)
    scores = torch.cat([_on_prefix(grouped, key), grouped @ key.suffix.transpose(2, 3)], dim=-1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.reshape(rows, heads, queries, -1)
    lowest = torch.finfo(scores.dtype).min
    scores[..., length:].masked_fill_(~key.sees_suffix[:, None, seen], lowest)
    if key.sees_prefix is not None:
        scores[..., :length].masked_fill_(~key.sees_prefix[:, None, seen], lowest)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype).view(rows, kv_heads, -1, scores.shape[-1])
    mixed = _of_prefix(weights[..., :length], value) + weights[..., length:] @ value.suffix
    return mixed.reshape(rows, heads, queries, -1).transpose(1, 2).contiguous()


def _on_prefix(grouped: torch.Tensor, key: SplitKV) -> torch.Tensor:
    return _by_group(grouped, key, key.prefix.transpose(2, 3))


def _of_prefix(weights: torch.Tensor, value: SplitKV) -> torch.Tensor:
    return _by_group(weights, value, value.prefix)


def _by_group(left: torch.Tensor, split: SplitKV, right: torch.Tensor) -> torch.Tensor:
    """`left` (rows, key-value heads, n, k) times `right` (places, key-value heads, k, m), each group at once."""
    products = []
    for place, start, end in split.groups:
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
