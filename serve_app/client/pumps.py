"""Carry the steps of a call out over httpx2, one after the other: for programs that wait, and for event loops.
Decide nothing: what is asked, tried again and waited for is in the steps."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, BinaryIO, Final, TypeVar

import httpx2

from serve_app.client.failures import ServerFailed, failing
from serve_app.client.steps import Flow, Head, Pause, Read, Send, Step, Tell, Walk

T = TypeVar("T")

# Until a server listens; there may be another behind its name.
_CONNECT_S: Final = 10.0


class Pump:
    """Connections to one server, kept until they are closed; any number of threads may use them. A process that was
    forked opens its own."""

    def __init__(self, server: str, transport: httpx2.BaseTransport | None = None) -> None:
        self._server = server
        self._transport = transport
        self._open()

    def run(self, flow: Flow[T]) -> T:
        """What a flow that tells nothing returns."""
        told = self.tell(flow)
        try:
            next(told)
        except StopIteration as ended:
            result: T = ended.value
            return result
        raise AssertionError("it tells something")

    def tell(self, flow: Flow[T]) -> Generator[Any, None, T]:
        """What a flow tells, while it is carried out; who leaves closes the answer that is half read."""
        walk = Walk(flow)
        with ExitStack() as stack:
            stack.callback(walk.close)
            answer = _Answer(self._pool(), self._server)
            stack.callback(answer.close)
            while (step := walk.step) is not None:
                if isinstance(step, Tell):
                    yield step.value
                    walk.done()
                    continue
                try:
                    with failing(self._server):
                        value = answer.done(step)
                except ServerFailed as exc:
                    walk.failed(exc)
                else:
                    walk.done(value)
            return walk.result

    def close(self) -> None:
        self._http.close()

    def _open(self) -> None:
        self._http = httpx2.Client(transport=self._transport)
        self._process = os.getpid()

    def _pool(self) -> httpx2.Client:
        if self._process != os.getpid():
            self._open()  # the parent goes on with the others; closing them here would write to its sockets
        return self._http


class _Answer:
    """The answer of one call at a time."""

    def __init__(self, http: httpx2.Client, server: str) -> None:
        self._http = http
        self._server = server
        self._response: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def done(self, step: Step) -> object:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Read):
            return next(self._pieces, b"")
        assert isinstance(step, Send)
        self.close()
        with ExitStack() as files:
            request = _request(self._http, self._server, step, files)
            self._response = self._http.send(request, stream=True)
        self._pieces = self._response.iter_bytes()
        return _head(self._response)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()


class AsyncPump:
    """The same on an event loop: one for each loop."""

    def __init__(self, server: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._server = server
        self._transport = transport
        self._open()

    async def run(self, flow: Flow[T]) -> T:
        walk = Walk(flow)
        async with AsyncExitStack() as stack:
            stack.callback(walk.close)
            answer = await stack.enter_async_context(_AsyncAnswer(self._pool(), self._server))
            while walk.step is not None:
                await self._step(walk, answer)
            return walk.result

    async def tell(self, flow: Flow[T]) -> AsyncGenerator[Any, None]:
        walk = Walk(flow)
        async with AsyncExitStack() as stack:
            stack.callback(walk.close)
            answer = await stack.enter_async_context(_AsyncAnswer(self._pool(), self._server))
            while walk.step is not None:
                if isinstance(walk.step, Tell):
                    yield walk.step.value
                    walk.done()
                else:
                    await self._step(walk, answer)

    async def close(self) -> None:
        await self._http.aclose()

    async def _step(self, walk: Walk[T], answer: _AsyncAnswer) -> None:
        assert walk.step is not None
        try:
            with failing(self._server):
                value = await answer.done(walk.step)
        except ServerFailed as exc:
            walk.failed(exc)
        else:
            walk.done(value)

    def _open(self) -> None:
        self._http = httpx2.AsyncClient(transport=self._transport)
        self._process = os.getpid()

    def _pool(self) -> httpx2.AsyncClient:
        if self._process != os.getpid():
            self._open()
        return self._http


class _AsyncAnswer:
    def __init__(self, http: httpx2.AsyncClient, server: str) -> None:
        self._http = http
        self._server = server
        self._response: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes]

    async def done(self, step: Step) -> object:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Read):
            async with asyncio.timeout(step.timeout_s):
                return await anext(self._pieces, b"")
        assert isinstance(step, Send)
        await self.close()
        with ExitStack() as files:
            request = _request(self._http, self._server, step, files)
            async with asyncio.timeout(step.timeout_s):
                self._response = await self._http.send(request, stream=True)
        self._pieces = self._response.aiter_bytes()
        return _head(self._response)

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()

    async def __aenter__(self) -> _AsyncAnswer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _request(http: httpx2.Client | httpx2.AsyncClient, server: str, step: Send, files: ExitStack) -> httpx2.Request:
    """Files are read while they are sent, 64 KiB at a time; `files` closes them. Raises OSError."""
    asked = step.request
    parts: list[tuple[str, tuple[str, bytes | BinaryIO]]] = []
    for field, sent in asked.parts:
        content = sent.content
        opened = content if isinstance(content, bytes) else files.enter_context(content.open("rb"))
        parts.append((field, (sent.name, opened)))
    return http.build_request(
        asked.method,
        f"{server.rstrip('/')}{asked.path}",
        params=list(asked.params) or None,
        headers=dict(asked.headers),
        data=dict(asked.fields) or None,
        files=parts or None,
        timeout=httpx2.Timeout(step.timeout_s, connect=min(step.timeout_s, _CONNECT_S)),
    )


def _head(response: httpx2.Response) -> Head:
    return Head(response.status_code, {name.lower(): value for name, value in response.headers.items()})
