"""The card that the tests of this folder run on: the machine's, or one that is only pretended, so that they can't rot.
Both give the same: engines, steps and models on it, and how many bytes its tensors hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from serve_app.core.byte_cache import OnLookup, uncounted
from serve_app.vlm.local import loading, pretrained
from serve_app.vlm.local.decoding import compiled
from tests.vlm.gpu.pretend_card import CARD, Card, pretend_card
from tests.vlm.local.test_pretrained import settings_for

_FREE_BYTES = 64 << 30
_SHORT = {"max_explanation_tokens": 4, "max_summary_tokens": 6}  # each operation takes Python there


class AnyCard(Protocol):
    """A device with the engine on it, real or pretended."""

    device: torch.device

    def engine(
        self, folder: Path, on_lookup: OnLookup = uncounted, **settings: object
    ) -> pretrained.PretrainedModel: ...

    def model(self, folder: Path, **settings: object) -> Any: ...

    def step(self, model: Any) -> compiled.Step: ...

    def held_bytes(self) -> int: ...

    def reset_peak(self) -> None: ...

    def peak_bytes(self) -> int: ...


class RealCard:
    """The first GPU."""

    device = torch.device("cuda")

    def engine(self, folder: Path, on_lookup: OnLookup = uncounted, **settings: object) -> pretrained.PretrainedModel:
        return pretrained.load(settings_for(folder, device="cuda", **settings), on_lookup)

    def model(self, folder: Path, **settings: object) -> Any:
        return loading.load(settings_for(folder, device="cuda", **settings)).model

    def step(self, model: Any) -> compiled.Step:
        return compiled.Step(model)

    def held_bytes(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


class PretendedCard:
    """See `pretend_card`. A model is loaded apart from it, because `meta`, where one is made first, would be this card,
    and moved to it then; steps are recorded, and joined by no compiler."""

    device = CARD

    def __init__(self, card: Card) -> None:
        self._card = card

    def engine(self, folder: Path, on_lookup: OnLookup = uncounted, **settings: object) -> pretrained.PretrainedModel:
        chosen = settings_for(folder, **{**_SHORT, **settings, "device": str(CARD)})
        loaded = self._loaded(folder, settings)
        step = self.step(loaded.model) if chosen.compile == "auto" else None
        return pretrained.PretrainedModel(loaded, chosen, lambda _: _FREE_BYTES, on_lookup, step)

    def model(self, folder: Path, **settings: object) -> Any:
        return self._loaded(folder, settings).model

    def step(self, model: Any) -> compiled.Step:
        return compiled.Step(model, backend="eager", record=self._card.record, free_bytes=lambda _: _FREE_BYTES)

    def _loaded(self, folder: Path, settings: dict[str, object]) -> loading.Loaded:
        with self._card.away():
            loaded = loading.load(settings_for(folder, **settings))
        loaded.model.to(CARD)
        return loaded

    def held_bytes(self) -> int:
        return self._card.held.live_bytes

    def reset_peak(self) -> None:
        self._card.held.reset_peak()

    def peak_bytes(self) -> int:
        return self._card.held.peak_bytes


@contextmanager
def a_card() -> Iterator[AnyCard]:
    if torch.cuda.is_available():
        yield RealCard()
        return
    with pretend_card() as card:
        yield PretendedCard(card)
