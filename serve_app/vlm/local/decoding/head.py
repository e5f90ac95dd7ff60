"""The model's last layer for a few tokens in single precision: what tells one label from another is often small.
No labels, no probabilities: hidden states and token ids in, logits out.

In bfloat16 a logit between 16 and 32 is a multiple of 0.125, 13 % in odds, and rounds otherwise in another batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from serve_app.vlm.local import transfer

logger = logging.getLogger("pairlens.vlm")
_NOT_PLAIN = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
_ROUNDING = 0.05  # of the logits' norm: wider than half precision, far narrower than another formula


class Head:
    """Of one model. Where its logits are more than a product with these weights, they stay the model's own."""

    def __init__(self, model: Any) -> None:
        self._layer = model.get_output_embeddings()
        self._cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        self.is_plain = True
        problem = "its logits are not a product"
        try:
            with torch.inference_mode():
                self.is_plain = self._is_product(model)
        except _NOT_PLAIN as exc:
            self.is_plain, problem = False, type(exc).__name__
        if not self.is_plain:
            logger.warning("labels are read in the model's own precision: %s", problem)

    @contextmanager
    def watched(self) -> Iterator[list[torch.Tensor]]:
        """Inside it, what the layer is given in each pass, (rows, tokens, size), goes into the list."""
        given: list[torch.Tensor] = []
        hook = self._layer.register_forward_hook(lambda _, args, __: given.append(args[0]))
        try:
            yield given
        finally:
            hook.remove()

    def put(self, logits: torch.Tensor, given: Sequence[torch.Tensor], tokens: Sequence[Sequence[int]]) -> None:
        """Put anew into `logits` (rows, vocabulary) float32 those of `tokens`, as many in each row, at the last place
        of what the layer was `given` last."""
        if not self.is_plain:
            return
        columns = transfer.sent(tokens, logits.device)
        hidden = given[-1][:, -1].float()
        exact = (self._layer.weight[columns].float() @ hidden[:, :, None])[..., 0]
        if getattr(self._layer, "bias", None) is not None:
            exact = exact + self._layer.bias[columns].float()
        if self._cap is not None:
            exact = torch.tanh(exact / self._cap) * self._cap
        logits.scatter_(1, columns, exact)

    def _is_product(self, model: Any) -> bool:
        ids = torch.arange(3, 12, device=model.device)[None]
        with self.watched() as given:
            own = model(input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=1).logits[:, -1].float()
        ours = own.clone()
        tokens = list(range(0, own.shape[1], max(1, own.shape[1] // 64)))
        self.put(ours, given, [tokens])
        return float((ours - own).norm()) <= _ROUNDING * float(own[:, tokens].norm())
