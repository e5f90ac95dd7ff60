"""One chat request to an OpenAI-compatible server, and one clear sentence for each way it can fail.
No questions, no labels: a body goes out, text and tokens come back.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from pydantic import ValidationError

from serve_app.core.clock import Deadline
from serve_app.errors import ComparisonError, ModelFailed, Overloaded, Unavailable
from serve_app.settings import ServerSettings
from serve_app.vlm.remote import shapes
from serve_app.vlm.remote.wire import Chunk, Models, WrittenToken
from serve_app.vlm.unavailable import ModelUnavailable

CHECK_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 5.0
ATTEMPTS: Final = 3  # of a request that the server was too busy for, or that didn't reach it
FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 10.0  # a server that wants a longer pause is overloaded: our caller is told so
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024  # 300 tokens with 20 alternatives each are under 1 MB
MAX_SAID_BYTES: Final = 2000
_PASSING: Final = frozenset({429, 502, 503, 504})


class ServerFault(Exception):
    """The server didn't answer. The text is for the operator; `for_caller` names nothing of the server."""

    def __init__(
        self, sentence: str, *, status: int | None = None, retry_after_s: float | None = None, said: str = ""
    ) -> None:
        super().__init__(sentence)
        self.status = status  # None: not reached
        self.retry_after_s = retry_after_s
        self.said = said  # the server's own words, which may quote the request: fit to be shown of our own requests

    @property
    def is_refusal(self) -> bool:
        """Whether the request itself was found wrong: another one may pass."""
        return self.status in (400, 422)

    @property
    def is_passing(self) -> bool:
        return self.status is None or self.status in _PASSING

    def for_caller(self) -> ComparisonError:
        after = None if self.retry_after_s is None else max(1, round(self.retry_after_s))
        if self.status == 429:
            return Overloaded("The model's server has too much to do.", retry_after_s=after)
        if self.is_passing:
            return Unavailable("The model can't be reached right now.", retry_after_s=after)
        return ModelFailed("The model could not assess this pair.")


@dataclass(frozen=True, slots=True)
class Completion:
    """`tokens` is empty where the server gives no log probabilities. `is_cut_off`: by the limit on tokens."""

    text: str
    tokens: tuple[WrittenToken, ...]
    prompt_tokens: int
    generated_tokens: int
    is_cut_off: bool = False

    @property
    def is_all_thought(self) -> bool:
        """Whether the limit came before the answer: nothing was written, or a thought that never ended."""
        return self.is_cut_off and not shapes.after_thought(self.text).strip()


