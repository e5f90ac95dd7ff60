"""What all questions about a pair have in common, read once: one prefill and its cache.
No images, no text: tensors of the processor in, continuations out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from serve_app.vlm import memory
from serve_app.vlm.decoding import Branches


class Prefix:
    """What all questions have in common, read once.

    `length`: tokens in the cache. `next_position`: of the token after them; under M-RoPE it is smaller than the
    length, because a picture advances positions by its longer side and not by its tokens.
    """

    def __init__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> None:
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        self.model = model
        self.length = int(inputs["input_ids"].shape[1])
        self._cache = output.past_key_values
        deltas = next((m.rope_deltas for m in model.modules() if getattr(m, "rope_deltas", None) is not None), None)
        self.has_axes = deltas is not None
        self.next_position = self.length + (int(deltas.flatten()[0]) if deltas is not None else 0)

    @property
    def can_batch(self) -> bool:
        """Whether rows of different lengths may share a batch.

        They are padded between prefix and question. Full attention masks the padding; a sliding window would
        count it and a recurrent state would read it, so there every question goes alone.
        """
        from transformers.cache_utils import DynamicLayer

        return all(type(layer) is DynamicLayer for layer in self._cache.layers)

    @property
    def row_bytes(self) -> int:
        """Memory of one more continuation."""
        return memory.row_bytes(self._cache, self.length)

    def branch(self, count: int) -> Branches:
        """`count` continuations. The prefix stays as it is and can be branched again."""
        cache = copy.deepcopy(self._cache)
        if count > 1:
            cache.batch_repeat_interleave(count)
        return Branches(
            self.model,
            cache,
            count,
            length=self.length,
            next_position=self.next_position,
            has_axes=self.has_axes,
        )
