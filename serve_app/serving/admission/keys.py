"""The operator's API keys: which name a key belongs to, in a file that is looked at again while the service runs.
Keeps and reads only their SHA-256, so that neither the file nor this process's memory gives a key away."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from serve_app.errors import ApiKeyRequired, NotAllowed

logger = logging.getLogger("pairlens.keys")

LOOK_EVERY_S: Final = 1.0
# A disk that takes longer holds nobody up: until it has answered, the keys that are known hold.
PATIENCE_S: Final = 0.25
_LINE: Final = re.compile(r"([0-9a-fA-F]{64})\s+([A-Za-z0-9._@-]{1,64})")


class KeysUnreadable(Exception):
    """The file of keys can't be used: one sentence for the operator."""


class KeyRing:
    """Keys by name. `KeyRing.load(path)` reads a line a key: SHA-256 in hex, space, name; `#` starts a comment."""

    def __init__(self, digests: Mapping[str, bytes]) -> None:
        self._digests = dict(digests)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Raises `KeysUnreadable`."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise _unreadable(path, exc) from exc
        digests: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            entry = line.partition("#")[0].strip()
            if not entry:
                continue
            match = _LINE.fullmatch(entry)
            if match is None or match[2] in digests:
                raise KeysUnreadable(f"Line {number} of {path} is not a SHA-256 in hex and a name of its own.")
            digests[match[2]] = bytes.fromhex(match[1])
        if not digests:
            raise KeysUnreadable(f"{path} holds no API key.")
        return cls(digests)

    def __len__(self) -> int:
        return len(self._digests)

    def name_of(self, key: str) -> str:
        """Whose key it is. Raises `ApiKeyRequired` where none came and `NotAllowed` where it is not known."""
        if not key:
            raise ApiKeyRequired("Send an API key: Authorization: Bearer KEY, or X-API-Key: KEY.")
        digest = hashlib.sha256(key.encode()).digest()
        # All of them each time: how long it takes tells nothing of which one was close.
        found = [name for name, known in self._digests.items() if hmac.compare_digest(digest, known)]
        if not found:
            raise NotAllowed("This API key is not known here.")
        return found[0]


class KeyFile:
    """The ring in a file of the operator's. Raises `KeysUnreadable` where it can't be used at the start; a later one
    that can't be used leaves the ring as it was, and says so in the log once."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        # Taken before the file is read: what changes it in between is seen at the next look.
        self._mark = _mark(path)
        self._ring = KeyRing.load(path)
        self._complaint = ""
        self._looked = now()
        self._looking: asyncio.Future[None] | None = None
        # Not the event loop's own threads: a look would wait there behind the job store.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="api-keys")

    async def ring(self) -> KeyRing:
        """The keys as the file has them, or had them `LOOK_EVERY_S` ago."""
        if self._looking is None and self._now() >= self._looked + LOOK_EVERY_S:
            self._looked = self._now()
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self._look)
            self._looking.add_done_callback(self._has_looked)
        if self._looking is not None and (left_s := self._looked + PATIENCE_S - self._now()) > 0:
            await asyncio.wait({self._looking}, timeout=left_s)
        return self._ring

    def _has_looked(self, _: asyncio.Future[None]) -> None:
        self._looking = None

    def _look(self) -> None:
        """In a thread: a disk may take its time."""
        try:
            mark = _mark(self._path)
            if mark == self._mark and not self._complaint:
                return
            ring = KeyRing.load(self._path)
        except KeysUnreadable as exc:
            if str(exc) != self._complaint:
                self._complaint = str(exc)
                logger.error("new API keys were not taken: %s The %d known before hold on.", exc, len(self._ring))  # noqa: TRY400
            return
        logger.info("API keys were read again: %d are known now", len(ring))
        self._mark, self._ring, self._complaint = mark, ring, ""


def _mark(path: Path) -> tuple[int, ...]:
    """What is another as soon as the file is written, replaced or, as Kubernetes does, led to by another link."""
    try:
        there = path.stat()
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    return there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns


def _unreadable(path: Path, exc: Exception) -> KeysUnreadable:
    return KeysUnreadable(f"The file of API keys, {path}, can't be read: {type(exc).__name__}.")
