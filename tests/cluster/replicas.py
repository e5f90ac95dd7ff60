"""The processes of an application's replicas, and of Serve's proxy, seen from the machine."""

from __future__ import annotations

import re
from contextlib import suppress

import psutil


def held_bytes(url: str, deployment: str = r"\w+", *, and_proxy: bool = False) -> dict[str, int]:
    """Memory of its own that each replica of the application at `url` holds, by process id and title.

    Without the method that it is at, which stands in the title while it runs.
    """
    app = url.rsplit("/", 1)[1]
    wanted = re.compile(rf"ray::ServeReplica:{app}:{deployment}" + ("|ray::ProxyActor" if and_proxy else ""))
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if (replica := wanted.match(title)) is not None:
                memory = process.memory_info()
                found[f"{process.pid} {replica.group()}"] = memory.rss - memory.shared
    return found
