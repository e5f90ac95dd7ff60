"""Refusals in the words of OpenAI's API, on the routes that speak it; the envelope everywhere else.
Knows which paths those are, no route; Serve's proxy says its own refusals with it, so it imports nothing large.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from serve_app.errors import ComparisonError, DeadlineExceeded, ImageTooLarge
from serve_app.schema import Language
from serve_app.serving.api import envelope

CHAT: Final = "/v1/chat/completions"
MODELS: Final = "/v1/models"
_OURS: Final = re.compile(r"/v1/(chat|models)(/|$)")
_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
# That API has no words for some statuses of the contract: a picture is a part of the request, and so is its type.
_STATUSES: Final[Mapping[int, int]] = {415: 400, 422: 400}


class OpenAiError(BaseModel):
    """`code`: the contract's type of the error. `param`: the field it is about."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAiRefusal(BaseModel):
    error: OpenAiError


def speaks_openai(path: str) -> bool:
    """Whether callers of this path expect that API; what the service is mounted at may stand before it."""
    return _OURS.search(path) is not None


def refusal(path: str, error: ComparisonError, language: Language, request_id: str) -> Response:
    """The error as callers of this path read one."""
    if not speaks_openai(path):
        return envelope.failure(error, language, request_id)
    told = described(error).model_dump_json()
    return Response(told, status_of(error), envelope.headers_of(error), media_type="application/json")


def status_of(error: ComparisonError) -> int:
    if isinstance(error, ImageTooLarge):
        return 413
    return _STATUSES.get(error.status, error.status)


def described(error: ComparisonError) -> OpenAiRefusal:
    status = status_of(error)
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message, param = error.detail.replace("The comparison", "The answer", 1), error.field
    if isinstance(error, DeadlineExceeded):
        param = "processing_timeout" if param else None
    return OpenAiRefusal(
        error=OpenAiError(message=message, type=kind, param=None if param is None else _dotted(param), code=error.type)
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI page: these refusals of a route, and those of every route under /v1."""
    every = sorted({*statuses, *envelope.ANYWHERE, *envelope.KEYED})
    return {
        status: {"model": OpenAiRefusal, "description": envelope.responses(status)[status]["description"]}
        for status in every
    }


def _dotted(pointer: str) -> str:
    """`/messages/0/content` as `messages.0.content`."""
    return pointer.strip("/").replace("/", ".")
