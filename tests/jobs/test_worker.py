"""One attempt at a job: what becomes of a report, a refusal, a lost worker, a cancel, a bug."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from serve_app.errors import DeadlineExceeded, ImageRejected, Overloaded, Unavailable, WorkerLost
from serve_app.jobs.worker import MAX_LOST, Worker
from serve_app.schema import ComparisonReport, ErrorReport, JobStatus
from serve_app.storage.database import Database
from tests.worlds.jobs import CONFIG, Comparer, Desk


class Room:
    """A desk, a worker and one who compares."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.desk = Desk(database, folder)
        self.comparer = Comparer()
        self.told: list[JobStatus] = []
        self.worker = Worker(self.desk.store, self.desk.blobs, lambda job: self.comparer, self.ended)

    def ended(self, status: JobStatus, waited_s: float, ran_s: float) -> None:
        self.told.append(status)

    def error(self, job: str) -> dict[str, object]:
        found = self.desk.store.find("alice", job)
        assert (found.status, found.report) == ("failed", None)
        error: dict[str, object] = json.loads(found.error or "")
        return error


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(Database(f"sqlite:///{tmp_path}/jobs.sqlite"), tmp_path)


async def test_a_report_is_kept_as_it_came(room: Room) -> None:
    job = room.desk.post()
    assert await room.worker.run(job, 1) == "succeeded"
    found = room.desk.store.find("alice", job)
    assert ComparisonReport.model_validate_json(found.report or "").verdict
    assert (found.status, found.stage) == ("succeeded", None)
    assert room.comparer.asked == [(b"one", b"two", CONFIG)]
    assert room.told == ["succeeded"]


async def test_a_report_for_which_there_is_no_room_fails_its_job(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    job = room.desk.post()
    monkeypatch.setattr(room.desk.blobs, "_quota", room.desk.blobs.used_bytes() + 100)
    assert await room.worker.run(job, 1) == "failed"
    found = room.desk.store.find("alice", job)
    assert ErrorReport.model_validate_json(found.error or "").type == "storage_full"
    assert found.report is None
    assert room.told == ["failed"]


async def test_an_attempt_that_has_ended_is_left_alone(room: Room) -> None:
    job = room.desk.post()
    await room.worker.run(job, 1)
    assert await room.worker.run(job, 1) == "nothing_to_do"
    assert await room.worker.run("unknown", 1) == "nothing_to_do"
    assert len(room.comparer.asked) == 1
    assert len(room.told) == 1


@pytest.mark.parametrize("refusal", [ImageRejected("Cut off.", image="candidate"), DeadlineExceeded("Too late.")])
async def test_a_refusal_is_final(room: Room, refusal: Exception) -> None:
    job = room.desk.post()
    room.comparer.faults = [refusal]
    assert await room.worker.run(job, 1) == "failed"
    assert room.error(job) == {
        "type": refusal.type,  # type: ignore[attr-defined]
        "detail": str(refusal),
        "image": refusal.image,  # type: ignore[attr-defined]
        "field": None,
    }
    assert room.told == ["failed"]


@pytest.mark.parametrize("fault", [Unavailable("Nobody."), Overloaded("Full.")])
async def test_where_nobody_was_there_the_attempt_goes_on_later(room: Room, fault: Unavailable) -> None:
    job = room.desk.post()
    room.comparer.faults = [fault] * 5
    for _ in range(5):
        with pytest.raises(Unavailable):
            await room.worker.run(job, 1)
        assert room.desk.store.find("alice", job).status == "running"
    assert await room.worker.run(job, 1) == "succeeded"
    assert room.told == ["succeeded"]


async def test_a_pair_that_kills_its_workers_is_given_up(room: Room) -> None:
    job, other = room.desk.post(), room.desk.post()
    room.comparer.faults = [WorkerLost("A worker was lost.")] * (MAX_LOST + 1)
    for _ in range(MAX_LOST - 1):
        with pytest.raises(WorkerLost):
            await room.worker.run(job, 1)
    assert await room.worker.run(job, 1) == "failed"
    assert room.error(job)["type"] == "not_ready"
    with pytest.raises(WorkerLost):
        await room.worker.run(other, 1)  # counted for each attempt alone
    assert await room.worker.run(other, 1) == "succeeded"


async def test_a_cancel_ends_the_comparison_and_its_late_result_counts_for_nothing(room: Room) -> None:
    job = room.desk.post()
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.run(job, 1))
    await room.comparer.entered.wait()
    assert room.worker.at_work == [(job, 1)]
    assert not room.worker.cancel(job, 2)
    room.desk.store.cancel("alice", job)
    assert room.worker.cancel(job, 1)
    assert await running == "cancelled"
    assert room.comparer.cancelled.is_set()
    assert room.worker.at_work == []
    assert room.desk.store.find("alice", job).status == "cancelled"
    assert not room.worker.cancel(job, 1)


async def test_a_result_after_a_cancel_that_nobody_heard_is_dropped(room: Room) -> None:
    job = room.desk.post()
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.run(job, 1))
    await room.comparer.entered.wait()
    room.desk.store.cancel("alice", job)
    room.comparer.gate.set()
    assert await running == "nothing_to_do"
    found = room.desk.store.find("alice", job)
    assert (found.status, found.report) == ("cancelled", None)
    assert room.told == []


async def test_a_worker_that_is_stopped_leaves_its_job_to_the_next(room: Room) -> None:
    job = room.desk.post()
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.run(job, 1))
    await room.comparer.entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await room.comparer.cancelled.wait()
    assert room.desk.store.find("alice", job).status == "running"
    room.comparer.gate = None
    assert await room.worker.run(job, 1) == "succeeded"


async def test_images_that_are_gone_fail_the_job(room: Room, tmp_path: Path) -> None:
    job = room.desk.post()
    for path in (tmp_path / "images").rglob("*"):
        if path.is_file():
            path.unlink()
    assert await room.worker.run(job, 1) == "failed"
    assert room.error(job)["detail"] == "The images of this job are gone."


async def test_a_bug_fails_the_job_and_tells_nothing_of_itself(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    job = room.desk.post()
    room.comparer.faults = [KeyError("/secret/path of alice")]
    with caplog.at_level(logging.ERROR, "pairlens.jobs"):
        assert await room.worker.run(job, 1) == "failed"
    assert room.error(job)["type"] == "internal"
    assert "secret" not in caplog.text + json.dumps(room.error(job))
    assert "KeyError" in caplog.text


async def test_a_job_that_nobody_could_be_found_for_ends(room: Room) -> None:
    job = room.desk.post()
    await room.worker.give_up(job, 1)
    assert room.error(job)["type"] == "not_ready"
    await room.worker.give_up(job, 1)
    assert room.told == ["failed"]


async def test_a_config_of_another_version_is_refused_and_not_a_bug(room: Room) -> None:
    job = room.desk.post()
    import sqlalchemy as sa

    from serve_app.jobs.rows import JOBS

    with room.desk.store._database.begin() as connection:
        connection.execute(sa.update(JOBS).values(config='{"of_tomorrow": 1}'))
    assert await room.worker.run(job, 1) == "failed"
    assert room.error(job)["type"] == "invalid_config"
