"""The routes under /v1/batches over a real store: every form, every status, no Ray, no queue but a list."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from serve_app.comparison.pipeline import Pipeline
from serve_app.errors import ImageRejected, Unavailable
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs import events
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.schema import BatchList, BatchReport, BatchResult, BatchResults
from serve_app.serving.api import batch_body, batches
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.door import open_door
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Access, JobSettings, Limits, Settings
from serve_app.storage.database import Database
from tests.worlds import pdfs
from tests.worlds.jobs import Comparer, Desk

Answer = httpx2.Response
Parts = Sequence[tuple[str, tuple[str | None, bytes]]]


def one_against(*candidates: str) -> Parts:
    """One reference and these candidates, each with its name as content."""
    return [("reference", ("one.png", b"one")), *(("candidate", (name, name.encode())) for name in candidates)]


def listed(text: str, *files: str, name: str = "pairs.csv") -> Parts:
    return [("manifest", (name, text.encode())), *(("files", (file, file.encode())) for file in files)]


class Service:
    """An app with a desk; `work` does what waits, as the deployment Jobs would."""

    def __init__(self, folder: Path, *, on: bool = True, settings: Settings | None = None, **jobs: Any) -> None:
        self.settings = settings or Settings()
        self.desk = Desk(
            Database(f"sqlite:///{folder}/jobs.sqlite"), folder, JobSettings(folder=str(folder), enabled=True, **jobs)
        )
        self.comparer = Comparer()
        self.documents = Documents(self.settings.limits)
        self.worker = BatchWorker(
            self.desk.batches, self.desk.blobs, self.documents, lambda *_: self.comparer, at_once=1
        )
        self.stopped: list[str] = []
        self.batch_desk = BatchDesk(self.desk.batches, self.desk.blobs, self.documents, self.stopped.append, 5.0)
        self.door = open_door(self.settings)
        self.app = create_app(
            Pipeline(None, None, self.settings),  # type: ignore[arg-type] # nothing is compared at these routes
            self.settings,
            readiness=AlwaysReady(),
            logger=logging.getLogger("test.batches"),
            door=self.door,
            batches=self.batch_desk if on else None,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://test")

    async def post(
        self, parts: Parts, *, key: str | None = None, token: str | None = None, config: dict[str, Any] | None = None
    ) -> Answer:
        self.desk.clock.now += 1
        headers = {} if key is None else {"Idempotency-Key": key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        form = {} if config is None else {"config": json.dumps(config)}
        return await self.client.post("/v1/batches", files=list(parts), data=form, headers=headers)

    async def batch(self, *candidates: str) -> str:
        found: str = data(await self.post(one_against(*candidates)), 202)["id"]
        return found

    async def work(self) -> None:
        for batch, num_steps in self.desk.queue.batches:
            for step in range(num_steps):
                await self.worker.step(batch, step)

    async def results(self, batch: str, query: str = "") -> dict[str, Any]:
        return data(await self.client.get(f"/v1/batches/{batch}/results{query}"))


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
        service.documents.close()


def data(answer: Answer, status: int = 200) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["code"], body["error"]) == (status, status, None), answer.text
    found: dict[str, Any] = body["data"]
    return found


def refusal(answer: Answer) -> tuple[int, str]:
    body = answer.json()
    assert (body["data"], body["code"]) == (None, answer.status_code)
    return answer.status_code, body["error"]["type"]


async def test_a_batch_goes_from_202_to_its_results(open_service: Open) -> None:
    service = open_service()
    taken = await service.post(one_against("a.png", "b.png"), config={"similarity_threshold": 0.9})
    batch = data(taken, 202)
    assert taken.headers["location"] == f"/v1/batches/{batch['id']}"
    assert int(taken.headers["retry-after"]) >= 1
    assert (batch["status"], batch["position"], batch["num_pairs"], batch["num_done"]) == ("queued", 1, 2, 0)
    BatchReport.model_validate_json(json.dumps(batch))

    service.comparer.faults = [ImageRejected("Cut off.", image="candidate")]
    await service.work()
    done = data(await service.client.get(taken.headers["location"]))
    assert (done["status"], done["num_done"], done["outcomes"]["failed"]) == ("succeeded", 2, 1)
    BatchReport.model_validate_json(json.dumps(done))
    found = await service.results(batch["id"])
    BatchResults.model_validate_json(json.dumps(found))
    first, second = found["results"]
    assert (first["number"], first["name"], first["reference"], first["candidate"]) == (1, "a.png", "one.png", "a.png")
    assert (first["outcome"], first["error"]["image"], first["report"]) == ("failed", "candidate", None)
    assert second["report"]["verdict"] == second["outcome"]
    assert found["next_cursor"] is None
    asked = [(one, other, config.similarity_threshold) for one, other, config in service.comparer.asked]
    assert asked == [(b"one", b"a.png", 0.9), (b"one", b"b.png", 0.9)]


async def test_as_many_references_as_candidates_are_pairs(open_service: Open) -> None:
    service = open_service()
    sides = ("reference", "candidate")
    parts = [(side, ("same.png", f"{side} {number}".encode())) for number in (1, 2) for side in sides]
    batch = data(await service.post(parts), 202)["id"]
    await service.work()
    assert [(reference, candidate) for reference, candidate, _ in service.comparer.asked] == [
        (b"reference 1", b"candidate 1"),
        (b"reference 2", b"candidate 2"),
    ]
    assert [each["name"] for each in (await service.results(batch))["results"]] == ["same.png", "same.png (2)"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("reference,candidate,name\nbefore/a.png,./after/a.png,first\nbefore/a.png,b.png,\n", "pairs.csv"),
        (
            '{"reference":"before/a.png","candidate":"after/a.png","name":"first"}\n'
            '{"reference":"before/a.png","candidate":"b.png"}\n',
            "pairs.jsonl",
        ),
        (
            '\ufeff{"reference":"before/a.png","candidate":"after/a.png","name":"first"}\n'
            '{"reference":"before/a.png","candidate":"b.png"}',
            "list",
        ),
    ],
)
async def test_a_list_names_files_that_were_sent(open_service: Open, text: str, name: str) -> None:
    service = open_service()
    batch = data(await service.post(listed(text, "before/a.png", "after/a.png", "./b.png", name=name)), 202)["id"]
    await service.work()
    assert [(reference, candidate) for reference, candidate, _ in service.comparer.asked] == [
        (b"before/a.png", b"after/a.png"),
        (b"before/a.png", b"./b.png"),
    ]
    assert [each["name"] for each in (await service.results(batch))["results"]] == ["first", "b.png"]


async def test_a_name_that_is_not_ascii_is_a_name(open_service: Open) -> None:
    service = open_service()
    parts = b"".join(
        b"--x\r\nContent-Disposition: form-data; name=\"%s\"; filename*=UTF-8''%s\r\n\r\n%s\r\n" % part
        for part in ((b"reference", b"%E6%A0%87.png", b"a"), (b"candidate", b"%C3%A9.png", b"b"))
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await service.client.post("/v1/batches", content=parts + b"--x--\r\n", headers=headers)
    batch = data(answer, 202)["id"]
    await service.work()
    (found,) = (await service.results(batch))["results"]
    assert (found["name"], found["reference"], found["candidate"]) == ("\u00e9.png", "\u6807.png", "\u00e9.png")


@pytest.mark.parametrize("name", ["files", "reference", "candidate"])
async def test_a_part_whose_header_hides_that_it_is_a_file_is_refused(open_service: Open, name: str) -> None:
    service = open_service()
    head = f'--x\r\nContent-Disposition: form-data; name="{name}";b"; filename="a.png"\r\n\r\na\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await service.client.post("/v1/batches", content=head.encode(), headers=headers)
    assert refusal(answer) == (400, "malformed_request")
    assert answer.json()["error"]["field"] == f"/{name}"


async def test_all_faults_of_a_list_are_told_at_once_and_nothing_is_begun(open_service: Open) -> None:
    service = open_service()
    text = "reference,candidate\na.png,none.png\n../a.png,a.png\n/a.png,a.png\n,a.png\n"
    answer = await service.post(listed(text, "a.png"))
    assert refusal(answer) == (422, "invalid_manifest")
    error = answer.json()["error"]
    assert error["faults"] == [
        "line 2: the candidate 'none.png' was not sent.",
        "line 3: the reference '../a.png' lies outside the list's own folder.",
        "line 4: the reference '/a.png' lies outside the list's own folder.",
        "line 5: it names no reference.",
    ]
    assert error["faults"][2] in error["detail"]
    wrong = await service.post(listed("before,after\na.png,a.png\n", "a.png"))
    assert "there is no column reference" in wrong.json()["error"]["faults"][0]
    left = await service.post(listed("reference,candidate\na.png,a.png\n", "a.png", "b.png", "b.png"))
    assert left.json()["error"]["faults"] == [
        "the file 'b.png' was sent, and no line names it.",
        "1 files were sent under the name of another.",
    ]
    assert service.desk.queue.batches == []
    assert service.desk.blobs.used_bytes() == 0


async def test_a_list_of_100001_pairs_is_refused(open_service: Open) -> None:
    rows = "".join(f"a.png,a.png,{number}\n" for number in range(100_001))
    answer = await open_service().post(listed("reference,candidate,name\n" + rows, "a.png"))
    assert answer.json()["error"]["faults"] == ["line 100002: more than 100000 pairs."]


@pytest.mark.parametrize(
    "parts",
    [
        [("reference", ("a", b"a"))],
        [("candidate", ("a", b"a"))],
        [("files", ("a", b"a"))],
        [("manifest", ("a.csv", b"reference,candidate\n"))],
        [("reference", ("a", b"a"))] * 2 + [("candidate", ("a", b"a"))] * 3,
        [*one_against("a"), ("files", ("a", b"a"))],
        [*one_against("a"), ("manifest", ("a.csv", b"x"))],
        [*one_against("a"), ("other", ("a", b"a"))],
        [*listed("reference,candidate\n", "a"), ("manifest", ("b.csv", b"x"))],
        [("reference", ("a\x7f", b"a")), ("candidate", ("a", b"a"))],
    ],
)
async def test_a_form_that_is_none_is_refused(open_service: Open, parts: Parts) -> None:
    service = open_service()
    assert refusal(await service.post(parts)) == (400, "malformed_request")
    assert data(await service.client.get("/v1/batches"))["batches"] == []


async def test_what_is_no_form_and_a_config_out_of_range_are_refused(open_service: Open) -> None:
    service = open_service()
    assert refusal(await service.client.post("/v1/batches", json={})) == (400, "malformed_request")
    for config, field in (({"nope": 1}, "/config/nope"), ({"visuals": ["overlay"]}, "/config/visuals")):
        answer = await service.post(one_against("a.png"), config=config)
        assert refusal(answer) == (422, "invalid_config")
        assert answer.json()["error"]["field"] == field


async def test_more_files_than_a_form_may_have_are_refused(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_body, "MOST_FILES", 3)
    service = open_service()
    assert (await service.post(one_against("a", "b"))).status_code == 202
    assert refusal(await service.post(one_against("a", "b", "c"))) == (400, "malformed_request")


async def test_a_body_over_the_limit_is_no_batch(open_service: Open) -> None:
    service = open_service(settings=Settings(limits=Limits(max_body_bytes=2000)))
    assert refusal(await service.post(one_against("x" * 900, "y" * 900))) == (413, "body_too_large")


async def test_files_come_to_the_disk_a_few_at_a_time(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BROUGHT_FILES", 2)
    service = open_service()
    put, brought = service.desk.blobs.put, []

    def seen(files: Any) -> None:
        brought.append(len(files))
        put(files)

    monkeypatch.setattr(service.desk.blobs, "put", seen)
    await service.batch("a", "b", "c", "d")
    assert sorted(brought) == [1, 2, 2]
    await service.work()
    assert len(service.comparer.asked) == 4


async def test_the_same_key_is_the_same_batch_and_another_body_a_conflict(open_service: Open) -> None:
    service = open_service()
    first, again = [await service.post(one_against("a", "b"), key="k") for _ in range(2)]
    assert data(first, 202)["id"] == data(again, 202)["id"]
    assert refusal(await service.post(one_against("a", "c"), key="k")) == (409, "idempotency_conflict")
    assert refusal(await service.post(one_against("b", "a"), key="k")) == (409, "idempotency_conflict")
    other = await service.post(one_against("a", "b"), key="k", config={"swap_check": False})
    assert refusal(other) == (409, "idempotency_conflict")
    assert refusal(await service.post(one_against("a"), key="a b")) == (400, "malformed_request")


async def test_results_come_in_pages_by_outcome_and_as_lines(open_service: Open) -> None:
    service = open_service()
    batch = await service.batch(*"abcde")
    early = await service.results(batch)
    assert (early["results"], early["next_cursor"]) == ([], "0")
    service.comparer.faults = [ImageRejected("Cut off.")]
    await service.work()
    found, cursor = [], "0"
    while cursor is not None:
        page = await service.results(batch, f"?limit=2&cursor={cursor}")
        found.append([each["name"] for each in page["results"]])
        cursor = page["next_cursor"]
    assert found == [["a", "b"], ["c", "d"], ["e"]]
    failed = await service.results(batch, "?outcome=failed&outcome=added")
    assert [each["name"] for each in failed["results"]] == ["a"]
    lines = await service.client.get(f"/v1/batches/{batch}/results", headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    told = [BatchResult.model_validate_json(line) for line in lines.text.splitlines()]
    assert [(each.number, each.name) for each in told] == list(enumerate("abcde", 1))


async def test_lines_go_on_past_what_is_read_at_once(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "READ_AT_ONCE", 2)
    service = open_service()
    batch = await service.batch(*"abcde")
    await service.work()
    lines = await service.client.get(f"/v1/batches/{batch}/results", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["name"] for line in lines.text.splitlines()] == list("abcde")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=x", "cursor=-1", "outcome=good"])
async def test_a_query_that_can_t_be_read_is_pointed_at(open_service: Open, query: str) -> None:
    service = open_service()
    batch = await service.batch("a")
    answer = await service.client.get(f"/v1/batches/{batch}/results?{query}")
    assert refusal(answer) == (400, "malformed_request")
    assert answer.json()["error"]["field"] == f"/{query.partition('=')[0]}"
    assert refusal(await service.client.get("/v1/batches?status=done")) == (400, "malformed_request")


async def test_a_cancel_is_told_to_who_is_at_work_and_only_once(open_service: Open) -> None:
    service = open_service()
    batch = await service.batch("a", "b")
    assert data(await service.client.delete(f"/v1/batches/{batch}"))["status"] == "cancelled"
    assert service.stopped == [batch]
    again = await service.client.delete(f"/v1/batches/{batch}")
    assert refusal(again) == (409, "already_ended")
    await service.work()
    assert (service.comparer.asked, len(service.stopped)) == ([], 1)


async def test_a_list_has_pages_and_filters(open_service: Open) -> None:
    service = open_service()
    taken = [await service.batch("a") for _ in range(3)]
    await service.client.delete(f"/v1/batches/{taken[0]}")
    first = data(await service.client.get("/v1/batches?limit=2"))
    BatchList.model_validate_json(json.dumps(first))
    rest = data(await service.client.get("/v1/batches", params={"limit": 2, "cursor": first["next_cursor"]}))
    assert [batch["id"] for batch in first["batches"] + rest["batches"]] == taken[::-1]
    some = data(await service.client.get("/v1/batches?status=cancelled"))["batches"]
    assert [batch["id"] for batch in some] == [taken[0]]


async def test_another_callers_batch_is_not_there_and_what_has_expired_is_gone(
    open_service: Open, tmp_path: Path
) -> None:
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()} {name}" for name in ("alice", "bob")]
    (tmp_path / "keys").write_text("\n".join(lines))
    service = open_service(settings=Settings(access=Access(api_keys_file=str(tmp_path / "keys"))))
    assert refusal(await service.post(one_against("a"))) == (401, "api_key_required")
    batch = data(await service.post(one_against("a"), key="k", token="alice"), 202)["id"]
    urls = (f"/v1/batches/{batch}", f"/v1/batches/{batch}/results", f"/v1/batches/{batch}/events")

    async def asked(token: str) -> list[Answer]:
        headers = {"Authorization": f"Bearer {token}"}
        got = [await service.client.get(url, headers=headers) for url in urls]
        return [*got, await service.client.delete(urls[0], headers=headers)]

    for answer in await asked("bob"):
        assert refusal(answer) == (404, "not_found")
    assert data(await service.client.get("/v1/batches", headers={"Authorization": "Bearer bob"}))["batches"] == []
    mine = {"Authorization": "Bearer alice"}
    assert data(await service.client.delete(urls[0], headers=mine))["status"] == "cancelled"
    service.desk.clock.now += 86401
    service.desk.batches.expire(10)
    for answer in [*await asked("alice"), await service.post(one_against("a"), key="k", token="alice")]:
        assert refusal(answer) == (410, "expired")


@pytest.mark.parametrize("batch", ["0" * 32, "nope", "%00", "0" * 31 + "%0a"])
async def test_a_batch_that_is_none_is_not_found(open_service: Open, batch: str) -> None:
    service = open_service()
    for route in ("", "/results", "/events"):
        assert refusal(await service.client.get(f"/v1/batches/{batch}{route}")) == (404, "not_found")


async def test_a_full_store_takes_nothing_and_harms_nobody(open_service: Open) -> None:
    service = open_service(max_stored_bytes=12_000)
    batch = await service.batch("a")
    assert refusal(await service.post([("reference", ("b", b"x" * 9000)), ("candidate", ("c", b"c"))])) == (
        507,
        "storage_full",
    )
    await service.work()
    assert data(await service.client.get(f"/v1/batches/{batch}"))["status"] == "succeeded"


async def test_a_batch_is_taken_also_where_no_comparison_could_be_promised(open_service: Open) -> None:
    service = open_service()
    service.door.admission.resize("examine", 0, entrances=1, sent_to_each=1)
    service.door.admission.now = lambda: 1e12  # lost for long
    assert refusal(await service.client.post("/v1/compare", files=one_against("a"))) == (503, "not_ready")
    assert (await service.post(one_against("a"))).status_code == 202


async def test_where_batches_are_off_each_route_says_so(open_service: Open) -> None:
    client = open_service(on=False).client
    for answer in (
        await client.post("/v1/batches", files=list(one_against("a"))),
        await client.get("/v1/batches"),
        await client.get("/v1/batches/x/results"),
        await client.delete("/v1/batches/x"),
    ):
        assert refusal(answer) == (404, "not_found")
        assert "turned off" in answer.json()["error"]["detail"]


def parsed(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_events_tell_how_far_it_is_and_end_with_the_batch(
    open_service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    service = open_service()
    batch = await service.batch("a", "b")
    asked = asyncio.create_task(service.client.get(f"/v1/batches/{batch}/events"))
    service.comparer.gate = asyncio.Event()
    working = asyncio.create_task(service.work())
    await service.comparer.entered.wait()
    service.comparer.gate.set()
    told = parsed((await asked).text)
    await working
    assert told[-1]["event"] == "succeeded"
    last = BatchReport.model_validate_json(told[-1]["data"])
    assert (last.num_done, last.num_pairs) == (2, 2)
    again = await service.client.get(f"/v1/batches/{batch}/events", headers={"Last-Event-ID": told[-1]["id"]})
    assert parsed(again.text) == []
    early = await service.client.get(f"/v1/batches/{batch}/events", headers={"Last-Event-ID": "1"})
    assert [each["event"] for each in parsed(early.text)] == ["succeeded"]


async def test_a_stream_that_breaks_says_so_itself(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service()
    batch = await service.batch("a")
    find, looks = service.desk.batches.find, []

    def fail(caller: str, batch_id: str) -> Any:
        looks.append(batch_id)
        if len(looks) > 1:
            raise Unavailable("Gone.")
        return find(caller, batch_id)

    monkeypatch.setattr(service.desk.batches, "find", fail)
    (told,) = parsed((await service.client.get(f"/v1/batches/{batch}/events")).text)
    assert (told["event"], json.loads(told["data"])["type"]) == ("error", "not_ready")


async def test_every_answer_of_these_routes_is_described(open_service: Open) -> None:
    paths = (await open_service().client.get("/openapi.json")).json()["paths"]
    anywhere = {404, 405, 500, 503, 504, 401, 403}
    described = {
        f"{method} {path}": {int(status) for status in operation["responses"]} - anywhere
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path.startswith("/v1/batches")
    }
    assert described == {
        "post /v1/batches": {202, 400, 409, 410, 413, 415, 422, 429, 507},
        "get /v1/batches": {200, 400},
        "get /v1/batches/{batch_id}": {200, 410},
        "delete /v1/batches/{batch_id}": {200, 409, 410},
        "get /v1/batches/{batch_id}/results": {200, 400, 410},
        "get /v1/batches/{batch_id}/events": {200, 400, 410, 429},
    }
    content = paths["/v1/batches/{batch_id}/results"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "application/x-ndjson"}


def two_pdfs(reference: bytes, candidate: bytes, pdf: object = None) -> Parts:
    parts: list[tuple[str, Any]] = [("reference", ("a.pdf", reference)), ("candidate", ("b.pdf", candidate))]
    return parts if pdf is None else [*parts, ("pdf", (None, json.dumps(pdf).encode()))]


async def test_two_pdfs_are_a_batch_of_their_pages(open_service: Open) -> None:
    service = open_service()
    reference, candidate = pdfs.pdf(1, 2, 3), pdfs.pdf(1, 9, 2)
    options = {"dpi": 72, "page_regions": {"2": [[1, 2, 3, 4]]}}
    taken = data(await service.post(two_pdfs(reference, candidate, options)), 202)
    assert taken["num_pairs"] == 4
    await service.work()
    found = (await service.results(taken["id"]))["results"]
    told = [(each["name"], each["reference"], each["candidate"]) for each in found]
    assert told == [
        ("page 1", "a.pdf#page=1", "b.pdf#page=1"),
        ("page 2 (added)", None, "b.pdf#page=2"),
        ("page 2 -> 3", "a.pdf#page=2", "b.pdf#page=3"),
        ("page 3 (removed)", "a.pdf#page=3", None),
    ]
    assert [each["outcome"] for each in found][1::2] == ["added", "removed"]
    first, second = service.comparer.asked
    assert first[0] == first[1]
    assert Image.open(io.BytesIO(first[0])).size == (pdfs.WIDTH, pdfs.HEIGHT)
    assert (first[2].ignore_regions, second[2].ignore_regions) == ((), ((1, 2, 3, 4),))
    assert data(await service.client.get(f"/v1/batches/{taken['id']}"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("candidate", "side", "told"),
    [
        (pdfs.locked(), "candidate", "encrypted"),
        (pdfs.empty(), "candidate", "no page"),
        (pdfs.blank_pages(5000), "candidate", "5000 pages; at most 500"),
        (pdfs.blank_pages(1, (9000, 9000)), "candidate", "18750x18750"),
        (b"%PDF-1.7 and no more", "candidate", "damaged"),
    ],
)
async def test_pdfs_that_can_t_be_pages_are_refused_with_the_limit(
    open_service: Open, candidate: bytes, side: str, told: str
) -> None:
    service = open_service()
    answer = await service.post(two_pdfs(pdfs.pdf(1), candidate))
    assert refusal(answer) == (422, "pdf_rejected")
    assert told in answer.json()["error"]["detail"]
    assert answer.json()["error"]["image"] == side
    assert (service.desk.queue.batches, service.desk.blobs.used_bytes()) == ([], 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dpi": 17}, "dpi"),
        ({"nope": 1}, "dpi and page_regions"),
        ({"page_regions": {"2": [[0, 0, 1, 1]]}}, "the reference has 1"),
        ({"page_regions": {"1": [[0, 0, 1, 1]] * 64}}, "more than 64 boxes"),
    ],
)
async def test_options_of_pdfs_are_checked(open_service: Open, options: object, told: str) -> None:
    service = open_service()
    config = {"ignore_regions": [[5, 5, 5, 5]]}
    answer = await service.post(two_pdfs(pdfs.pdf(1), pdfs.pdf(1), options), config=config)
    assert refusal(answer) == (422, "invalid_config")
    assert told in answer.json()["error"]["detail"]
    assert answer.json()["error"]["field"] == "/pdf"


async def test_a_pdf_among_pictures_and_options_without_pdfs_are_refused(open_service: Open) -> None:
    service = open_service()
    pdf = pdfs.pdf(1)
    for parts in (
        two_pdfs(pdf, b"a picture"),
        [*two_pdfs(pdf, pdf), ("candidate", ("c.pdf", pdf))],
        [("reference", ("a", b"a")), ("candidate", ("b", b"b")), ("pdf", (None, b"{}"))],
    ):
        assert refusal(await service.post(parts)) == (400, "malformed_request")


async def test_without_the_extra_pdfs_are_an_unsupported_type(
    open_service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = await open_service().post(two_pdfs(pdfs.pdf(1), pdfs.pdf(1)))
    assert refusal(answer) == (415, "unsupported_image_type")
    assert "pip install 'pairlens[pdf]'" in answer.json()["error"]["detail"]
