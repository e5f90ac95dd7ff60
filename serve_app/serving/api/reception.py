"""The front desk of every request: id, clock, caller, admission, the caps on bodies, the last handler, the record.
Knows no route and no comparison."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from functools import partial

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.core.clock import Deadline
from serve_app.errors import BodyTooLarge, ComparisonError, DeadlineExceeded
from serve_app.serving import request_id, telemetry
from serve_app.serving.api.arrival import Arrival
from serve_app.serving.api.callers import KEY, route_of
from serve_app.serving.api.chat import refusals
from serve_app.serving.api.door import Door
from serve_app.serving.transit import Transit
from serve_app.settings import MIB, Limits


class Reception:
    """ASGI middleware around every route.

    Admission comes before the body is read, so that a request that can't be served costs nothing:
    300 uploads of 6 MB at once are 300 refusals, not 1.8 GB.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        limits: Limits,
        logger: logging.Logger,
        context_request_id: Callable[[], str | None] | None,
    ) -> None:
        self._app = app
        self._door = door
        self._limits = limits
        self._under_way = Transit(limits.max_bytes_under_way)
        self._logger = logger
        self._context_request_id = context_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = self._arrive(scope)
        arrived.fetching = partial(self._fetching, arrived)
        scope["pairlens.arrival"] = arrived
        answer = _Answer(send, arrived, names_id=self._context_request_id is None)
        try:
            await self._handle(scope, receive, answer, arrived)
        except asyncio.CancelledError:
            arrived.record.outcome = "client_left"
            raise
        except ClientDisconnect:
            arrived.record.outcome = "client_left"  # in the middle of its body: nobody to answer
        finally:
            if arrived.ticket is not None:
                arrived.ticket.leave()
            self._under_way.give_back(arrived.record.body_bytes + arrived.fetched_bytes)
            self._record(scope, arrived)

    async def _handle(self, scope: Scope, receive: Receive, answer: _Answer, arrived: Arrival) -> None:
        try:
            await self._let_in(scope, arrived)
        except ComparisonError as refusal:
            await answer.refuse(scope, refusal)
            return
        try:
            await self._app(scope, self._capped(scope, receive, arrived), answer.send)
        except ClientDisconnect:
            raise
        except Exception as exc:  # the outermost handler: a bug of ours
            # Where it happened, without its text: that may quote what the caller sent.
            where = "".join(traceback.format_tb(exc.__traceback__))
            self._logger.error("bug: %s\n%s", type(exc).__name__, where)  # noqa: TRY400
            if answer.status:
                raise  # half an answer can't be taken back; the server closes the connection
            await answer.refuse(scope, ComparisonError("Something went wrong here; the request is in our log."))

    async def _let_in(self, scope: Scope, arrived: Arrival) -> None:
        """Raises `ApiKeyRequired`, `NotAllowed`, `RateLimited`, `Draining` and `Overloaded`."""
        caller = arrived.caller = await self._door.callers.identify(scope)
        if caller.startswith(KEY):
            arrived.record.key_name = caller.removeprefix(KEY)
        if scope["method"] != "POST":
            return
        if self._door.quota is not None:
            self._door.quota.take(caller)
        longest: Deadline | None = Deadline.after(self._limits.max_processing_timeout_s, since=arrived.time)
        if self._door.is_unhurried(scope):
            longest = None  # nothing of it is to be done before it is answered
        arrived.ticket = self._door.admission.enter(caller, longest)

    def _arrive(self, scope: Scope) -> Arrival:
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        given = self._context_request_id() if self._context_request_id is not None else None
        named = request_id.accepted(given or sent)
        record = telemetry.RequestRecord(request_id=named, method=scope["method"], path="unknown")
        return Arrival(named, time.time(), record)

    def _fetching(self, arrived: Arrival, num_bytes: int) -> None:
        """A picture's bytes from elsewhere are bytes under way as a body's are. Raises `Overloaded`."""
        self._under_way.take(num_bytes)
        arrived.fetched_bytes += num_bytes

    def _capped(self, scope: Scope, receive: Receive, arrived: Arrival) -> Receive:
        """The body, up to the limit: by its declared length before the first byte, then by what comes."""
        limit = self._limits.max_body_bytes
        too_large = BodyTooLarge(f"The request body is over {limit / MIB:g} MiB.")
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        until = arrived.time + min(self._limits.max_body_timeout_s, self._limits.max_processing_timeout_s)

        is_whole = False

        async def capped() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()  # that the caller leaves, however late
            if declared.isdigit() and int(declared) > limit:
                raise too_large
            message = await _in_time(receive, until)
            num_bytes = len(message.get("body", b""))
            if arrived.record.body_bytes + num_bytes > limit:
                raise too_large
            self._under_way.take(num_bytes)
            arrived.record.body_bytes += num_bytes
            is_whole = not message.get("more_body", False)
            if is_whole:
                arrived.record.body_ms = arrived.age_ms
            return message

        return capped

    def _record(self, scope: Scope, arrived: Arrival) -> None:
        record = arrived.record
        route = scope.get("route")
        record.path = getattr(route, "path", "unknown")
        record.total_ms = arrived.age_ms
        self._door.recorder.request(record)
        telemetry.log_request(self._logger, record)


async def _in_time(receive: Receive, until: float) -> Message:
    try:
        async with asyncio.timeout(max(0.0, until - time.time())):
            return await receive()
    except TimeoutError:
        raise DeadlineExceeded("The request body did not arrive in time.") from None


class _Answer:
    """The way out: remembers the status, and adds the request id where no server in front does (`names_id`)."""

    def __init__(self, send: Send, arrived: Arrival, *, names_id: bool) -> None:
        self._send = send
        self._arrived = arrived
        self._names_id = names_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = self._arrived.record.status = message["status"]
            self._arrived.record.outcome = _outcome(self.status)
            if self._names_id:
                named = (b"x-request-id", self._arrived.request_id.encode())
                message = {**message, "headers": [*message["headers"], named]}
        await self._send(message)

    async def refuse(self, scope: Scope, error: ComparisonError) -> None:
        self._arrived.record.error = error.type

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        response = refusals.refusal(route_of(scope), error, self._arrived.language, self._arrived.request_id)
        await response(scope, nothing, self.send)


def _outcome(status: int) -> telemetry.Outcome:
    if status < 400:
        return "answered"
    return "refused" if status < 500 else "failed"
