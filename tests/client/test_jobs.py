"""Jobs from both clients, against a service that answers as told: what is sent, what is tried again, what ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from pairlens import AsyncClient, Client, ComparisonReport, ServerFailed, StillAtWork
from serve_app.client import patience
from serve_app.client import service as core
from serve_app.client.asynchronous import AsyncJob
from serve_app.client.jobs import report_of
from serve_app.client.sync import Job
from serve_app.core.comparing import CantCompare
from serve_app.errors import AlreadyEnded, ImageRejected, Overloaded
from serve_app.schema import Envelope, ErrorReport, JobList, JobReport, JobStatus
from tests.worlds.jobs import made_report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "0" * 32


def seen(status: JobStatus = "queued", **fields: Any) -> JobReport:
    known: dict[str, Any] = {"attempt": 1, "position": None, "stage": None, "created": NOW, "started": None}
    known |= {"ended": NOW if status in core.ENDED else None, "expires": None, **fields}
    return JobReport(id=JOB, status=status, **known)


def told(data: JobReport | JobList, status: int = 200) -> httpx2.Response:
    kind: Any = Envelope[type(data)]  # type: ignore[misc]
    envelope = kind(code=status, msg="ok", data=data, error=None, request_id="r")
    return httpx2.Response(status, content=envelope.model_dump_json())


def refused(status: int, kind: str, **headers: str) -> httpx2.Response:
    error = ErrorReport(type=kind, detail="No.")
    envelope = Envelope[JobReport](code=status, msg="no", data=None, error=error, request_id="r")
    return httpx2.Response(status, content=envelope.model_dump_json(), headers=headers)


class Service:
    """Answers each request with the next of `answers`, the last one for ever; raises those that are exceptions."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        retry_after = {name: value for name, value in answer.headers.items() if name == "retry-after"}
        return httpx2.Response(answer.status_code, content=answer.content, headers=retry_after)  # each is read once


# Calls a method of a client's jobs by name, and sees the job, or the list, that it hands back.
Call = Callable[..., Any]


def waiting(service: Service) -> Call:
    def call(name: str, *arguments: Any, **options: Any) -> Any:
        with Client("http://host/", api_key="k", transport=httpx2.MockTransport(service)) as client:
            found = getattr(client.jobs, name)(*arguments, **options)
            return found.seen if isinstance(found, Job) else found

    return call


def awaiting(service: Service) -> Call:
    def call(name: str, *arguments: Any, **options: Any) -> Any:
        async def called() -> Any:
            async with AsyncClient("http://host", api_key="k", transport=httpx2.MockTransport(service)) as client:
                found = await getattr(client.jobs, name)(*arguments, **options)
                return found.seen if isinstance(found, AsyncJob) else found

        return asyncio.run(called())

    return call


both = pytest.mark.parametrize("client", [waiting, awaiting])


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (core, patience):
        for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
            monkeypatch.setattr(module, name, 0.001)


@both
def test_a_job_is_left_with_both_images_a_key_of_its_own_and_a_place_to_tell(client: Callable[..., Call]) -> None:
    service = Service(told(seen(position=3), 202))
    for _ in range(2):
        got = client(service)("create", b"first", b"second", webhook_url="https://shop.example/")
        assert (got.id, got.status, got.position) == (JOB, "queued", 3)
    one, other = service.asked
    assert (one.method, str(one.url), one.headers["authorization"]) == ("POST", "http://host/v1/jobs", "Bearer k")
    assert one.content.index(b"first") < one.content.index(b"second")
    assert b"https://shop.example/" in one.content
    keys = [each.headers["idempotency-key"] for each in (one, other)]
    assert len(set(keys)) == 2
    assert min(map(len, keys)) == 32
    client(service)("create", b"", b"", idempotency_key="order-7")
    assert service.asked[-1].headers["idempotency-key"] == "order-7"
    assert b"webhook_url" not in service.asked[-1].content


@both
@pytest.mark.parametrize(
    "lost", [httpx2.ReadTimeout("slow"), httpx2.ReadError("cut off"), refused(503, "overloaded"), httpx2.Response(502)]
)
def test_where_no_answer_came_it_is_left_again_as_the_same_job(
    client: Callable[..., Call], lost: httpx2.Response | Exception
) -> None:
    service = Service(lost, lost, told(seen(), 202))
    assert client(service)("create", b"a", b"b").status == "queued"
    assert len(service.asked) == 3
    assert len({request.headers["idempotency-key"] for request in service.asked}) == 1
    assert len({request.content.count(b"config") for request in service.asked}) == 1


