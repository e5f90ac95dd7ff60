"""`config.profile` at each door that takes a config: applied, refused, listed."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from serve_app.client.asynchronous import AsyncClient
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.errors import InvalidConfig
from serve_app.imaging.pdf.documents import Documents
from serve_app.schema import ImageComparisonConfig
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Profile, Settings
from serve_app.storage.database import Database
from tests.worlds.jobs import Desk
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))
SETTINGS = Settings(profiles={"shop": Profile(similarity_threshold=0.1, max_differences=9), "print": Profile()})
DOORS = ("/v1/compare", "/v1/compare/stream", "/v1/jobs", "/v1/batches")


class Service:
    def __init__(self, folder: Path) -> None:
        self.desk = Desk(Database(f"sqlite:///{folder}/jobs.sqlite"), folder)
        documents = Documents(SETTINGS.limits)
        self.examiner = Examiner(SETTINGS.limits, SETTINGS.preprocessing, shows_images=False)
        self.app = create_app(
            Pipeline(self.examiner, None, SETTINGS),  # type: ignore[arg-type] # no model is asked
            SETTINGS,
            readiness=AlwaysReady(),
            logger=logging.Logger("test"),
            jobs=JobDesk(self.desk.store, self.desk.blobs, lambda *_: None, 1.0, takes_webhooks=False),
            batches=BatchDesk(self.desk.batches, self.desk.blobs, documents, lambda *_: None, 1.0),
        )
        self.transport = httpx2.ASGITransport(self.app)
        self.http = httpx2.AsyncClient(transport=self.transport, base_url="http://test")

    async def post(self, path: str, **config: object) -> httpx2.Response:
        files = {"reference": ("a.png", A), "candidate": ("b.png", B)}
        return await self.http.post(path, files=files, data={"config": json.dumps(config)})


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    yield made
    await made.http.aclose()
    made.examiner.close()


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_refuses_a_name_that_is_none(service: Service, path: str) -> None:
    answer = await service.post(path, profile="shopp", language="zh")
    assert answer.status_code == 422
    told = answer.json()
    assert told["error"]["type"] == "invalid_config"
    assert told["error"]["detail"] == "There is no profile of this name; there are print, shop."
    assert told["error"]["field"] == "/config/profile"
    assert told["msg"] == "对比配置无效"


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_applies_a_profile(service: Service, path: str) -> None:
    answer = await service.post(path, profile="shop")
    assert answer.status_code in (200, 202), answer.text
    if path == "/v1/compare":
        report = answer.json()["data"]
        assert (report["verdict"], report["similarity_threshold"], report["max_differences"]) == ("match", 0.1, 9)
        assert report["profile"] == "shop"
    if path == "/v1/compare/stream":
        assert '"similarity_threshold":0.1' in answer.text.replace(" ", "")
    if path in ("/v1/jobs", "/v1/batches"):
        store = service.desk.store if path == "/v1/jobs" else service.desk.batches
        begun = store.begin(answer.json()["data"]["id"], *((1,) if path == "/v1/jobs" else ()))
        assert begun is not None
        assert json.loads(begun.config)["similarity_threshold"] == 0.1, "kept as it was when it was asked"


async def test_a_client_sends_what_was_given_so_that_the_profile_decides_the_rest(service: Service) -> None:
    async with AsyncClient("http://test", transport=service.transport) as client:
        by_name = await client.compare(A, B, ImageComparisonConfig(profile="shop"))
        beside = await client.compare(A, B, ImageComparisonConfig(profile="shop", similarity_threshold=1.0))
        with pytest.raises(InvalidConfig, match="print, shop"):
            await client.compare(A, B, ImageComparisonConfig(profile="none"))
    assert (by_name.verdict, by_name.similarity_threshold) == ("match", 0.1)
    assert (beside.verdict, beside.similarity_threshold, beside.max_differences) == ("mismatch", 1.0, 9)


async def test_the_limits_list_the_names(service: Service) -> None:
    assert (await service.http.get("/v1/limits")).json()["data"]["profiles"] == ["print", "shop"]
