"""Steps of batches without a queue: every pair has a result, a step is written once, a cancel ends what is in work."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve_app.core.pictures import Upload
from serve_app.errors import DeadlineExceeded, ImageRejected, Overloaded, StorageFull, Unavailable, WorkerLost
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs import batch_worker
from serve_app.jobs.batch import Batch, BatchRequest, PairResult
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.worker import MAX_LOST
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.settings import Limits
from serve_app.storage.database import Database
from tests.worlds.jobs import Comparer, Desk


class Counting(Comparer):
    """Counts who is asked at once; each answer takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await super().compare(reference, candidate, config)
        finally:
            self.now -= 1


class Room:
    def __init__(self, folder: Path, at_once: int = 8) -> None:
        self.desk = Desk(Database(f"sqlite:///{folder}/jobs.sqlite"), folder)
        self.comparer = Counting()
        self.documents = Documents(Limits())
        self.digests: list[tuple[str, str]] = []
        self.worker = BatchWorker(self.desk.batches, self.desk.blobs, self.documents, self.comparing_for, at_once)

    def comparing_for(self, batch: Batch, reference: str, candidate: str) -> Comparer:
        self.digests.append((reference, candidate))
        return self.comparer

    def results(self, batch: str) -> list[PairResult]:
        return [result for _, result in self.desk.batches.results("alice", batch, [], 0, 1000).results]

    def error(self, batch: str) -> dict[str, Any]:
        """Of the one pair that failed."""
        (result,) = (each for each in self.results(batch) if each.outcome == "failed")
        assert result.error is not None
        found: dict[str, Any] = json.loads(result.error)
        return found


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(batch_worker, "TRY_AGAIN_S", 0)
    return Room(tmp_path)


async def test_every_pair_of_a_step_is_compared_and_kept(room: Room) -> None:
    batch = room.desk.post_batch(130)
    assert await room.worker.step(batch, 0) == "done"
    assert room.desk.batches.find("alice", batch).num_done == 100
    assert room.worker.at_work == [batch]  # the next step's pairs
    assert await room.worker.step(batch, 1) == "done"
    assert room.worker.at_work == []
    found = room.desk.batches.find("alice", batch)
    assert (found.status, found.num_done) == ("succeeded", 130)
    assert Counter(candidate for _, candidate, _ in room.comparer.asked) == Counter(b"%d" % n for n in range(1, 131))
    assert {reference for reference, _, _ in room.comparer.asked} == {b"one"}
    assert room.comparer.most == 8
    assert (Upload(b"one").digest, Upload(b"1").digest) in room.digests
    assert [result.number for result in room.results(batch)] == list(range(1, 131))
    assert await room.worker.step(batch, 2) == "over"


async def test_the_next_step_is_at_work_before_this_one_is_written(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = room.desk.post_batch(130)
    asked_by_then: list[int] = []
    keep = room.desk.batches.keep

    def seen(batch_id: str, results: Any) -> bool:
        while len(room.comparer.asked) < 130:
            pass  # the pairs after it need nobody's word
        asked_by_then.append(len(room.comparer.asked))
        return keep(batch_id, results)

    monkeypatch.setattr(room.desk.batches, "keep", seen)
    await room.worker.step(batch, 0)
    assert asked_by_then == [130]


async def test_what_has_a_result_is_not_compared_again(room: Room) -> None:
    batch = room.desk.post_batch(5)
    room.desk.batches.begin(batch)
    room.desk.batches.keep(batch, [PairResult(number, "match", report="{}") for number in (1, 3)])
    assert await room.worker.step(batch, 0) == "done"
    assert sorted(candidate for _, candidate, _ in room.comparer.asked) == [b"2", b"4", b"5"]
    assert room.desk.batches.find("alice", batch).status == "succeeded"


async def test_a_refusal_is_the_pairs_own(room: Room) -> None:
    batch = room.desk.post_batch(3)
    room.comparer.faults = [ImageRejected("Cut off.", image="candidate")]
    await room.worker.step(batch, 0)
    assert room.error(batch) == {
        "type": "image_unreadable",
        "detail": "Cut off.",
        "image": "candidate",
        "field": None,
    }
    found = room.desk.batches.find("alice", batch)
    assert (found.status, found.outcomes["failed"], found.num_done) == ("succeeded", 1, 3)


@pytest.mark.parametrize("fault", [Unavailable("Nobody."), Overloaded("Full.")])
async def test_where_nobody_was_there_a_pair_waits_and_the_others_go_on(room: Room, fault: Unavailable) -> None:
    batch = room.desk.post_batch(3)
    room.comparer.faults = [fault] * 20
    assert await room.worker.step(batch, 0) == "done"
    assert room.desk.batches.find("alice", batch).outcomes["failed"] == 0
    assert len(room.comparer.asked) == 23


@pytest.mark.parametrize("fault", [WorkerLost("A worker was lost."), DeadlineExceeded("Too late.")])
async def test_a_pair_that_costs_its_workers_or_all_its_time_is_given_up(room: Room, fault: Exception) -> None:
    batch = room.desk.post_batch(1)
    room.comparer.faults = [fault] * (MAX_LOST - 1)
    await room.worker.step(batch, 0)
    assert room.desk.batches.find("alice", batch).outcomes["failed"] == 0
    other = room.desk.post_batch(1)
    room.comparer.faults = [fault] * MAX_LOST
    await room.worker.step(other, 0)
    assert room.error(other)["type"] == fault.type  # type: ignore[attr-defined]
    assert room.comparer.faults == []


async def test_what_nobody_comes_for_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_worker, "TRIES", 3)
    batch = room.desk.post_batch(1)
    room.comparer.faults = [Unavailable("Nobody.")] * 3
    await room.worker.step(batch, 0)
    assert room.error(batch)["type"] == "not_ready"


