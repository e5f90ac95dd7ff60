"""The routes under /v1/jobs over a real store: every status, no Ray, no queue but a list."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve_app.comparison.pipeline import Pipeline
from serve_app.errors import StorageFull, Unavailable
from serve_app.jobs import events
from serve_app.jobs.store import ATTEMPT_BYTES
from serve_app.jobs.worker import Worker
from serve_app.schema import JobEvent, JobList, JobReport
from serve_app.serving.api import streams
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import open_door
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Access, JobSettings, Limits, Settings, WebhookSettings
from serve_app.storage.database import Database
from tests.worlds.jobs import Comparer, Desk
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))
Answer = httpx2.Response


class Service:
    """An app with a desk; `work` does what waits, as the deployment Jobs would."""

    def __init__(self, folder: Path, *, on: bool = True, settings: Settings | None = None, **jobs: Any) -> None:
        self.settings = settings or Settings()
        self.desk = Desk(
            Database(f"sqlite:///{folder}/jobs.sqlite"), folder, JobSettings(folder=str(folder), enabled=True, **jobs)
        )
        self.comparer = Comparer()
        self.worker = Worker(self.desk.store, self.desk.blobs, lambda job: self.comparer)
        self.stopped: list[tuple[str, int]] = []
        takes_webhooks = self.desk.settings.webhooks.enabled
        self.job_desk = JobDesk(self.desk.store, self.desk.blobs, self.stop, 5.0, takes_webhooks)
        self.door = open_door(self.settings)
        self.app = create_app(
            Pipeline(None, None, self.settings),  # type: ignore[arg-type] # nothing is compared at these routes
            self.settings,
            readiness=AlwaysReady(),
            logger=logging.getLogger("test.jobs"),
            door=self.door,
            jobs=self.job_desk if on else None,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://test")

    def stop(self, job_id: str, attempt: int) -> None:
        self.stopped.append((job_id, attempt))

    async def post(
        self,
        *,
        key: str | None = None,
        second: bytes = B,
        token: str | None = None,
        webhook: str | None = None,
        **config: Any,
    ) -> Answer:
        self.desk.clock.now += 1
        headers = {} if key is None else {"Idempotency-Key": key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        files = [("files", ("a", A)), ("files", ("b", second))]
        form = {"config": json.dumps(config), **({} if webhook is None else {"webhook_url": webhook})}
        return await self.client.post("/v1/jobs", files=files, data=form, headers=headers)

    async def job(self) -> str:
        taken = await self.post()
        assert taken.status_code == 202, taken.text
        job: str = taken.json()["data"]["id"]
        return job

    async def work(self) -> None:
        for job, attempt in self.desk.queue.enqueued:
            await self.worker.run(job, attempt)


Open = Callable[..., Service]


@pytest.fixture
async def open_service(tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Service] = []

    def open_(**options: Any) -> Service:
        opened.append(Service(tmp_path, **options))
        return opened[-1]

    yield open_
    for service in opened:
        await service.client.aclose()


def data(answer: Answer, status: int = 200) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["code"], body["error"]) == (status, status, None), answer.text
    found: dict[str, Any] = body["data"]
    return found


def refusal(answer: Answer) -> tuple[int, str]:
    body = answer.json()
    assert (body["data"], body["code"]) == (None, answer.status_code)
    return answer.status_code, body["error"]["type"]


async def test_a_job_goes_from_202_to_its_report(open_service: Open) -> None:
    service = open_service()
    taken = await service.post(similarity_threshold=0.9)
    job = data(taken, 202)
    assert taken.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(taken.headers["retry-after"]) >= 1
    assert (job["status"], job["position"], job["report"]) == ("queued", 1, None)
    JobReport.model_validate_json(json.dumps(job))

    await service.work()
    done = data(await service.client.get(taken.headers["location"]))
    assert (done["status"], done["position"], done["error"]) == ("succeeded", None, None)
    assert done["report"]["verdict"] in ("match", "mismatch", "uncertain")
    JobReport.model_validate_json(json.dumps(done))
    ((reference, candidate, config),) = service.comparer.asked
    assert (reference, candidate, config.similarity_threshold) == (A, B, 0.9)


async def test_json_is_taken_as_well(open_service: Open) -> None:
    service = open_service()
    url = f"data:image/png;base64,{base64.b64encode(A).decode()}"
    taken = await service.client.post("/v1/jobs", json={"reference": url, "candidate": url})
    await service.work()
    assert data(await service.client.get(taken.headers["location"]))["status"] == "succeeded"
    assert service.comparer.asked[0][:2] == (A, A)


async def test_location_is_below_where_the_service_is_mounted(open_service: Open) -> None:
    service = open_service()
    mounted = httpx2.ASGITransport(service.app, root_path="/below")
    async with httpx2.AsyncClient(transport=mounted, base_url="http://test") as client:
        files = [("files", ("a", A)), ("files", ("b", B))]
        taken = await client.post("/below/v1/jobs", files=files)
        assert taken.headers["location"].startswith("/below/v1/jobs/")
        assert data(await client.get(taken.headers["location"]))["status"] == "queued"


@pytest.mark.parametrize(("config", "kind"), [({"nope": 1}, "invalid_config"), ("[", "malformed_request")])
async def test_what_compare_would_not_read_is_no_job(open_service: Open, config: Any, kind: str) -> None:
    service = open_service()
    files = [("files", ("a", A)), ("files", ("b", B))]
    text = config if isinstance(config, str) else json.dumps(config)
    answer = await service.client.post("/v1/jobs", files=files, data={"config": text})
    assert refusal(answer)[1] == kind
    assert refusal(await service.client.post("/v1/jobs", files=files[:1])) == (400, "two_images_required")
    assert data(await service.client.get("/v1/jobs"))["jobs"] == []


async def test_the_same_key_is_the_same_job_and_another_body_a_conflict(open_service: Open) -> None:
    service = open_service()
    first, again = await service.post(key="order-7"), await service.post(key="order-7")
    assert data(first, 202)["id"] == data(again, 202)["id"]
    assert refusal(await service.post(key="order-7", second=A)) == (409, "idempotency_conflict")
    assert refusal(await service.post(key="order-7", swap_check=False)) == (409, "idempotency_conflict")
    await service.work()
    assert data(await service.post(key="order-7"), 202)["status"] == "succeeded"
    assert len(service.comparer.asked) == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\u00e9"])
async def test_a_key_that_is_none_is_refused(open_service: Open, key: str) -> None:
    service = open_service()
    files = [("files", ("a", A)), ("files", ("b", B))]
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = await service.client.post("/v1/jobs", files=files, headers=headers)
    assert refusal(answer) == (400, "malformed_request")


async def test_a_refused_pair_is_a_failed_job_that_can_be_tried_again(open_service: Open) -> None:
    from serve_app.errors import ImageRejected

    service = open_service()
    service.comparer.faults = [ImageRejected("Cut off.", image="candidate")]
    job = await service.job()
    await service.work()
    failed = data(await service.client.get(f"/v1/jobs/{job}"))
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "type": "image_unreadable",
        "detail": "Cut off.",
        "image": "candidate",
        "field": None,
    }
    again = await service.client.post(f"/v1/jobs/{job}/retry")
    assert (data(again, 202)["status"], data(again, 202)["attempt"]) == ("queued", 2)
    assert again.headers["location"] == f"/v1/jobs/{job}"
    await service.work()
    done = data(await service.client.get(f"/v1/jobs/{job}"))
    assert (done["status"], done["attempt"], done["error"]) == ("succeeded", 2, None)
    assert refusal(await service.client.post(f"/v1/jobs/{job}/retry")) == (409, "already_ended")


async def test_a_cancel_is_told_to_who_is_at_work_and_only_once(open_service: Open) -> None:
    service = open_service()
    job = await service.job()
    assert data(await service.client.delete(f"/v1/jobs/{job}"))["status"] == "cancelled"
    assert service.stopped == [(job, 1)]
    again = await service.client.delete(f"/v1/jobs/{job}")
    assert refusal(again) == (409, "already_ended")
    assert "cancelled" in again.json()["error"]["detail"]
    await service.work()
    assert service.comparer.asked == []
    assert len(service.stopped) == 1


async def test_a_list_has_pages_and_filters(open_service: Open) -> None:
    service = open_service()
    jobs = [await service.job() for _ in range(3)]
    await service.client.delete(f"/v1/jobs/{jobs[0]}")
    first = data(await service.client.get("/v1/jobs?limit=2"))
    JobList.model_validate_json(json.dumps(first))
    rest = data(await service.client.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}))
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == jobs[::-1]
    assert rest["next_cursor"] is None
    some = data(await service.client.get("/v1/jobs?status=cancelled&status=failed"))["jobs"]
    assert [job["id"] for job in some] == [jobs[0]]
    assert len(data(await service.client.get("/v1/jobs?status=queued&status=queued"))["jobs"]) == 2


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1e1", "status=done", "cursor=x"]
)
async def test_a_query_that_can_t_be_read_is_pointed_at(open_service: Open, query: str) -> None:
    answer = await open_service().client.get(f"/v1/jobs?{query}")
    assert refusal(answer) == (400, "malformed_request")
    assert answer.json()["error"]["field"] == f"/{query.partition('=')[0]}"


@pytest.mark.parametrize("job", ["0" * 32, "nope", "%00", "..", "0" * 31 + "%0a", "x" * 5000])
async def test_a_job_that_is_none_is_not_found(open_service: Open, job: str) -> None:
    service = open_service()
    for answer in (
        await service.client.get(f"/v1/jobs/{job}"),
        await service.client.get(f"/v1/jobs/{job}/events"),
        await service.client.post(f"/v1/jobs/{job}/retry"),
    ):
        assert answer.status_code in (404, 405)  # `..` is a way up, to the list


async def test_another_callers_job_is_not_there(open_service: Open, tmp_path: Path) -> None:
    import hashlib

    lines = [f"{hashlib.sha256(name.encode()).hexdigest()} {name}" for name in ("alice", "bob")]
    (tmp_path / "keys").write_text("\n".join(lines))
    service = open_service(settings=Settings(access=Access(api_keys_file=str(tmp_path / "keys"))))
    assert refusal(await service.post()) == (401, "api_key_required")
    job = data(await service.post(key="k", token="alice"), 202)["id"]
    bob = {"Authorization": "Bearer bob"}
    for answer in (
        await service.client.get(f"/v1/jobs/{job}", headers=bob),
        await service.client.delete(f"/v1/jobs/{job}", headers=bob),
        await service.client.post(f"/v1/jobs/{job}/retry", headers=bob),
        await service.client.get(f"/v1/jobs/{job}/events", headers=bob),
    ):
        assert refusal(answer) == (404, "not_found")
    assert data(await service.client.get("/v1/jobs", headers=bob))["jobs"] == []
    assert data(await service.post(key="k", token="bob"), 202)["id"] != job
    mine = await service.client.get(f"/v1/jobs/{job}", headers={"Authorization": "Bearer alice"})
    assert data(mine)["status"] == "queued"


async def test_what_has_expired_is_gone(open_service: Open) -> None:
    service = open_service()
    job = await service.job()
    keyed = data(await service.post(key="k"), 202)["id"]
    for each in (job, keyed):
        await service.client.delete(f"/v1/jobs/{each}")
    service.desk.clock.now += 86401
    service.desk.store.expire(10)
    for answer in (
        await service.client.get(f"/v1/jobs/{job}"),
        await service.client.delete(f"/v1/jobs/{job}"),
        await service.client.get(f"/v1/jobs/{job}/events"),
        await service.post(key="k"),
    ):
        assert refusal(answer) == (410, "expired")


async def test_a_full_store_takes_nothing_and_harms_nobody(open_service: Open) -> None:
    room = len(A) + len(B) + 3 * ATTEMPT_BYTES
    service = open_service(max_stored_bytes=room, max_stored_bytes_per_caller=room)
    job = await service.job()
    assert refusal(await service.post(second=encoded(card("blue", size=(4000, 4000))))) == (507, "storage_full")
    await service.work()
    assert data(await service.client.get(f"/v1/jobs/{job}"))["status"] == "succeeded"
    assert len(data(await service.client.get("/v1/jobs"))["jobs"]) == 1


async def test_a_caller_with_a_full_share_is_refused_before_anything_is_kept(open_service: Open) -> None:
    service = open_service(max_stored_bytes_per_caller=ATTEMPT_BYTES + 1000 + len(A) + len(B))
    await service.job()
    before = service.desk.blobs.used_bytes()
    answer = await service.post(second=encoded(card("blue")))
    assert refusal(answer) == (507, "storage_full")
    assert "of this caller" in answer.json()["error"]["detail"]
    assert service.desk.blobs.used_bytes() == before


async def test_a_full_queue_is_a_503(open_service: Open) -> None:
    service = open_service(max_queued=1)
    await service.job()
    refused = await service.post(second=A)
    assert refusal(refused) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1


def take_away(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    database.mkdir()


async def test_a_database_that_is_gone_is_a_503_on_every_route(open_service: Open, tmp_path: Path) -> None:
    service = open_service()
    job = await service.job()
    service.desk.store._database.close()
    take_away(tmp_path / "jobs.sqlite")
    for answer in (
        await service.post(),
        await service.client.get("/v1/jobs"),
        await service.client.get(f"/v1/jobs/{job}"),
        await service.client.get(f"/v1/jobs/{job}/events"),
        await service.client.delete(f"/v1/jobs/{job}"),
        await service.client.post(f"/v1/jobs/{job}/retry"),
    ):
        assert refusal(answer) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        assert str(tmp_path) not in answer.text
    assert (await service.client.get("/readyz")).status_code == 200


HOOK = "https://shop.example/hook"
HOOKS = WebhookSettings(secret_env="UNREAD_HERE")


async def test_a_place_to_tell_is_part_of_a_job_and_seen_with_it(open_service: Open) -> None:
    service = open_service(webhooks=HOOKS)
    job = data(await service.post(key="k", webhook=HOOK), 202)
    waiting = {"url": HOOK, "status": "pending", "tries": 0, "said": None, "next_try": None}
    assert job["webhook"] == waiting
    assert data(await service.post(), 202)["webhook"] is None
    assert data(await service.post(key="k", webhook=HOOK), 202)["id"] == job["id"]
    for other in (None, HOOK + "/2"):
        assert refusal(await service.post(key="k", webhook=other)) == (409, "idempotency_conflict")
    await service.work()
    found = data(await service.client.get(f"/v1/jobs/{job['id']}"))
    assert found["webhook"] == {**waiting, "next_try": found["ended"]}
    JobReport.model_validate_json(json.dumps(found))
    assert service.desk.queue.tries == [(job["id"], 1, 1, 0.0)]


@pytest.mark.parametrize("url", ["http://shop.example/", "https://me:hunter2@shop.example/", "", "x" * 3000, 7, ["a"]])
async def test_a_place_that_can_t_be_told_is_refused_before_anything_is_kept(open_service: Open, url: Any) -> None:
    service = open_service(webhooks=HOOKS)
    image = f"data:image/png;base64,{base64.b64encode(A).decode()}"
    asked = {"reference": image, "candidate": image, "webhook_url": url}
    answers = [await service.client.post("/v1/jobs", json=asked)]
    if isinstance(url, str):
        answers.append(await service.post(webhook=url))
    for answer in answers:
        assert refusal(answer) == (400, "malformed_request")
        assert answer.json()["error"]["field"] == "/webhook_url"
        assert "hunter2" not in answer.text
    assert service.desk.blobs.used_bytes() == 0


async def test_a_place_to_tell_is_no_field_of_a_comparison_nor_of_a_service_without_webhooks(
    open_service: Open,
) -> None:
    service = open_service(webhooks=HOOKS)
    files, form = [("files", ("a", A)), ("files", ("b", B))], {"webhook_url": HOOK}
    assert refusal(await service.client.post("/v1/compare", files=files, data=form))[0] == 400
    off = open_service()
    assert refusal(await off.post(webhook=HOOK)) == (400, "malformed_request")
    for client, is_told in ((service.client, True), (off.client, False)):
        paths = (await client.get("/openapi.json")).json()["paths"]
        for route, described in (("/v1/jobs", is_told), ("/v1/compare", False)):
            for kind in paths[route]["post"]["requestBody"]["content"].values():
                assert ("webhook_url" in kind["schema"]["properties"]) == described


async def test_where_jobs_are_off_each_route_says_so(open_service: Open) -> None:
    client = open_service(on=False).client
    for answer in (
        await client.post("/v1/jobs", files=[("files", ("a", A)), ("files", ("b", B))]),
        await client.get("/v1/jobs"),
        await client.get("/v1/jobs/x/events"),
        await client.delete("/v1/jobs/x"),
    ):
        assert refusal(answer) == (404, "not_found")
        assert "turned off" in answer.json()["error"]["detail"]
    described = (await client.get("/openapi.json")).json()["paths"]
    assert not [path for path in described if path.startswith("/v1/jobs")]


async def test_a_job_is_taken_also_where_no_comparison_could_be_promised(open_service: Open) -> None:
    service = open_service(settings=Settings(limits=Limits(max_processing_timeout_s=5)))
    service.door.admission.resize("examine", 0, entrances=1, sent_to_each=1)
    service.door.admission.now = lambda: 1e12  # lost for long
    files = [("files", ("a", A)), ("files", ("b", B))]
    assert refusal(await service.client.post("/v1/compare", files=files)) == (503, "not_ready")
    assert (await service.post()).status_code == 202


def parsed(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_events_tell_what_happened_and_end_with_the_job(open_service: Open) -> None:
    service = open_service()
    job = await service.job()
    await service.work()
    answer = await service.client.get(f"/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = parsed(answer.text)
    assert [(each["event"], each["id"]) for each in told] == [("queued", "1"), ("running", "2"), ("succeeded", "3")]
    assert JobEvent.model_validate_json(told[1]["data"]).stage == "examine"
    rest = await service.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "2"})
    assert [each["id"] for each in parsed(rest.text)] == ["3"]
    none = await service.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "3"})
    assert parsed(none.text) == []
    wrong = await service.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "3; x"})
    assert refusal(wrong) == (400, "malformed_request")


async def test_events_come_while_the_job_runs(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    service = open_service()
    service.comparer.gate = asyncio.Event()
    job = await service.job()
    asked = asyncio.create_task(service.client.get(f"/v1/jobs/{job}/events"))
    working = asyncio.create_task(service.work())
    await service.comparer.entered.wait()
    service.comparer.gate.set()
    told = parsed((await asked).text)
    await working
    assert [each["event"] for each in told] == ["queued", "running", "succeeded"]


async def test_a_stream_that_lasts_too_long_ends_in_order(open_service: Open) -> None:
    """Also where it lasts longer than a body may take to come: there is none."""
    service = open_service(settings=Settings(limits=Limits(max_body_timeout_s=0.05)))
    object.__setattr__(service.job_desk, "patience_s", 0.3)
    job = await service.job()
    assert [each["event"] for each in parsed((await service.client.get(f"/v1/jobs/{job}/events")).text)] == ["queued"]


@pytest.mark.parametrize(("fault", "kind"), [(Unavailable("Gone."), "not_ready"), (KeyError("/secret"), "internal")])
async def test_a_stream_that_breaks_says_so_itself(
    open_service: Open, monkeypatch: pytest.MonkeyPatch, fault: Exception, kind: str
) -> None:
    service = open_service()
    job = await service.job()

    def fail(caller: str, job_id: str, after: int) -> None:
        raise fault

    with contextlib.suppress(AttributeError):
        monkeypatch.setattr(service.desk.store, "happened", fail)
    (told,) = parsed((await service.client.get(f"/v1/jobs/{job}/events")).text)
    assert told["event"] == "error"
    assert json.loads(told["data"])["type"] == kind
    assert "secret" not in told["data"]


async def test_one_caller_opens_some_streams_and_no_more(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS_PER_CALLER", 2)
    service = open_service()
    object.__setattr__(service.job_desk, "patience_s", 60.0)
    job = await service.job()
    url, looking, looks = f"/v1/jobs/{job}/events", asyncio.Event(), list[int]()
    loop, look = asyncio.get_running_loop(), service.desk.store.happened

    def seen(caller: str, job_id: str, after: int) -> Any:
        looks.append(after)
        if looks.count(0) == 2:
            loop.call_soon_threadsafe(looking.set)
        return look(caller, job_id, after)

    monkeypatch.setattr(service.desk.store, "happened", seen)
    open_ones = [asyncio.create_task(service.client.get(url)) for _ in range(2)]
    await looking.wait()
    assert refusal(await service.client.get(url)) == (429, "rate_limited")
    await service.client.delete(f"/v1/jobs/{job}")
    for answer in await asyncio.gather(*open_ones):
        assert [each["event"] for each in parsed(answer.text)] == ["queued", "cancelled"]
    assert (await service.client.get(url)).status_code == 200, "an ended stream kept its place"


async def test_a_full_disk_is_told(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service()

    def full(files: object) -> None:
        raise StorageFull("The disk for the images of jobs is full.")

    monkeypatch.setattr(service.desk.blobs, "put", full)
    assert refusal(await service.post()) == (507, "storage_full")


async def test_a_report_of_another_version_is_handed_on_as_it_is(open_service: Open) -> None:
    service = open_service()
    job = await service.job()
    service.desk.store.begin(job, 1)
    service.desk.store.finish(job, 1, "succeeded", report='{"of_tomorrow": 1}', error=None)
    assert data(await service.client.get(f"/v1/jobs/{job}"))["report"] == {"of_tomorrow": 1}


async def test_a_method_that_a_route_does_not_take_is_refused_with_all_that_it_takes(open_service: Open) -> None:
    client = open_service().client
    for path, allowed in (("/v1/jobs", "GET, POST"), (f"/v1/jobs/{'0' * 32}", "DELETE, GET")):
        answer = await client.put(path)
        assert refusal(answer) == (405, "method_not_allowed")
        assert answer.headers.get_list("allow") == [allowed]


async def test_every_answer_of_these_routes_is_described(open_service: Open) -> None:
    paths = (await open_service().client.get("/openapi.json")).json()["paths"]
    anywhere = {404, 405, 500, 503, 504, 401, 403}
    described = {
        f"{method} {path}": {int(status) for status in operation["responses"]} - anywhere
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path.startswith("/v1/jobs")
    }
    assert described == {
        "post /v1/jobs": {202, 400, 409, 410, 413, 422, 429, 507},
        "get /v1/jobs": {200, 400},
        "get /v1/jobs/{job_id}": {200, 410},
        "delete /v1/jobs/{job_id}": {200, 409, 410},
        "post /v1/jobs/{job_id}/retry": {202, 409, 410, 429},
        "get /v1/jobs/{job_id}/events": {200, 400, 410, 429},
    }
    events_spec = paths["/v1/jobs/{job_id}/events"]["get"]
    assert "text/event-stream" in events_spec["responses"]["200"]["content"]
    assert {each["name"] for each in events_spec["parameters"]} == {"job_id", "Last-Event-ID"}
    assert list(events_spec["responses"]["404"]["content"]) == ["application/json"]
    schema = events_spec["responses"]["404"]["content"]["application/json"]["schema"]
    assert schema == paths["/v1/jobs"]["get"]["responses"]["404"]["content"]["application/json"]["schema"]
