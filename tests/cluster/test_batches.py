"""Batches on a real Ray: from 202 to results, cancelled down to the model, resumed where `Jobs` was killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.cluster.conftest import Deploy
from tests.cluster.test_jobs import settings
from tests.cluster.test_service import kill_replica_of
from tests.cluster.waiting import eventually
from tests.worlds.samples import card, encoded

DELAY_S = 0.05
REFERENCE = encoded(card())


def posted(url: str, num_pairs: int) -> str:
    """The id of a batch of one reference and as many candidates, each another picture, as soon as batches are taken."""
    candidates = [encoded(card("red", size=(300 + number, 200))) for number in range(num_pairs)]
    files = [("reference", ("one.png", REFERENCE)), *(("candidate", ("other.png", each)) for each in candidates)]
    taken: list[httpx2.Response] = []

    def was_taken() -> bool:
        taken.append(httpx2.post(f"{url}/v1/batches", files=files, timeout=60))
        return taken[-1].status_code == 202

    eventually(was_taken, within_s=60)
    batch: str = taken[-1].json()["data"]["id"]
    return batch


def batch(url: str, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/v1/batches/{batch_id}", timeout=30).json()["data"]
    return found


def results(url: str, batch_id: str) -> list[dict[str, Any]]:
    found, cursor = [], "0"
    while cursor is not None:
        query = f"limit=100&cursor={cursor}"
        page = httpx2.get(f"{url}/v1/batches/{batch_id}/results?{query}", timeout=30).json()["data"]
        found += page["results"]
        cursor = page["next_cursor"]
    return found


@pytest.fixture(scope="module")
def url(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with deploy(settings(tmp_path_factory.mktemp("batches"), delay_s=DELAY_S), ingress_replicas=2) as served:
        yield served


def test_a_kill_of_jobs_between_two_steps_loses_no_pair_and_repeats_no_step(url: str) -> None:
    batch_id = posted(url, 330)
    eventually(lambda: batch(url, batch_id)["num_done"] >= 100, within_s=120)
    written = httpx2.get(f"{url}/v1/batches/{batch_id}/results?limit=100", timeout=30).json()["data"]
    kill_replica_of("Jobs", url.rsplit("/", 1)[1])
    eventually(lambda: batch(url, batch_id)["ended"] is not None, within_s=120)
    found = batch(url, batch_id)
    assert (found["status"], found["num_done"], found["outcomes"]["failed"]) == ("succeeded", 330, 0)
    told = results(url, batch_id)
    assert [each["number"] for each in told] == list(range(1, 331))
    assert told[:100] == written["results"]  # with the times of the first one's work
    assert {each["report"]["model"]["status"] for each in told} == {"answered"}


def test_a_cancel_reaches_who_is_at_work(url: str) -> None:
    batch_id = posted(url, 220)
    eventually(lambda: batch(url, batch_id)["num_done"] >= 100, within_s=120)
    assert httpx2.delete(f"{url}/v1/batches/{batch_id}", timeout=30).json()["data"]["status"] == "cancelled"
    after = posted(url, 1)  # the same caller's next one begins only once this one is over
    eventually(lambda: batch(url, after)["ended"] is not None, within_s=30)
    assert batch(url, batch_id)["num_done"] == len(results(url, batch_id)) < 220
