"""How many questions may share one batch on the memory that is free now.
No model, no pictures: bytes in, a number of rows out.

Every row of a batch holds its own copy of the prefix's keys and values: with Qwen3-VL-8B (36 layers, 8 heads of 128,
bfloat16: 147 kB a token) and 2,200 tokens that is 0.3 GB, and 41 rows are 13 GB. What doesn't fit at once goes
in turns.
"""

from __future__ import annotations

import os
from typing import Any

import torch

SHARE = 0.5  # of the free memory: the rest is for activations, and for a layer's copy while it grows
GROWTH_TOKENS = 512  # a question and its answer, read and written after the prefix


def row_bytes(cache: Any, length: int) -> int:
    """Bytes that one more row of this one-row cache takes, `length` tokens in it, when it has grown."""
    tensors = [value for layer in cache.layers for value in vars(layer).values() if isinstance(value, torch.Tensor)]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return held + held * GROWTH_TOKENS // max(1, length)


def free_bytes(device: torch.device) -> int:
    """What a new tensor could take: of a GPU what is free or kept by torch unused, else of the machine's memory."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rows_that_fit(one_row: int, free: int) -> int:
    """At least one: a single question has always fitted, or fails with the device's own error."""
    return max(1, int(free * SHARE) // max(1, one_row))
