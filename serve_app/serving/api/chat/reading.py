"""The body of a chat request in; its pictures, what is to be shown of them, and the conversation to be out.
Decodes no picture, and never repeats what a caller sent back at them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import Request
from pydantic import ValidationError

from serve_app.chat.chat import Begin
from serve_app.chat.pictures import Sent
from serve_app.core.conversation import Conversation, Sampling, Speaker, Turn
from serve_app.core.pictures import ShownImage, Upload
from serve_app.errors import MalformedRequest
from serve_app.serving.api import body, data_url
from serve_app.serving.api.arrival import arrival
from serve_app.serving.api.chat.shapes import REFUSED, ChatRequest, Message, TextPart
from serve_app.serving.image_urls import ImageUrls, Named, is_one
from serve_app.settings import Limits

NO_PICTURE: Final = "Send at least one picture: a part of type image_url with a data: URL, in a message of the user."
_LOW_SIDE: Final = 512  # of `detail` low, as OpenAI has it
_MAX_SCHEMA_BYTES: Final = 64 * 1024
_MOST_NAMED: Final = 20  # unknown fields in the log
_ANY_OBJECT: Final = '{"type":"object"}'
_NOT_AN_OBJECT: Final = "Input should be an object"  # pydantic's sentence names our class
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """`ignored`: names of fields that mean nothing here, for the log."""

    request: ChatRequest
    sent: tuple[Sent, ...]
    begin: Begin
    ignored: tuple[str, ...]


class ChatBodies:
    """Reads them under the operator's limits."""

    def __init__(self, limits: Limits, urls: ImageUrls | None = None) -> None:
        self._limits = limits
        self._urls = urls
        self._documents = body.JsonBodies()

    async def read(self, request: Request) -> Asked:
        """Raises `MalformedRequest`, `BodyTooLarge`, and what `ImageUrls.fetched` does."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise MalformedRequest("Send application/json.")
        uploads = _Uploads(self._limits.max_chat_pictures, takes_urls=self._urls is not None)
        asked = await self._documents.read(request, lambda read: self._asked(read, uploads))
        if self._urls is None or not uploads.elsewhere:
            return asked
        arrived = arrival(request)
        until = arrived.time + asked.request.processing_timeout
        came = await self._urls.fetched(list(uploads.elsewhere.values()), until, arrived.fetching)
        found = dict(zip(uploads.elsewhere, came, strict=True))
        sent = tuple(replace(each, upload=found.get(number, each.upload)) for number, each in enumerate(asked.sent))
        return replace(asked, sent=sent)

    def _asked(self, read: Callable[[], bytes], uploads: _Uploads) -> Asked:
        document = body.json_object(read())
        _refuse_by_name(document)
        _take_pictures(document, uploads)
        request = _validated(document)
        messages = list(_told(request.messages))
        if not uploads.taken:
            raise MalformedRequest(NO_PICTURE, field="/messages")
        self._check_texts(request.messages)
        most = self._most_tokens(request)
        sides = [
            min(self._limits.max_chat_side, _LOW_SIDE) if part.image_url.detail == "low" else self._limits.max_chat_side
            for message in request.messages
            if isinstance(message.content, list)
            for part in message.content
            if not isinstance(part, TextPart)
        ]
        sent = tuple(Sent(upload, side) for upload, side in zip(uploads.taken, sides, strict=True))
        return Asked(request, sent, _begin(request, tuple(messages), most), _ignored(document))

    def _check_texts(self, messages: list[Message]) -> None:
        texts = [text for message in messages for text in _texts(message)]
        if sum(len(text.encode("utf-8", "replace")) for text in texts) > self._limits.max_chat_text_bytes:
            raise MalformedRequest(
                f"The texts of a conversation are at most {self._limits.max_chat_text_bytes} bytes here.",
                field="/messages",
            )

    def _most_tokens(self, request: ChatRequest) -> int:
        most = self._limits.max_chat_tokens
        if request.limit is None:
            return most
        name, value = request.limit
        if value > most:
            raise MalformedRequest(f"{name} is at most {most} here.", field=f"/{name}")
        return value


class _Uploads:
    """Pictures in the order in which they stand in the messages; `elsewhere`, by their place, those to be fetched."""

    def __init__(self, most: int, *, takes_urls: bool) -> None:
        self._most = most
        self._takes_urls = takes_urls
        self.taken: list[Upload] = []
        self.elsewhere: dict[int, Named] = {}

    def take(self, url: str, field: str) -> str:
        """Decode one; what stands in its place. Raises `MalformedRequest`."""
        if len(self.taken) == self._most:
            raise MalformedRequest(f"A conversation has at most {self._most} pictures here.", field="/messages")
        if self._takes_urls and is_one(url):
            self.elsewhere[len(self.taken)] = Named(url, field)
            self.taken.append(Upload(b""))
            return "data:,"
        if re.match(r"\s{0,64}https?:", url, re.IGNORECASE):
            raise MalformedRequest("Pictures are not fetched from URLs here; send a data: URL.", field=field)
        if not data_url.is_one(url):
            raise MalformedRequest("A picture is given as a data: URL.", field=field)
        try:
            self.taken.append(Upload(data_url.decoded(url)))
        except ValueError:  # with binascii.Error
            raise MalformedRequest("The data: URL is not valid base64.", field=field) from None
        return "data:,"


def _take_pictures(document: dict[str, Any], uploads: _Uploads) -> None:
    """Out of the document one by one, as they are decoded: at most one is there twice."""
    messages = document.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for place, part in enumerate(content if isinstance(content, list) else ()):
            image = part.get("image_url") if isinstance(part, dict) and part.get("type") == "image_url" else None
            if isinstance(image, dict) and isinstance(image.get("url"), str):
                image["url"] = uploads.take(image.pop("url"), f"/messages/{number}/content/{place}/image_url/url")


def _refuse_by_name(document: dict[str, Any]) -> None:
    for name, harmless in REFUSED.items():
        value = document.get(name)
        if value is not None and value not in harmless:
            raise MalformedRequest(f"{name} can't be used here.", field=f"/{name}")
    messages = document.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict) and message.get("tool_calls"):
            raise MalformedRequest("tool_calls can't be used here.", field=f"/messages/{number}/tool_calls")


def _validated(document: dict[str, Any]) -> ChatRequest:
    try:
        return ChatRequest.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    steps = [str(step) for step in first["loc"] if _PLAIN_NAME.fullmatch(str(step))]
    field = "/".join(("", *steps)) or None
    said = _NOT_AN_OBJECT if first["type"] == "model_type" else first["msg"].removeprefix("Value error, ")
    raise MalformedRequest(f"{'.'.join(steps)}: {said}." if steps else f"{said}.", field=field)


def _told(messages: list[Message]) -> Iterator[Turn]:
    """The turns, pictures by their number. Raises `MalformedRequest`."""
    count = 0
    for number, message in enumerate(messages):
        speaker: Speaker = "system" if message.role == "developer" else message.role
        parts: list[str | int] = []
        for part in [message.content] if isinstance(message.content, str) else message.content:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, TextPart):
                parts.append(part.text)
            elif speaker == "user":
                parts.append(count)
                count += 1
            else:
                raise MalformedRequest(
                    "Only messages of the user may hold pictures.", field=f"/messages/{number}/content"
                )
        yield Turn(speaker, tuple(part for part in parts if part != ""))


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content if isinstance(part, TextPart)]


def _begin(request: ChatRequest, turns: tuple[Turn, ...], most_tokens: int) -> Begin:
    schema = _schema(request)
    given = {
        name: value
        for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
        if (value := getattr(request, name)) is not None
    }

    def begin(pictures: tuple[ShownImage, ...]) -> Conversation:
        return Conversation(
            turns=turns,
            pictures=pictures,
            max_tokens=most_tokens,
            sampling=Sampling(**given),
            stops=request.stops,
            num_alternatives=(request.top_logprobs or 0) if request.logprobs else None,
            schema=schema,
        )

    return begin


def _schema(request: ChatRequest) -> str | None:
    """As JSON. Raises `MalformedRequest`."""
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is None or wanted.type == "json_object":
        return _ANY_OBJECT
    schema = json.dumps(wanted.json_schema.schema_)
    if len(schema) > _MAX_SCHEMA_BYTES:
        raise MalformedRequest(
            f"A JSON schema is at most {_MAX_SCHEMA_BYTES} bytes here.", field="/response_format/json_schema/schema"
        )
    return schema


def _ignored(document: dict[str, Any]) -> tuple[str, ...]:
    known = ChatRequest.model_fields.keys() | REFUSED.keys()
    names = sorted(name for name in document if name not in known)
    return tuple(name for name in names if _PLAIN_NAME.fullmatch(name))[:_MOST_NAMED]
