"""One conversation from uploads to the model's words: the order of the stages and the clock.
No HTTP, no Ray: the stages may be plain objects in this process or handles to deployments.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Protocol

from serve_app.chat.pictures import Sent
from serve_app.comparison.pipeline import UNHINDERED, Turns
from serve_app.core.clock import Deadline
from serve_app.core.conversation import Conversation, Spoken
from serve_app.core.pictures import ShownImage
from serve_app.settings import ModelSettings

Begin = Callable[[tuple[ShownImage, ...]], Conversation]
SCRIPTED: Final = "scripted"


class Showing(Protocol):
    """The CPU stage, wherever it runs."""

    async def show(self, sent: tuple[Sent, ...], deadline: Deadline) -> tuple[ShownImage, ...]: ...


class Talking(Protocol):
    """The model stage, wherever it runs."""

    def talk(self, conversation: Conversation, deadline: Deadline) -> AsyncGenerator[tuple[Spoken, ...], None]: ...


class Chat:
    """Any number of conversations at once. Remembers nothing of them."""

    def __init__(self, showing: Showing, talking: Talking) -> None:
        self._showing = showing
        self._talking = talking

    async def answer(
        self, sent: tuple[Sent, ...], begin: Begin, deadline: Deadline, turns: Turns = UNHINDERED
    ) -> AsyncGenerator[tuple[Spoken, ...], None]:
        """Show the pictures, let the model speak; each stage when it is its turn. Closing it ends the model's work.
        What was said while nobody listened comes together, as of `Talking`.

        `begin`: the conversation, once its pictures are known as they are shown. Raises `ComparisonError` and its
        kinds; `DeadlineExceeded` once `deadline` has passed.
        """
        async with turns.at("examine", deadline):
            shown = await self._showing.show(sent, deadline)
        deadline.check()
        async with turns.at("assess", deadline), aclosing(self._talking.talk(begin(shown), deadline)) as talk:
            async for spoken in talk:
                yield spoken


def model_name(settings: ModelSettings) -> str | None:
    """What callers call the model that is served; None: none is."""
    if not settings.is_asked:
        return None
    return settings.public_name or SCRIPTED
