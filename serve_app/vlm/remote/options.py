"""Finds out once which options a chat server takes, by asking.
No questions of callers: it tries a small request, as rich as we would like it, then from plain upwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from serve_app.vlm.remote.server import Completion, ServerFault
from serve_app.vlm.remote.wire import BRISKER, OFFERS, PLAIN, Options


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


async def brisker(
    ask: Callable[[Options], Awaitable[Completion]], options: Options
) -> tuple[Options, Completion] | None:
    """The first way in which a model answers that spent all of its tokens on a thought; None if there is none.

    Raises ServerFault.
    """
    for name, value in BRISKER:
        tried = replace(options, **{name: value})
        answer = await _accepted(ask, tried)
        if answer is not None and not answer.is_all_thought:
            return tried, answer
    return None


async def _accepted(ask: Callable[[Options], Awaitable[Completion]], options: Options) -> Completion | None:
    try:
        return await ask(options)
    except ServerFault as fault:
        if not fault.is_refusal:
            raise
        return None
