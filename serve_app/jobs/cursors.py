"""Where a list goes on: the last one told, by its time and its id, as text that callers hand back.
No database."""

from __future__ import annotations

import base64
import binascii
import json

from serve_app.errors import MalformedRequest


def written(created: float, id_: str) -> str:
    """Fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps([created, id_]).encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[float, str]:
    """Raises `MalformedRequest` for what `written` has not made."""
    try:
        created, id_ = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(id_, str) and isinstance(created, float):
            return created, id_
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    raise MalformedRequest("This cursor is not one of ours.", field="/cursor")