async def test_a_cancel_ends_what_is_in_work_also_of_the_next_step(room: Room) -> None:
    batch = room.desk.post_batch(104)
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.step(batch, 0))
    await room.comparer.entered.wait()
    room.desk.batches.cancel("alice", batch)
    room.worker.cancel_soon(batch)
    assert await running == "over"
    await room.comparer.cancelled.wait()
    assert room.worker.at_work == []
    room.comparer.gate.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(room.comparer.asked) <= 8
    assert room.results(batch) == []
    assert await room.worker.step(batch, 1) == "over"


async def test_a_cancel_while_the_next_step_is_looked_for_begins_no_pair_of_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = room.desk.post_batch(104)
    loop, looking, found = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    to_do = room.desk.batches.to_do

    def slow(batch_id: str, step: int) -> Any:
        if step == 1:
            loop.call_soon_threadsafe(looking.set)
            found.wait(30)
        return to_do(batch_id, step)

    monkeypatch.setattr(room.desk.batches, "to_do", slow)
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.step(batch, 0))
    await looking.wait()
    room.desk.batches.cancel("alice", batch)
    room.worker.cancel(batch)
    asked = len(room.comparer.asked)
    found.set()
    assert await running == "over"
    await asyncio.sleep(0.3)  # where one had begun it would have read its files by now
    assert len(room.comparer.asked) == asked


async def test_a_cancel_that_nobody_heard_keeps_nothing_more(room: Room) -> None:
    batch = room.desk.post_batch(104)
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.step(batch, 0))
    await room.comparer.entered.wait()
    room.desk.batches.cancel("alice", batch)
    room.comparer.gate.set()
    assert await running == "over"
    assert (room.results(batch), room.worker.at_work) == ([], [])


async def test_a_worker_that_is_stopped_leaves_its_batch_to_the_next(room: Room) -> None:
    batch = room.desk.post_batch(3)
    room.comparer.gate = asyncio.Event()
    running = asyncio.create_task(room.worker.step(batch, 0))
    await room.comparer.entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await room.comparer.cancelled.wait()
    assert room.desk.batches.find("alice", batch).status == "running"
    room.comparer.gate = None
    assert await room.worker.step(batch, 0) == "done"


async def test_a_database_that_is_away_costs_no_pair_a_second_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = room.desk.post_batch(3)
    keep = room.desk.batches.keep

    def gone(batch_id: str, results: object) -> bool:
        raise Unavailable("The job store can't be reached right now.")

    monkeypatch.setattr(room.desk.batches, "keep", gone)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await room.worker.step(batch, 0)
    monkeypatch.setattr(room.desk.batches, "keep", keep)
    assert await room.worker.step(batch, 0) == "done"
    assert len(room.comparer.asked) == 3


async def test_without_room_for_its_reports_a_batch_fails_with_what_it_has(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = room.desk.post_batch(104)

    def full(connection: object, num_bytes: int) -> None:
        raise StorageFull("Full.")

    monkeypatch.setattr(room.desk.blobs, "take", full)
    assert await room.worker.step(batch, 0) == "over"
    found = room.desk.batches.find("alice", batch)
    assert (found.status, json.loads(found.error or "")["type"], found.num_done) == ("failed", "storage_full", 0)
    assert room.worker.at_work == []


async def test_images_that_are_gone_fail_their_pair(room: Room, tmp_path: Path) -> None:
    batch = room.desk.post_batch(2)
    digest = Upload(b"2").digest
    (tmp_path / "images" / digest[:2] / digest).unlink()
    await room.worker.step(batch, 0)
    assert room.error(batch)["detail"] == "The images of this pair are gone."
    assert room.desk.batches.find("alice", batch).num_done == 2


async def test_a_bug_fails_its_pair_and_tells_nothing_of_itself(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    batch = room.desk.post_batch(2)
    room.comparer.faults = [KeyError("/secret/path of alice")]
    with caplog.at_level(logging.ERROR, "pairlens.jobs"):
        await room.worker.step(batch, 0)
    assert room.error(batch)["type"] == "internal"
    assert "secret" not in caplog.text + json.dumps(room.error(batch))
    assert "KeyError" in caplog.text


async def test_a_side_that_is_missing_is_named_and_a_pairs_own_boxes_are_ignored_too(room: Room) -> None:
    desk = room.desk
    desk.post_batch(3)  # brings the files
    asked = desk.batch_request(3)
    one, two, three = asked.pairs
    pairs = [
        replace(one, reference=None),
        replace(two, candidate=None),
        replace(three, ignore_regions="[[1, 2, 3, 4]]"),
    ]
    config = ImageComparisonConfig(ignore_regions=((5, 6, 7, 8),), similarity_threshold=0.5)
    batch = desk.batches.enqueue(BatchRequest.of("alice", None, config, pairs, file_bytes=asked.file_bytes)).id
    await room.worker.step(batch, 0)
    assert [result.outcome for result in room.results(batch)][:2] == ["added", "removed"]
    ((_, candidate, compared),) = room.comparer.asked
    assert (candidate, compared.similarity_threshold) == (b"3", 0.5)
    assert compared.ignore_regions == ((5, 6, 7, 8), (1, 2, 3, 4))


async def test_what_could_not_go_on_is_given_up(room: Room) -> None:
    batch = room.desk.post_batch(1)
    await room.worker.give_up(batch)
    assert room.desk.batches.find("alice", batch).status == "failed"
