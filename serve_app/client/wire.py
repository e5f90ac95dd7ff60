"""Requests built and replies read, without sockets: what the clients have in common.
Knows the contract, no transport but the names of its failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from serve_app import errors
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, Envelope, ErrorReport, ImageComparisonConfig

if TYPE_CHECKING:
    import httpx2

Data = TypeVar("Data", bound=BaseModel)
Picture = bytes | str | os.PathLike[str]  # a file's content, or its path

# The service ends a comparison by its own clock; this is for the way there and back.
TRAVEL_S: Final = 15.0
_KINDS: Final[Mapping[str, type[ComparisonError]]] = {
    kind.type: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ComparisonError) and kind.type != ComparisonError.type
}


class ServerFailed(CantCompare):
    """The server gave no answer of PairLens: one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: its parts as httpx2 takes them."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float
    method: str = "POST"
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    params: Sequence[tuple[str, str]] = ()

    @property
    def parts(self) -> dict[str, Any]:
        """For `httpx2.Client.request`."""
        return {
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "timeout": self.timeout_s,
            "files": self.files or None,
            "data": self.data or None,
            "params": list(self.params) or None,
        }


def request(
    server: str, reference: Picture, candidate: Picture, config: ImageComparisonConfig, api_key: str | None
) -> Sent:
    """A comparison as asked of `server`, a base URL. Raises OSError where a path can't be read."""
    return Sent(
        url=f"{server.rstrip('/')}/v1/compare",
        files={"reference": ("reference", content(reference)), "candidate": ("candidate", content(candidate))},
        # What was given, no more: the fields of a profile win over defaults, and a service of another version may
        # not know them all.
        data={"config": config.model_dump_json(exclude_unset=True)},
        headers=authorization(api_key),
        timeout_s=config.processing_timeout + TRAVEL_S,
    )


def authorization(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def content(picture: Picture) -> bytes:
    """The bytes of a picture; of a path, its file's. Raises OSError."""
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


@contextmanager
def failing(server: str) -> Iterator[None]:
    """Inside it what httpx2 raises becomes `ServerFailed`."""
    import httpx2  # 40 ms, for who sends: `local` wants only `content`

    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
        raise ServerFailed(f"{server} is no URL of a server, such as http://127.0.0.1:8000.") from exc
    except httpx2.TimeoutException as exc:
        raise ServerFailed(f"{server} did not answer in time.") from exc
    except httpx2.TransportError as exc:
        raise ServerFailed(f"{server} can't be reached: {exc}.") from exc


def report_of(answer: httpx2.Response, server: str) -> ComparisonReport:
    """The report in an answer. Raises as `data_of`."""
    return data_of(answer, server, ComparisonReport)


def data_of(answer: httpx2.Response, server: str, kind: type[Data]) -> Data:
    """What an envelope holds. Raises the `ComparisonError` that the server refused with, and `ServerFailed`."""
    try:
        envelope = Envelope[kind].model_validate_json(answer.content)  # type: ignore[valid-type]
    except ValidationError as exc:
        raise ServerFailed(f"{server} answered {answer.status_code}, but not as PairLens does.") from exc
    if envelope.data is not None:
        found: Data = envelope.data
        return found
    if envelope.error is None:
        raise ServerFailed(f"{server} answered {answer.status_code} without a report: {envelope.msg}.")
    raise refusal(envelope.error, envelope.request_id, answer.headers.get("Retry-After", ""))


def refusal(told: ErrorReport, request_id: str | None = None, retry_after: str = "") -> ComparisonError:
    """What a service has said no with, as it was raised there."""
    kind = _KINDS.get(told.type, ComparisonError)
    after = int(retry_after) if retry_after.isdigit() else None
    refused = kind(told.detail, image=told.image, field=told.field, retry_after_s=after)
    refused.request_id = request_id
    return refused
