"""What Ray Serve's own HTTP proxy says where no ingress replica can: in the contract's words, and after one more try.
It also ends bodies over the operator's limit, which the proxy itself would keep whole. Knows no comparison, and runs in
the proxy's process, in front of the ingress, so it imports nothing large.

Serve calls `middlewares` where `own_ray.SERVE_ENVIRONMENT` is set. Without it a replica that dies under a request is
a bare "500 Internal Server Error", and a service that is not there a line of plain text.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app import wording
from serve_app.errors import BodyTooLarge, ComparisonError, DeadlineExceeded, Unavailable
from serve_app.schema import Envelope, ErrorReport
from serve_app.settings import MIB, Limits

logger = logging.getLogger("ray.serve")

# Serve's own routes under this prefix are for machines that expect its plain text.
OWN_ROUTES: Final = "/-/"
# They change nothing, so that asking twice is safe; and so does no GET.
REPEATABLE: Final = ("/v1/compare", "/v1/chat/completions")
# The second replica's clock starts anew: a later loss would outlast the caller's deadline by too much.
REPEAT_WITHIN_S: Final = 5.0
# Bodies kept for a second try, in all; a request beyond that is not tried twice.
KEPT_BYTES: Final = 256 * 2**20
RETRY_AFTER_S: Final = 2
# The proxy reads no settings of an application: the operator's `max_body_bytes` comes to it in its environment.
MAX_BODY_VARIABLE: Final = "PAIRLENS_MAX_BODY_BYTES"


def middlewares() -> list[Middleware]:
    """What Serve puts around its proxy."""
    default = Limits().max_body_bytes
    return [Middleware(LastWord, max_body_bytes=int(os.environ.get(MAX_BODY_VARIABLE, default)))]


class LastWord:
    """ASGI middleware: repeats a request whose replica was lost, and says 503 where that does not help either."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self.max_body_bytes = max_body_bytes
        self.kept_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OWN_ROUTES):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        body = _Body(receive, self)
        try:
            answer = await self._try(scope, body, send)
            in_time = time.monotonic() - began <= REPEAT_WITHIN_S
            repeatable = scope["method"] == "GET" or scope["path"].endswith(REPEATABLE)
            if answer.is_lost and body.is_whole and in_time and repeatable:
                logger.warning("ingress replica lost, asking another one")
                body.rewind()
                answer = await self._try(scope, body, send)
            if not answer.is_sent and body.is_too_large:
                too_large = BodyTooLarge(f"The request body is over {self.max_body_bytes / MIB:g} MiB.")
                await _refused(too_large, answer)(scope, receive, send)
            elif not answer.is_sent and not body.client_left:
                await _refused(_loss(answer), answer)(scope, receive, send)
        finally:
            body.forget()

    async def _try(self, scope: Scope, body: _Body, send: Send) -> _Answer:
        answer = _Answer(send)
        # A copy: what the proxy notes in it must not be there the second time.
        await self._app(dict(scope), body.receive, answer.send)
        return answer

    def keep(self, num_bytes: int) -> bool:
        """Whether so many more bytes may be kept; if so they are counted until `give_back`."""
        if self.kept_bytes + num_bytes > KEPT_BYTES:
            return False
        self.kept_bytes += num_bytes
        return True

    def give_back(self, num_bytes: int) -> None:
        self.kept_bytes -= num_bytes


class _Body:
    """A request's messages, kept so that they can be read again."""

    def __init__(self, receive: Receive, owner: LastWord) -> None:
        self._receive = receive
        self._owner = owner
        self._kept: list[Message] = []
        self._kept_bytes = 0
        self._next = 0
        self._read_bytes = 0
        self.is_whole = True
        self.is_too_large = False
        self.client_left = False

    async def receive(self) -> Message:
        if self._next < len(self._kept):
            self._next += 1
            return self._kept[self._next - 1]
        if self.is_too_large:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._read_bytes += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            self.client_left, self.is_whole = True, False
        elif self._read_bytes > self._owner.max_body_bytes:
            # To Serve the client has left: it stops reading, and the replica is told.
            self.is_too_large, self.is_whole = True, False
            return {"type": "http.disconnect"}
        elif self.is_whole:
            self._keep(message)
        return message

    def rewind(self) -> None:
        self._next = 0

    def forget(self) -> None:
        self._kept.clear()
        self._owner.give_back(self._kept_bytes)
        self._kept_bytes = 0

    def _keep(self, message: Message) -> None:
        size = len(message.get("body", b""))
        if self._owner.keep(size):
            self._kept_bytes += size
            self._kept.append(message)
            self._next = len(self._kept)
        else:
            self.is_whole = False
            self.forget()


class _Answer:
    """Lets an answer of ours pass, and holds back what Serve itself says in plain text."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_sent = False
        self.held_status: int | None = None
        self.request_id: str | None = None

    @property
    def is_lost(self) -> bool:
        """Nothing was answered at all: that is how Serve's proxy ends where the replica has died."""
        return not self.is_sent and self.held_status in (None, 500)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.is_sent:
            headers = dict(message.get("headers", ()))
            self.request_id = headers.get(b"x-request-id", b"").decode("latin-1") or None
            if message["status"] >= 400 and headers.get(b"content-type", b"").startswith(b"text/plain"):
                self.held_status = message["status"]
                return
            self.is_sent = True
        if self.is_sent:
            await self._send(message)


def _loss(answer: _Answer) -> ComparisonError:
    if answer.held_status == 408:
        return DeadlineExceeded("The comparison did not end in time.")
    return Unavailable("No worker could answer this request; please try again.")


def _refused(error: ComparisonError, answer: _Answer) -> Response:
    request_id = answer.request_id or uuid.uuid4().hex
    told = ErrorReport(type=error.type, detail=error.detail, image=None, field=None)
    content = Envelope[None](
        code=error.status, msg=wording.message(error.type, "en"), data=None, error=told, request_id=request_id
    )
    headers: MutableMapping[str, Any] = {"X-Request-ID": request_id}
    if error.status == Unavailable.status:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(content.model_dump_json(), error.status, headers, "application/json")
