"""What a device could do at best: rates measured on it, and the work of a prefill and of a decode step.
No engine: parameters, tokens and bytes in, seconds out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Rates:
    """Measured, not read from a data sheet."""

    bytes_per_s: float  # of a large copy, read and written bytes together
    flops: float  # of a large matrix product in the model's type

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype) -> Rates:
        on_gpu = device.type == "cuda"
        source = torch.empty(2**30 if on_gpu else 2**27, dtype=torch.uint8, device=device).zero_()
        target = torch.empty_like(source)
        copied = 2 * source.numel() / best_seconds(lambda: target.copy_(source), device)
        side = 8192 if on_gpu else 1024
        matrix = torch.randn(side, side, device=device, dtype=dtype)
        product = torch.empty_like(matrix)
        multiplied = 2 * side**3 / best_seconds(lambda: torch.mm(matrix, matrix, out=product), device)
        return cls(copied, multiplied)


@dataclass(frozen=True)
class Work:
    """One model's share of arithmetic and of bytes."""

    decode_bytes: int  # weights that every decode step reads: text layers and the output matrix
    token_bytes: int  # keys and values of one token
    text_flops: int  # a token, without attention
    text_attention_flops: int  # a pair of tokens, all layers
    vision_flops: int  # a patch
    vision_attention_flops: int

    @classmethod
    def of(cls, model: Any) -> Work:
        """Of a Qwen3-VL."""
        text, vision = model.config.text_config, model.config.vision_config
        layers = _parameters(model.model.language_model.layers)
        output = model.get_output_embeddings().weight
        blocks = _parameters(model.model.visual.blocks)
        return cls(
            decode_bytes=(layers + output.numel()) * output.element_size(),
            token_bytes=2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * output.element_size(),
            text_flops=2 * layers,
            text_attention_flops=4 * text.num_hidden_layers * text.num_attention_heads * text.head_dim,
            vision_flops=2 * blocks,
            vision_attention_flops=4 * vision.depth * vision.hidden_size,
        )

    def prefill_s(self, tokens: int, patches: list[int], rates: Rates) -> float:
        """Of one prompt; a picture's patches attend to each other, a token to those before it."""
        text = self.text_flops * tokens + self.text_attention_flops * tokens**2 // 2
        vision = sum(self.vision_flops * count + self.vision_attention_flops * count**2 for count in patches)
        return (text + vision) / rates.flops

    def step_s(self, rates: Rates) -> float:
        """The weights read once: what no batch goes under."""
        return self.decode_bytes / rates.bytes_per_s

    def step_with_cache_s(self, rows: int, tokens: int, rates: Rates) -> float:
        """And every row's own keys and values."""
        return (self.decode_bytes + rows * tokens * self.token_bytes) / rates.bytes_per_s


def best_seconds(work: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    return min(seconds(work, device) for _ in range(repeats))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time, the device's queue emptied before each look at the clock."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
