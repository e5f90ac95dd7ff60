"""The OpenAPI page with an example of every answer, every refusal and every JSON body that can be sent.
Decides nothing: what an answer looks like is `schema`'s and `envelope`'s."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from serve_app import __version__
from serve_app.errors import kinds_of_error
from serve_app.serving import messages
from serve_app.serving.api.chat.refusals import CHAT, MODELS, described, speaks_openai
from serve_app.serving.api.door import BATCHES, JOBS
from serve_app.settings import Limits

_REQUEST_ID: Final = "5c1f0e3ab2f14c02b1a0cf27d7a3e3a9"
_WORK_ID: Final = "0d9c3f0c6f0e4b6a9a1b7f3f6f1f2a10"
_CREATED: Final = "2026-11-27T09:30:00Z"
_ENDED: Final = "2026-11-27T09:30:02Z"
_EXPIRES: Final = "2026-11-28T09:30:02Z"
_JSON: Final = "application/json"

# Of each status: a type of error that has it, and what its detail may say.
REFUSALS: Final[dict[int, tuple[str, str]]] = {
    400: ("two_images_required", "Send exactly two images: reference and candidate."),
    401: ("api_key_required", "Send an API key: Authorization: Bearer ..."),
    403: ("not_allowed", "This API key is not known here."),
    404: ("not_found", "There is no such route."),
    405: ("method_not_allowed", "This route does not take this method."),
    409: ("already_ended", "The job has ended already."),
    410: ("expired", "The time of this job is over; its report is deleted."),
    413: ("body_too_large", "The request body is over 64 MiB."),
    415: ("unsupported_image_type", "The candidate is an SVG: have it drawn as a PNG."),
    422: ("invalid_config", "/config/similarity_threshold: Input should be less than or equal to 1."),
    429: ("rate_limited", "More than 60 requests a minute came from this caller."),
    500: ("internal", "Something went wrong here; the request is in our log."),
    503: ("overloaded", "The comparison could not end within 60 s: about 75 s of work is in front of it."),
    504: ("deadline_exceeded", "The comparison did not end within 60 s."),
    507: ("storage_full", "There is no room for the images of one more job."),
}

# Of conversations, where they say something of their own.
_TALK_REFUSALS: Final[dict[int, tuple[str, str]]] = {
    400: ("malformed_request", "A conversation has at most 10 pictures here."),
    404: ("model_not_found", "The model served here is Qwen/Qwen3-VL-4B-Instruct."),
}
_MODEL: Final = "Qwen/Qwen3-VL-4B-Instruct"
_LISTED: Final = {"id": _MODEL, "object": "model", "created": 1795771800, "owned_by": "pairlens"}


@cache
def sample() -> dict[str, Any]:
    """`request`: a small pair as a JSON body; `report`: what is answered, without a model."""
    told: dict[str, Any] = json.loads(Path(__file__).with_name("example.json").read_text(encoding="utf-8"))
    return told


class Described(FastAPI):
    """An app whose OpenAPI page has the examples."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            exemplify(super().openapi())
        return super().openapi()


def exemplify(page: dict[str, Any]) -> None:
    """Put the examples into an OpenAPI document."""
    for route, method, operation in _operations(page):
        bodies = operation.get("requestBody", {}).get("content", {})
        if _JSON in bodies:
            # First: Swagger UI offers the first one, and it is the one whose example can be sent as it is.
            asked = _TALKED["request"] if speaks_openai(route) else sample()["request"]
            document = {_JSON: {**bodies[_JSON], "example": asked}}
            operation["requestBody"] = {**operation["requestBody"], "content": {**document, **bodies, **document}}
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get(_JSON)
            if content is None:
                continue
            code = int(status)
            if speaks_openai(route):
                content["example"] = openai_refusal(code) if code >= 400 else _TALKED[f"{method} {route}"]
            else:
                content["example"] = refusal(code) if code >= 400 else answered(f"{method} {route}", code)


def refusal(status: int) -> dict[str, Any]:
    kind, detail = REFUSALS[status]
    error = {"type": kind, "detail": detail, "image": None, "field": None}
    if status == 422:
        error["field"] = "/config/similarity_threshold"
    if status == 415:
        error["image"] = "candidate"
    return _enveloped(status, messages.message(kind, "en"), None, error)


def openai_refusal(status: int) -> dict[str, Any]:
    """As OpenAI's API has it."""
    kind, detail = _TALK_REFUSALS.get(status) or REFUSALS[status]
    raised = next(each for each in kinds_of_error() if each.type == kind)
    return described(raised(detail)).model_dump()


