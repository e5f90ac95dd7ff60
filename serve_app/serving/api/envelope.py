"""What every answer is wrapped in: `{code, msg, data, error, request_id}`, the status equal to the code.
Knows errors and languages, no routes; Serve's proxy wraps its own refusals with it, so it imports nothing large."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from serve_app.errors import ApiKeyRequired, ComparisonError, Unavailable
from serve_app.schema import Envelope, ErrorReport, Language
from serve_app.serving import messages

# What a caller is told to wait where nobody has measured how long it will be.
DEFAULT_RETRY_AFTER_S: Final = 2

_DESCRIPTIONS: Final = {
    400: "Not exactly two images, or not parsable",
    401: "No API key, where the operator has set keys",
    403: "An API key that is not known",
    404: "No such route",
    405: "The route does not take this method; see Allow",
    409: "An Idempotency-Key that stands for another body; a job or batch that has ended",
    410: "The time of the job or batch is over",
    413: "The request body is over the limit",
    415: "An image type that is not on the operator's list",
    422: "A config field out of range, an unreadable or too large image, a list of pairs with faults",
    429: "Over the caller's quota; see Retry-After",
    500: "A bug, or a model that failed",
    503: "Not ready, overloaded or draining; see Retry-After",
    504: "The time was over",
    507: "No room for the images of one more job or batch",
}
Responses = dict[int | str, dict[str, Any]]
# What any address may answer: where it is mistyped, where a worker was lost, where there is a bug.
ANYWHERE: Final = (404, 405, 500, 503, 504)
KEYED: Final = (401, 403)  # every route under /v1


def responses(*statuses: int) -> Responses:
    """For the OpenAPI page: these refusals of a route, and those of every route."""
    return {
        status: {"model": Envelope[None], "description": _DESCRIPTIONS[status]}
        for status in sorted({*statuses, *ANYWHERE})
    }


def responses_beside_events(*statuses: int) -> Responses:
    """The same for a route whose own answer is a stream: FastAPI would say that its refusals are one, too."""
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope_NoneType_"}}}
    return {
        status: {"content": refusal, "description": told["description"]}
        for status, told in responses(*statuses).items()
    }


def success(data: BaseModel | dict[str, Any], request_id: str) -> Response:
    """200 with `data`."""
    return _response(Envelope[Any](code=200, msg=messages.OK, data=data, error=None, request_id=request_id), {})


def accepted(data: BaseModel | dict[str, Any], request_id: str, location: str, retry_after_s: int) -> Response:
    """202 with `data`: it will be done, and `location` tells how far it is."""
    told = Envelope[Any](code=202, msg=messages.ACCEPTED, data=data, error=None, request_id=request_id)
    return _response(told, {"Location": location, "Retry-After": str(retry_after_s)})


def failure(error: ComparisonError, language: Language, request_id: str) -> Response:
    """The error's status, its general sentence in the reader's language and its own detail."""
    return _response(
        Envelope[None](
            code=error.status,
            msg=messages.message(error.type, language),
            data=None,
            error=ErrorReport.of(error),
            request_id=request_id,
        ),
        headers_of(error),
    )


def headers_of(error: ComparisonError) -> dict[str, str]:
    """What HTTP says of a refusal beside its status."""
    headers = {}
    if isinstance(error, ApiKeyRequired):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable) or error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s or DEFAULT_RETRY_AFTER_S)
    return headers


def _response(answer: BaseModel, headers: dict[str, str]) -> Response:
    code: int = answer.code  # type: ignore[attr-defined]
    return Response(answer.model_dump_json(), status_code=code, headers=headers, media_type="application/json")
