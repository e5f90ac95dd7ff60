"""To what size a processor brought the pictures of a prompt, where its tensors tell.
No model: families that write boxes in pixels mean those of this size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def resized(
    inputs: Mapping[str, Any], processor: Any, order: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Width and height of pictures 0 and 1, which stand in the prompt in this order; None where it can't be told."""
    grid = inputs.get("image_grid_thw")  # (pictures, 3): frames, patches down, patches across
    patch = getattr(processor.image_processor, "patch_size", None)
    if grid is None or not isinstance(patch, int) or len(grid) < len(order):
        return None
    sizes = [(across * patch, down * patch) for _, down, across in grid.tolist()]
    return sizes[order.index(0)], sizes[order.index(1)]
