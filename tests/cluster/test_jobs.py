"""Jobs on a real Ray: from 202 to a report, cancelled down to the model, brought back whatever process is killed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import ray

from serve_app.serving import telemetry
from serve_app.settings import CacheSettings, JobSettings, ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.test_metrics import scraped, value
from tests.cluster.test_service import compare, kill_replica_of
from tests.cluster.waiting import eventually
from tests.rigs.postgres import PostgresServer
from tests.worlds.samples import card, encoded

A, B = encoded(card()), encoded(card("red"))
LONG_S = 8.0  # a job that is cancelled: far longer than a busy machine needs to hear of it
SHORT_S = 0.5


def settings(folder: Path, *, delay_s: float, cache_bytes: int = 0, **jobs: Any) -> Settings:
    return Settings(
        model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=delay_s, label=1)),
        jobs=JobSettings(enabled=True, folder=str(folder), **jobs),
        cache=CacheSettings(report_cache_bytes=cache_bytes),  # 0: each job is really done
    )


def post(url: str, key: str | None = None) -> httpx2.Response:
    files = [("files", ("a", A)), ("files", ("b", B))]
    headers = {} if key is None else {"Idempotency-Key": key}
    return httpx2.post(f"{url}/v1/jobs", files=files, headers=headers, timeout=30)


def posted(url: str) -> str:
    """The id of a job that was taken, as soon as jobs are."""
    taken: list[httpx2.Response] = []

    def was_taken() -> bool:
        taken.append(post(url))
        return taken[-1].status_code == 202

    eventually(was_taken, within_s=60)
    job: str = taken[-1].json()["data"]["id"]
    return job


def job(url: str, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/v1/jobs/{job_id}", timeout=30).json()["data"]
    return found


def ended(url: str, job_id: str, *, within_s: float = 60) -> dict[str, Any]:
    eventually(lambda: job(url, job_id)["ended"] is not None, within_s=within_s)
    return job(url, job_id)


def told(url: str, job_id: str) -> list[tuple[str, str]]:
    """Name and number of each event."""
    text = httpx2.get(f"{url}/v1/jobs/{job_id}/events", timeout=60).text
    blocks = [block.splitlines() for block in text.split("\n\n") if block and not block.startswith(":")]
    return [(lines[0].removeprefix("event: "), lines[-1].removeprefix("id: ")) for lines in blocks]


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def long_url(deploy: Deploy, long_folder: Path) -> Iterator[str]:
    with deploy(settings(long_folder, delay_s=LONG_S)) as url:
        yield url


@pytest.fixture(scope="module")
def short_url(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with deploy(settings(tmp_path_factory.mktemp("short"), delay_s=SHORT_S), ingress_replicas=2) as url:
        yield url


def test_a_job_goes_through_both_stages_to_its_report(short_url: str) -> None:
    job_id = posted(short_url)
    names = told(short_url, job_id)
    assert [name for name, _ in names] == ["queued", "running", "running", "succeeded"]
    assert [number for _, number in names] == ["1", "2", "3", "4"]
    found = job(short_url, job_id)
    assert (found["status"], found["report"]["model"]["status"]) == ("succeeded", "answered")


def test_jobs_are_counted(short_url: str) -> None:
    app = short_url.rsplit("/", 1)[1]
    before = scraped()
    ended(short_url, posted(short_url))
    metrics = ""

    def grew(name: str, **labels: str) -> float:
        return value(metrics, name, application=app, **labels) - value(before, name, application=app, **labels)

    def counted() -> bool:
        nonlocal metrics
        metrics = scraped()
        return grew(telemetry.JOBS_ENDED, status="succeeded") >= 1 and grew(telemetry.JOBS, status="succeeded") >= 1

    eventually(counted, within_s=40)
    assert grew(f"{telemetry.JOB_WAIT_SECONDS}_count") >= 1
    assert grew(f"{telemetry.JOB_RUN_SECONDS}_sum") >= SHORT_S
    assert value(metrics, telemetry.JOB_STORED_BYTES, application=app) > len(A) + len(B)
    assert value(metrics, telemetry.JOBS, application=app, status="queued") == 0


def test_a_refusal_of_the_preprocessor_is_the_jobs(short_url: str) -> None:
    files = [("files", ("a", A)), ("files", ("b", B[:200]))]
    taken = httpx2.post(f"{short_url}/v1/jobs", files=files, timeout=30).json()["data"]["id"]
    found = ended(short_url, taken)
    assert (found["status"], found["attempt"]) == ("failed", 1)
    assert (found["error"]["type"], found["error"]["image"]) == ("image_unreadable", "candidate")


def test_a_key_names_one_job_whichever_entrance_is_asked(short_url: str) -> None:
    with ThreadPoolExecutor(8) as callers:
        taken = list(callers.map(lambda _: post(short_url, "order-7"), range(16)))
    assert {answer.status_code for answer in taken} == {202}
    assert len({answer.json()["data"]["id"] for answer in taken}) == 1


def test_many_entrances_write_to_one_database_at_once(short_url: str) -> None:
    with ThreadPoolExecutor(8) as callers:
        taken = list(callers.map(lambda _: post(short_url), range(40)))
    assert [answer.status_code for answer in taken if answer.status_code != 202] == []
    for answer in taken:
        httpx2.delete(f"{short_url}/v1/jobs/{answer.json()['data']['id']}", timeout=30)


def test_a_cancel_reaches_the_model(long_url: str) -> None:
    job_id = posted(long_url)
    eventually(lambda: job(long_url, job_id)["stage"] == "assess", within_s=30)
    cancelled = httpx2.delete(f"{long_url}/v1/jobs/{job_id}", timeout=30)
    assert cancelled.json()["data"]["status"] == "cancelled"
    after = compare(long_url).json()["data"]["timings_ms"]
    assert after["queue"] < LONG_S * 1000 / 2, "the next one waited for a job that had been cancelled"
    assert job(long_url, job_id)["status"] == "cancelled"
    assert httpx2.delete(f"{long_url}/v1/jobs/{job_id}").status_code == 409


@pytest.mark.parametrize("killed", ["Jobs", "VLModel", "Ingress", "Preprocessor"])
def test_a_kill_loses_no_job_and_ends_none_twice(short_url: str, killed: str) -> None:
    jobs = [posted(short_url) for _ in range(6)]
    eventually(lambda: any(job(short_url, each)["status"] == "running" for each in jobs), within_s=30)
    kill_replica_of(killed, short_url.rsplit("/", 1)[1])

    def all_ended() -> bool:
        found = [httpx2.get(f"{short_url}/v1/jobs/{each}", timeout=30) for each in jobs]
        return all(one.status_code == 200 and one.json()["data"]["ended"] for one in found)

    eventually(all_ended, within_s=120)
    for each in jobs:
        assert (job(short_url, each)["status"], job(short_url, each)["attempt"]) == ("succeeded", 1)
        names = [name for name, _ in told(short_url, each)]
        assert names.count("succeeded") == 1
        assert names[-1] == "succeeded"


def test_comparisons_go_on_where_the_database_is_gone(
    deploy: Deploy, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    kept = settings(tmp_path, delay_s=0, database_url=postgres_server.new_database())
    with deploy(kept) as url:
        before = posted(url)
        assert ended(url, before)["status"] == "succeeded"
        postgres_server.stop()
        try:
            refused = post(url)
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "not_ready")
            assert int(refused.headers["retry-after"]) >= 1
            assert httpx2.get(f"{url}/v1/jobs/{before}", timeout=30).status_code == 503
            assert compare(url).status_code == 200
            assert httpx2.get(f"{url}/readyz").status_code == 200
        finally:
            postgres_server.start()
        assert ended(url, posted(url))["status"] == "succeeded"
        assert job(url, before)["status"] == "succeeded"


def test_jobs_of_a_service_that_was_stopped_are_done_by_the_next(deploy: Deploy, tmp_path: Path) -> None:
    with deploy(settings(tmp_path, delay_s=LONG_S)) as url:
        jobs = [posted(url) for _ in range(2)]
        eventually(lambda: job(url, jobs[0])["status"] == "running", within_s=30)
    with deploy(settings(tmp_path, delay_s=0)) as url:
        for each in jobs:
            assert ended(url, each)["status"] == "succeeded"


def test_a_pair_that_was_compared_before_is_not_compared_for_a_job(deploy: Deploy, tmp_path: Path) -> None:
    with deploy(settings(tmp_path, delay_s=SHORT_S, cache_bytes=10_000_000)) as url:
        assert compare(url, kept=True).json()["data"]["cached"] is False
        found = ended(url, posted(url))
        assert (found["status"], found["report"]["cached"]) == ("succeeded", True)
        other = encoded(card("blue"))
        files = [("files", ("a", A)), ("files", ("b", other))]
        taken = httpx2.post(f"{url}/v1/jobs", files=files, timeout=30).json()["data"]["id"]
        assert ended(url, taken)["report"]["cached"] is False
        assert compare(url, second=other, kept=True).json()["data"]["cached"] is True


def test_two_services_with_one_folder_do_each_job_once(deploy: Deploy, long_url: str, long_folder: Path) -> None:
    """As two of `make serve` on one machine: the other one's jobs are no dead process's, however often it looks."""
    with deploy(settings(long_folder, delay_s=LONG_S)) as other:
        jobs = [posted(url) for url in (long_url, other)]
        for each in jobs:
            assert ended(long_url, each)["status"] == "succeeded"
            assert [name for name, _ in told(other, each)] == ["queued", "running", "running", "succeeded"]


def test_a_service_with_jobs_is_ready_without_them(short_url: str) -> None:
    kill_replica_of("Jobs", short_url.rsplit("/", 1)[1])
    assert httpx2.get(f"{short_url}/readyz").status_code == 200
    assert ray.is_initialized()
    assert ended(short_url, posted(short_url))["status"] == "succeeded"