@both
def test_it_is_given_up_after_a_few_tries_and_a_refusal_at_once(client: Callable[..., Call]) -> None:
    away = Service(httpx2.ConnectError("refused"))
    with pytest.raises(ServerFailed, match="can't be reached"):
        client(away)("create", b"a", b"b")
    assert len(away.asked) == core.MAX_RETRIES + 1
    full = Service(refused(503, "overloaded", **{"Retry-After": "0"}))
    with pytest.raises(Overloaded):
        client(full)("create", b"a", b"b")
    assert len(full.asked) == core.MAX_RETRIES + 1
    wrong = Service(refused(422, "image_unreadable"))
    with pytest.raises(ImageRejected):
        client(wrong)("create", b"a", b"b")
    assert len(wrong.asked) == 1


@both
@pytest.mark.parametrize(
    ("name", "method", "path"), [("get", "GET", ""), ("cancel", "DELETE", ""), ("retry", "POST", "/retry")]
)
def test_each_call_has_its_route(client: Callable[..., Call], name: str, method: str, path: str) -> None:
    service = Service(told(seen("cancelled")))
    assert client(service)(name, JOB).status == "cancelled"
    (request,) = service.asked
    assert (request.method, str(request.url)) == (method, f"http://host/v1/jobs/{JOB}{path}")
    assert request.headers["authorization"] == "Bearer k"
    with pytest.raises(AlreadyEnded):
        client(Service(refused(409, "already_ended")))(name, JOB)


@both
def test_a_list_is_asked_for_by_state_and_page(client: Callable[..., Call]) -> None:
    service = Service(told(JobList(jobs=(seen(),), next_cursor="next")))
    page = client(service)("list", "failed", "cancelled", limit=5, cursor="here")
    assert ([job.id for job in page.jobs], page.next_cursor) == ([JOB], "next")
    client(service)("list")
    queries = [str(request.url.query, "ascii") for request in service.asked]
    assert queries == ["limit=5&status=failed&status=cancelled&cursor=here", "limit=20"]


@both
def test_a_wait_ends_with_the_job_whoever_does_not_answer_meanwhile(client: Callable[..., Call]) -> None:
    service = Service(
        told(seen("queued")),
        httpx2.ConnectError("refused"),
        refused(503, "not_ready"),
        told(seen("running")),
        told(seen("succeeded", report=made_report())),
    )
    found = client(service)("wait", JOB, timeout=30)
    assert (found.status, len(service.asked)) == ("succeeded", 5)
    with pytest.raises(AlreadyEnded):  # what will not change by waiting
        client(Service(refused(409, "already_ended")))("wait", JOB)


@both
@pytest.mark.parametrize("answer", [told(seen("running")), httpx2.ConnectError("refused")])
def test_a_wait_always_ends(client: Callable[..., Call], answer: httpx2.Response | Exception) -> None:
    service, began = Service(answer), time.monotonic()
    with pytest.raises(StillAtWork, match=r"within 0\.2 s"):
        client(service)("wait", JOB, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5
    assert len(service.asked) >= 2
    assert all(request.extensions["timeout"]["read"] <= 0.2 for request in service.asked)
    with pytest.raises(TimeoutError) as caught:
        client(service)("wait", JOB, timeout=0)
    assert caught.value.id == JOB  # type: ignore[attr-defined] # of `StillAtWork`


def test_a_job_is_followed_by_its_own_methods() -> None:
    report = made_report()
    service = Service(told(seen(), 202), told(seen("running")), told(seen("succeeded", report=report)))
    with Client("http://host", transport=httpx2.MockTransport(service)) as client:
        job = client.jobs.create(b"a", b"b")
        with pytest.raises(CantCompare, match="it is queued"):
            job.report  # noqa: B018
        assert job.refresh().status == "running"
        assert job.wait(timeout=5) is job
        assert job.report == report
        service.answers = [refused(409, "already_ended")]
        for ask in (job.cancel, job.retry):
            with pytest.raises(AlreadyEnded):
                ask()
        assert job.status == "succeeded"


def test_a_job_is_followed_by_its_own_methods_in_an_event_loop() -> None:
    service = Service(told(seen(), 202), told(seen("running")), told(seen("cancelled")), told(seen()), told(seen()))

    async def followed() -> list[str]:
        async with AsyncClient("http://host", transport=httpx2.MockTransport(service)) as client:
            job = await client.jobs.create(b"a", b"b")
            states = [job.status, (await job.refresh()).status, (await job.cancel()).status]
            return [*states, (await job.retry()).status]

    assert asyncio.run(followed()) == ["queued", "running", "cancelled", "queued"]


def test_the_report_of_a_failed_job_is_what_it_failed_with() -> None:
    error = ErrorReport(type="image_unreadable", detail="Cut off.", image="candidate")
    with pytest.raises(ImageRejected, match="Cut off") as refusal:
        report_of(seen("failed", error=error))
    assert refusal.value.image == "candidate"
    with pytest.raises(CantCompare, match="it is cancelled"):
        report_of(seen("cancelled"))
    assert isinstance(report_of(seen("succeeded", report=made_report())), ComparisonReport)
