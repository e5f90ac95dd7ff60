"""What can come of a request but an answer: what a service refused with, and each way not to be answered.
Knows no sockets but the names of httpx2's failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Final

from serve_app import errors
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.schema import ErrorReport

_KINDS: Final[Mapping[str, type[ComparisonError]]] = {
    kind.type: kind
    for kind in reversed(list(errors.kinds_of_error()))  # of several with one type the first: `Unavailable`
    if kind.type != ComparisonError.type
}
# What a status says alone: of a type that is not known here yet, and of a proxy in between.
_BY_STATUS: Final[Mapping[int, type[ComparisonError]]] = {
    400: errors.MalformedRequest,
    401: errors.ApiKeyRequired,
    403: errors.NotAllowed,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    410: errors.Expired,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedImageType,
    429: errors.RateLimited,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
    507: errors.StorageFull,
}
# Of these, what a proxy says in its own words, and what is to be done about it.
_OF_PROXIES: Final[Mapping[int, str]] = {
    401: "it asks for a key or a password",
    403: "it does not let this caller pass",
    413: "a body of this size is not let pass: send smaller files",
    429: "too many requests came",
    503: "nobody is there to answer at the moment",
}
# What may be another's answer a moment later: a proxy whose service restarts.
_PASSING: Final = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


class ServerFailed(CantCompare):
    """There is no answer of PairLens: one sentence for a person.

    ServerFailed            no_answer
    ├── NoSuchServer        no_such_server: what was named is no URL of a server
    ├── Unreachable         unreachable: nobody listens there; nothing was sent
    ├── NoAnswerInTime      no_answer_in_time: also a TimeoutError
    ├── CutOff              cut_off: the connection or the stream ended before its end
    └── NotUnderstood       not_understood: it answered `status`, but not as PairLens does

    `retry_after_s`: where it was said; `request_id`: what it was sent under, for the service's log; None: not sent.
    """

    type: ClassVar[str] = "no_answer"
    may_pass: ClassVar[bool] = True  # by itself, so that it is worth asking again
    was_sent: ClassVar[bool] = True  # perhaps: the work may have been begun

    def __init__(
        self, told: str, *, status: int | None = None, retry_after_s: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(told)
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.image = self.field = None  # what refusals have


class NoSuchServer(ServerFailed):
    type = "no_such_server"
    may_pass = False
    was_sent = False


class Unreachable(ServerFailed):
    type = "unreachable"
    was_sent = False


class NoAnswerInTime(ServerFailed, TimeoutError):
    type = "no_answer_in_time"


class CutOff(ServerFailed):
    type = "cut_off"


class NotUnderstood(ServerFailed):
    type = "not_understood"


class StillAtWork(TimeoutError):
    """A job or batch that was waited for has not ended yet; it goes on, and can be waited for again by its `id`."""

    def __init__(self, told: str, work_id: str = "") -> None:
        super().__init__(told)
        self.id = work_id


Failure = ServerFailed | ComparisonError


@contextmanager
def failing(server: str) -> Iterator[None]:
    """Inside it what httpx2 raises becomes `ServerFailed`."""
    import httpx2  # 40 ms, for who sends

    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
        raise NoSuchServer(f"{server} is no URL of a server, such as http://127.0.0.1:8000.") from exc
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as exc:
        raise Unreachable(f"{server} can't be reached: {_reason(exc)}.") from exc
    except (httpx2.TimeoutException, TimeoutError) as exc:
        raise NoAnswerInTime(f"{server} did not answer in time.") from exc
    except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError) as exc:
        raise CutOff(f"{server} can't be reached: {_reason(exc)}.") from exc


def _reason(exc: Exception) -> str:
    return str(exc).rstrip(".") or type(exc).__name__


def refusal(
    told: ErrorReport, request_id: str | None = None, retry_after: str = "", status: int | None = None
) -> ComparisonError:
    """What a service has said no with, as it was raised there; of a type that is not known here, by its status."""
    kind = _KINDS.get(told.type) or _BY_STATUS.get(status or 0, ComparisonError)
    refused = kind(told.detail, image=told.image, field=told.field, retry_after_s=seconds(retry_after))
    if told.type != kind.type:
        refused.type = told.type  # a later version's
    if status is not None and status != kind.status:
        refused.status = status
    refused.faults = told.faults
    refused.request_id = request_id
    return refused


def stranger(server: str, status: int, retry_after: str, request_id: str | None = None) -> Failure:
    """What an answer means that is not PairLens's: of a proxy in between, mostly."""
    after = seconds(retry_after)
    if status in _OF_PROXIES:
        told = f"{server} answered {status}, but not as PairLens does: {_OF_PROXIES[status]}."
        refused = _BY_STATUS[status](told, retry_after_s=after)
        refused.request_id = request_id
        return refused
    told = f"{server} answered {status}, but not as PairLens does."
    return NotUnderstood(told, status=status, retry_after_s=after, request_id=request_id)


def may_pass(failure: Failure, *, is_safe: bool) -> bool:
    """Whether the same request is worth sending again. `is_safe`: what it asks for is not done twice if it arrives
    twice."""
    if isinstance(failure, ComparisonError):  # these come before any work
        return isinstance(failure, errors.RateLimited | errors.Unavailable)
    if failure.was_sent and not is_safe:
        return False
    if isinstance(failure, NotUnderstood):
        return failure.status in _PASSING
    return failure.may_pass


def seconds(retry_after: str, now: datetime | None = None) -> int | None:
    """A Retry-After in seconds, or until a date (RFC 9110); None where it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0, round((when - (now or datetime.now(UTC))).total_seconds()))
