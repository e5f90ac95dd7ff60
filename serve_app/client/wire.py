"""What is sent and what an answer means, without sockets: forms, headers, envelopes, events.
Knows the contract, not when anything is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from serve_app import __version__
from serve_app.client.failures import NotUnderstood, ServerFailed, refusal, stranger
from serve_app.client.pictures import Picture, Source, source
from serve_app.client.steps import Head
from serve_app.errors import InvalidConfig
from serve_app.schema import Envelope, ErrorReport, ImageComparisonConfig

Data = TypeVar("Data", bound=BaseModel)
# The API's config, or its fields by name.
Config: TypeAlias = ImageComparisonConfig | Mapping[str, object]

# The service ends a comparison by its own clock; this is for the way there and back.
TRAVEL_S = 15.0
# Of an answer that is no page of results; a report with every drawing of the largest pictures stays below.
MOST_ANSWER_BYTES = 256 * 1024 * 1024
MOST_EVENT_BYTES = MOST_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures as they are sent, and what is asked of them."""

    reference: Source
    candidate: Source
    config: ImageComparisonConfig

    @property
    def parts(self) -> tuple[tuple[str, Source], ...]:
        return ("reference", self.reference), ("candidate", self.candidate)

    @property
    def fields(self) -> dict[str, str]:
        # What was given, no more: the fields of a profile win over defaults, and a service of another version may
        # not know them all.
        return {"config": self.config.model_dump_json(exclude_unset=True)}


def pair(reference: Picture, candidate: Picture, config: Config | None) -> Pair:
    """Raises `ImageRejected`, `InvalidConfig`, TypeError."""
    return Pair(source(reference, "reference"), source(candidate, "candidate"), config_of(config))


def config_of(config: Config | None) -> ImageComparisonConfig:
    """Raises `InvalidConfig` with a pointer to the field, as the service would."""
    if isinstance(config, ImageComparisonConfig):
        return config
    try:
        return ImageComparisonConfig.model_validate_json(json.dumps(dict(config or {})))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        pointer = "/".join(("/config", *map(str, first["loc"])))
        raise InvalidConfig(f"{pointer}: {first['msg']}.", field=pointer) from None
    except TypeError:
        raise InvalidConfig("The config has a value that JSON can't hold.", field="/config") from None


def headers(api_key: str | None, request_id: str) -> dict[str, str]:
    """Of every request: who asks, and the name under which the service's log has it."""
    told = {"User-Agent": f"pairlens/{__version__}", "X-Request-ID": request_id}
    return told if api_key is None else {**told, "Authorization": f"Bearer {api_key}"}


def data_of(head: Head, body: bytes, server: str, kind: type[Data]) -> Data:
    """What an envelope holds; members of a later version are passed over. Raises the `ComparisonError` that the server
    refused with, and `ServerFailed`."""
    retry_after, request_id = head.headers.get("retry-after", ""), head.headers.get("x-request-id")
    try:
        envelope = Envelope[kind].model_validate_json(body, extra="ignore")  # type: ignore[valid-type]
    except ValidationError as exc:
        raise stranger(server, head.status, retry_after, request_id) from exc
    if envelope.data is not None:
        found: Data = envelope.data
        return found
    if envelope.error is None:
        told = f"{server} answered {head.status} without a report: {envelope.msg}."
        raise NotUnderstood(told, status=head.status, request_id=envelope.request_id)
    raise refusal(envelope.error, envelope.request_id, retry_after, envelope.code)


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event as it came. `retry_ms`: None where it names none."""

    name: str
    data: str
    id: str
    retry_ms: int | None

    @property
    def retry_after(self) -> str:
        return "" if self.retry_ms is None else str(-(-self.retry_ms // 1000))


@dataclass(slots=True)
class Events:
    """Pieces of a stream in, whole events out, however it was cut into pieces."""

    _rest: list[bytes] = field(default_factory=list)  # of a line that has not ended; joined once, however long it is
    _lines: list[str] = field(default_factory=list)
    _num_bytes: int = 0

    def of(self, piece: bytes) -> Iterator[Event]:
        """Raises `ServerFailed` where one event is over `MOST_EVENT_BYTES`."""
        self._num_bytes += len(piece)
        first, *more = piece.split(b"\n")
        self._rest.append(first)
        for start in more:
            line, self._rest = b"".join(self._rest), [start]
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if text:
                self._lines.append(text)
                continue
            event = self._whole()
            if event is not None:
                yield event
        if self._num_bytes > MOST_EVENT_BYTES:
            raise ServerFailed(f"An event of the stream is over {MOST_EVENT_BYTES} bytes.")

    def _whole(self) -> Event | None:
        lines, self._lines, self._num_bytes = self._lines, [], 0
        fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")  # a comment has no name
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if "data" not in fields:
            return None
        retry = fields.get("retry", [""])[-1]
        return Event(
            name=fields.get("event", ["message"])[-1],
            data="\n".join(fields["data"]),
            id=fields.get("id", [""])[-1],
            retry_ms=int(retry) if retry.isascii() and retry.isdigit() else None,
        )


def event_data(event: Event, server: str, kind: type[Data]) -> Data:
    """Raises `ServerFailed` for what isn't as PairLens tells it."""
    try:
        return kind.model_validate_json(event.data, extra="ignore")
    except ValidationError as exc:
        raise NotUnderstood(f"{server} told of {event.name!r}, but not as PairLens does.", status=200) from exc


def event_error(event: Event, server: str) -> Exception:
    """What an event `error` says: a whole envelope, or its error alone. Raises `ServerFailed`, as `event_data`."""
    try:
        envelope = Envelope[None].model_validate_json(event.data, extra="ignore")
    except ValidationError:
        return refusal(event_data(event, server, ErrorReport), None, event.retry_after)
    if envelope.error is None:
        return NotUnderstood(
            f"{server} told of an error, but not of which.", status=200, request_id=envelope.request_id
        )
    return refusal(envelope.error, envelope.request_id, event.retry_after, envelope.code)
