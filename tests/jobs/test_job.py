"""A job's life, whatever comes in whatever order: one state machine over the rules and the store that keeps them."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from serve_app.errors import AlreadyEnded, Expired, NotFound, StorageFull
from serve_app.jobs import shares
from serve_app.jobs.job import ENDED, SOURCES, Job, Request, may_become
from serve_app.jobs.store import ATTEMPT_BYTES, WEBHOOK_BYTES
from serve_app.schema import JobStatus
from serve_app.settings import JobSettings
from serve_app.storage.blobs import FILES
from serve_app.storage.database import Database
from tests.worlds.jobs import CONFIG, Desk
from tests.worlds.samples import config, upload


def settings_of(folder: str) -> JobSettings:
    """Room for a few jobs, and for fewer of one caller."""
    return JobSettings(folder=folder, max_stored_bytes=60_000, max_stored_bytes_per_caller=40_000)


class Lives(RuleBasedStateMachine):
    """What a person would say has happened, beside what the store says."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{self.folder.name}/jobs.sqlite")
        self.desk = Desk(self.database, Path(self.folder.name), settings_of(self.folder.name))
        self.caller: dict[str, str] = {}
        self.images: dict[str, tuple[bytes, bytes]] = {}
        self.kept: dict[str, int] = {}  # bytes of what lies beside the images
        self.told: dict[str, int] = {}  # how often somebody is to hear of an end
        self.status: dict[str, JobStatus] = {}
        self.attempt: dict[str, int] = {}
        self.results: dict[str, str] = {}  # of the current attempt: what was first written
        self.expired: set[str] = set()

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def find(self, job: str) -> Job:
        return self.desk.store.find(self.caller[job], job)

    def share(self, caller: str) -> int:
        mine = [job for job in self.status.keys() - self.expired if self.caller[job] == caller]
        return sum(self.kept[job] + sum(map(len, self.images[job])) for job in mine)

    def has_room(self, caller: str, num_bytes: int, images: tuple[bytes, ...] = ()) -> bool:
        """In the whole, where an image lies once, and in the caller's share, where it counts each time."""
        there = self.desk.blobs.used_bytes() + num_bytes
        with self.database.read() as connection:
            known = set(connection.execute(sa.select(FILES.c.digest)).scalars())
        there += sum(len(image) for image in set(images) if hashlib.sha256(image).hexdigest() not in known)
        settings = self.desk.settings
        mine = self.share(caller) + num_bytes + sum(map(len, images))
        return there <= settings.max_stored_bytes and mine <= settings.share_bytes

    @rule(
        target=jobs,
        images=st.sampled_from([(b"one", b"two"), (b"one", b"one"), (b"three", b"four" * 500)]),
        caller=st.sampled_from(["alice", "bob"]),
        webhook=st.sampled_from([None, "https://shop.example/"]),
    )
    def post(self, images: tuple[bytes, bytes], caller: str, webhook: str | None) -> Any:
        num_bytes = len(CONFIG.model_dump_json()) + ATTEMPT_BYTES + (0 if webhook is None else WEBHOOK_BYTES)
        if not self.has_room(caller, num_bytes, images):
            with pytest.raises(StorageFull):
                self.desk.post(caller, images=images, webhook=webhook)
            return multiple()
        job = self.desk.post(caller, images=images, webhook=webhook)
        self.status[job], self.attempt[job], self.kept[job] = "queued", 1, num_bytes
        self.caller[job], self.images[job], self.told[job] = caller, images, 0
        return job

    @rule(job=jobs, late=st.booleans())
    def begin(self, job: str, late: bool) -> None:
        """`late`: by a worker that still has the attempt before."""
        attempt = self.attempt[job] - late
        begun = self.desk.store.begin(job, attempt)
        should = not late and may_become(self.status[job], "running") and job not in self.expired
        assert (begun is not None) == should
        if begun is not None:
            assert (begun.status, begun.attempt, begun.stage) == ("running", attempt, "examine")
            self.status[job] = "running"

    @rule(job=jobs, status=st.sampled_from(["succeeded", "failed"]), late=st.booleans())
    def finish(self, job: str, status: JobStatus, late: bool) -> None:
        result = f'{{"of": "{status}"}}'
        should = not late and may_become(self.status[job], status) and job not in self.expired
        takes = len(result) if status == "succeeded" else 0
        if should and self.desk.blobs.used_bytes() + takes > self.desk.settings.max_stored_bytes:
            with pytest.raises(StorageFull):
                self.desk.store.finish(job, self.attempt[job], status, report=result, error=None)
            return
        kept = self.desk.store.finish(
            job,
            self.attempt[job] - late,
            status,
            report=result if status == "succeeded" else None,
            error=result if status == "failed" else None,
        )
        assert kept == should
        if kept:
            self.status[job], self.results[job] = status, result
            self.kept[job] += takes
            self.told[job] += 1

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        if job in self.expired:
            with pytest.raises((Expired, NotFound)):
                self.desk.store.cancel(self.caller[job], job)
        elif self.status[job] in ENDED:
            with pytest.raises(AlreadyEnded, match=self.status[job]):
                self.desk.store.cancel(self.caller[job], job)
        else:
            assert self.desk.store.cancel(self.caller[job], job).status == "cancelled"
            self.status[job] = "cancelled"
            self.told[job] += 1

    @rule(job=jobs)
    def retry(self, job: str) -> None:
        if job in self.expired:
            with pytest.raises((Expired, NotFound)):
                self.desk.store.retry(self.caller[job], job)
        elif self.status[job] == "succeeded":
            with pytest.raises(AlreadyEnded):
                self.desk.store.retry(self.caller[job], job)
        else:
            if self.status[job] in ENDED:
                takes = ATTEMPT_BYTES + (WEBHOOK_BYTES if self.find(job).webhook is not None else 0)
                if not self.has_room(self.caller[job], takes):
                    with pytest.raises(StorageFull):
                        self.desk.store.retry(self.caller[job], job)
                    return
                self.kept[job] += takes
                self.attempt[job] += 1
                self.status[job] = "queued"
                self.results.pop(job, None)
                assert self.desk.store.retry(self.caller[job], job).attempt == self.attempt[job]
                assert self.desk.queue.enqueued[-1] == (job, self.attempt[job])
            else:
                assert self.desk.store.retry(self.caller[job], job).status == self.status[job]

    @rule(days=st.sampled_from([0.1, 1.1, 8.0]))
    def time_passes(self, days: float) -> None:
        over = {
            job
            for job in self.status.keys() - self.expired
            if (ends := self.find(job).expires) and ends < self.desk.clock.now + days * 86400
        }
        self.desk.clock.now += days * 86400
        assert self.desk.store.expire(1000) == len(over)
        self.expired |= over
        self.desk.blobs.sweep(1000)

    @invariant()
    def each_job_is_where_it_should_be(self) -> None:
        for job, status in self.status.items():
            if job in self.expired:
                with pytest.raises(Expired):
                    self.find(job)
                continue
            found = self.find(job)
            assert (found.status, found.attempt) == (status, self.attempt[job])
            assert (found.report or found.error) == self.results.get(job)
            assert (found.ended is not None) == (found.expires is not None) == (status in ENDED)
            assert (found.position is not None) == (status == "queued")

    @invariant()
    def events_tell_the_same_story_without_a_gap(self) -> None:
        for job in self.status.keys() - self.expired:
            events, _ = self.desk.store.happened(self.caller[job], job, 0)
            assert [event.number for event in events] == list(range(1, len(events) + 1))
            assert (events[0].status, events[-1].status) == ("queued", self.status[job])
            for before, after in itertools.pairwise(events):
                assert before.status in SOURCES[after.status]

    @invariant()
    def each_byte_is_counted_once_and_given_back(self) -> None:
        with self.database.read() as connection:
            files = int(connection.execute(sa.select(sa.func.sum(FILES.c.bytes))).scalar() or 0)
            for caller in ("alice", "bob"):
                assert shares.taken_bytes(connection, caller) == self.share(caller)
        left = sum(ATTEMPT_BYTES if job in self.expired else kept for job, kept in self.kept.items())
        assert self.desk.blobs.used_bytes() == files + left

    @invariant()
    def each_end_is_told_once_to_who_wants_to_hear_of_it(self) -> None:
        planned = Counter(job for job, _, _, _ in self.desk.queue.tries)
        for job in self.status.keys() - self.expired:
            assert planned[job] == (self.told[job] if self.find(job).webhook is not None else 0)

    @invariant()
    def images_are_kept_for_as_long_as_they_may_be_needed(self) -> None:
        for job in self.status.keys() - self.expired:
            found = self.find(job)
            assert self.desk.blobs.get(found.reference)
            assert self.desk.blobs.get(found.candidate)


Lives.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestLives = Lives.TestCase


def test_nothing_follows_success_and_everything_else_can_end() -> None:
    assert not any(may_become("succeeded", following) for following in SOURCES)
    for status in ("queued", "running"):
        assert may_become(status, "cancelled")
        assert may_become(status, "failed")
    assert not may_become("queued", "succeeded")  # nobody has compared it


def test_the_same_key_of_the_same_caller_names_the_same_job() -> None:
    def named(caller: str, key: str | None) -> str:
        return Request.of(caller, key, upload(), upload("red"), config()).id

    assert named("alice", "k") == named("alice", "k")
    assert len({named("alice", "k"), named("bob", "k"), named("alice", "l"), named("alicek", "")}) == 4
    assert named("alice", None) != named("alice", None)


def test_a_body_is_the_same_however_it_was_written() -> None:
    def hashed(*images: str | None, **fields: object) -> str:
        return Request.of("alice", None, upload(images[0]), upload(images[1]), config(**fields)).body_hash

    same = hashed(None, "red")
    assert same == hashed(None, "red", similarity_threshold=0.8)  # the default, said aloud
    assert len({same, hashed("red", None), hashed(None, "blue"), hashed(None, "red", language="zh")}) == 4
