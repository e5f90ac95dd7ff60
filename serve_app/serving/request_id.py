"""The id of a request: the caller's own where it is plain, else a new one.
Knows no HTTP."""

from __future__ import annotations

import re
import uuid
from typing import Final

# What comes back in a header and goes into logs: no quotes, no markup, no line ends.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new() -> str:
    return uuid.uuid4().hex


def is_plain(sent: str) -> bool:
    """Whether it may be told again."""
    return _PLAIN.fullmatch(sent) is not None


def accepted(sent: str | None) -> str:
    """`sent`, or an id of ours in its place."""
    return sent if sent is not None and is_plain(sent) else new()
