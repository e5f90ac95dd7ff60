"""`/mcp`: the tool `compare_images` for agents elsewhere, by the Model Context Protocol over HTTP, without sessions.
Asked, admitted, computed and refused as `POST /v1/compare` is; what an agent can act on is told as a tool's result.

The protocol's library never sees a picture: it would hold the whole body, and the JSON made of it, until the answer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pydantic_core
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.types import Message, Receive, Scope, Send

from serve_app.comparison import profiles
from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.remembered import Remembered
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, ImageRole, MalformedRequest, NotAllowed, NotFound, TwoImagesRequired
from serve_app.schema import ComparisonReport, ImageComparisonConfig, tool
from serve_app.serving.api import data_url
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.body import JsonBodies, json_object
from serve_app.serving.api.callers import MCP
from serve_app.serving.api.compare import freshness, note, promised
from serve_app.settings import Profile, Settings

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_ROLES: Final[tuple[ImageRole, ...]] = ("reference", "candidate")
# A message without its pictures: a config takes under 20 KB.
_MOST_BYTES: Final = 256 * 1024
_HANDED: Final = "pairlens.pictures"
# This machine's own names: a page of another site can't have one, whatever address its name leads to.
_OWN_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# JSON-RPC 2.0, section 5.1.
_INVALID_REQUEST: Final = -32600

Pictures = dict[ImageRole, Upload | ComparisonError]


@dataclass(slots=True)
class McpDesk:
    """Takes calls in. One for each process that serves: its manager has tasks of its own, and runs only once."""

    new_manager: Callable[[], StreamableHTTPSessionManager]
    allowed_hosts: frozenset[str]
    running: StreamableHTTPSessionManager | None = None

    @property
    def manager(self) -> StreamableHTTPSessionManager:
        assert self.running is not None  # requests come while the app runs
        return self.running


def open_mcp(settings: Settings, pipeline: Pipeline, remembered: Remembered, logger: logging.Logger) -> McpDesk | None:
    """None where the operator has it off, or the extra `mcp` isn't installed."""
    if not settings.mcp.is_served:
        return None
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # a second, for who serves it

    from serve_app.serving import mcp_server

    compare = partial(_compared, pipeline, remembered, settings.profiles)
    new_manager = partial(
        StreamableHTTPSessionManager,
        mcp_server.server(compare, picture=tool.BY_VALUE, logger=logger, on_refusal=_note_refusal),
        json_response=True,  # one answer a request; any replica gives it
        stateless=True,
        max_request_body_size=settings.limits.max_body_bytes,  # of which it gets `_MOST_BYTES`
    )
    return McpDesk(new_manager, _OWN_HOSTS | {host.lower() for host in settings.mcp.allowed_hosts})


@asynccontextmanager
async def running(desk: McpDesk | None) -> AsyncIterator[None]:
    """The time in which calls can be taken."""
    if desk is None:
        yield
        return
    desk.running = desk.new_manager()
    async with desk.running.run():
        yield


def add_mcp(app: FastAPI, desk: McpDesk | None) -> None:
    """The route; without a desk it only says that there is no such tool."""
    if desk is None:
        app.add_api_route(MCP, _off, methods=["GET", "POST", "DELETE"], include_in_schema=False)
        return
    bodies = JsonBodies()

    # No GET: nobody is told anything that was not asked for. OpenAPI can't describe what is spoken here.
    @app.post(MCP, include_in_schema=False)
    async def mcp(request: Request) -> Response:
        _check_names(request, desk.allowed_hosts)
        try:
            _check_kind(request)
            text, pictures = await bodies.read(request, _taken_apart)
        except MalformedRequest as refusal:
            arrival(request).record.error = refusal.type
            return _no_message(refusal.detail)
        return _Handed(desk.manager, text, pictures)


async def _off(request: Request) -> Response:
    raise NotFound("The tool for agents is not there at this service; its operator can turn it on (args.mcp).")


def _check_names(request: Request, allowed: frozenset[str]) -> None:
    """By what name the service is asked, and from which page, if any: a browser can be led here by any name. Raises
    `NotAllowed`."""
    if _host(f"//{request.headers.get('host', '')}") not in allowed:
        raise NotAllowed("This Host is not one that the operator allows for /mcp (args.mcp.allowed_hosts).")
    origin = request.headers.get("origin")
    if origin is not None and _host(origin) not in allowed:
        raise NotAllowed("This Origin is not one that the operator allows for /mcp (args.mcp.allowed_hosts).")


