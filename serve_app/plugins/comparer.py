"""Compares in a thread of its own, so that a test may have an event loop, Playwright's or pytest's, in its own.
Knows no pytest and no baselines.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractAsyncContextManager
from typing import Self

from serve_app.core.comparing import Comparing
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.settings import Settings


def opened(server: str | None) -> AbstractAsyncContextManager[Comparing]:
    """In this process without a model, or by a server."""
    if server is not None:
        from serve_app.client.asynchronous import AsyncClient

        return AsyncClient(server)
    from serve_app.local import open_here  # numpy and the decoders: only where two files are not the same

    return open_here(Settings())


class Comparer:
    """Opened at the first comparison and closed once; `compare` may be called by any thread."""

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._place: AbstractAsyncContextManager[Comparing] | None = None
        self._comparing: Comparing | None = None

    def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        """Raises `ComparisonError` and its kinds, and `CantCompare`."""
        with self._lock:
            loop = self._loop or self._begun()
        return asyncio.run_coroutine_threadsafe(self._compared(reference, candidate, config), loop).result()

    async def _compared(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        if self._comparing is None:  # one at a time comes here: a test asks and waits
            self._place = opened(self._server)
            self._comparing = await self._place.__aenter__()
        return await self._comparing.compare(reference, candidate, config)

    def _begun(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="pairlens", daemon=True)
        self._thread.start()
        return loop

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        if self._place is not None:
            asyncio.run_coroutine_threadsafe(self._place.__aexit__(None, None, None), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
