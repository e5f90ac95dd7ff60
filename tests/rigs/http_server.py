"""The whole service in this process behind a real port, for who needs one: a browser. No Ray."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def served(make: Callable[[], Any], *, close: Callable[[], None] = lambda: None) -> Iterator[str]:
    """The URL of the app that `make` returns, called in the server's own loop; ended with the block."""
    # The protocol by name: asyncio sends small pieces at once (TCP_NODELAY) only where a socket says that it is TCP.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    server: uvicorn.Server | None = None
    started = threading.Event()

    async def serve() -> None:
        nonlocal server
        config = uvicorn.Config(make(), log_level="critical", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        started.set()
        await server.serve(sockets=[sock])

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="http server", daemon=True)
    thread.start()
    try:
        assert started.wait(20)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        if server is not None:
            server.should_exit = True
        thread.join(20)
        close()
        sock.close()
