"""The OpenAPI page: every answer and refusal has an example that is true, and what can be sent can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from serve_app import errors
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, Envelope
from serve_app.serving.api.pages.examples import REFUSALS, sample
from serve_app.settings import Settings
from tests.serving.hostile.service import with_all_doors
from tests.serving.page.conftest import app_of
from tests.worlds.samples import card

STATUSES = {kind.type: kind.status for kind in vars(errors).values() if hasattr(kind, "status")}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app_of(Settings(), tmp_path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.fixture
async def page(tmp_path: Path) -> dict[str, Any]:
    """Of a service that takes jobs, batches, conversations and agents."""
    async with with_all_doors(tmp_path) as service:
        told: dict[str, Any] = (await service.client.get("/openapi.json")).json()
    return told


async def test_every_answer_has_an_example_as_its_schema_says(page: dict[str, Any]) -> None:
    seen = 0
    for operations in page["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    if kind == "application/json":
                        check(page, content, int(status))
                        seen += 1
    assert seen > 80


async def test_every_refusal_is_json_whatever_the_route_answers_else(page: dict[str, Any]) -> None:
    refusals = {
        (method, path, status): list(answer["content"])
        for path, operations in page["paths"].items()
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        if int(status) >= 400
    }
    assert len(refusals) > 60
    assert {place: kinds for place, kinds in refusals.items() if kinds != ["application/json"]} == {}


async def test_the_example_of_a_conversation_is_one_that_is_taken(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/openapi.json")).json()
    content = page["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.Draft202012Validator(content["schema"]).validate(content["example"])
    answer = await client.post("/v1/chat/completions", json=content["example"])
    assert answer.json()["error"]["code"] == "model_not_found"  # read, checked, and here is no model


def check(page: dict[str, Any], content: dict[str, Any], status: int) -> None:
    example = content["example"]
    if "code" in example:
        assert example["code"] == status
    else:  # in the words of OpenAI's API, which have no status in them
        assert status == 200 or example["error"]["type"]
    schema = {**content.get("schema", {}), "components": page["components"]}
    jsonschema.Draft202012Validator(schema).validate(example)


def test_every_refusal_is_one_that_there_is() -> None:
    assert {status: STATUSES[kind] for status, (kind, _) in REFUSALS.items()} == {each: each for each in REFUSALS}
    assert {kind.status for kind in every_kind(ComparisonError)} == set(REFUSALS)


def every_kind(kind: type[ComparisonError]) -> set[type[ComparisonError]]:
    return {kind}.union(*map(every_kind, kind.__subclasses__()))


async def test_the_example_can_be_sent_and_gets_the_answer_that_it_says(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/compare", json=sample()["request"])
    told = Envelope[ComparisonReport].model_validate_json(answer.content).data
    said = ComparisonReport.model_validate(sample()["report"])
    assert told is not None
    assert (told.verdict, told.images) == (said.verdict, said.images)
    assert [each.candidate_box for each in told.differences] == [each.candidate_box for each in said.differences]
    assert told.images.reference.width == card().width
