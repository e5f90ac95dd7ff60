"""A small OpenAI-compatible chat server on loopback, whose every answer a test writes.
No model: it sees requests and plays what it is given.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Asked = dict[str, Any]
Answering = Callable[[Asked], Awaitable[Response]]


@dataclass
class Played:
    """What a test sees of the server: requests in the order of their arrival, and how many it answered at once."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def texts(self) -> list[str]:
        return [asked["messages"][0]["content"][-1]["text"] for asked in self.asked]


@contextmanager
def playing(answer: Answering, models: Response | None = None) -> Iterator[Played]:
    """Serve `answer` at /v1/chat/completions until the block ends."""
    played, working = Played(), [0]

    async def chat(request: Request) -> Response:
        asked = await request.json()
        played.asked.append(asked)
        played.headers.append(dict(request.headers))
        working[0] += 1
        played.most_at_once = max(played.most_at_once, working[0])
        try:
            return await answer(asked)
        finally:
            working[0] -= 1

    async def listed(_: Request) -> Response:
        return models or JSONResponse({"object": "list", "data": [{"id": "tiny"}]})

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", listed)])
    with socket.create_server(("127.0.0.1", 0)) as listening, _running(app, listening):
        played.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        yield played


@contextmanager
def _running(app: Starlette, listening: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def streamed(text: str, tokens: Sequence[tuple[str, dict[str, float]]] = (), *, usage: bool = True) -> Response:
    """An answer as server-sent events. `tokens`: each token written, with the probabilities of all candidates."""
    events: list[Asked] = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
    for written, candidates in tokens:
        logprobs = {"content": [{**_candidate(written, candidates), "top_logprobs": _all(candidates)}]}
        events.append({"choices": [{"delta": {"content": written}, "logprobs": logprobs}]})
    if not tokens:
        events.append({"choices": [{"delta": {"content": text}}]})
    if usage:
        events.append({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": max(1, len(tokens))}})
    return raw("".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n")


def raw(text: str, content_type: str = "text/event-stream") -> Response:
    return Response(text, media_type=content_type)


def endless(hung_up: threading.Event | None = None) -> Response:
    """A stream that begins and never ends; `hung_up` is set when the client leaves it."""

    async def pieces() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"delta": {"content": "{"}}]}\n\n'
        try:
            await asyncio.Event().wait()
        finally:
            if hung_up is not None:
                hung_up.set()

    return StreamingResponse(pieces(), media_type="text/event-stream")


def _candidate(token: str, candidates: dict[str, float]) -> Asked:
    return {"token": token, "logprob": math.log(candidates[token]), "bytes": list(token.encode())}


def _all(candidates: dict[str, float]) -> list[Asked]:
    return [_candidate(token, candidates) for token in candidates]
