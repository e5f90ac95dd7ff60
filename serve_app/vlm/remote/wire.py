"""What goes to an OpenAI-compatible chat server and what comes back, as values.
No sockets, no questions: field names of the chat completions API, and the options that not every server takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Alternative(_Received):
    """One token that the model could have written at a position."""

    token: str
    logprob: float
    raw: list[int] | None = Field(None, alias="bytes")  # where a token holds part of a character, `token` is no truth

    @property
    def spelling(self) -> bytes:
        return bytes(self.raw) if self.raw is not None else self.token.encode("utf-8", "surrogatepass")


class WrittenToken(Alternative):
    """The token that it wrote, and the likeliest ones in its place."""

    top_logprobs: list[Alternative] = []


class _Logprobs(_Received):
    content: list[WrittenToken] | None = None


class _Text(_Received):
    content: str | None = None


class _Choice(_Received):
    delta: _Text | None = None
    message: _Text | None = None  # of a server that answers at once although asked for a stream
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class Usage(_Received):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(_Received):
    """One event of a streamed answer, or the whole answer of a server that doesn't stream."""

    choices: list[_Choice] = []
    usage: Usage | None = None
    error: Any = None

    @property
    def text(self) -> str:
        part = (self.choices[0].delta or self.choices[0].message) if self.choices else None
        return part.content or "" if part else ""

    @property
    def tokens(self) -> list[WrittenToken]:
        logprobs = self.choices[0].logprobs if self.choices else None
        return logprobs.content or [] if logprobs else []

    @property
    def is_cut_off(self) -> bool:
        """Whether the limit on tokens ended it."""
        return bool(self.choices) and self.choices[0].finish_reason == "length"


class Models(_Received):
    """The answer of GET /models."""

    class _Model(_Received):
        id: str

    data: list[_Model]


@dataclass(frozen=True, slots=True)
class Options:
    """What a server takes beside model and messages. The defaults are the most we ask for."""

    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    is_greedy: bool = True  # some hosted models refuse any temperature but their own
    schema: Literal["json_schema", "json_object"] | None = "json_schema"
    top_logprobs: Literal[20, 5, 0] = 20  # 20 is the API's most, 5 that of several hosts
    tells_usage: bool = True
    is_thinking_off: bool = True  # vLLM, SGLang and transformers hand it to the chat template
    effort: Literal["none", "minimal", "low"] | None = None  # of a model that thinks all the same, where it takes this
    thought_tokens: int = 0  # and else room for its thought, before every answer

    def fields(self, max_tokens: int, schema: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.limit:
            fields[self.limit] = max_tokens + self.thought_tokens
        if self.effort:
            fields["reasoning_effort"] = self.effort
        if self.is_greedy:
            fields["temperature"] = 0
        if self.schema == "json_schema":
            described = {"name": "answer", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": described}
        elif self.schema == "json_object":
            fields["response_format"] = {"type": "json_object"}
        if self.top_logprobs:
            fields |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if self.tells_usage:
            fields["stream_options"] = {"include_usage": True}
        if self.is_thinking_off:
            fields["chat_template_kwargs"] = {"enable_thinking": False}
        return fields


PLAIN = Options(None, False, None, 0, False, False)
THOUGHT_TOKENS = 2048  # in which most thoughts about two pictures end
# What may bring a model to its answer that thinks first, the cheapest first.
BRISKER: tuple[tuple[str, Any], ...] = (
    ("effort", "none"),
    ("effort", "minimal"),
    ("effort", "low"),
    ("thought_tokens", THOUGHT_TOKENS),
)
# One option after the other, from what is missed most; for each its values, best first.
OFFERS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("limit", ("max_tokens", "max_completion_tokens")),
    ("schema", ("json_schema", "json_object")),
    ("top_logprobs", (20, 5)),
    ("is_greedy", (True,)),
    ("is_thinking_off", (True,)),
    ("tells_usage", (True,)),
)


def body(model: str, pictures: Sequence[tuple[str, str]], text: str, fields: dict[str, Any]) -> bytes:
    """A chat request. `pictures`: name (or none) and URL of each.

    They go first and the text that differs last, so that a server's prefix cache holds the rest.
    """
    content: list[dict[str, Any]] = []
    for name, url in pictures:
        content += [{"type": "text", "text": name}] if name else []
        content.append({"type": "image_url", "image_url": {"url": url}})
    content.append({"type": "text", "text": text})
    request = {"model": model, "messages": [{"role": "user", "content": content}], "stream": True, **fields}
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
