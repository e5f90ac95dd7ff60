"""`POST /v1/compare` with `Accept: text/html`: the same comparison, as one file; refusals stay what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from serve_app.settings import Settings
from tests.serving.page.conftest import app_of
from tests.worlds.samples import card, encoded

FILES = [("files", ("a", encoded(card()))), ("files", ("b", encoded(card("red"))))]


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app_of(Settings()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "TEXT/HTML; q=1"])
async def test_who_takes_html_gets_one_file(client: httpx2.AsyncClient, accept: str) -> None:
    config = {"config": '{"language": "zh"}'}
    answer = await client.post("/v1/compare", files=FILES, headers={"accept": accept}, data=config)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith('<!doctype html>\n<html lang="zh">')
    assert answer.text.count("data:image/jpeg;base64,") >= 2


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", "text/plain"])
async def test_all_others_get_json_without_its_pictures(client: httpx2.AsyncClient, accept: str) -> None:
    answer = await client.post("/v1/compare", files=FILES, headers={"accept": accept})
    assert answer.json()["data"]["visuals"] == []


async def test_a_refusal_is_the_envelope(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/compare", files=FILES[:1], headers={"accept": "text/html"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "two_images_required")


async def test_pictures_as_they_were_measured_can_be_asked_for(client: httpx2.AsyncClient) -> None:
    config = {"config": '{"visuals": ["candidate", "reference"]}'}
    told = (await client.post("/v1/compare", files=FILES, data=config)).json()["data"]["visuals"]
    assert [each["kind"] for each in told] == ["candidate", "reference"]
    assert all(each["image"].startswith("data:image/jpeg;base64,/9j/") for each in told)
    assert told[0]["image"] != told[1]["image"]
