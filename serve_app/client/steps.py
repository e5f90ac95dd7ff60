"""A call as steps: what it wants done, one thing after the other, and what comes back. No sockets and no event loop.
Who carries the steps out (`sync`, `asynchronous`) knows nothing of what they are for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from serve_app.client.failures import ServerFailed
from serve_app.client.pictures import Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """`parts`: files of a form, each under a field's name; `is_safe`: it does nothing twice where it arrives twice."""

    method: str
    path: str
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[tuple[str, Source]] = ()
    is_safe: bool = True


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins; names of headers in small letters. What follows is read piece by piece."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Send:
    """Send it; comes back with a `Head`. `timeout_s`: for each wait on the way there and to the head."""

    request: Request
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of the answer; none at its end."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """A value for who iterates over the call."""

    value: object


Step: TypeAlias = Send | Read | Pause | Tell
# Of what it wants done each is answered, or `ServerFailed` is thrown in; it returns what the call returns.
Flow: TypeAlias = Generator[Step, Any, T]


class Walk(Generic[T]):
    """A flow under way: the `step` that is to be done now; None once there is a `result`."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.step: Step | None = None
        self.result: T
        self._go(lambda: next(flow))

    def done(self, value: object = None) -> None:
        """The step is done; `value` came of it."""
        self._go(lambda: self._flow.send(value))

    def failed(self, exc: ServerFailed) -> None:
        self._go(lambda: self._flow.throw(exc))

    def close(self) -> None:
        self._flow.close()

    def _go(self, resume: Callable[[], Step]) -> None:
        try:
            self.step = resume()
        except StopIteration as ended:
            self.step = None
            self.result = ended.value
