"""The official client, unchanged and strict, at the chat door; and what is said to whom asks badly."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from serve_app.chat.chat import model_name
from serve_app.settings import MIB, Access, Limits, ModelSettings, Settings
from tests.serving.chat.service import PICTURE, SCRIPTED, Service, asked, scripted, serving, shown, user
from tests.worlds.samples import card, encoded, noise

TEXT = {"type": "text", "text": "What is this?"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(scripted()) as service:
        yield service


async def test_an_answer_is_what_the_official_client_expects(service: Service) -> None:
    answer = await service.client.chat.completions.create(**asked())
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "A scripted answer.",
        "stop",
    )
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 103)
    assert (answer.model, answer.object) == (SCRIPTED, "chat.completion")
    assert answer.id == f"chatcmpl-{service.counted.records[0].request_id}"


async def test_a_stream_tells_who_speaks_then_each_piece_then_why_it_ends(service: Service) -> None:
    stream = await service.client.chat.completions.create(**asked(), stream=True)
    chunks = [chunk async for chunk in stream]
    first, *said, last = [chunk.choices[0] for chunk in chunks]
    assert (first.delta.content, first.delta.role, first.finish_reason) == ("", "assistant", None)
    # As many words to a piece as were said while the one before was on its way.
    assert "".join(piece.delta.content or "" for piece in said) == "A scripted answer."
    assert all(piece.delta.content and piece.delta.role is None and piece.finish_reason is None for piece in said)
    assert (last.delta.content, last.delta.role, last.finish_reason) == (None, None, "stop")
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_usage_ends_a_stream_where_it_is_wanted(service: Service) -> None:
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await service.client.chat.completions.create(**asked(), **options)]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_a_stream_ends_with_done(service: Service) -> None:
    answer = await service.ask(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


async def test_log_probabilities_come_in_both_forms(service: Service) -> None:
    whole = await service.client.chat.completions.create(**asked(), logprobs=True, top_logprobs=2)
    assert whole.choices[0].logprobs is not None
    tokens = whole.choices[0].logprobs.content or []
    assert [token.token for token in tokens] == ["A ", "scripted ", "answer."]
    assert bytes(tokens[0].bytes or []) == b"A "
    options: Any = {"stream": True, "logprobs": True}
    streamed = [
        token
        async for chunk in await service.client.chat.completions.create(**asked(), **options)
        for token in (chunk.choices[0].logprobs and chunk.choices[0].logprobs.content) or []
    ]
    assert [token.token for token in streamed] == [token.token for token in tokens]
    assert math.isclose(streamed[0].logprob, tokens[0].logprob)


async def test_the_limit_on_tokens_cuts_and_says_so(service: Service) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        answer = (await service.ask(**{name: 2})).json()["choices"][0]
        assert (answer["message"]["content"], answer["finish_reason"]) == ("A scripted ", "length")


async def test_the_model_is_listed_and_found(service: Service) -> None:
    models = [model async for model in service.client.models.list()]
    assert [model.id for model in models] == [SCRIPTED]
    assert (await service.client.models.retrieve(SCRIPTED)).owned_by == "pairlens"
    with pytest.raises(openai.NotFoundError):
        await service.client.models.retrieve("some/other")


async def test_without_a_model_nothing_is_listed_and_nobody_answers() -> None:
    async with serving(Settings()) as service:
        assert (await service.http.get("/models")).json() == {"object": "list", "data": []}
        answer = await service.ask()
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith("No model is served here")


async def test_a_model_that_fails_says_nothing_of_itself() -> None:
    async with serving(scripted(fails=True)) as service:
        answer = await service.ask()
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in answer.text


async def test_words_that_are_no_text_come_as_text() -> None:
    """A lone half of a surrogate pair can't be written as JSON that every reader takes."""
    async with serving(scripted(answers_badly=True)) as service:
        whole = await service.client.chat.completions.create(**asked())
        assert "<garbage>?" in (whole.choices[0].message.content or "")
        assert (await service.ask(stream=True)).text.endswith("data: [DONE]\n\n")


async def test_fields_that_mean_nothing_here_are_passed_over_and_named_in_the_log(service: Service) -> None:
    answer = await service.ask(user="me", reasoning_effort="none", **{"a name <script>": 1})
    assert answer.status_code == 200
    assert service.counted.records[0].ignored_fields == ("reasoning_effort", "user")


