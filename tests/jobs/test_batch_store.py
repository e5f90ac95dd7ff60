"""How batches are kept, on both databases: taken once, found by their caller only, a pair once, forgotten in time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.errors import AlreadyEnded, Expired, IdempotencyConflict, NotFound, Overloaded, StorageFull, Unavailable
from serve_app.jobs.batch import PairResult
from serve_app.jobs.batch_store import BATCH_BYTES, PAIR_BYTES
from serve_app.jobs.batch_tables import PAIRS, RESULTS
from serve_app.jobs.shares import taken_bytes
from serve_app.settings import JobSettings
from serve_app.storage.database import Database
from tests.worlds.jobs import Desk

DAY_S = 86400.0


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def matches(*numbers: int) -> list[PairResult]:
    return [PairResult(number, "match", report=f'"{number}"') for number in numbers]


def test_a_batch_is_taken_with_its_place_in_the_queue(desk: Desk) -> None:
    first, second = desk.post_batch(1), desk.post_batch(201, "bob")
    found = desk.batches.find("bob", second)
    assert (found.status, found.num_pairs, found.num_done, found.position) == ("queued", 201, 0, 2)
    assert desk.queue.batches == [(first, 1), (second, 3)]
    desk.batches.begin(first)
    assert desk.batches.find("bob", second).position == 1


def test_a_batch_whose_files_were_taken_away_is_not_taken(desk: Desk) -> None:
    desk.post_batch(2)
    with pytest.raises(Unavailable):
        desk.batches.enqueue(desk.batch_request(3))
    assert len(desk.batches.page("alice", [], 10, None).batches) == 1
    assert len(desk.batches.to_do(desk.batch_request(3, key="k").id, 0)) == 0


def test_the_same_key_and_body_are_the_same_batch_and_another_body_a_conflict(desk: Desk) -> None:
    batch = desk.post_batch(3, key="k")
    assert desk.post_batch(3, key="k") == batch
    assert desk.batches.known(desk.batch_request(3, key="k")) is not None
    assert desk.post_batch(3, "bob", key="k") != batch
    for other in (desk.batch_request(2, key="k"), desk.batch_request(3, key="k", first=b"other")):
        with pytest.raises(IdempotencyConflict):
            desk.batches.known(other)
    assert len(desk.queue.batches) == 2


def test_one_key_at_two_entrances_at_once_is_one_batch(desk: Desk) -> None:
    desk.post_batch(20)
    taken: list[str] = []
    gate = threading.Barrier(4)

    def post() -> None:
        request = desk.batch_request(20, key="k")
        gate.wait()
        taken.append(desk.batches.enqueue(request).id)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(set(taken)), len(desk.queue.batches)) == (4, 1, 2)


def test_another_callers_batch_is_not_there(desk: Desk) -> None:
    batch = desk.post_batch(1, "bob")
    for ask in (desk.batches.find, desk.batches.cancel):
        with pytest.raises(NotFound):
            ask("alice", batch)
    with pytest.raises(NotFound):
        desk.batches.results("alice", batch, [], 0, 10)
    assert desk.batches.find("bob", batch).status == "queued"


def test_a_list_has_pages_and_filters(desk: Desk) -> None:
    mine = [desk.post_batch(1) for _ in range(3)]
    desk.post_batch(1, "bob")
    desk.batches.begin(mine[0])
    first = desk.batches.page("alice", [], 2, None)
    second = desk.batches.page("alice", [], 2, first.next_cursor)
    assert [batch.id for page in (first, second) for batch in page.batches] == mine[::-1]
    assert second.next_cursor is None
    assert [batch.id for batch in desk.batches.page("alice", ["running"], 9, None).batches] == [mine[0]]


def test_more_than_may_wait_are_refused(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path, JobSettings(folder=str(tmp_path), max_queued=1))
    desk.post_batch(1)
    with pytest.raises(Overloaded):
        desk.post_batch(2)


def test_a_step_is_what_has_no_result_yet_and_the_last_one_ends_the_batch(desk: Desk) -> None:
    batch = desk.post_batch(120)
    assert desk.batches.begin(batch) is not None
    first = desk.batches.to_do(batch, 0)
    assert [pair.number for pair in first] == list(range(1, 101))
    assert [pair.number for pair in desk.batches.to_do(batch, 1)] == list(range(101, 121))
    assert first[6].candidate is not None
    assert desk.blobs.get(first[6].candidate.digest) == b"7"

    assert desk.batches.keep(batch, matches(*range(1, 51)))
    assert [pair.number for pair in desk.batches.to_do(batch, 0)] == list(range(51, 101))
    failed = PairResult(101, "failed", error='{"type":"internal"}')
    assert desk.batches.keep(batch, [*matches(*range(40, 101)), failed])
    found = desk.batches.find("alice", batch)
    assert (found.status, found.num_done, found.outcomes["match"], found.outcomes["failed"]) == ("running", 101, 100, 1)
    assert desk.batches.keep(batch, matches(*range(102, 121)))
    found = desk.batches.find("alice", batch)
    assert (found.status, found.num_done, found.ended) == ("succeeded", 120, desk.clock.now)
    assert not desk.batches.keep(batch, matches(1))
    assert desk.batches.begin(batch) is None


def test_of_two_that_keep_a_pair_the_first_counts(desk: Desk) -> None:
    batch = desk.post_batch(2)
    desk.batches.begin(batch)
    desk.batches.keep(batch, [PairResult(1, "match", report='"first"')])
    desk.batches.keep(batch, [PairResult(1, "mismatch", report='"second"'), *matches(2)])
    page = desk.batches.results("alice", batch, [], 0, 10)
    assert [(pair.number, result.outcome, result.report) for pair, result in page.results] == [
        (1, "match", '"first"'),
        (2, "match", '"2"'),
    ]
    assert desk.batches.find("alice", batch).outcomes["mismatch"] == 0


def test_results_have_pages_and_go_on_until_the_batch_has_ended(desk: Desk) -> None:
    batch = desk.post_batch(5)
    desk.batches.begin(batch)
    desk.batches.keep(batch, [*matches(1, 2), PairResult(3, "mismatch", report="{}")])
    first = desk.batches.results("alice", batch, [], 0, 2)
    assert ([pair.name for pair, _ in first.results], first.is_last) == (["1.png", "2.png"], False)
    rest = desk.batches.results("alice", batch, [], 2, 2)
    assert ([pair.number for pair, _ in rest.results], rest.is_last) == ([3], False)
    desk.batches.keep(batch, matches(4, 5))
    rest = desk.batches.results("alice", batch, [], 3, 2)
    assert ([pair.number for pair, _ in rest.results], rest.is_last) == ([4, 5], True)
    some = desk.batches.results("alice", batch, ["mismatch", "failed"], 0, 10)
    assert ([pair.number for pair, _ in some.results], some.is_last) == ([3], True)


def test_a_cancel_keeps_what_there_is_and_takes_nothing_more(desk: Desk) -> None:
    batch, waits = desk.post_batch(3), desk.post_batch(1)
    desk.batches.begin(batch)
    desk.batches.keep(batch, matches(1))
    assert desk.batches.running([batch, waits, "x"]) == {batch, waits}
    assert desk.batches.cancel("alice", batch).status == "cancelled"
    assert desk.batches.running([batch, waits]) == {waits}
    assert not desk.batches.keep(batch, matches(2))
    with pytest.raises(AlreadyEnded, match="cancelled"):
        desk.batches.cancel("alice", batch)
    assert len(desk.batches.results("alice", batch, [], 0, 10).results) == 1


def share(database: Database) -> int:
    """What the one caller there is takes."""
    with database.read() as connection:
        return taken_bytes(connection, "alice")


def test_lists_and_reports_are_counted_and_given_back(desk: Desk, database: Database) -> None:
    desk.blobs.put([("0" * 64, b"x" * 50)])
    empty = desk.blobs.used_bytes()
    batch = desk.post_batch(3)
    images = len(b"one123")
    config = len(desk.batches.find("alice", batch).config)
    names = 3 * (len("1.png") + len("one.png") + len("1.png"))
    taken = images + BATCH_BYTES + 3 * PAIR_BYTES + config + names
    assert desk.blobs.used_bytes() - empty == share(database) == taken
    desk.batches.begin(batch)
    desk.batches.keep(batch, [PairResult(1, "match", report="é" * 10), PairResult(2, "failed", error="12345")])
    assert desk.blobs.used_bytes() - empty == share(database) == taken + 25
    desk.batches.cancel("alice", batch)
    desk.clock.now += DAY_S + 1
    assert desk.batches.expire(10) == 1
    assert share(database) == 0
    desk.clock.now += 1000
    desk.blobs.sweep(10)
    assert desk.blobs.used_bytes() == BATCH_BYTES
    desk.clock.now += 7 * DAY_S
    assert desk.batches.forget(10) == 1
    assert desk.blobs.used_bytes() == 0


def test_one_callers_batches_take_a_share_and_not_all_of_the_store(database: Database, tmp_path: Path) -> None:
    settings = JobSettings(
        folder=str(tmp_path), max_stored_bytes=1_000_000, max_stored_bytes_per_caller=BATCH_BYTES + 6000
    )
    desk = Desk(database, tmp_path, settings)
    desk.post_batch(2)
    with pytest.raises(StorageFull, match="of this caller"):
        desk.batches.check_room(desk.batch_request(3))
    with pytest.raises(StorageFull, match="of this caller"):
        desk.post_batch(3)
    assert len(desk.batches.page("alice", [], 10, None).batches) == 1
    desk.batches.check_room(desk.batch_request(3, "bob"))
    desk.post_batch(3, "bob")
    with pytest.raises(StorageFull, match="of this caller"):
        desk.post(images=(b"x" * 1000, b"y" * 1000))  # a job and a batch share it


def test_where_there_is_no_room_nothing_of_a_batch_is_kept(database: Database, tmp_path: Path) -> None:
    room = BATCH_BYTES + 3 * PAIR_BYTES + 1000
    settings = JobSettings(folder=str(tmp_path), max_stored_bytes=room, max_stored_bytes_per_caller=room)
    desk = Desk(database, tmp_path, settings)
    batch = desk.post_batch(2)
    with pytest.raises(StorageFull):
        desk.post_batch(30)
    assert len(desk.batches.page("alice", [], 10, None).batches) == 1
    desk.batches.begin(batch)
    with pytest.raises(StorageFull):
        desk.batches.keep(batch, [*matches(1), PairResult(2, "match", report="x" * 2000)])
    assert desk.batches.find("alice", batch).num_done == 0
    desk.batches.fail(batch, '"full"')
    found = desk.batches.find("alice", batch)
    assert (found.status, found.error) == ("failed", '"full"')


def test_what_a_batch_left_goes_after_its_time_and_its_id_a_week_later(desk: Desk, database: Database) -> None:
    ended, waits = desk.post_batch(3, key="k"), desk.post_batch(2)
    desk.batches.begin(ended)
    desk.batches.keep(ended, matches(1, 2, 3))
    desk.clock.now += DAY_S - 1
    assert desk.batches.expire(10) == 0
    desk.clock.now += 2
    assert desk.batches.expire(10) == 1
    assert desk.queue.forgotten_batches == [ended]
    for ask in (desk.batches.find, desk.batches.cancel):
        with pytest.raises(Expired):
            ask("alice", ended)
    with pytest.raises(Expired):
        desk.batches.known(desk.batch_request(3, key="k"))
    with database.read() as connection:
        for table, count in ((PAIRS, 2), (RESULTS, 0)):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == count
    desk.clock.now += 1000
    assert desk.blobs.sweep(10) == 1  # "3"; the others are still wanted
    assert [pair.number for pair in desk.batches.to_do(waits, 0)] == [1, 2]
    desk.clock.now += 7 * DAY_S
    assert desk.batches.forget(10) == 1
    with pytest.raises(NotFound):
        desk.batches.find("alice", ended)


def test_expiry_goes_on_while_there_is_something(desk: Desk) -> None:
    for _ in range(3):
        desk.batches.cancel("alice", desk.post_batch(1))
    desk.clock.now += DAY_S + 1
    assert [desk.batches.expire(2) for _ in range(3)] == [2, 1, 0]
