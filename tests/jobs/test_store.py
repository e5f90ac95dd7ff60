"""How jobs are kept, on both databases: taken once, found by their caller only, listed in pages, forgotten in time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from serve_app.errors import (
    Expired,
    IdempotencyConflict,
    MalformedRequest,
    NotFound,
    Overloaded,
    StorageFull,
    Unavailable,
)
from serve_app.jobs import events
from serve_app.jobs.events import Event
from serve_app.jobs.rows import JOBS
from serve_app.jobs.store import ATTEMPT_BYTES
from serve_app.settings import JobSettings
from serve_app.storage.database import Database
from tests.worlds.jobs import CONFIG, Desk

DAY_S = 86400.0


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def test_a_job_is_taken_with_its_place_in_the_queue(desk: Desk) -> None:
    first, second, third = desk.post(), desk.post("bob"), desk.post()
    found = desk.store.find("alice", third)
    assert (found.status, found.attempt, found.position, found.created) == ("queued", 1, 3, desk.clock.now)
    assert desk.queue.enqueued == [(first, 1), (second, 1), (third, 1)]
    assert desk.queue.callers == ["alice", "bob", "alice"]
    desk.store.begin(first, 1)
    assert desk.store.find("alice", third).position == 2
    assert desk.store.find("alice", first).position is None


def test_a_job_that_begins_while_it_is_asked_for_still_has_a_position(desk: Desk) -> None:
    seen = desk.store.find("alice", desk.post())
    desk.store.begin(seen.id, 1)
    with desk.store._database.read() as connection:
        assert desk.store._placed(connection, seen).position == 1


def test_a_queue_that_fails_leaves_no_job_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sa.Connection, job_id: str, attempt: int, caller: str) -> None:
        raise Unavailable("The job store can't be reached right now.")

    monkeypatch.setattr(desk.queue, "enqueue", fail)
    with pytest.raises(Unavailable):
        desk.post()
    assert desk.store.page("alice", [], 10, None).jobs == ()


def test_the_same_key_and_body_are_the_same_job_and_another_body_a_conflict(desk: Desk) -> None:
    job = desk.post(key="k")
    assert desk.post(key="k") == job
    assert desk.store.known(desk.request(key="k")) is not None
    assert desk.store.known(desk.request(key="l")) is None
    assert desk.post("bob", key="k") != job
    with pytest.raises(IdempotencyConflict):
        desk.post(key="k", images=(b"one", b"other"))
    with pytest.raises(IdempotencyConflict):
        desk.store.known(desk.request(key="k", images=(b"one", b"other")))
    assert [job_id for job_id, _ in desk.queue.enqueued].count(job) == 1


def test_one_key_at_two_entrances_at_once_is_one_job(desk: Desk) -> None:
    taken: list[str] = []
    gate = threading.Barrier(6)

    def post() -> None:
        request = desk.request(key="k")
        desk.blobs.put([(each.digest, each.data) for each in (request.reference, request.candidate)])
        gate.wait()
        taken.append(desk.store.enqueue(request).id)

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 6
    assert len(set(taken)) == 1
    assert len(desk.queue.enqueued) == 1


def test_another_callers_job_is_not_there(desk: Desk) -> None:
    job = desk.post("bob")
    for ask in (desk.store.find, desk.store.cancel, desk.store.retry):
        with pytest.raises(NotFound):
            ask("alice", job)
    with pytest.raises(NotFound):
        desk.store.happened("alice", job, 0)
    assert desk.store.find("bob", job).status == "queued"


def test_a_list_has_pages_and_filters_and_only_ones_own(desk: Desk) -> None:
    mine = [desk.post() for _ in range(5)]
    desk.post("bob")
    desk.store.begin(mine[0], 1)
    desk.store.finish(mine[0], 1, "succeeded", report="{}", error=None)
    desk.store.begin(mine[1], 1)

    first = desk.store.page("alice", [], 2, None)
    second = desk.store.page("alice", [], 2, first.next_cursor)
    third = desk.store.page("alice", [], 2, second.next_cursor)
    assert [job.id for page in (first, second, third) for job in page.jobs] == mine[::-1]
    assert third.next_cursor is None
    assert desk.store.page("alice", [], 5, None).next_cursor is None
    ended = desk.store.page("alice", ["running", "succeeded"], 10, None).jobs
    assert [job.id for job in ended] == [mine[1], mine[0]]
    assert ended[1].report is None  # left where it is
    assert desk.store.find("alice", mine[0]).report == "{}"


def test_jobs_of_the_same_moment_are_each_in_one_page(desk: Desk) -> None:
    jobs = []
    for _ in range(5):
        desk.clock.now -= 1  # which `post` adds
        jobs.append(desk.post())
    found, cursor = [], None
    while True:
        page = desk.store.page("alice", [], 2, cursor)
        found += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(jobs)
    assert sorted(desk.store.find("alice", job).position or 0 for job in jobs) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cursor", ["x", "bm90IGpzb24", "W10", "WyJhIiwgMV0", "é", "WzEsIDJd", "W1tbW1tb"])
def test_a_cursor_that_is_none_of_ours_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        desk.store.page("alice", [], 10, cursor)
    assert refused.value.field == "/cursor"


def test_more_than_may_wait_are_refused(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path, JobSettings(folder=str(tmp_path), max_queued=2))
    first, second = desk.post(), desk.post("bob")
    with pytest.raises(Overloaded) as refused:
        desk.post()
    assert refused.value.retry_after_s
    desk.store.begin(first, 1)
    desk.post()  # one has left the queue
    desk.store.cancel("bob", second)
    desk.post()
    with pytest.raises(Overloaded):
        desk.store.retry("bob", second)


def test_one_of_two_workers_of_the_same_attempt_ends_it(desk: Desk) -> None:
    job = desk.post()
    for _ in range(2):
        assert desk.store.begin(job, 1) is not None
    assert desk.store.finish(job, 1, "succeeded", report='"first"', error=None)
    assert not desk.store.finish(job, 1, "succeeded", report='"second"', error=None)
    assert not desk.store.finish(job, 1, "failed", report=None, error='"third"')
    found = desk.store.find("alice", job)
    assert (found.status, found.report, found.error) == ("succeeded", '"first"', None)


def test_what_happened_is_numbered_and_can_be_asked_for_from_anywhere(desk: Desk) -> None:
    job = desk.post()
    desk.store.begin(job, 1)
    desk.store.reached(job, 1, "assess")
    at = desk.clock.now
    told = [
        Event(1, "queued", 1, None, at),
        Event(2, "running", 1, "examine", at),
        Event(3, "running", 1, "assess", at),
    ]
    assert desk.store.happened("alice", job, 0) == (told, False)
    assert desk.store.happened("alice", job, 2) == (told[2:], False)
    desk.store.cancel("alice", job)
    assert desk.store.happened("alice", job, 3) == ([Event(4, "cancelled", 1, None, at)], True)
    assert desk.store.happened("alice", job, 4) == ([], True)
    assert desk.store.happened("alice", job, 99) == ([], True)


def test_a_stage_that_is_told_late_changes_nothing(desk: Desk) -> None:
    job = desk.post()
    desk.store.begin(job, 1)
    desk.store.finish(job, 1, "failed", report=None, error="{}")
    desk.store.reached(job, 1, "assess")
    assert desk.store.find("alice", job).status == "failed"
    desk.store.retry("alice", job)
    desk.store.begin(job, 2)
    desk.store.reached(job, 1, "assess")
    assert desk.store.find("alice", job).stage == "examine"


def test_running_tells_which_attempts_should_still_be_at_work(desk: Desk) -> None:
    one, two, three = desk.post(), desk.post(), desk.post()
    for job in (one, two):
        desk.store.begin(job, 1)
    desk.store.cancel("alice", two)
    desk.store.cancel("alice", three)
    desk.store.retry("alice", three)
    assert desk.store.running([(one, 1), (two, 1), (three, 1), (three, 2), ("x", 1)]) == {(one, 1), (three, 2)}


def test_what_a_job_left_goes_after_its_time_and_its_id_a_week_later(desk: Desk, database: Database) -> None:
    ended, waits = desk.post(key="k"), desk.post(images=(b"one", b"three"))
    desk.store.begin(ended, 1)
    desk.store.finish(ended, 1, "succeeded", report="{}", error=None)
    desk.clock.now += DAY_S - 1
    assert desk.store.expire(10) == 0
    desk.clock.now += 2
    assert desk.store.expire(10) == 1
    assert desk.queue.forgotten == [(ended, 1)]
    for ask in (desk.store.find, desk.store.cancel, desk.store.retry):
        with pytest.raises(Expired):
            ask("alice", ended)
    with pytest.raises(Expired):
        desk.store.known(desk.request(key="k"))
    assert [job.id for job in desk.store.page("alice", [], 10, None).jobs] == [waits]
    with database.read() as connection:
        row = connection.execute(sa.select(JOBS).where(JOBS.c.id == ended)).one()
        assert (row.report, row.config) == (None, "")
        assert events.since(connection, ended, 0) == []
    desk.clock.now += 1000
    assert desk.blobs.sweep(10) == 1  # "two"; "one" is still wanted
    assert desk.blobs.get(desk.store.find("alice", waits).reference) == b"one"

    desk.clock.now += 7 * DAY_S - 1002
    assert desk.store.forget(10) == 0
    desk.clock.now += 10
    assert desk.store.forget(10) == 1
    with pytest.raises(NotFound):
        desk.store.find("alice", ended)
    assert desk.store.known(desk.request(key="k")) is None


def test_rows_configs_and_reports_count_until_they_are_gone(desk: Desk) -> None:
    config_bytes = len(CONFIG.model_dump_json())
    job = desk.post(key="k")
    taken = len(b"one") + len(b"two") + config_bytes + ATTEMPT_BYTES
    assert desk.blobs.used_bytes() == taken
    desk.post(key="k")  # the same one
    assert desk.blobs.used_bytes() == taken
    desk.store.cancel("alice", job)
    desk.store.retry("alice", job)
    assert desk.blobs.used_bytes() == taken + ATTEMPT_BYTES
    desk.store.begin(job, 2)
    assert desk.store.finish(job, 2, "succeeded", report='"日"', error=None)
    assert not desk.store.finish(job, 2, "succeeded", report='"日"', error=None)
    assert desk.blobs.used_bytes() == taken + ATTEMPT_BYTES + 5
    desk.clock.now += DAY_S + 1
    desk.store.expire(10)
    desk.clock.now += 1000
    desk.blobs.sweep(10)
    assert desk.blobs.used_bytes() == ATTEMPT_BYTES  # its id, which answers 410
    desk.clock.now += 7 * DAY_S
    desk.store.forget(10)
    assert desk.blobs.used_bytes() == 0


def test_a_job_that_has_no_room_leaves_nothing(database: Database, tmp_path: Path) -> None:
    room = 6 + len(CONFIG.model_dump_json()) + ATTEMPT_BYTES
    settings = JobSettings(folder=str(tmp_path), max_stored_bytes=room, max_stored_bytes_per_caller=room)
    desk = Desk(database, tmp_path, settings)
    job = desk.post()
    with pytest.raises(StorageFull):
        desk.post()  # the same images, and yet a row more
    assert [each.id for each in desk.store.page("alice", [], 10, None).jobs] == [job]
    desk.store.begin(job, 1)
    with pytest.raises(StorageFull):
        desk.store.finish(job, 1, "succeeded", report="{}", error=None)
    assert desk.store.find("alice", job).status == "running"
    assert desk.store.finish(job, 1, "failed", report=None, error="{}")
    with pytest.raises(StorageFull):
        desk.store.retry("alice", job)
    assert desk.store.find("alice", job).status == "failed"
    assert desk.blobs.used_bytes() == room


def test_a_census_counts_what_is_kept_by_state(desk: Desk) -> None:
    none = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
    assert desk.store.census() == none
    waits, runs, ends, gone = desk.post(), desk.post("bob"), desk.post(), desk.post()
    desk.store.cancel("alice", gone)
    desk.clock.now += DAY_S + 1
    assert desk.store.expire(10) == 1
    desk.store.begin(runs, 1)
    desk.store.cancel("alice", ends)
    assert desk.store.find("alice", waits).status == "queued"
    assert desk.store.census() == {**none, "queued": 1, "running": 1, "cancelled": 1}


def kept_of(database: Database) -> dict[str, int]:
    with database.read() as connection:
        mine = sa.select(JOBS.c.caller, sa.func.sum(JOBS.c.stored_bytes + JOBS.c.image_bytes).label("bytes"))
        found = connection.execute(mine.where(~JOBS.c.is_expired).group_by(JOBS.c.caller))
        return {row.caller: int(row.bytes) for row in found}


def test_one_caller_can_not_fill_the_store_for_all(database: Database, tmp_path: Path) -> None:
    one = ATTEMPT_BYTES + len(CONFIG.model_dump_json()) + len(b"onetwo")
    settings = JobSettings(folder=str(tmp_path), max_stored_bytes=100 * one, max_stored_bytes_per_caller=2 * one + 8)
    desk = Desk(database, tmp_path, settings)
    first, _ = desk.post(key="k"), desk.post()
    with pytest.raises(StorageFull, match="of this caller"):
        desk.post()
    assert desk.post(key="k") == first  # it is there already
    assert len(desk.store.page("alice", [], 10, None).jobs) == 2
    desk.post("bob")  # the same images: they lie there once, and count for each who has left them
    assert kept_of(database) == {"alice": 2 * one, "bob": one}

    desk.store.begin(first, 1)
    desk.store.finish(
        first, 1, "succeeded", report="x" * 50, error=None
    )  # what was taken is done, whatever it comes to
    assert kept_of(database)["alice"] == 2 * one + 50
    desk.clock.now += DAY_S + 1
    assert desk.store.expire(10) == 1
    assert kept_of(database)["alice"] == one
    desk.post()
    desk.store.cancel("bob", desk.store.page("bob", [], 1, None).jobs[0].id)
    desk.clock.now += DAY_S + 1
    desk.store.expire(10)
    assert "bob" not in kept_of(database)


def test_what_will_be_refused_is_refused_before_its_images_are_kept(database: Database, tmp_path: Path) -> None:
    settings = JobSettings(folder=str(tmp_path), max_stored_bytes_per_caller=2 * ATTEMPT_BYTES, max_queued=2)
    desk = Desk(database, tmp_path, settings)
    desk.store.check_room(desk.request())
    desk.post()
    with pytest.raises(StorageFull, match="of this caller"):
        desk.store.check_room(desk.request(images=(bytes(ATTEMPT_BYTES), b"")))
    with pytest.raises(StorageFull, match="of this caller"):
        desk.store.check_room(desk.request(images=(b"", bytes(ATTEMPT_BYTES))))
    desk.store.check_room(desk.request("bob"))
    desk.post("bob")
    with pytest.raises(Overloaded):
        desk.store.check_room(desk.request("carol"))


def test_a_retry_counts_against_its_callers_share(database: Database, tmp_path: Path) -> None:
    one = ATTEMPT_BYTES + len(CONFIG.model_dump_json()) + len(b"onetwo")
    settings = JobSettings(folder=str(tmp_path), max_stored_bytes_per_caller=one + ATTEMPT_BYTES)
    desk = Desk(database, tmp_path, settings)
    job = desk.post()
    for attempt, allowed in ((1, True), (2, False)):
        desk.store.cancel("alice", job)
        if allowed:
            assert desk.store.retry("alice", job).attempt == attempt + 1
        else:
            with pytest.raises(StorageFull, match="of this caller"):
                desk.store.retry("alice", job)
    assert desk.store.find("alice", job).status == "cancelled"


def test_without_a_word_one_caller_has_three_quarters() -> None:
    assert JobSettings(max_stored_bytes=1000).share_bytes == 750
    assert JobSettings(max_stored_bytes=1000, max_stored_bytes_per_caller=1000).share_bytes == 1000


def test_a_store_of_an_older_version_goes_on(desk: Desk, database: Database, tmp_path: Path) -> None:
    job = desk.post()
    with database.begin() as connection:
        connection.exec_driver_sql("DROP INDEX pairlens_jobs_by_share")
        for column in ("webhook", "image_bytes", "stored_bytes"):
            connection.exec_driver_sql(f"ALTER TABLE pairlens_jobs DROP COLUMN {column}")
    for _ in range(2):
        database.create_tables()
    with database.read() as connection:
        known = sa.inspect(connection).get_indexes("pairlens_jobs")
    assert "pairlens_jobs_by_share" in {index["name"] for index in known}
    assert desk.store.find("alice", job).webhook is None
    desk.store.begin(job, 1)
    assert desk.store.finish(job, 1, "succeeded", report="{}", error=None)
    desk.post(webhook="https://shop.example/")
    desk.clock.now += DAY_S + 1
    assert desk.store.expire(10) == 1


def test_expiry_goes_in_batches(desk: Desk) -> None:
    for _ in range(5):
        desk.store.cancel("alice", desk.post())
    desk.clock.now += DAY_S + 1
    assert [desk.store.expire(2) for _ in range(4)] == [2, 2, 1, 0]


def test_settings_name_a_database_or_a_folder_of_this_machine() -> None:
    assert JobSettings(folder="/var/lib/x").database == "sqlite:////var/lib/x/jobs.sqlite"
    assert JobSettings(folder="s3://x", database_url="postgresql://u@h/d").database == "postgresql://u@h/d"
    with pytest.raises(ValueError, match=r"database_url"):
        JobSettings(folder="s3://x")
    with pytest.raises(ValueError, match="pattern"):
        JobSettings(database_url="mysql://x")
