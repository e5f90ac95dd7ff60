"""Engines that look at pictures and answer questions about two, or talk, behind one protocol.
No prompts, no scores, no Ray: an inquiry goes in, replies come out; a conversation, what is said next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from serve_app.core.byte_cache import OnLookup, uncounted
from serve_app.core.clock import Stop
from serve_app.core.conversation import Conversation, Ended, Said
from serve_app.core.inquiry import Inquiry, ModelIdentity, ModelOutput
from serve_app.settings import ModelSettings
from serve_app.vlm.scripted import ScriptedModel

Tell = Callable[[Said], None]


class VisionLanguageModel(Protocol):
    """What the assessor needs of an engine.

    It is called by one thread at a time; engine `openai` by `ModelSettings.comparisons_at_once`.
    """

    @property
    def identity(self) -> ModelIdentity: ...

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        """Answer all questions; blocks.

        Raises DeadlineExceeded within one decode step after `stop` has a reason; anything else that an
        engine raises is its own failure.
        """
        ...

    def can_choose(self, labels: Sequence[str]) -> bool:
        """Whether the first token of an answer tells these labels apart: else letters stand for them."""
        ...

    def warm_up(self) -> None:
        """Send one small inquiry through the whole path; raises what `answer` raises."""
        ...


class TalkingModel(Protocol):
    """What the talker needs of an engine, called as its other side is."""

    def talk(self, conversation: Conversation, tell: Tell, stop: Stop) -> Ended:
        """Say what comes next, piece by piece to `tell`; blocks.

        Raises DeadlineExceeded within two decode steps after `stop` has a reason, `MalformedRequest` and its kinds for
        what this model can't take, ImageTooLarge and Overloaded where memory is short; anything else is its failure.
        """
        ...


class Engine(VisionLanguageModel, TalkingModel, Protocol):
    """Both sides of one loaded model."""


def load(
    settings: ModelSettings, on_lookup: OnLookup = uncounted, on_out_of_memory: Callable[[], None] = lambda: None
) -> Engine | None:
    """The engine that the settings name, ready but not warm; None for engine `none`.

    `on_lookup`: told of each hit and miss of an engine's cache. `on_out_of_memory`: called each time that its device
    ran out of memory. Raises ModelUnavailable.
    """
    if settings.engine == "scripted":
        return ScriptedModel(settings.scripted)
    if settings.engine == "transformers":
        from serve_app.vlm.local import checkpoint

        checkpoint.check(settings)
        from serve_app.vlm.local import pretrained

        return pretrained.load(settings, on_lookup, on_out_of_memory)
    if settings.engine == "openai":
        from serve_app.vlm import remote

        return remote.ChatModel(settings)
    return None


def check(settings: ModelSettings) -> None:
    """Look in seconds, without loading weights, whether the model can be served. Raises ModelUnavailable."""
    if settings.engine == "transformers":
        from serve_app.vlm.local import checkpoint

        checkpoint.check(settings)
    if settings.engine == "openai":
        from serve_app.vlm import remote

        remote.check(settings)
