"""Every route that there is, asked without a key, with a wrong one, another's and the right one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from serve_app.chat.chat import Chat
from serve_app.imaging.pdf.documents import Documents
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.callers import owner_of
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Access, Settings
from serve_app.storage.database import Database
from tests.serving.hostile.service import desk_in
from tests.serving.page.conftest import pipeline
from tests.worlds.jobs import Desk
from tests.worlds.samples import card, encoded

# Whoever reaches the port may ask these, and why. What is on no list of this page turns the test red.
OPEN: Final = {
    "GET /": "the page for people: it asks for a key itself, once the API wants one",
    "GET /assets/{name}": "the page's own script, style and words: the same for everybody",
    "GET /docs": "what can be asked is no secret",
    "GET /redoc": "the same in another form",
    "GET /openapi.json": "the same for programs",
    "GET /livez": "load balancers and Kubernetes have no key; it says alive",
    "GET /readyz": "the same; it says ready, or why not in a word",
    "GET /version": "which software and which model: what a report says, too",
}
KEYED: Final = {
    "POST /v1/compare",
    "POST /v1/compare/stream",
    "GET /v1/limits",
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "DELETE /v1/jobs/{job_id}",
    "POST /v1/jobs/{job_id}/retry",
    "GET /v1/jobs/{job_id}/events",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{batch_id}",
    "DELETE /v1/batches/{batch_id}",
    "GET /v1/batches/{batch_id}/results",
    "GET /v1/batches/{batch_id}/events",
    "POST /v1/chat/completions",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "POST /mcp",
}
# Of these the owner alone is told anything; to another key they are not there.
OWNED: Final = {name for name in KEYED if "_id}" in name}
PAIR: Final = [("reference", ("a", encoded(card()))), ("candidate", ("b", encoded(card("red"))))]


def key(name: str | None) -> dict[str, str]:
    return {} if name is None else {"Authorization": f"Bearer {name}"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    names = ("alice", "bob")
    text = "".join(f"{hashlib.sha256(name.encode()).hexdigest()} {name}\n" for name in names)
    (tmp_path / "keys").write_text(text)
    settings = Settings(access=Access(api_keys_file=str(tmp_path / "keys")))
    with (
        closing(Documents(settings.limits)) as documents,
        closing(Database(f"sqlite:///{tmp_path}/batches.sqlite")) as database,
    ):
        desk = Desk(database, tmp_path)
        yield create_app(
            pipeline(settings),
            settings,
            readiness=AlwaysReady(),
            logger=logging.Logger("doors"),
            jobs=desk_in(tmp_path),
            batches=BatchDesk(desk.batches, desk.blobs, documents, lambda _: None, 1.0),
            chat=Chat(None, None),  # type: ignore[arg-type] # no conversation gets so far
        )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as opened:
        yield opened


def routes(app: FastAPI) -> set[str]:
    """All of them, also those that the OpenAPI page leaves out."""
    found = [route for route in app.routes if isinstance(route, Route)]
    return {
        f"{method} {route.path.replace(':path}', '}')}"
        for route in found
        for method in route.methods or ()
        if method != "HEAD"
    }


async def test_every_route_is_open_by_decision_or_wants_a_key(app: FastAPI, client: httpx2.AsyncClient) -> None:
    page = (await client.get("/openapi.json")).json()
    described = {f"{method.upper()} {path}" for path, methods in page["paths"].items() for method in methods}
    assert described <= routes(app)
    assert routes(app) == {*OPEN, *KEYED}
    assert {name for name in KEYED if not name.split()[1].startswith(("/v1/", "/mcp"))} == set()


async def asked(client: httpx2.AsyncClient, name: str, headers: dict[str, str], **ids: str) -> int:
    """The status of this route. Of a stream that begins nothing more is read."""
    method, path = name.split()
    known = {"job_id": "0" * 32, "batch_id": "0" * 32, "model": "none", "name": "page.js", **ids}
    answer = await client.request(method, path.format(**known), headers=headers)
    return answer.status_code


@pytest.mark.parametrize("name", sorted(KEYED))
async def test_a_route_with_a_key_is_shut_to_all_others(client: httpx2.AsyncClient, name: str) -> None:
    assert await asked(client, name, {}) == 401
    for wrong in ("nobody", "ALICE", "alice bob", "alice\0", hashlib.sha256(b"alice").hexdigest()):
        assert await asked(client, name, key(wrong)) == 403
    assert await asked(client, name, {"Authorization": "Basic YWxpY2U6"}) == 401
    for right in ("alice", "bob"):
        assert await asked(client, name, key(right)) not in (401, 403)
        assert await asked(client, name, {"X-API-Key": right}) not in (401, 403)


@pytest.mark.parametrize("name", sorted(OPEN))
async def test_an_open_route_asks_for_no_key_and_minds_none(client: httpx2.AsyncClient, name: str) -> None:
    statuses = {await asked(client, name, key(each)) for each in (None, "nobody", "alice")}
    assert len(statuses) == 1
    assert statuses <= {200, 404}  # of assets only the name that the page has


async def test_what_is_one_keys_is_not_there_for_another(client: httpx2.AsyncClient) -> None:
    job = (await client.post("/v1/jobs", files=PAIR, headers=key("alice"))).json()["data"]["id"]
    batch = (await client.post("/v1/batches", files=PAIR, headers=key("alice"))).json()["data"]["id"]
    ids = {"job_id": job, "batch_id": batch}
    assert {name: await asked(client, name, key("bob"), **ids) for name in OWNED} == dict.fromkeys(OWNED, 404)
    for path, kind in (("/v1/jobs", "jobs"), ("/v1/batches", "batches")):
        mine = (await client.get(path, headers=key("alice"))).json()["data"][kind]
        others = (await client.get(path, headers=key("bob"))).json()["data"][kind]
        assert (len(mine), others) == (1, [])
    assert await asked(client, "GET /v1/jobs/{job_id}", key("alice"), **ids) == 200
    assert await asked(client, "GET /v1/batches/{batch_id}/results", key("alice"), **ids) == 200


async def test_a_report_of_one_key_is_computed_anew_for_another(client: httpx2.AsyncClient) -> None:
    """Else `cached` would tell that somebody has asked about these very pictures."""
    told = []
    for name in ("alice", "alice", "bob", "bob"):
        answer = await client.post("/v1/compare", files=PAIR, headers=key(name))
        told.append(answer.json()["data"]["cached"])
    assert told == [False, True, False, True]


def test_an_owner_is_a_key_or_nobody_in_particular() -> None:
    assert (owner_of("key:alice"), owner_of("address:key:alice"), owner_of("address:10.0.0.1")) == ("alice", "", "")
