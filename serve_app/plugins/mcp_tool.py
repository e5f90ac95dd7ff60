"""The tool `compare_images` over stdin and stdout, for an agent on the same machine.
Knows no images: a path or a `data:` URL in, bytes handed on. On stdout is nothing but the protocol."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mcp.server.stdio import stdio_server

from serve_app.core.comparing import Comparing
from serve_app.errors import ImageRejected, ImageRole, MalformedRequest, TwoImagesRequired
from serve_app.schema import ComparisonReport, ImageComparisonConfig, tool
from serve_app.serving import mcp_server
from serve_app.serving.api import data_url
from serve_app.settings import Limits

logger = logging.getLogger("pairlens")

STDIN: Final = 0
_PIECE: Final = 64 * 1024


class Files:
    """Pictures by path or by value. `folder`: nothing outside it is read; None: whatever this process may read."""

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self._most_bytes = limits.max_image_bytes
        self._folder = None if folder is None else folder.resolve()

    def read(self, arguments: Mapping[str, Any], role: ImageRole) -> bytes:
        """Raises `TwoImagesRequired`, `MalformedRequest` and `ImageRejected`."""
        given = arguments.get(role)
        if given is None:
            raise TwoImagesRequired(f"Give two images, reference and candidate: the {role} is missing.")
        if not isinstance(given, str) or "\0" in given:
            raise MalformedRequest(f"The {role} is a text: a path or a data: URL.", image=role)
        if data_url.is_one(given):
            try:
                return data_url.decoded(given)
            except ValueError:
                raise MalformedRequest(f"The data: URL of the {role} is not valid base64.", image=role) from None
        return self._of_file(_path(given), role)

    def _of_file(self, path: Path, role: ImageRole) -> bytes:
        """Only of a regular file: a pipe or a device may never end."""
        try:
            resolved = path.expanduser().resolve()
            if self._folder is not None and not resolved.is_relative_to(self._folder):
                raise ImageRejected(f"The {role} is outside the folder that may be read.", image=role)
            about = resolved.stat()
            if not stat.S_ISREG(about.st_mode):
                raise ImageRejected(f"The {role} is no file.", image=role)
            if about.st_size > self._most_bytes:
                told = f"The {role} has {about.st_size} bytes; at most {self._most_bytes} are read."
                raise ImageRejected(told, image=role)
            return resolved.read_bytes()
        except FileNotFoundError:
            raise ImageRejected(f"There is no file of the name that the {role} has.", image=role) from None
        except (OSError, RuntimeError) as exc:  # RuntimeError: no home for a `~`
            why = getattr(exc, "strerror", None) or "it can't be found"
            raise ImageRejected(f"The file of the {role} can't be read: {why}.", image=role) from None


def _path(given: str) -> Path:
    """Of a path, or of the `file:` URL that some agents make of one."""
    if given[:5].lower() == "file:":
        return Path(unquote(urlsplit(given).path))
    return Path(given)


def run(place: AbstractAsyncContextManager[Comparing], files: Files, limits: Limits) -> None:
    """Serves until stdin ends. Raises KeyboardInterrupt for Ctrl-C, and what opening `place` raises."""
    asyncio.run(_serve(place, files, limits))


async def _serve(place: AbstractAsyncContextManager[Comparing], files: Files, limits: Limits) -> None:
    async with place as comparing:

        async def compare(_: Any, arguments: Mapping[str, Any], config: ImageComparisonConfig) -> ComparisonReport:
            reference = await asyncio.to_thread(files.read, arguments, "reference")
            candidate = await asyncio.to_thread(files.read, arguments, "candidate")
            return await comparing.compare(reference, candidate, config)

        served = mcp_server.server(compare, picture=tool.BY_PATH, logger=logger)
        lines: Any = Lines(STDIN, limits.max_body_bytes)
        async with stdio_server(stdin=lines) as (incoming, outgoing):
            await served.run(incoming, outgoing, served.create_initialization_options())


class Lines:
    """The lines of a file descriptor, read by a thread of its own: one that waits in `read` can't be told to stop, and
    the loop would wait for it at Ctrl-C. Ends where a line is longer than `most_bytes`."""

    def __init__(self, descriptor: int, most_bytes: int) -> None:
        self._descriptor = descriptor
        self._most_bytes = most_bytes
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line.decode("utf-8", "replace")

    def _read(self) -> None:
        rest = bytearray()
        # Not by `sys.stdin`: its lock would be held by this thread when the interpreter ends.
        while piece := os.read(self._descriptor, _PIECE):
            start = len(rest)
            rest += piece
            while (end := rest.find(b"\n", start)) >= 0:
                if not self._put(bytes(rest[:end])):
                    return
                del rest[: end + 1]
                start = 0
            if len(rest) > self._most_bytes:
                logger.error(
                    "a message on stdin is over %d bytes: it is not read, and nothing after it", self._most_bytes
                )
                break
        self._put(None)

    def _put(self, line: bytes | None) -> bool:
        """Wait until it is taken; False where nobody is there any more."""
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except (RuntimeError, asyncio.CancelledError):  # the loop is closed, or closes
            putting.close()
            return False
        return True
