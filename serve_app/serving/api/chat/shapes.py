"""What callers of OpenAI's chat API send, as far as it means something here.
No pictures, no routes: names and ranges. The models of the `openai` package are of no use for it: its typed dicts let
a temperature of 99 pass, and read messages only when somebody looks at them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MOST_STOPS: Final = 4
MOST_ALTERNATIVES: Final = 20
_MOST_MESSAGES: Final = 256
_TIMEOUT_S: Final = 60.0  # as a comparison has it

_Finite = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class TextPart(BaseModel):
    model_config = _Finite

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """`url`: a data: URL. `detail` low: shown at most 512 pixels a side."""

    model_config = _Finite

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(BaseModel):
    model_config = _Finite

    type: Literal["image_url"]
    image_url: ImageUrl


def _kind_of_part(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return f"<{kind}>" if kind in ("text", "image_url") else None


def _kind_of_content(content: Any) -> str | None:
    return "<text>" if isinstance(content, str) else "<parts>" if isinstance(content, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[ImagePart, Tag("<image_url>")],
    Discriminator(
        _kind_of_part,
        custom_error_type="part",
        custom_error_message="A part of a message is a text or an image_url",
    ),
]
Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[Part], Tag("<parts>")],
    Discriminator(
        _kind_of_content,
        custom_error_type="content",
        custom_error_message="The content of a message is a text or a list of parts",
    ),
]


_Stop = Annotated[str, Field(min_length=1, max_length=256)]
Stops = Annotated[
    Annotated[_Stop, Tag("<text>")] | Annotated[list[_Stop], Field(max_length=MOST_STOPS), Tag("<parts>")],
    Discriminator(
        _kind_of_content, custom_error_type="stop", custom_error_message="A stop is a text or a list of texts"
    ),
]


class Message(BaseModel):
    model_config = _Finite

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class JsonSchema(BaseModel):
    """`schema`: compact JSON on one line will be held to it, whatever `strict` says."""

    model_config = _Finite

    name: Annotated[str, Field(max_length=64)] = "answer"
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    model_config = _Finite

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("response_format json_schema needs a json_schema")
        return self


class StreamOptions(BaseModel):
    model_config = _Finite

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A body of `POST /v1/chat/completions`. Other fields of that API are ignored; those that would change the answer
    are refused by name."""

    model_config = _Finite

    model: Annotated[str, Field(min_length=1, max_length=512)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=_MOST_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    stop: Stops | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)] | None = None
    response_format: ResponseFormat | None = None
    n: Literal[1] | None = None
    modalities: list[Literal["text"]] | None = None
    processing_timeout: Annotated[
        float, Field(gt=0, description="Seconds for the whole request, waiting included; not a field of OpenAI's")
    ] = _TIMEOUT_S

    @model_validator(mode="after")
    def _fits_together(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def limit(self) -> tuple[str, int] | None:
        """The limit on tokens, by the name that was used: the newer one, where both are."""
        for name in ("max_completion_tokens", "max_tokens"):
            if (value := getattr(self, name)) is not None:
                return name, value
        return None


def described() -> dict[str, Any]:
    """A body as OpenAPI has it, whole: what it is made of would else be looked for among the page's components."""
    whole = ChatRequest.model_json_schema()
    parts = whole.pop("$defs", {})

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inlined(parts[value["$ref"].rpartition("/")[2]])
            return {name: inlined(each) for name, each in value.items()}
        return [inlined(each) for each in value] if isinstance(value, list) else value

    schema: dict[str, Any] = inlined(whole)
    return schema


# Fields that would change the answer, and what they may be without that.
REFUSED: Final[dict[str, tuple[Any, ...]]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "logit_bias": ({},),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
}
