"""`POST /v1/chat/completions` and `GET /v1/models`: OpenAI's API over the model that compares.
Admitted, queued and bounded in time as `POST /v1/compare` is; until the first token a refusal has its own status.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi import FastAPI, Request, Response

from serve_app.chat.chat import Chat, model_name
from serve_app.core.clock import Deadline
from serve_app.core.conversation import Ended, Spoken
from serve_app.errors import ModelNotFound
from serve_app.serving.admission import Ticket
from serve_app.serving.api import asking
from serve_app.serving.api.arrival import Arrival, arrival
from serve_app.serving.api.chat import events, refusals, shapes
from serve_app.serving.api.chat.reading import Asked, ChatBodies
from serve_app.serving.api.chat.refusals import CHAT, MODELS
from serve_app.serving.api.chat.replies import Answering, ChatCompletion, Model, Models
from serve_app.serving.image_urls import ImageUrls
from serve_app.settings import Settings

_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": shapes.described()}}}
}
_NAMED: Final = asking.parameter("model", "path", {"type": "string"}, "As the list names it")
_STREAM: Final[dict[str, Any]] = {"text/event-stream": {"schema": {"type": "string"}}}


def add_chat(
    app: FastAPI, chat: Chat | None, settings: Settings, logger: logging.Logger, urls: ImageUrls | None = None
) -> None:
    """`chat`: None where no model is served that could talk. `urls`: fetches pictures from there; None: none is."""
    name = model_name(settings.model) if chat is not None else None
    bodies, began = ChatBodies(settings.limits, urls), int(time.time())

    @app.get(MODELS, summary="Which model can be talked to", responses=refusals.responses(), response_model=Models)
    async def models(request: Request) -> Response:
        return _json(Models(data=[] if name is None else [Model(id=name, created=began)]))

    @app.get(
        MODELS + "/{model:path}",
        summary="One model",
        responses=refusals.responses(),
        response_model=Model,
        openapi_extra=_NAMED,
    )
    async def model(request: Request) -> Response:
        return _json(Model(id=_served(name, request.path_params["model"]), created=began))

    @app.post(
        CHAT,
        response_model=ChatCompletion,
        responses={**refusals.responses(400, 413, 429), 200: {"content": _STREAM}},
        openapi_extra=_BODY,
        summary="Talk about pictures, as OpenAI's API has it",
    )
    async def completions(request: Request) -> Response:
        arrived = arrival(request)
        asked = await bodies.read(request)
        arrived.record.ignored_fields = asked.ignored or None
        served = _served(name, asked.request.model)
        assert chat is not None  # else no model has a name
        deadline = _deadline(asked, arrived, settings)
        spoken = chat.answer(asked.sent, asked.begin, deadline, _promised(arrived, deadline))
        answering = Answering(f"chatcmpl-{arrived.request_id}", int(arrived.time), served, bool(asked.request.logprobs))
        if not asked.request.stream:
            return _json(await _whole(answering, spoken, arrived))
        first = await _first(spoken)
        counts = bool(asked.request.stream_options and asked.request.stream_options.include_usage)
        told = events.told(answering, first, spoken, arrived.record, counts=counts, logger=logger)
        return events.EventStream(told, spoken)


def _served(name: str | None, asked: str) -> str:
    """Raises `ModelNotFound`."""
    if name is None:
        raise ModelNotFound(
            "No model is served here: this service compares pictures by measuring them.", field="/model"
        )
    if asked != name:
        raise ModelNotFound(f"The model served here is {name}.", field="/model")
    return name


def _deadline(asked: Asked, arrived: Arrival, settings: Settings) -> Deadline:
    ceiling_s = settings.limits.max_processing_timeout_s
    return Deadline.after(min(asked.request.processing_timeout, ceiling_s), since=arrived.time)


def _promised(arrived: Arrival, deadline: Deadline) -> Ticket:
    """Its place in the queues, until the request has ended. Raises `Overloaded`, `Unavailable`."""
    assert arrived.ticket is not None  # Reception gives one to every POST
    arrived.ticket.promise(deadline)
    arrived.record.admitted = True
    return arrived.ticket


async def _first(spoken: AsyncGenerator[tuple[Spoken, ...], None]) -> tuple[Spoken, ...]:
    """What is said first, so that a refusal before it has its own status."""
    try:
        return await anext(spoken)
    except BaseException:
        await spoken.aclose()
        raise


async def _whole(
    answering: Answering, spoken: AsyncGenerator[tuple[Spoken, ...], None], arrived: Arrival
) -> ChatCompletion:
    try:
        async for pieces in spoken:
            for one in pieces:
                if isinstance(one, Ended):
                    arrived.record.prompt_tokens = one.prompt_tokens
                    arrived.record.generated_tokens = one.generated_tokens
                    return answering.whole(one)
                answering.take(one)
    finally:
        await spoken.aclose()
    raise AssertionError("unreachable: a conversation ends with Ended or raises")


def _json(told: ChatCompletion | Model | Models) -> Response:
    return Response(told.model_dump_json(), media_type="application/json")
