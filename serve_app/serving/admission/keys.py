"""The operator's API keys: which name a key belongs to.
Keeps and reads only their SHA-256, so that neither the file nor this process's memory gives a key away."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from serve_app.errors import ApiKeyRequired, NotAllowed

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
            raise KeysUnreadable(f"The file of API keys, {path}, can't be read: {type(exc).__name__}.") from exc
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
