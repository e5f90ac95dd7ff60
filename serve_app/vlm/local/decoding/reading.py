"""Prompts to prefixes: both orders of the pictures as one forward pass, a beginning read before taken from memory.
No pictures, no questions: tensors of prompts in, caches out.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from serve_app.core.byte_cache import ByteCache
from serve_app.vlm.local.decoding import prefix
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.vision import Prompt, stacked


def read(model: Any, prompts: Sequence[Prompt], cache: ByteCache) -> list[Prefix]:
    """The prompts as rows of one prefix, or as one prefix each where they can't be rows of one.

    Where text and first picture of the first prompt are remembered, only the rest of it is read, and the others
    beside it: the rows of one pass must begin at one place.
    """
    known = cache.get("prefix", prompts[0].beginning) if prompts[0].beginning else None
    if known is not None:
        begun = _continued(model, prompts[0], known)
        others = [one for prompt in prompts[1:] for one in _together(model, [prompt])]
        return [begun] if not others else _joined(begun, others)
    prefixes = _together(model, prompts)
    _remember(prefixes[0], prompts[0], cache)
    return prefixes


def _together(model: Any, prompts: Sequence[Prompt]) -> list[Prefix]:
    rows = stacked(prompts)
    if rows is not None:
        return [prefix.read(model, rows)]
    return [prefix.read(model, prompt.inputs) for prompt in prompts]


def _joined(first: Prefix, others: Sequence[Prefix]) -> list[Prefix]:
    one = first
    for other in others:
        if other.length != one.length:
            return [first, *others]
        one = prefix.joined(one, other)
    return [one]


def _remember(read_prefix: Prefix, prompt: Prompt, cache: ByteCache) -> None:
    ends = prompt.first_picture_ends
    if not prompt.beginning or ends is None or not prefix.is_plain(read_prefix.cache):
        return
    num_bytes = prefix.held_bytes(read_prefix.cache) // read_prefix.num_rows * ends // read_prefix.length
    if cache.fits(num_bytes):
        cache.put("prefix", prompt.beginning, prefix.beginning(read_prefix.cache, 0, ends), num_bytes)


def _continued(model: Any, prompt: Prompt, beginning: Any) -> Prefix:
    """Read what follows the first picture."""
    ends = prompt.first_picture_ends
    inputs = {
        "input_ids": prompt.inputs["input_ids"][:, ends:],
        "attention_mask": prompt.inputs["attention_mask"],
        "position_ids": _positions(model, prompt)[..., ends:],
        "past_key_values": prefix.selected(beginning, [0], shares=True),
    }
    if prompt.rest_of_pictures is not None:
        inputs["mm_encoder_outputs"] = {"image": prompt.rest_of_pictures}
    return prefix.read(model, inputs)


def _positions(model: Any, prompt: Prompt) -> torch.Tensor:
    """(..., 1, tokens): with M-RoPE the model's own, which depend on the pictures' grids."""
    inner = next((module for module in model.modules() if hasattr(module, "compute_3d_position_ids")), None)
    if inner is None:
        return torch.arange(prompt.length, device=model.device)[None]
    names = inspect.signature(inner.compute_3d_position_ids).parameters
    positions: torch.Tensor = inner.compute_3d_position_ids(**{name: prompt.inputs.get(name) for name in names})
    return positions
