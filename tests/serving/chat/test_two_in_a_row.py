"""Two PairLens in a row: the chat door of one, with the small trained checkpoint, is the server of the other's engine
`openai`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from serve_app.core.pictures import Upload
from serve_app.local import open_pipeline
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings, ServerSettings, Settings
from tests.rigs.http_server import served
from tests.serving.chat.service import PICTURE, serving, user
from tests.vlm.trained import stamp
from tests.worlds.samples import card, encoded

NAME = stamp.CHECKPOINT.name
FIRST = Settings(model=ModelSettings(engine="transformers", name=str(stamp.CHECKPOINT), device="cpu"))


@pytest.fixture(scope="module")
def first() -> Iterator[str]:
    stack = AsyncExitStack()
    inner: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not inner:
            inner.append((await stack.enter_async_context(serving(FIRST))).app)
        if scope["type"] == "http":
            await inner[0](scope, receive, send)

    with served(lambda: app) as url:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8), timeout=120) as client:
            assert client.get(f"{url}/v1/models").json()["data"][0]["id"] == NAME
        yield url


def second(url: str) -> Settings:
    server = ServerSettings(base_url=f"{url}/v1")
    return Settings(model=ModelSettings(engine="openai", name=NAME, server=server))


async def test_the_second_compares_with_the_first_as_its_model(first: str) -> None:
    config = ImageComparisonConfig(
        comparison_aspects=("color",), focus_elements=("label",), processing_timeout=100, swap_check=False
    )
    async with open_pipeline(second(first)) as pipeline:
        pair = Upload(encoded(card())), Upload(encoded(card("red")))
        report = await pipeline.compare(*pair, config, pipeline.deadline(config))
    assert (report.model.engine, report.model.name, report.model.status) == ("openai", NAME, "answered")
    assert report.aspects[0].score is not None
    # Log probabilities came through: nothing had to be assumed.
    assert not [warning for warning in report.warnings if "assum" in warning]


async def test_a_conversation_goes_through_both(first: str) -> None:
    async with serving(second(first)) as service:
        asked: dict[str, Any] = {
            "model": NAME,
            "messages": [user(PICTURE, PICTURE)],
            "temperature": 0,
            "max_tokens": 12,
            "logprobs": True,
            "top_logprobs": 3,
            "processing_timeout": 100,
        }
        through = await service.client.chat.completions.create(extra_body={"processing_timeout": 100}, **without(asked))
        async with httpx2.AsyncClient(timeout=120) as client:
            direct = (await client.post(f"{first}/v1/chat/completions", json=asked)).json()
        assert through.choices[0].message.content == direct["choices"][0]["message"]["content"]
        assert through.choices[0].logprobs is not None
        tokens = [token.token for token in through.choices[0].logprobs.content or []]
        assert tokens == [token["token"] for token in direct["choices"][0]["logprobs"]["content"]]
        assert through.usage is not None
        assert through.usage.completion_tokens == direct["usage"]["completion_tokens"]


def without(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name != "processing_timeout"}
