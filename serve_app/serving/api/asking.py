"""What routes of work that is left here read of a request beside its body, and how the OpenAPI page says so.
Knows no work. What can't be read is refused by name, and never repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, get_args

from fastapi import Request

from serve_app.errors import MalformedRequest, NotFound
from serve_app.schema import JobStatus

Word = TypeVar("Word", bound=str)

MOST_LISTED: Final = 100
LISTED: Final = 20
_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_STATUSES: Final[tuple[JobStatus, ...]] = get_args(JobStatus)


def parameter(name: str, where: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    told = {"name": name, "in": where, "required": where == "path", "schema": schema, "description": description}
    return {"parameters": [told]}


def parameters(*each: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [parameter for one in each for parameter in one["parameters"]]}


def words_parameter(name: str, known: Sequence[str], description: str) -> dict[str, Any]:
    """Of `words`, below."""
    of_each = {"type": "string", "enum": list(known)}
    return parameter(name, "query", {"type": "array", "items": of_each}, f"{description}; may be given several times")


def statuses_parameter(what: str) -> dict[str, Any]:
    return words_parameter("status", _STATUSES, f"Only {what} of this state")


IDEMPOTENCY_KEY: Final = parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "Sent again with the same body it names the same work, with another body it is refused (409)",
)
PAGE: Final = (
    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}, f"{LISTED} if not given"),
    parameter("cursor", "query", {"type": "string"}, "`next_cursor` of the page before"),
)
LAST_EVENT: Final = parameter(
    "Last-Event-ID", "header", {"type": "string", "pattern": "^[0-9]{1,9}$"}, "Only what happened after this one"
)


def named(request: Request, parameter_name: str, told: str) -> str:
    """The id in the path. Raises `NotFound`, with `told`, for what can't be one: databases refuse some characters."""
    id_: str = request.path_params[parameter_name]
    if not _ID.fullmatch(id_):
        raise NotFound(told)
    return id_


def key(request: Request) -> str | None:
    """The Idempotency-Key. Raises `MalformedRequest`."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedRequest("An Idempotency-Key is one header of 1..255 visible ASCII characters.")
    return keys[0]


def words(request: Request, name: str, known: Sequence[Word]) -> list[Word]:
    """Which of the known ones are asked for. Raises `MalformedRequest`."""
    asked = request.query_params.getlist(name)
    found = [word for word in known if word in asked]
    if len(found) != len(set(asked)):
        raise MalformedRequest(f"A value of {name} is one of {', '.join(known)}.", field=f"/{name}")
    return found


def statuses(request: Request) -> list[JobStatus]:
    return words(request, "status", _STATUSES)


def limit(request: Request) -> int:
    """Raises `MalformedRequest`."""
    asked = request.query_params.get("limit")
    if asked is None:
        return LISTED
    if not _NUMBER.fullmatch(asked) or not 1 <= int(asked) <= MOST_LISTED:
        raise MalformedRequest(f"The limit is a number from 1 to {MOST_LISTED}.", field="/limit")
    return int(asked)


def cursor(request: Request) -> str | None:
    return request.query_params.get("cursor") or None


def numbered_cursor(request: Request) -> int:
    """A cursor that is a number, 0 where none is given. Raises `MalformedRequest`."""
    asked = cursor(request) or "0"
    if not _NUMBER.fullmatch(asked):
        raise MalformedRequest("This cursor is not one of ours.", field="/cursor")
    return int(asked)


def after(request: Request) -> int:
    """The Last-Event-ID. Raises `MalformedRequest`."""
    last = request.headers.get("last-event-id", "0")
    if not _NUMBER.fullmatch(last):
        raise MalformedRequest("The Last-Event-ID is not one of ours.")
    return int(last)


def moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
