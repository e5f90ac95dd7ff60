"""The model stage of a conversation: what is said to it in, what it says out, piece by piece.
No Ray, no HTTP: on the device of the comparisons, in turn with them, ended by deadline, cancel or a closed iterator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from serve_app import vlm
from serve_app.comparison.device import Device
from serve_app.core import spans
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Spoken
from serve_app.errors import ComparisonError, ModelFailed, ModelNotFound

logger = logging.getLogger("pairlens.talker")


class Talker:
    """`model`, `device`: an assessor's own; without a model nobody answers."""

    def __init__(self, model: vlm.TalkingModel | None, device: Device) -> None:
        self._model = model
        self._device = device

    async def talk(self, conversation: Conversation, deadline: Deadline) -> AsyncGenerator[tuple[Spoken, ...], None]:
        """All that was said since the last time, until `Ended`; a slow reader gets more at once and holds up nothing.

        What waits is bounded by `max_tokens`. Raises `DeadlineExceeded`, `ModelFailed`, `ModelNotFound` and what the
        engine's `talk` raises.
        """
        if self._model is None:
            raise ModelNotFound("No model is served here.")
        model, loop = self._model, asyncio.get_running_loop()
        heard: asyncio.Queue[Spoken | None] = asyncio.Queue()

        def tell(spoken: Spoken | None) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, spoken)

        def work(stop: Stop) -> None:
            tell(_talk(model, conversation, tell, stop))

        running = asyncio.ensure_future(self._device.run(work, Stop(deadline)))
        running.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (spoken := _all_of(await heard.get(), heard)) is not None:
                yield spoken
            await running
        finally:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # raised above, or there is nobody to tell


def _all_of(first: Spoken | None, heard: asyncio.Queue[Spoken | None]) -> tuple[Spoken, ...] | None:
    """What is there already, None once nothing follows."""
    if first is None:
        return None
    found: list[Spoken] = [first]
    while not heard.empty():
        following = heard.get_nowait()
        if following is None:
            heard.put_nowait(None)
            break
        found.append(following)
    return tuple(found)


def _talk(model: vlm.TalkingModel, conversation: Conversation, tell: vlm.Tell, stop: Stop) -> Ended:
    stop.check()
    try:
        with spans.span("model") as note:
            ended = model.talk(conversation, tell, stop)
            note("prompt_tokens", ended.prompt_tokens)
            note("generated_tokens", ended.generated_tokens)
            return ended
    except ComparisonError:
        raise
    except Exception as exc:  # noqa: BLE001
        # An engine may raise anything. Its text can quote a prompt or a path: only its kind is logged.
        logger.error("model failed: %s", type(exc).__name__)  # noqa: TRY400
        raise ModelFailed("The model could not answer.") from None
