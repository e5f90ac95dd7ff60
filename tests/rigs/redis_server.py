"""A real Redis on a free port, with nothing on disk but in a temporary folder. It ends with its `with` block."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import pytest

from tests.cluster.waiting import eventually
from tests.rigs.nodes import free_port

PASSWORD: Final = "a pass:word/"


def program() -> str | None:
    return shutil.which("redis-server")


needed = pytest.mark.skipif(program() is None and "CI" not in os.environ, reason="needs Redis (Debian: redis-server)")


def url(port: int, password: str = PASSWORD) -> str:
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"


@contextmanager
def running(port: int | None = None, *options: str) -> Iterator[int]:
    """Its port. `options`: more of its command line, such as `--maxmemory 2mb`."""
    redis = program()
    assert redis is not None, "needs Redis: apt-get install redis-server"
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        alone = ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
        command = [redis, *alone, "--requirepass", PASSWORD, *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: process.poll() is not None or _listens(port), within_s=10)
                assert process.poll() is None, "Redis did not start"
                yield port
            finally:
                process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
