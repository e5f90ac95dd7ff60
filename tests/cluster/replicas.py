"""The processes of an application's replicas, seen from the machine."""

from __future__ import annotations

import re
from contextlib import suppress

import psutil


def held_bytes(url: str, deployment: str = r"\w+") -> dict[str, int]:
    """Memory of its own that each replica of the application at `url` holds, by process id and title."""
    app = url.rsplit("/", 1)[1]
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if re.match(rf"ray::ServeReplica:{app}:{deployment}", title):
                memory = process.memory_info()
                found[f"{process.pid} {title}"] = memory.rss - memory.shared
    return found
