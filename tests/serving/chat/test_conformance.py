"""A public tool for conformance, llm-comply, at the chat door: its cases, with a picture in each conversation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import llm_comply
import pytest
from llm_comply import config, result, runner, schema
from llm_comply.tests.openai_chat import OPENAI_CHAT_TESTS

from tests.rigs.http_server import served
from tests.serving.chat.service import PICTURE, SCRIPTED, scripted, serving, shown

# Nothing here calls tools or writes down its thoughts. What is left: answers, streams, usage, a picture, errors.
CASES = [case for case in OPENAI_CHAT_TESTS if case.id not in ("chat-tool-calling", "chat-reasoning-summary")]

# OpenAI's own description of its API, as the tool brings it along.
SPEC = schema.SpecLoader(str(Path(llm_comply.__file__).parent / "specs/openai_chat.json"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The service behind a real port: the tool speaks HTTP with a client of its own."""
    stack = AsyncExitStack()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not hasattr(app, "inner"):
            app.inner = (await stack.enter_async_context(serving(scripted()))).app  # type: ignore[attr-defined]
        if scope["type"] == "http":
            await app.inner(scope, receive, send)  # type: ignore[attr-defined]

    with served(lambda: app) as url:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8)) as client:  # it listens a moment later
            client.get(f"{url}/livez")
        yield url


def with_a_picture(request: dict[str, Any]) -> dict[str, Any]:
    """The same conversation with a picture in the user's last turn, which every conversation here needs."""
    turn = request["messages"][-1]
    if isinstance(turn["content"], str):
        turn["content"] = [*shown(PICTURE), {"type": "text", "text": turn["content"]}]
    return request


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # the tool's own
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.id))
def test_the_tools_case_passes(address: str, case: Any) -> None:
    given = config.ComplianceConfig(base_url=f"{address}/v1", api_key="none", model=SCRIPTED)
    asking = dataclasses.replace(case, build_request=lambda each: with_a_picture(case.build_request(each)))
    found = runner.TestRunner(given, [asking], SPEC).run_one(asking)
    assert found.errors == []
    assert found.warnings == []
    assert found.status is result.TestStatus.PASSED


def test_enough_cases_are_left() -> None:
    assert len(CASES) >= 7
