"""Where a list goes on: the last one told, by its time and its id, as text that callers hand back.
Knows no table but by its columns `created` and `id`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from serve_app.errors import MalformedRequest


class Listed(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def created(self) -> float: ...


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


def newest_first(wanted: sa.Select[Any], table: sa.Table, cursor: str | None, limit: int) -> sa.Select[Any]:
    """`wanted` of `table` after a cursor, and one more than `limit`, by which `following` sees that there are more.

    Raises `MalformedRequest` for a cursor that is none of ours.
    """
    if cursor is not None:
        created, id_ = read(cursor)
        older = sa.and_(table.c.created == created, table.c.id < id_)
        wanted = wanted.where(sa.or_(table.c.created < created, older))
    return wanted.order_by(table.c.created.desc(), table.c.id.desc()).limit(limit + 1)


def following(found: Sequence[Listed], limit: int) -> str | None:
    """The cursor of the next page; None where `found` is all there is."""
    last = found[limit - 1] if len(found) > limit else None
    return written(last.created, last.id) if last is not None else None