def _check_kind(request: Request) -> None:
    """Raises `MalformedRequest`."""
    if parse_options_header(request.headers.get("content-type"))[0] != b"application/json":
        raise MalformedRequest("Send application/json.")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname  # without port and brackets, in small letters
    except ValueError:
        return None


def _taken_apart(read: Callable[[], bytes]) -> tuple[bytes, Pictures]:
    """The message without its pictures, and these. Raises `MalformedRequest` for what is no message."""
    from mcp_types import jsonrpc_message_adapter

    message = json_object(read())
    pictures = _pictures(message)
    try:
        jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        raise MalformedRequest("The body is not one message of JSON-RPC 2.0.") from None
    text = pydantic_core.to_json(message)
    if len(text) > _MOST_BYTES:
        raise MalformedRequest(f"The message is over {_MOST_BYTES} bytes without its pictures.")
    return text, pictures


def _pictures(message: dict[str, Any]) -> Pictures:
    """Out of the message, each as it is decoded: at most one is there twice."""
    params = message.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) else None
    if message.get("method") != "tools/call" or not isinstance(arguments, dict):
        return {}
    return {role: _picture(arguments.pop(role), role) for role in _ROLES if role in arguments}


def _picture(given: object, role: ImageRole) -> Upload | ComparisonError:
    """Refused later, where the call is answered."""
    if isinstance(given, str):
        try:
            return Upload(data_url.decoded(given if data_url.is_one(given) else f"data:;base64,{given}"))
        except ValueError:  # with binascii.Error
            pass
    told = "An image is given as a data: URL or its base64 alone; paths and other URLs are not read here."
    return MalformedRequest(told, image=role)


def _no_message(sentence: str) -> Response:
    error = {"code": _INVALID_REQUEST, "message": sentence}
    body = pydantic_core.to_json({"jsonrpc": "2.0", "id": None, "error": error})
    return Response(body, status_code=MalformedRequest.status, media_type="application/json")


class _Handed(Response):
    """The answer of the protocol's library to a message without pictures; these lie where `_compared` finds them."""

    def __init__(self, manager: StreamableHTTPSessionManager, text: bytes, pictures: Pictures) -> None:
        super().__init__()
        self._manager = manager
        self._text: bytes | None = text
        self._handed = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told() -> Message:
            text, self._text = self._text, None
            if text is None:
                return await receive()  # that the caller leaves
            return {"type": "http.request", "body": text, "more_body": False}

        of_text = str(len(self._text or b"")).encode()
        headers = [(name, of_text if name == b"content-length" else value) for name, value in scope["headers"]]
        await self._manager.handle_request({**scope, "headers": headers, _HANDED: self._handed}, told, send)


async def _compared(
    pipeline: Pipeline,
    remembered: Remembered,
    named: Mapping[str, Profile],
    request: Request,
    _: Mapping[str, Any],
    config: ImageComparisonConfig,
) -> ComparisonReport:
    """Raises `ComparisonError` and its kinds."""
    arrived = arrival(request)
    arrived.language = config.language
    config = profiles.applied(config, named)
    deadline = pipeline.deadline(config, arrived=arrived.time)
    report = await remembered.compare(
        *_both(request.scope[_HANDED]),
        config,
        deadline,
        lambda: promised(arrived, deadline, config),
        owner=arrived.record.key_name or "",
        freshness=freshness(request),
    )
    note(arrived.record, report)
    return report


def _note_refusal(request: Request, refusal: ComparisonError) -> None:
    arrival(request).record.error = refusal.type


def _both(pictures: Pictures) -> tuple[Upload, Upload]:
    """Taken out, so that they are gone as soon as nobody works on them."""
    found = []
    for role in _ROLES:
        picture = pictures.pop(role, None)
        if picture is None:
            raise TwoImagesRequired(f"Give two images, reference and candidate: the {role} is missing.")
        if isinstance(picture, ComparisonError):
            raise picture
        found.append(picture)
    return found[0], found[1]
