"""What a model is told and shown in a conversation, and what it says.
What an engine's author reads beside `inquiry.py`: no HTTP, no template, no tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serve_app.core.pictures import ShownImage

Speaker = Literal["system", "user", "assistant"]
EndReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says. `parts`: texts, and for a picture its index in `Conversation.pictures`."""

    speaker: Speaker
    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `temperature` 0: always the likeliest one. `seed` None: chance."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything the model gets before it says something.

    `pictures`: at least one, in the order in which the turns name them. `max_tokens`: of the answer. `stops`: texts
    that end it and are not part of it. `num_alternatives`: likeliest tokens told beside each one that is said; None: no
    log probabilities at all. `schema`: a JSON schema that holds the answer, as JSON.
    """

    turns: tuple[Turn, ...]
    pictures: tuple[ShownImage, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    num_alternatives: int | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that could have been said. `spelling`: its bytes, perhaps a part of a character."""

    spelling: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class SaidToken(Candidate):
    """One that was said, and the likeliest ones in its place, the likeliest first."""

    alternatives: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """The next piece of an answer: whole characters, and its tokens where log probabilities are wanted."""

    text: str
    tokens: tuple[SaidToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is over. `reason`: by its own end or a stop text, or because `max_tokens` were said."""

    reason: EndReason
    prompt_tokens: int
    generated_tokens: int


Spoken = Said | Ended
