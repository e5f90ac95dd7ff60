"""The model stage of a conversation: what is said to it in, what it says out, piece by piece.
No Ray, no HTTP: on the device of the comparisons, in turn with them, ended by deadline, cancel or a closed iterator.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from serve_app import vlm
from serve_app.comparison.device import Device
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Spoken
from serve_app.errors import ComparisonError, ModelFailed, ModelNotFound

logger = logging.getLogger("pairlens.talker")

# Between two tellings. Each costs every process on the way some milliseconds, and the model's thread waits for Python's
# lock meanwhile; nobody reads faster. As vLLM's `stream_interval`, in seconds.
TELLING_S: Final = 0.05


class Talker:
    """`model`, `device`: an assessor's own; without a model nobody answers. `telling_s`: between two tellings."""

    def __init__(self, model: vlm.TalkingModel | None, device: Device, *, telling_s: float = TELLING_S) -> None:
        self._model = model
        self._device = device
        self._telling_s = telling_s

    async def talk(self, conversation: Conversation, deadline: Deadline) -> AsyncGenerator[tuple[Spoken, ...], None]:
        """All that was said since the last time, until `Ended`. The first words come at once.

        What waits is bounded by `max_tokens`. Raises `DeadlineExceeded`, `ModelFailed`, `ModelNotFound` and what the
        engine's `talk` raises, behind all that was said before.
        """
        if self._model is None:
            raise ModelNotFound("No model is served here.")
        model, said = self._model, _Said(asyncio.get_running_loop())

        def work(stop: Stop) -> None:
            said.tell(_talk(model, conversation, said.tell, stop))

        running = asyncio.ensure_future(self._device.run(work, Stop(deadline)))
        running.add_done_callback(lambda _: said.news.set())
        try:
            while said.waits or not running.done():
                await said.news.wait()
                if spoken := said.taken():
                    yield spoken
                await asyncio.wait({running}, timeout=self._telling_s)
            await running
        finally:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # raised above, or there is nobody to tell


class _Said:
    """What the model's thread has said and its listener, in the loop, has not taken. Wakes it once for all of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.news = asyncio.Event()
        self._loop = loop
        self._waiting: deque[Spoken] = deque()
        self._is_awake = False

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    def tell(self, spoken: Spoken) -> None:
        """In the model's thread."""
        self._waiting.append(spoken)
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon_threadsafe(self.news.set)

    def taken(self) -> tuple[Spoken, ...]:
        """In the loop. Asleep before it looks: what is said meanwhile is either found now or wakes it again."""
        self.news.clear()
        self._is_awake = False
        return tuple(self._waiting.popleft() for _ in range(len(self._waiting)))


def _talk(model: vlm.TalkingModel, conversation: Conversation, tell: vlm.Tell, stop: Stop) -> Ended:
    stop.check()
    try:
        return model.talk(conversation, tell, stop)
    except ComparisonError:
        raise
    except Exception as exc:  # noqa: BLE001
        # An engine may raise anything. Its text can quote a prompt or a path: only its kind is logged.
        logger.error("model failed: %s", type(exc).__name__)  # noqa: TRY400
        raise ModelFailed("The model could not answer.") from None
