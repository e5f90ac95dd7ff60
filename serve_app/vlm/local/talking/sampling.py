"""Which token is said next, from the logits of all: by chance, as `Sampling` wants it, or the likeliest.
No text, no model: tensors of one row in, a token out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from serve_app.core.conversation import Sampling


class Logprobs(NamedTuple):
    """Of the token chosen, and of the likeliest ones, as the model has them: before temperature, penalties and bans."""

    chosen: float
    others: tuple[tuple[int, float], ...]


class Sampler:
    """Chooses the tokens of one answer. `banned` (vocabulary,) bool: what is never said."""

    def __init__(self, sampling: Sampling, banned: torch.Tensor) -> None:
        self._sampling = sampling
        self._banned = banned
        self._chance = torch.Generator(banned.device)
        if sampling.seed is not None:
            self._chance.manual_seed(sampling.seed)
        else:
            self._chance.seed()
        has_penalties = bool(sampling.presence_penalty or sampling.frequency_penalty)
        self._counts = torch.zeros(len(banned), device=banned.device) if has_penalties else None

    def choose(self, logits: torch.Tensor, allowed: torch.Tensor | None = None) -> int:
        """From `logits` (vocabulary,) float32, left as they are. `allowed` (vocabulary,) bool: by a grammar."""
        shaped = logits
        if self._counts is not None:
            presence = self._sampling.presence_penalty * (self._counts > 0)
            shaped = shaped - presence - self._sampling.frequency_penalty * self._counts
        forbidden = self._banned if allowed is None else self._banned | ~allowed
        shaped = shaped.masked_fill(forbidden, -torch.inf)
        if self._sampling.temperature == 0:
            return int(shaped.argmax())
        # The maximum first: a temperature near 0 makes infinities of what is divided, and of two of them no number.
        scaled = (shaped - shaped.max()) / self._sampling.temperature
        probabilities = _nucleus(scaled.softmax(-1), self._sampling.top_p)
        return int(torch.multinomial(probabilities, 1, generator=self._chance))

    def said(self, tokens: Sequence[int]) -> None:
        """These have become part of the answer: penalties count them."""
        if self._counts is not None:
            for token in tokens:
                self._counts[token] += 1


def logprobs(logits: torch.Tensor, token: int, num_others: int) -> Logprobs:
    """Of a token, and of the `num_others` likeliest."""
    logs = logits.log_softmax(-1)
    found = logs.topk(num_others)
    others = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return Logprobs(float(logs[token]), tuple(others))


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The likeliest tokens that hold `top_p` together, at least one; the rest 0."""
    if top_p >= 1:
        return probabilities
    ordered, places = probabilities.sort(descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill(before >= top_p, 0.0)
    kept[0] = ordered[0]
    return torch.zeros_like(probabilities).scatter(0, places, kept)
