"""A small OpenAI-compatible chat server on loopback, whose every answer a test writes.
No model: it sees requests and plays what it is given.
"""

from __future__ import annotations

import asyncio
import functools
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

    url: str
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def texts(self) -> list[str]:
        return [asked["messages"][0]["content"][-1]["text"] for asked in self.asked]


@contextmanager
def playing(answer: Answering, models: Response | None = None) -> Iterator[Played]:
    """Serve `answer` at /v1/chat/completions until the block ends."""
    stage = _stage()
    stage.play = _Play(answer, models or JSONResponse({"object": "list", "data": [{"id": "tiny"}]}), Played(stage.url))
    yield stage.play.played


@dataclass
class _Play:
    answer: Answering
    models: Response
    played: Played
    working: int = 0


class _Stage:
    """The one server of a test run, in a thread that ends with it: starting one for each test takes 0.2 s."""

    def __init__(self) -> None:
        self.play: _Play | None = None
        routes = [Route("/v1/chat/completions", self._chat, methods=["POST"]), Route("/v1/models", self._models)]
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        config = uvicorn.Config(Starlette(routes=routes), lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()

    @property
    def _playing(self) -> _Play:
        if self.play is None:
            raise RuntimeError("no play is on")
        return self.play

    async def _chat(self, request: Request) -> Response:
        play = self._playing
        play.played.asked.append(await request.json())
        play.played.headers.append(dict(request.headers))
        play.working += 1
        play.played.most_at_once = max(play.played.most_at_once, play.working)
        try:
            return await play.answer(play.played.asked[-1])
        finally:
            play.working -= 1

    async def _models(self, _: Request) -> Response:
        return self._playing.models


_stage = functools.cache(_Stage)


def streamed(
    text: str, tokens: Sequence[tuple[str, dict[str, float]]] = (), *, usage: bool = True, finish: str = "stop"
) -> Response:
    """An answer as server-sent events. `tokens`: each token written, with the probabilities of all candidates."""
    events: list[Asked] = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
    for written, candidates in tokens:
        logprobs = {"content": [{**_candidate(written, candidates), "top_logprobs": _all(candidates)}]}
        events.append({"choices": [{"delta": {"content": written}, "logprobs": logprobs}]})
    if not tokens:
        events.append({"choices": [{"delta": {"content": text}}]})
    events.append({"choices": [{"delta": {}, "finish_reason": finish}]})
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
