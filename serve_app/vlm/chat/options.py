"""Finds out once which options a chat server takes, by asking.
No questions of callers: it tries a small request, as rich as we would like it, then from plain upwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from serve_app.vlm.chat.server import Completion, ServerFault
from serve_app.vlm.chat.wire import OFFERS, PLAIN, Options


async def found(ask: Callable[[Options], Awaitable[Completion]]) -> tuple[Options, Completion]:
    """The most that the server takes, and its answer to that.

    A refusal doesn't say reliably which option it is about, so none is read: each is tried alone on top of those
    already taken, at most eleven small requests in all. Raises ServerFault, also where a plain request is refused.
    """
    answer = await _accepted(ask, Options())
    if answer is not None:
        return Options(), answer
    taken = PLAIN
    for name, values in OFFERS:
        for value in values:
            richer = replace(taken, **{name: value})
            tried = await _accepted(ask, richer)
            if tried is not None:
                taken, answer = richer, tried
                break
    return taken, answer or await ask(taken)


async def _accepted(ask: Callable[[Options], Awaitable[Completion]], options: Options) -> Completion | None:
    try:
        return await ask(options)
    except ServerFault as fault:
        if not fault.is_refusal:
            raise
        return None
