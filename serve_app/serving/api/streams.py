"""Streams of events to callers: how many are open at one entrance, and how one ends that breaks.
Knows nothing of what happens in them."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from fastapi.sse import ServerSentEvent

from serve_app.errors import ComparisonError, Overloaded, RateLimited
from serve_app.schema import ErrorReport

T = TypeVar("T")

# Open at once at one entrance: each holds one of its places for requests, and asks the database.
MOST_STREAMS: Final = 64
STREAMS_PER_CALLER: Final = 16
RETRY_AFTER_S: Final = 10


class Streams:
    """How many are open here, and whose."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._open: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Raises `RateLimited`, `Overloaded`."""
        if self._open[caller] >= STREAMS_PER_CALLER:
            raise RateLimited(
                f"{STREAMS_PER_CALLER} streams of this caller are open here already.", retry_after_s=RETRY_AFTER_S
            )
        if self._open.total() >= MOST_STREAMS:
            raise Overloaded("Too many streams are open here already.", retry_after_s=RETRY_AFTER_S)

    async def told(
        self,
        caller: str,
        happened: AsyncGenerator[T, None],
        sent: Callable[[T], ServerSentEvent],
        failed: Callable[[ComparisonError], ServerSentEvent] | None = None,
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """What happened, as events; a fault is the last of them: an exception would cut the stream off without a
        word. `failed`: how it is told, by default as its `ErrorReport`."""
        failed = failed or _broken
        self._open[caller] += 1
        try:
            async with aclosing(happened):
                async for each in happened:
                    yield sent(each)
        except ComparisonError as exc:
            yield failed(exc)
        except Exception as bug:  # noqa: BLE001
            where = "".join(traceback.format_tb(bug.__traceback__))
            self._logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
            yield failed(ComparisonError("Something went wrong here; the request is in our log."))
        finally:
            self._open -= Counter((caller,))


def _broken(exc: ComparisonError) -> ServerSentEvent:
    return ServerSentEvent(event="error", data=ErrorReport.of(exc))