async def test_what_is_off_anyway_is_taken(service: Service) -> None:
    off = {
        "tools": [],
        "tool_choice": "auto",
        "logit_bias": {},
        "n": 1,
        "stream": False,
        "stop": None,
        "functions": None,
    }
    assert (await service.ask(**off, response_format={"type": "text"}, modalities=["text"])).status_code == 200
    assert service.counted.records[0].ignored_fields is None


async def test_the_log_tells_of_tokens(service: Service) -> None:
    await service.ask()
    await service.ask(stream=True)
    assert [(one.prompt_tokens, one.generated_tokens) for one in service.counted.records] == [(100, 3), (100, 3)]
    assert all(record.admitted for record in service.counted.records)


# What is refused: fields, status, the field it is about, and words of the sentence.
REFUSED: list[tuple[dict[str, Any], int, str | None, str]] = [
    ({"model": "another"}, 404, "model", "The model served here is scripted."),
    ({"model": None}, 400, "model", "valid string"),
    ({"messages": []}, 400, "messages", "at least 1 item"),
    ({"messages": 5}, 400, "messages", "valid list"),
    ({"messages": [5]}, 400, "messages.0", "should be an object"),
    ({"messages": [{"role": "user", "content": "Hi."}]}, 400, "messages", "at least one picture"),
    ({"messages": [user(*[PICTURE] * 11)]}, 400, "messages", "at most 10 pictures"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content", "a text or a list of parts"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role", "'assistant'"),
    (
        {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
        400,
        "messages.0.content.0",
        "text or an image_url",
    ),
    (
        {"messages": [{"role": "system", "content": shown(PICTURE)}]},
        400,
        "messages.0.content",
        "Only messages of the user",
    ),
    ({"messages": [user(b"no picture")]}, 400, None, "The 1st image is"),
    ({"messages": [user(PICTURE, encoded(card())[:60])]}, 400, None, "The 2nd image can't be decoded"),
    ({"temperature": 99}, 400, "temperature", "less than or equal to 2"),
    ({"temperature": "1"}, 400, "temperature", "valid number"),
    ({"top_p": 0}, 400, "top_p", "greater than 0"),
    ({"n": 2}, 400, "n", "should be 1"),
    ({"seed": 1.5}, 400, "seed", "valid integer"),
    ({"stop": ["a"] * 5}, 400, "stop", "at most 4"),
    ({"stop": [""]}, 400, "stop.0", "at least 1 character"),
    ({"top_logprobs": 2}, 400, None, "top_logprobs needs logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs", "less than or equal to 20"),
    ({"stream_options": {}}, 400, None, "stream_options needs stream"),
    ({"max_tokens": 4097}, 400, "max_tokens", "at most 4096"),
    ({"max_completion_tokens": 0}, 400, "max_completion_tokens", "greater than or equal to 1"),
    ({"tools": [{"type": "function"}]}, 400, "tools", "tools can't be used here."),
    ({"logit_bias": {"5": 1}}, 400, "logit_bias", "logit_bias can't be used here."),
    ({"modalities": ["audio"]}, 400, "modalities.0", "'text'"),
    ({"response_format": {"type": "json_schema"}}, 400, "response_format", "needs a json_schema"),
    ({"response_format": {"type": "xml"}}, 400, "response_format.type", "'json_schema'"),
    ({"processing_timeout": 0}, 400, "processing_timeout", "greater than 0"),
    ({"frequency_penalty": 3}, 400, "frequency_penalty", "less than or equal to 2"),
]


@pytest.mark.parametrize(("fields", "status", "param", "words"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_cant_be_answered_is_refused_by_name(
    service: Service, fields: dict[str, Any], status: int, param: str | None, words: str
) -> None:
    answer = await service.ask(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert words in error["message"]
    assert error["message"].endswith(".")
    assert service.counted.records[0].error == error["code"]


@pytest.mark.parametrize(
    "address", ["https://example.org/a.png", " HTTP://10.0.0.1/a.png", "file:///etc/passwd", "a.png"]
)
async def test_no_picture_is_fetched(service: Service, address: str) -> None:
    part = {"type": "image_url", "image_url": {"url": address}}
    answer = await service.ask(messages=[{"role": "user", "content": [TEXT, part]}])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages.0.content.1.image_url.url"
    assert "data: URL" in answer.json()["error"]["message"]
    assert "example" not in answer.text


async def test_a_picture_that_is_too_large_is_refused_from_its_header() -> None:
    settings = scripted().model_copy(update={"limits": Limits(max_pixels=1000)})
    async with serving(settings) as service:
        answer = await service.ask()
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")


async def test_a_body_that_is_too_large_is_refused_in_the_words_of_that_api() -> None:
    async with serving(scripted().model_copy(update={"limits": Limits(max_body_bytes=100)})) as service:
        with pytest.raises(openai.APIStatusError) as refused:
            await service.client.chat.completions.create(**asked())
        assert refused.value.status_code == 413
        assert refused.value.code == "body_too_large"


async def test_texts_are_bounded() -> None:
    limits = Limits(max_chat_text_bytes=10)
    async with serving(scripted().model_copy(update={"limits": limits})) as service:
        assert (await service.ask(messages=[user(PICTURE, text="ééééé")])).status_code == 200
        answer = await service.ask(messages=[user(PICTURE, text="éééééa")])
        assert answer.json()["error"]["message"] == "The texts of a conversation are at most 10 bytes here."


async def test_a_body_that_is_no_json_is_refused(service: Service) -> None:
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")):
        answer = await service.http.post("/chat/completions", content=content, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")


async def test_keys_and_quotas_refuse_in_the_words_of_that_api(tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{'0' * 64} shop\n")
    access = Access(api_keys_file=str(keys))
    async with serving(scripted().model_copy(update={"access": access})) as service:
        with pytest.raises(openai.PermissionDeniedError):
            await service.client.chat.completions.create(**asked())
        answer = await service.ask()
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
        assert answer.headers["www-authenticate"] == "Bearer"
    limits = Limits(requests_per_minute=1, burst=1)
    async with serving(scripted().model_copy(update={"limits": limits})) as service:
        await service.ask()
        with pytest.raises(openai.RateLimitError) as refused:
            await service.client.chat.completions.create(**asked())
        assert int(refused.value.response.headers["retry-after"]) > 0


async def test_routes_beside_it_are_refused_in_the_words_of_that_api(service: Service) -> None:
    missing = await service.http.get("/chat/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = await service.http.get("/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    ours = await service.http.get("/jobs/nothing")
    assert ours.json()["code"] == 404  # all others keep the envelope


async def test_a_busy_service_refuses_in_the_words_of_that_api() -> None:
    settings = scripted().model_copy(update={"limits": Limits(max_pending_requests=1)})
    async with serving(settings) as service:
        service.drain()
        with pytest.raises(openai.InternalServerError) as refused:
            await service.client.chat.completions.create(**asked())
        assert refused.value.status_code == 503
        assert refused.value.code == "draining"
        assert "retry-after" in refused.value.response.headers


async def test_the_limits_are_told(service: Service) -> None:
    told = (await service.http.get("/limits")).json()["data"]
    assert (told["max_chat_pictures"], told["max_chat_tokens"]) == (10, 4096)


async def test_a_schema_is_bounded(service: Service) -> None:
    schema = {"type": "object", "description": "x" * 70_000}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    answer = await service.ask(response_format=wanted)
    assert answer.json()["error"]["param"] == "response_format.json_schema.schema"
    small = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
    assert json.loads((await service.ask(response_format=small)).json()["choices"][0]["message"]["content"]) == {}


async def test_a_large_body_is_read_on_disk_and_answered(service: Service) -> None:
    """Above a MiB a body waits for its turn in a thread."""
    large = encoded(noise(1200, 800))
    assert len(large) > MIB
    assert (await service.ask(messages=[user(large)])).status_code == 200


def test_a_service_with_a_model_calls_it_by_its_public_name() -> None:
    folder = ModelSettings(engine="transformers", name="/srv/models/Some-VL")
    assert model_name(folder) == "Some-VL"
    assert model_name(ModelSettings(engine="transformers", name="Qwen/Qwen3-VL-2B")) == "Qwen/Qwen3-VL-2B"
