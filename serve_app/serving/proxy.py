"""What Ray Serve's own HTTP proxy says where no ingress replica can: in the contract's words, and after one more try.
It also bounds the bodies that pass, each and all together, which the proxy itself would keep whole, and drops headers
that Serve would believe. Knows no comparison, and runs in the proxy's process, in front of the ingress, so it imports
nothing large.

Serve calls `middlewares` where `own_ray.SERVE_ENVIRONMENT` is set. Without it a replica that dies under a request is
a bare "500 Internal Server Error", and a service that is not there a line of plain text.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import BodyTooLarge, ComparisonError, DeadlineExceeded, NotFound, Overloaded, Unavailable
from serve_app.serving import request_id
from serve_app.serving.api.chat import refusals
from serve_app.serving.api.chat.refusals import CHAT
from serve_app.serving.transit import Transit
from serve_app.settings import MIB, Limits

logger = logging.getLogger("ray.serve")

# Serve's own routes under this prefix are for machines that expect its plain text.
OWN_ROUTES: Final = "/-/"
# They change nothing, so that asking twice is safe; and so does no GET.
REPEATABLE: Final = ("/v1/compare", "/v1/compare/stream", CHAT, "/mcp")
# The second replica's clock starts anew: a later loss would outlast the caller's deadline by too much.
REPEAT_WITHIN_S: Final = 5.0
# Of the bytes under way, what is kept here for a second try; a request beyond that is not tried twice. All else of a
# body is only on its way through.
KEPT_SHARE: Final = 1 / 8
# Of one body, what may wait here for a replica to fetch it; Serve itself reads on as fast as a caller sends.
QUEUED_BYTES: Final = 2**19
# The proxy reads no settings of an application: the operator's limits come to it in its environment.
MAX_BODY_VARIABLE: Final = "PAIRLENS_MAX_BODY_BYTES"
MAX_UNDER_WAY_VARIABLE: Final = "PAIRLENS_MAX_BYTES_UNDER_WAY"
# Headers by which Serve lets a caller choose its timeout, whether a disconnect is noticed, and its replica.
NOT_THE_CALLERS: Final = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve-multiplexed-model-id", b"x-session-id"}
)
REQUEST_ID: Final = b"x-request-id"


def environment(limits: Limits) -> dict[str, str]:
    """What the environment of Serve's proxy has to say for these limits to hold there."""
    return {
        MAX_BODY_VARIABLE: str(limits.max_body_bytes),
        MAX_UNDER_WAY_VARIABLE: str(limits.max_bytes_under_way),
    }


def middlewares() -> list[Middleware]:
    """What Serve puts around its proxy."""
    usual = environment(Limits())
    max_body, max_under_way = (int(os.environ.get(name, usual[name])) for name in usual)
    return [Middleware(LastWord, max_body_bytes=max_body, max_bytes_under_way=max_under_way)]


