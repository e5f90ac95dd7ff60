"""Reports told again over HTTP: what a caller can ask for, what a hit costs, and who gets whose."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve_app.local import open_pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import Door, open_door
from serve_app.serving.readiness import AlwaysReady
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import Access, CacheSettings, Limits, ModelSettings, Settings
from tests.rigs.nodes import free_port
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))


class Counted:
    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def load(self, pending: int, expected_wait_s: float) -> None:
        pass


class Service:
    """The whole in this process, without a model."""

    def __init__(self, app: Any, door: Door, counted: Counted) -> None:
        self.door = door
        self.records = counted.records
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")

    async def compare(self, *headers: tuple[str, str], second: bytes = B) -> httpx2.Response:
        files = [("files", ("a", A)), ("files", ("b", second))]
        return await self.client.post("/v1/compare", files=files, headers=list(headers))

    async def is_cached(self, *headers: tuple[str, str]) -> bool:
        told = (await self.compare(*headers)).json()["data"]["cached"]
        assert isinstance(told, bool)
        return told


Open = Callable[..., Any]


@pytest.fixture
async def open_service() -> AsyncIterator[Open]:
    async with AsyncExitStack() as opened:

        async def open_(**fields: Any) -> Service:
            settings, counted = Settings(**fields), Counted()
            pipeline = await opened.enter_async_context(open_pipeline(settings))
            door = open_door(settings, recorder=counted)
            app = create_app(pipeline, settings, readiness=AlwaysReady(), logger=logging.Logger("test"), door=door)
            service = Service(app, door, counted)
            opened.push_async_callback(service.client.aclose)
            return service

        yield open_


async def test_the_second_equal_request_is_told_the_first_ones_report(open_service: Open) -> None:
    service = await open_service()
    first, again = [(await service.compare()).json() for _ in range(2)]
    assert (first["data"].pop("cached"), again["data"].pop("cached")) == (False, True)
    assert first["data"].pop("timings_ms") != again["data"].pop("timings_ms")
    assert first["data"] == again["data"]
    assert first["request_id"] != again["request_id"]


async def test_a_hit_takes_no_place_and_reaches_no_stage(open_service: Open) -> None:
    service = await open_service()
    await service.compare()
    await service.compare()
    computed, hit = service.records
    assert (computed.cached, computed.admitted, hit.cached, hit.admitted) == (False, True, True, False)
    assert computed.report_id == hit.report_id is not None
    stages = ["body", "queue", "prepare", "measure", "read", "assess", "total"]
    assert [stage for stage, _ in computed.stage_seconds()] == stages
    assert [stage for stage, _ in hit.stage_seconds()] == ["body", "total"]


async def test_a_computation_that_is_refused_gives_back_every_place(open_service: Open) -> None:
    service = await open_service(model=ModelSettings(engine="scripted"))
    assert (await service.compare(second=B[:200])).status_code == 422
    assert [stage.num_promised + stage.num_inside for stage in service.door.admission.stages.values()] == [0, 0]
    assert service.door.admission.num_pending == 0


@pytest.mark.parametrize(
    ("headers", "is_anew", "is_kept"),
    [
        ([], False, True),
        ([("cache-control", "no-cache")], True, True),
        ([("Cache-Control", "max-age=5, No-Cache")], True, True),
        ([("cache-control", "max-age=5"), ("cache-control", "no-cache")], True, True),
        ([("cache-control", "no-store")], True, False),
        ([("cache-control", "no-cache,no-store")], True, False),
        ([("cache-control", "no-cachet, only-if-cached")], False, True),
    ],
)
async def test_cache_control(open_service: Open, headers: list[tuple[str, str]], is_anew: bool, is_kept: bool) -> None:
    service = await open_service()
    assert not await service.is_cached(*headers)
    assert await service.is_cached() == is_kept
    assert await service.is_cached(*headers) != is_anew


async def test_a_hit_passes_keys_and_quota_and_stays_with_its_key(open_service: Open, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{hashlib.sha256(key.encode()).hexdigest()} {key}\n" for key in ("one", "two")))
    service = await open_service(access=Access(api_keys_file=str(keys)), limits=Limits(requests_per_minute=1, burst=2))
    one, two = (("x-api-key", key) for key in ("one", "two"))
    assert [await service.is_cached(one), await service.is_cached(two), await service.is_cached(one)] == [
        False,
        False,
        True,
    ]
    assert (await service.compare()).status_code == 401
    assert (await service.compare(("x-api-key", "three"))).status_code == 403
    assert (await service.compare(one)).status_code == 429


async def test_addresses_are_no_keys(open_service: Open) -> None:
    service = await open_service(access=Access(trusted_proxies=1))
    assert not await service.is_cached(("x-forwarded-for", "10.0.0.1"))
    assert await service.is_cached(("x-forwarded-for", "10.0.0.2"))


async def test_a_redis_that_is_not_there_costs_nobody_a_report(
    open_service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_OF_THE_TEST", f"redis://127.0.0.1:{free_port()}")
    service = await open_service(cache=CacheSettings(redis_env="REDIS_OF_THE_TEST"))
    assert [await service.is_cached() for _ in range(2)] == [False, True]


async def test_the_page_tells_of_the_header(open_service: Open) -> None:
    service = await open_service()
    spec = (await service.client.get("/openapi.json")).json()
    (told,) = spec["paths"]["/v1/compare"]["post"]["parameters"]
    assert (told["name"], told["in"]) == ("Cache-Control", "header")
