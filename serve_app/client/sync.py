"""The service over HTTP, for the command line: one comparison out, its report back.
No terminal and no pipeline."""

from __future__ import annotations

from typing import Final

import httpx
from pydantic import ValidationError

from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig

# The service ends a comparison by its own clock; this is for the way there and back.
TRAVEL_S: Final = 15.0


class ServerFailed(Exception):
    """The server gave no report: one sentence for the person at the terminal."""


def compare(
    server: str,
    reference: bytes,
    candidate: bytes,
    config: ImageComparisonConfig,
    *,
    transport: httpx.BaseTransport | None = None,
) -> ComparisonReport:
    """Send both images to `server`, a base URL. Raises ServerFailed."""
    url = f"{server.rstrip('/')}/v1/compare"
    files = {"reference": ("reference", reference), "candidate": ("candidate", candidate)}
    try:
        with httpx.Client(transport=transport, timeout=config.processing_timeout + TRAVEL_S) as client:
            answer = client.post(url, files=files, data={"config": config.model_dump_json()})
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        raise ServerFailed(f"{server} is no URL of a server, such as http://127.0.0.1:8000.") from exc
    except httpx.TimeoutException as exc:
        raise ServerFailed(f"{server} did not answer in time.") from exc
    except httpx.TransportError as exc:
        raise ServerFailed(f"{server} can't be reached: {exc}.") from exc
    return _report(answer, server)


def _report(answer: httpx.Response, server: str) -> ComparisonReport:
    try:
        envelope = Envelope[ComparisonReport].model_validate_json(answer.content)
    except ValidationError as exc:
        raise ServerFailed(f"{server} answered {answer.status_code}, but not as PairLens does.") from exc
    if envelope.data is not None:
        return envelope.data
    if envelope.error is None:
        raise ServerFailed(f"{server} answered {answer.status_code} without a report: {envelope.msg}.")
    error = envelope.error
    about = f" [{error.image or error.field}]" if error.image or error.field else ""
    raise ServerFailed(f"{error.detail} ({envelope.code} {error.type}{about}, request {envelope.request_id})")