class ChatServer:
    """Where it is and how it is spoken to. Holds no connection: each comparison opens its own."""

    def __init__(self, settings: ServerSettings, model: str) -> None:
        """Raises ModelUnavailable where the key can't be read."""
        self._url = (settings.base_url or "").rstrip("/")
        self._model = model
        self._key = _key(settings)
        self._key_source = settings.key_file or settings.key_env
        # Once, because reading the certificates takes 20 ms, and none where nothing is encrypted.
        is_encrypted = self._url.startswith("https:")
        self._tls = httpx2.create_ssl_context() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def client(self, parallel_requests: int) -> httpx2.AsyncClient:
        """No read timeout: the deadline of the comparison is the only clock."""
        return httpx2.AsyncClient(
            headers=self._headers,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=parallel_requests),
            verify=self._tls,
        )

    def check(self) -> None:
        """Ask for its list of models. Raises ModelUnavailable.

        A name that isn't on the list may still be served (`transformers serve` lists its cache only), and there are
        servers without a list: only the warm-up finds out whether the model answers.
        """
        url = f"{self._url}/models"
        try:
            reply = httpx2.get(url, headers=self._headers, timeout=CHECK_TIMEOUT_S, verify=self._tls)
            if reply.status_code in (401, 403):
                raise ModelUnavailable(str(self._fault(reply.status_code, reply.headers)))
            if reply.status_code == httpx2.codes.OK:
                Models.model_validate_json(reply.content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise ModelUnavailable(str(self._unreached(exc))) from None
        except ValidationError:
            raise ModelUnavailable(f"{url} answers, but not with a list of models: is base_url right?") from None

    async def complete(
        self, client: httpx2.AsyncClient, body: bytes, deadline: Deadline, on_begin: Callable[[], None]
    ) -> Completion:
        """Send the request, again where the server was only busy; `on_begin` is called with the first byte of
        the answer, when the server has read the prompt.

        Raises ServerFault.
        """
        for attempt in itertools.count(1):
            try:
                return await self._send(client, body, on_begin)
            except ServerFault as fault:
                pause = fault.retry_after_s or FIRST_PAUSE_S * attempt
                if not fault.is_passing or attempt == ATTEMPTS or pause > min(MAX_PAUSE_S, deadline.remaining_s):
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the loop has no end of its own")

    async def _send(self, client: httpx2.AsyncClient, body: bytes, on_begin: Callable[[], None]) -> Completion:
        text: list[str] = []
        tokens: list[WrittenToken] = []
        prompt_tokens, generated, is_cut_off = 0, 0, False
        async for chunk in self.chunks(client, body):
            on_begin()
            text.append(chunk.text)
            tokens += chunk.tokens
            is_cut_off = is_cut_off or chunk.is_cut_off
            if chunk.usage is not None:
                prompt_tokens, generated = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        return Completion("".join(text), tuple(tokens), prompt_tokens, generated or len(tokens), is_cut_off)

    async def chunks(self, client: httpx2.AsyncClient, body: bytes) -> AsyncIterator[Chunk]:
        """The answer to one request as it comes, or as one piece. Raises ServerFault, also where there was none."""
        url, headers, num_choices = f"{self._url}/chat/completions", {"Content-Type": "application/json"}, 0
        try:
            async with client.stream("POST", url, content=body, headers=headers) as reply:
                if reply.status_code != httpx2.codes.OK:
                    said = await anext(reply.aiter_bytes(MAX_SAID_BYTES), b"")
                    raise self._fault(reply.status_code, reply.headers, _message(said))
                async for event in self._events(reply):
                    chunk = self._read(event)
                    num_choices += bool(chunk.choices)
                    yield chunk
        except httpx2.HTTPError as exc:
            raise self._unreached(exc) from None
        if not num_choices:
            raise self._garbled()

    def _read(self, event: bytes) -> Chunk:
        try:
            chunk = Chunk.model_validate_json(event)
        except ValidationError:
            raise self._garbled() from None
        if chunk.error is not None:
            raise ServerFault(f"{self._url} broke off its answer with an error.", status=500)
        return chunk

    async def _events(self, reply: httpx2.Response) -> AsyncIterator[bytes]:
        """The data of server-sent events, or the whole body of a server that doesn't stream; bounded."""
        is_stream = "event-stream" in reply.headers.get("content-type", "")
        size, rest = 0, b""
        async for piece in reply.aiter_bytes():
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise ServerFault(f"{self._url} sent more than {MAX_ANSWER_BYTES} bytes as one answer.", status=200)
            rest += piece
            if is_stream and b"\n" in piece:
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    data = line.removeprefix(b"data:").strip()
                    if data == b"[DONE]":
                        return
                    if line.startswith(b"data:") and data:
                        yield data
        if not is_stream:
            yield rest

    def _fault(self, status: int, headers: httpx2.Headers, said: str = "") -> ServerFault:
        sentence = f"{self._url} {self._reason(status)}"
        return ServerFault(sentence, status=status, retry_after_s=_seconds(headers), said=said)

    def _reason(self, status: int) -> str:
        if status in (401, 403):
            ours = f"the key from {self._key_source}" if self._key_source else "a request without a key"
            return f"refuses {ours} ({status}): name the right one in model.server.key_file or key_env."
        if status == 404:
            return f"knows no model {self._model} or no chat (404): base_url ends with the API's version, such as /v1."
        if status in (400, 422):
            return f"refuses a request with two pictures for {self._model} ({status})."
        if status == 429:
            return "is over its limit of requests (429)."
        return f"answers {status} to a chat request."

    def _unreached(self, exc: Exception) -> ServerFault:
        return ServerFault(f"{self._url} can't be reached or broke off ({type(exc).__name__}): does the server run?")

    def _garbled(self) -> ServerFault:
        return ServerFault(f"{self._url} answers, but not as a chat completion: is base_url right?", status=200)


def _key(settings: ServerSettings) -> str | None:
    if settings.key_env:
        key = os.environ.get(settings.key_env, "").strip()
        where = f"the environment variable {settings.key_env}"
    elif settings.key_file:
        where = settings.key_file
        try:
            key = Path(settings.key_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ModelUnavailable(f"The API key in {where} can't be read: {type(exc).__name__}.") from None
    else:
        return None
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ModelUnavailable(f"There is no API key in {where}: one line of printable ASCII is expected.")
    return key


def _seconds(headers: httpx2.Headers) -> float | None:
    """Retry-After in seconds; its other form, a date, is left to our own pause."""
    said = headers.get("retry-after", "")
    return float(said) if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", said) else None


def _message(body: bytes) -> str:
    """What an error's body says, on one line: OpenAI's {"error": {"message"}}, FastAPI's {"detail"} or plain text."""
    text = body.decode("utf-8", "replace")
    try:
        described = json.loads(text)
    except ValueError:
        described = text
    while isinstance(described, dict):
        described = next((described[key] for key in ("error", "message", "detail") if key in described), "")
    return " ".join(str(described).split())[:200]