class LastWord:
    """ASGI middleware: repeats a request whose replica was lost, and says 503 where that does not help either."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_bytes_under_way: int) -> None:
        self._app = app
        self.max_body_bytes = max_body_bytes
        self.under_way = Transit(max_bytes_under_way)
        # All bodies in chunks together: that one of them is too large shows only when it is there.
        self.undeclared = Transit(max_body_bytes, self.under_way)
        self.max_kept_bytes = int(max_bytes_under_way * KEPT_SHARE)
        self.kept_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:  # a request's, not the server's own start and end
            scope = {**scope, "headers": _believable(scope["headers"])}
        if scope["type"] != "http" or scope["path"].startswith(OWN_ROUTES):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self, has_length=any(name == b"content-length" for name, _ in scope["headers"]))
        # A second try is of use for so long; then what was kept for it is only in the way.
        patience = asyncio.get_running_loop().call_later(REPEAT_WITHIN_S, body.forget)
        try:
            answer = await self._try(scope, body, send)
            patience.cancel()
            repeatable = scope["method"] == "GET" or scope["path"].endswith(REPEATABLE)
            if answer.is_lost and body.is_whole and repeatable:
                logger.warning("ingress replica lost, asking another one")
                body.rewind()
                answer = await self._try(scope, body, send)
            refusal = body.refusal or (None if body.client_left else _loss(answer, scope))
            if refusal is not None and not answer.is_sent:
                await _refused(scope, refusal, answer)(scope, receive, send)
        finally:
            patience.cancel()
            body.forget()
            body.give_back()

    async def _try(self, scope: Scope, body: _Body, send: Send) -> _Answer:
        answer = _Answer(send, body)
        # A copy: what the proxy notes in it must not be there the second time.
        await self._app(dict(scope), body.receive, answer.send)
        return answer

    def keep(self, num_bytes: int) -> bool:
        """Whether so many more bytes may be kept; if so they are counted until `give_back`."""
        if self.kept_bytes + num_bytes > self.max_kept_bytes:
            return False
        self.kept_bytes += num_bytes
        return True

    def give_back(self, num_bytes: int) -> None:
        self.kept_bytes -= num_bytes


class _Body:
    """A request's messages, counted; kept for a while to be read again, where their length was told."""

    def __init__(self, receive: Receive, owner: LastWord, *, has_length: bool) -> None:
        self._receive = receive
        self._owner = owner
        self._counted_in = owner.under_way if has_length else owner.undeclared
        self._has_length = has_length
        self._kept: list[Message] = []
        self._kept_bytes = 0
        self._next = 0
        self._queued_bytes = 0
        self._fetched = asyncio.Event()
        self.num_bytes = 0
        self.is_whole = True
        self.has_ended = False
        self.refusal: ComparisonError | None = None
        self.client_left = False

    async def receive(self) -> Message:
        if self._next < len(self._kept):
            self._next += 1
            return self._kept[self._next - 1]
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        while self._queued_bytes > QUEUED_BYTES:
            self._fetched.clear()
            await self._fetched.wait()
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_left, self.is_whole = True, False
            return message
        self.refusal = self._counted(len(message.get("body", b"")))
        if self.refusal is not None:
            # To Serve the client has left: it stops reading, and the replica is told.
            self.forget()
            self.give_back()
            return {"type": "http.disconnect"}
        self.has_ended = not message.get("more_body", False)
        if self.is_whole:
            self._keep(message)
        return self._queued(message)

    def rewind(self) -> None:
        self._next = 0

    def forget(self) -> None:
        """Keep nothing any more: from now on it can't be read again."""
        self.is_whole = False
        self._kept.clear()
        self._next = 0
        self._owner.give_back(self._kept_bytes)
        self._kept_bytes = 0

    def give_back(self) -> None:
        """It is no longer under way."""
        self._counted_in.give_back(self.num_bytes)
        self.num_bytes = 0

    def _counted(self, num_bytes: int) -> ComparisonError | None:
        """Count a piece of the body, or say why it can't be taken."""
        if self.num_bytes + num_bytes > self._owner.max_body_bytes:
            return BodyTooLarge(f"The request body is over {self._owner.max_body_bytes / MIB:g} MiB.")
        try:
            self._counted_in.take(num_bytes)
        except Overloaded as refusal:
            return refusal.bare()
        self.num_bytes += num_bytes
        return None

    def _queued(self, message: Message) -> Message:
        """The message, counted as waiting here until Serve has let go of it."""
        size = len(message.get("body", b""))

        def fetched() -> None:
            self._queued_bytes -= size
            self._fetched.set()

        self._queued_bytes += size
        return _Piece(message, fetched)

    def _keep(self, message: Message) -> None:
        size = len(message.get("body", b""))
        if (self._has_length or size == 0) and self._owner.keep(size):
            self._kept_bytes += size
            self._kept.append(message)
            self._next = len(self._kept)
        else:
            self.forget()


class _Piece(dict[str, Any]):
    """A message that tells when nobody holds it any more: Serve's queue to a replica has no length that could be asked.
    It crosses to the replica as the plain dict that it is."""

    __slots__ = ("_tell",)

    def __init__(self, message: Message, tell: Callable[[], None]) -> None:
        super().__init__(message)
        self._tell = tell

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __del__(self) -> None:
        self._tell()


def _believable(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A request's headers without those that Serve believes and no caller may decide, and with an id that is plain:
    Serve logs and echoes it as it came, and answers bytes that are no UTF-8 with a bare 500."""
    kept, ids = [], []
    for name, value in headers:
        plain = name.lower().replace(b"_", b"-")
        if plain == REQUEST_ID:
            ids.append(value.decode("latin-1"))
        elif plain not in NOT_THE_CALLERS:
            kept.append((name, value))
    return [*kept, (REQUEST_ID, request_id.accepted(ids[0] if ids else None).encode())]


class _Answer:
    """Lets an answer of ours pass, and holds back what Serve itself says in plain text, or anyone to a refused body."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body
        self.is_sent = False
        self.held_status: int | None = None
        self.request_id: str | None = None

    @property
    def is_lost(self) -> bool:
        """Nothing was answered at all: that is how Serve's proxy ends where the replica has died."""
        return not self.is_sent and self.held_status in (None, 500)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.is_sent:
            if self._body.refusal is not None:
                return
            headers = dict(message.get("headers", ()))
            self.request_id = headers.get(REQUEST_ID, b"").decode("latin-1") or None
            if message["status"] >= 400 and headers.get(b"content-type", b"").startswith(b"text/plain"):
                self.held_status = message["status"]
                return
            self.is_sent = True
            if message["status"] == DeadlineExceeded.status and not self._body.has_ended:
                # A body that drips in would hold the connection for as long as it likes.
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        if self.is_sent:
            await self._send(message)


def _loss(answer: _Answer, scope: Scope) -> ComparisonError:
    if answer.held_status == 408:
        return DeadlineExceeded("The comparison did not end in time.")
    if answer.held_status == 404 and not scope["path"].startswith("/"):  # OPTIONS *: no application has such a route
        return NotFound("There is no such route.")
    return Unavailable("No worker could answer this request; please try again.")


def _refused(scope: Scope, error: ComparisonError, answer: _Answer) -> Response:
    named = answer.request_id or request_id.new()
    response = refusals.refusal(scope["path"], error, "en", named)
    response.headers["X-Request-ID"] = named
    return response
