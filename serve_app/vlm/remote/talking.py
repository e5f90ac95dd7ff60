"""A conversation handed on to a chat server, and its answer handed back as it comes.
No questions, no retries once something was said: `server` speaks HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

from serve_app.core.clock import Deadline
from serve_app.core.conversation import Candidate, Conversation, Ended, Said, SaidToken, Turn
from serve_app.errors import ComparisonError, MalformedRequest, ModelFailed
from serve_app.vlm.remote import pictures
from serve_app.vlm.remote.server import ATTEMPTS, FIRST_PAUSE_S, MAX_PAUSE_S, ChatServer, ServerFault
from serve_app.vlm.remote.wire import Chunk, Options, WrittenToken

Tell = Callable[[Said], None]


def body(model: str, conversation: Conversation, options: Options) -> bytes:
    """The request: what was asked for, as far as it is not what a server does anyway."""
    urls = [pictures.url(shown) for shown in conversation.pictures]
    messages = [{"role": turn.speaker, "content": list(_parts(turn, urls))} for turn in conversation.turns]
    request = {"model": model, "messages": messages, "stream": True, **_fields(conversation, options)}
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")


async def talk(server: ChatServer, request: bytes, tell: Tell, deadline: Deadline) -> Ended:
    """Raises ServerFault."""
    heard = _Heard(tell)
    async with server.client(1) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async for chunk in server.chunks(client, request):
                    heard.take(chunk)
                return heard.ended()
            except ServerFault as fault:
                pause = fault.retry_after_s or FIRST_PAUSE_S * attempt
                is_last = attempt == ATTEMPTS or pause > min(MAX_PAUSE_S, deadline.remaining_s)
                if heard.has_begun or is_last or not fault.is_passing:
                    raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns or raises")


def for_caller(fault: ServerFault) -> ComparisonError:
    """What whoever talks is told; nothing of the server."""
    if fault.is_refusal:
        return MalformedRequest(
            "The model's server refuses this conversation: it may be too long, or ask for too much."
        )
    told = fault.for_caller()
    return ModelFailed("The model could not answer.") if isinstance(told, ModelFailed) else told


class _Heard:
    """What came so far."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._is_cut_off = False
        self._prompt_tokens = 0
        self._generated: int | None = None
        self._pieces = 0
        self.has_begun = False

    def take(self, chunk: Chunk) -> None:
        self.has_begun = True
        self._is_cut_off = self._is_cut_off or chunk.is_cut_off
        if chunk.usage is not None:
            self._prompt_tokens, self._generated = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        tokens = tuple(_token(one) for one in chunk.tokens)
        if chunk.text or tokens:
            self._pieces += max(1, len(tokens))
            self._tell(Said(chunk.text, tokens))

    def ended(self) -> Ended:
        """A server that counts nothing: about a token a piece."""
        generated = self._pieces if self._generated is None else self._generated
        return Ended("length" if self._is_cut_off else "stop", self._prompt_tokens, generated)


def _token(written: WrittenToken) -> SaidToken:
    others = tuple(Candidate(one.spelling, one.logprob) for one in written.top_logprobs)
    return SaidToken(written.spelling, written.logprob, others)


def _parts(turn: Turn, urls: list[str]) -> Iterator[dict[str, Any]]:
    for part in turn.parts:
        if isinstance(part, str):
            yield {"type": "text", "text": part}
        else:
            yield {"type": "image_url", "image_url": {"url": urls[part]}}


def _fields(conversation: Conversation, options: Options) -> dict[str, Any]:
    sampling = conversation.sampling
    fields: dict[str, Any] = {options.limit or "max_tokens": conversation.max_tokens}
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        if (value := getattr(sampling, name)) != getattr(type(sampling)(), name):
            fields[name] = value
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
    if conversation.stops:
        fields["stop"] = list(conversation.stops)
    if conversation.num_alternatives is not None:
        fields |= {"logprobs": True, "top_logprobs": conversation.num_alternatives}
    if conversation.schema is not None:
        described = {"name": "answer", "schema": json.loads(conversation.schema)}
        fields["response_format"] = {"type": "json_schema", "json_schema": described}
    if options.tells_usage:
        fields["stream_options"] = {"include_usage": True}
    if options.is_thinking_off:
        fields["chat_template_kwargs"] = {"enable_thinking": False}
    return fields