def answered(operation: str, status: int) -> dict[str, Any]:
    """`operation`: method and path, such as `GET /livez`."""
    msg = messages.ACCEPTED if status == 202 else messages.OK
    return _enveloped(status, msg, _ANSWERS[operation](), None)


def _operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for route, operations in page["paths"].items():
        for method, operation in operations.items():
            yield route, method.upper(), operation


def _enveloped(status: int, msg: str, data: Any, error: Any) -> dict[str, Any]:
    return {"code": status, "msg": msg, "data": data, "error": error, "request_id": _REQUEST_ID}


def _version() -> dict[str, Any]:
    model = {"engine": "none", "name": None, "revision": None}
    return {"name": "pairlens", "version": __version__, "model": model}


def _job(status: str, **fields: Any) -> dict[str, Any]:
    has_ended = status in ("succeeded", "failed", "cancelled")
    return {
        "id": _WORK_ID,
        "status": status,
        "attempt": 1,
        "position": 1 if status == "queued" else None,
        "stage": None,
        "created": _CREATED,
        "started": None if status == "queued" else _CREATED,
        "ended": _ENDED if has_ended else None,
        "expires": _EXPIRES if has_ended else None,
        "report": None,
        "error": None,
        "webhook": None,
        **fields,
    }


def _batch(status: str, num_done: int) -> dict[str, Any]:
    has_ended = status in ("succeeded", "cancelled")
    found = {"match": num_done, "mismatch": 0, "uncertain": 0, "added": 0, "removed": 0, "failed": 0}
    return {
        "id": _WORK_ID,
        "status": status,
        "position": 1 if status == "queued" else None,
        "num_pairs": 2,
        "num_done": num_done,
        "outcomes": found,
        "created": _CREATED,
        "started": None if status == "queued" else _CREATED,
        "ended": _ENDED if has_ended else None,
        "expires": _EXPIRES if has_ended else None,
        "error": None,
    }


def _results() -> dict[str, Any]:
    report = sample()["report"]
    pair = {"number": 1, "name": "1", "outcome": report["verdict"], "reference": "master.png", "candidate": "1.png"}
    return {"results": [{**pair, "report": report, "error": None}], "next_cursor": None}


_ANSWERS: Final[dict[str, Callable[[], Any]]] = {
    "GET /livez": lambda: {"status": "alive"},
    "GET /readyz": lambda: {"status": "ready"},
    "GET /version": _version,
    "GET /v1/limits": lambda: {**Limits().model_dump(mode="json"), "image_urls": False, "profiles": ["shop"]},
    "POST /v1/compare": lambda: sample()["report"],
    f"POST {JOBS}": lambda: _job("queued"),
    f"GET {JOBS}": lambda: {"jobs": [_job("succeeded")], "next_cursor": None},
    f"GET {JOBS}/{{job_id}}": lambda: _job("succeeded", report=sample()["report"]),
    f"DELETE {JOBS}/{{job_id}}": lambda: _job("cancelled"),
    f"POST {JOBS}/{{job_id}}/retry": lambda: _job("queued", attempt=2),
    f"POST {BATCHES}": lambda: _batch("queued", 0),
    f"GET {BATCHES}": lambda: {"batches": [_batch("succeeded", 2)], "next_cursor": None},
    f"GET {BATCHES}/{{batch_id}}": lambda: _batch("succeeded", 2),
    f"DELETE {BATCHES}/{{batch_id}}": lambda: _batch("cancelled", 1),
    f"GET {BATCHES}/{{batch_id}}/results": _results,
}

_SAID: Final[dict[str, Any]] = {
    "role": "assistant",
    "content": "A price tag: 12.99.",
    "refusal": None,
    "annotations": [],
}
_TALKED: Final[dict[str, dict[str, Any]]] = {
    "request": {
        "model": _MODEL,
        "max_tokens": 100,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": sample()["request"]["reference"]}},
                    {"type": "text", "text": "What does it say?"},
                ],
            }
        ],
    },
    f"POST {CHAT}": {
        "id": f"chatcmpl-{_REQUEST_ID}",
        "object": "chat.completion",
        "created": 1795771800,
        "model": _MODEL,
        "choices": [{"index": 0, "message": _SAID, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 310, "completion_tokens": 8, "total_tokens": 318},
    },
    f"GET {MODELS}": {"object": "list", "data": [_LISTED]},
    f"GET {MODELS}/{{model}}": _LISTED,
}
