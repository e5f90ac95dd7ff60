"""Waiting for what another process does, with a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], *, within_s: float) -> float:
    """Poll until true; the seconds it took. Fails after `within_s`."""
    started = time.monotonic()
    pause = threading.Event()
    while not condition():
        if time.monotonic() - started > within_s:
            raise AssertionError(f"not within {within_s:g} s")
        pause.wait(0.1)
    return time.monotonic() - started
