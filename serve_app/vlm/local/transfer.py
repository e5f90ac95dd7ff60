"""Numbers of Python's on their way to the device, without a wait for what it still computes.
No model, no cache: lists in, tensors out.
"""

from __future__ import annotations

from typing import Any

import torch


def staged(values: Any, device: torch.device) -> torch.Tensor:
    """Where a copy to the device can go on while Python does: from pinned memory, which only a GPU needs."""
    tensor = values if isinstance(values, torch.Tensor) else torch.tensor(values)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def sent(values: Any, device: torch.device) -> torch.Tensor:
    """On the device, of their own type. `torch.tensor(values, device=...)` would wait until the copy is done."""
    return staged(values, device).to(device, non_blocking=True)
