"""What callers of OpenAI's chat API get: a whole answer, or its pieces as they are said.
No conversation, no routes: pieces in, their models out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import BaseModel, Field

from serve_app.core.conversation import Candidate, Ended, EndReason, Said, SaidToken

# A probability of 0 has no logarithm that JSON could hold; this is what OpenAI says of a very unlikely token.
_UNLIKELY: Final = -9999.0


def _is_none(value: object) -> bool:
    return value is None


class Alternative(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class Token(Alternative):
    top_logprobs: list[Alternative]


class Logprobs(BaseModel):
    content: list[Token] | None
    refusal: None = None


class Answer(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[str] = []  # that API's word for citations: none are ever made


class Choice(BaseModel):
    index: Literal[0] = 0
    message: Answer
    logprobs: Logprobs | None
    finish_reason: EndReason


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    """What of it is not said is left out: null would be a value."""

    role: Literal["assistant"] | None = Field(None, exclude_if=_is_none)
    content: str | None = Field(None, exclude_if=_is_none)


class ChunkChoice(BaseModel):
    index: Literal[0] = 0
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: EndReason | None = None


class ChatCompletionChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = Field(None, exclude_if=_is_none)


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["pairlens"] = "pairlens"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@dataclass(slots=True)
class Answering:
    """One answer under its id. `tells_tokens`: log probabilities are wanted."""

    id: str
    created: int
    model: str
    tells_tokens: bool
    _texts: list[str] = field(default_factory=list)
    _tokens: list[SaidToken] = field(default_factory=list)

    def take(self, said: Said) -> None:
        self._texts.append(said.text)
        self._tokens += said.tokens

    def whole(self, ended: Ended) -> ChatCompletion:
        """Of all that was taken."""
        message = Answer(content=_clean("".join(self._texts)))
        choice = Choice(message=message, logprobs=self._logprobs(self._tokens), finish_reason=ended.reason)
        return ChatCompletion(
            id=self.id, created=self.created, model=self.model, choices=[choice], usage=usage_of(ended)
        )

    def first(self) -> ChatCompletionChunk:
        """Who speaks."""
        return self._chunk(ChunkChoice(delta=Delta(role="assistant", content="")))

    def piece(self, said: Sequence[Said]) -> ChatCompletionChunk:
        text = _clean("".join(one.text for one in said))
        tokens = [token for one in said for token in one.tokens]
        return self._chunk(ChunkChoice(delta=Delta(content=text), logprobs=self._logprobs(tokens)))

    def last(self, ended: Ended) -> ChatCompletionChunk:
        return self._chunk(ChunkChoice(delta=Delta(), finish_reason=ended.reason))

    def counted(self, ended: Ended) -> ChatCompletionChunk:
        """Behind the last piece, where the caller wants to know the usage."""
        return ChatCompletionChunk(
            id=self.id, created=self.created, model=self.model, choices=[], usage=usage_of(ended)
        )

    def _chunk(self, choice: ChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=[choice])

    def _logprobs(self, tokens: Sequence[SaidToken]) -> Logprobs | None:
        return Logprobs(content=[_token(one) for one in tokens]) if self.tells_tokens else None


def usage_of(ended: Ended) -> Usage:
    told, said = ended.prompt_tokens, ended.generated_tokens
    return Usage(prompt_tokens=told, completion_tokens=said, total_tokens=told + said)


def _token(said: SaidToken) -> Token:
    others = [_alternative(one) for one in said.alternatives]
    return Token(**_alternative(said).model_dump(), top_logprobs=others)


def _alternative(candidate: Candidate) -> Alternative:
    logprob = candidate.logprob if math.isfinite(candidate.logprob) else _UNLIKELY
    spelt = candidate.spelling
    return Alternative(token=spelt.decode("utf-8", "replace"), logprob=logprob, bytes=list(spelt))


def _clean(text: str) -> str:
    """Halves of surrogate pairs, which a careless engine may say, are no text."""
    return text.encode("utf-8", "replace").decode()
