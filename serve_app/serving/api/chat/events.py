"""An answer as server-sent events, in the form of OpenAI's API: pieces, the end, `[DONE]`; a failure is the last event.
Knows no conversation but what is said in it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncGenerator
from typing import Final

from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_app.core.conversation import Ended, Spoken
from serve_app.errors import ComparisonError
from serve_app.serving import telemetry
from serve_app.serving.api.chat import refusals
from serve_app.serving.api.chat.replies import Answering

DONE: Final = b"data: [DONE]\n\n"
# No proxy on the way may gather pieces, as nginx does by default.
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Ends the conversation however it ends itself: one that nobody hears would keep the model at work."""

    def __init__(self, events: AsyncGenerator[bytes, None], spoken: AsyncGenerator[tuple[Spoken, ...], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=dict(_HEADERS))
        self._events = events
        self._spoken = spoken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._spoken.aclose()


async def told(
    answering: Answering,
    first: tuple[Spoken, ...],
    rest: AsyncGenerator[tuple[Spoken, ...], None],
    record: telemetry.RequestRecord,
    *,
    counts: bool,
    logger: logging.Logger,
) -> AsyncGenerator[bytes, None]:
    """`first`: what came before the stream was begun. `counts`: the usage is wanted as well. What comes together is
    one event: each costs every process on the way, and the model waits for their turn."""
    yield _event(answering.first())
    try:
        pieces = first
        while True:
            if said := [one for one in pieces if not isinstance(one, Ended)]:
                yield _event(answering.piece(said))
            if isinstance(spoken := pieces[-1], Ended):
                break
            pieces = await anext(rest)
    except ComparisonError as refusal:
        record.error = refusal.type
        yield _event(refusals.described(refusal))
        return
    except Exception as bug:  # noqa: BLE001 - an exception would cut the stream off without a word
        where = "".join(traceback.format_tb(bug.__traceback__))
        logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
        record.error = ComparisonError.type
        yield _event(refusals.described(ComparisonError("Something went wrong here; the request is in our log.")))
        return
    record.prompt_tokens, record.generated_tokens = spoken.prompt_tokens, spoken.generated_tokens
    yield _event(answering.last(spoken))
    if counts:
        yield _event(answering.counted(spoken))
    yield DONE


def _event(told: BaseModel) -> bytes:
    return b"data: " + told.model_dump_json().encode() + b"\n\n"
