"""Messages about ended jobs: planned with the end itself, tried until they arrive, whatever process dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from serve_app.client.addresses import networks
from serve_app.client.guarded import Answer, Guarded, Unreached
from serve_app.errors import StorageFull, Unavailable
from serve_app.jobs import courier as couriers
from serve_app.jobs import deliveries, durable, webhook
from serve_app.jobs.courier import Courier, WebhooksUnavailable, master_key
from serve_app.jobs.deliveries import WEBHOOKS, Deliveries
from serve_app.jobs.durable import DurableQueue, Owner
from serve_app.jobs.job import Delivery, Request
from serve_app.jobs.store import JobStore
from serve_app.jobs.storeroom import Storeroom
from serve_app.jobs.webhook import Outcome
from serve_app.schema import WebhookStatus
from serve_app.settings import JobSettings, WebhookSettings
from serve_app.storage.database import Database
from tests.cluster.waiting import eventually
from tests.worlds.jobs import Desk

URL = "https://shop.example/hook"
MASTER = bytes(range(32))
FAILED = Outcome(is_delivered=False, is_over=False, said="It answered 500.")


class World(Desk):
    """A desk and what is to be told of its jobs."""

    def __init__(self, database: Database, folder: Path, settings: JobSettings | None = None) -> None:
        super().__init__(database, folder, settings)
        self.deliveries = Deliveries(database, self.queue, self.clock)

    def ended(self, caller: str = "alice") -> str:
        job = self.post(caller, webhook=URL)
        self.store.begin(job, 1)
        assert self.store.finish(job, 1, "succeeded", report="{}", error=None)
        return job

    def due(self, job: str, number: int = 1, attempt: int = 1) -> Delivery:
        found = self.deliveries.due(job, attempt, number)
        assert found is not None
        return found


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


def test_the_end_of_a_job_and_its_message_are_one_change(world: World) -> None:
    job = world.post(webhook=URL)
    assert world.store.find("alice", job).delivery is None
    world.store.begin(job, 1)
    assert world.queue.tries == []
    world.clock.now += 5
    world.store.finish(job, 1, "failed", report=None, error='{"type": "image_unreadable"}')
    assert world.queue.tries == [(job, 1, 1, 0.0)]
    told = json.loads(world.due(job).body)
    assert (told["type"], told["data"]["id"], told["data"]["error"]) == (
        "job.failed",
        job,
        {"type": "image_unreadable"},
    )
    assert told["timestamp"] == told["data"]["ended"] > told["data"]["started"]
    assert not world.store.finish(job, 1, "failed", report=None, error="{}")
    assert len(world.queue.tries) == 1


def test_a_job_without_a_place_to_tell_has_no_delivery(world: World) -> None:
    job = world.post()
    world.store.cancel("alice", job)
    assert world.deliveries.due(job, 1, 1) is None
    assert world.queue.tries == []


def test_an_end_that_is_not_kept_is_not_told(database: Database, tmp_path: Path) -> None:
    world = World(
        database,
        tmp_path,
        JobSettings(folder=str(tmp_path), max_stored_bytes=20_000, max_stored_bytes_per_caller=20_000),
    )
    job = world.post(webhook=URL)
    world.store.begin(job, 1)
    with pytest.raises(StorageFull):
        world.store.finish(job, 1, "succeeded", report="x" * 20_000, error=None)
    assert world.deliveries.due(job, 1, 1) is None


def test_a_retried_job_is_told_of_each_of_its_ends(world: World) -> None:
    job = world.post(webhook=URL)
    world.store.cancel("alice", job)
    first = world.due(job)
    world.store.retry("alice", job)
    assert world.store.find("alice", job).delivery is None  # of the attempt that is to come
    world.store.cancel("alice", job)
    second = world.due(job, attempt=2)
    assert deliveries.message(first).id != deliveries.message(second).id
    assert world.deliveries.due(job, 1, 1) == first


def test_a_message_stays_the_same_while_its_job_goes_on(world: World) -> None:
    job = world.post(webhook=URL)
    world.store.cancel("alice", job)
    before = deliveries.message(world.due(job))
    world.deliveries.record(world.due(job), FAILED)
    world.store.retry("alice", job)
    world.store.begin(job, 2)
    assert deliveries.message(world.due(job, 2)) == before


def test_six_tries_each_later_than_the_one_before_and_no_seventh(world: World) -> None:
    job = world.ended()
    statuses: list[WebhookStatus] = []
    for number in range(1, 7):
        assert world.deliveries.due(job, 1, number + 1) is None
        statuses.append(world.deliveries.record(world.due(job, number), FAILED))
    assert statuses == ["pending"] * 5 + ["failed"]
    assert [number for _, _, number, _ in world.queue.tries] == [1, 2, 3, 4, 5, 6]
    assert [delay for *_, delay in world.queue.tries] == list(webhook.PAUSES_S)
    assert world.deliveries.due(job, 1, 7) is None
    found = world.store.find("alice", job)
    assert found.status == "succeeded"  # whatever comes of its message
    assert found.delivery is not None
    assert (found.delivery.status, found.delivery.tries, found.delivery.next_try) == ("failed", 6, None)


def test_the_next_try_is_told_to_who_looks(world: World) -> None:
    job = world.ended()
    world.deliveries.record(world.due(job), FAILED)
    found = world.store.find("alice", job).delivery
    assert found is not None
    assert (found.tries, found.said, found.next_try) == (1, "It answered 500.", world.clock.now + 5)
    (listed,) = world.store.page("alice", [], 10, None).jobs
    assert listed.delivery == found


def test_a_try_that_two_have_made_counts_once(world: World) -> None:
    job = world.ended()
    same = world.due(job)
    for _ in range(2):
        world.deliveries.record(same, FAILED)
    assert len(world.queue.tries) == 2
    found = world.store.find("alice", job).delivery
    assert found is not None
    assert found.tries == 1


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(is_delivered=True, is_over=True, said="It answered 200."), "delivered"),
        (Outcome(is_delivered=False, is_over=True, said="It answered 410."), "failed"),
    ],
)
def test_what_is_over_is_not_tried_again(world: World, outcome: Outcome, status: WebhookStatus) -> None:
    job = world.ended()
    assert world.deliveries.record(world.due(job), outcome) == status
    assert world.deliveries.due(job, 1, 2) is None
    assert len(world.queue.tries) == 1


def test_what_has_expired_leaves_no_message(world: World, database: Database) -> None:
    job, other = world.ended(), world.ended("bob")
    world.clock.now += 86401
    assert world.store.expire(1) == 1
    with database.read() as connection:
        left = list(connection.execute(sa.select(WEBHOOKS.c.job_id)).scalars())
    assert len(left) == 1
    assert set(left) < {job, other}


class Place:
    """In the role of a guarded client: answers with the next status."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    async def send(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), content: bytes = b""
    ) -> Answer:
        self.sent.append((url, dict(headers), content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer, (), b"")


async def test_a_courier_sends_the_same_message_until_it_arrives(world: World) -> None:
    place, tried = Place(500, Unreached("It can't be reached."), 204), list[WebhookStatus]()
    courier = Courier(world.deliveries, place, lambda caller: webhook.key_of(MASTER, caller), tried.append)
    job = world.ended()
    made = [await courier.deliver(job, 1, number) for number in (1, 1, 2, 3, 3)]
    assert made == ["pending", None, "pending", "delivered", None]
    assert tried == ["pending", "pending", "delivered"]
    assert {url for url, _, _ in place.sent} == {URL}
    assert {headers["webhook-id"] for _, headers, _ in place.sent} == {f"{job}.1"}
    key = webhook.written(webhook.key_of(MASTER, "alice"))
    for _, headers, content in place.sent:
        assert Webhook(key).verify(content, headers)["data"]["status"] == "succeeded"


async def test_who_verifies_his_own_messages_can_write_none_of_another(world: World) -> None:
    place = Place(200, 200)
    courier = Courier(world.deliveries, place, lambda caller: webhook.key_of(MASTER, caller))
    for caller in ("alice", "bob"):
        await courier.deliver(world.ended(caller), 1, 1)
    keys = [webhook.key_of(MASTER, caller) for caller in ("alice", "bob", "")]
    assert len(set(keys)) == 3
    assert keys[2] == MASTER  # where everybody is one
    for number, (_, headers, content) in enumerate(place.sent):
        for key_number, key in enumerate(keys):
            if key_number == number:
                Webhook(webhook.written(key)).verify(content, headers)
            else:
                with pytest.raises(Exception, match="No matching signature"):
                    Webhook(webhook.written(key)).verify(content, headers)


async def test_where_webhooks_were_turned_off_since_nothing_is_sent(world: World) -> None:
    place = Place()
    job = world.ended()
    assert await Courier(world.deliveries, place, None).deliver(job, 1, 1) == "failed"
    found = world.store.find("alice", job).delivery
    assert found is not None
    assert found.said == "The operator has turned webhooks off."


def test_the_secret_is_read_where_the_operator_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text(webhook.written(MASTER) + "\n")
    monkeypatch.setenv("HOOK_SECRET", webhook.written(MASTER))
    assert master_key(WebhookSettings()) is None
    assert master_key(WebhookSettings(secret_file=str(path))) == MASTER
    assert master_key(WebhookSettings(secret_env="HOOK_SECRET")) == MASTER
    path.write_text("short")
    for settings in (
        WebhookSettings(secret_file=str(path)),
        WebhookSettings(secret_file=str(tmp_path / "none")),
        WebhookSettings(secret_env="NO_SUCH_SECRET"),
    ):
        with pytest.raises(WebhooksUnavailable) as refusal:
            master_key(settings)
        assert "short" not in str(refusal.value)
    with pytest.raises(ValueError, match="not both"):
        WebhookSettings(secret_file="a", secret_env="b")
    with pytest.raises(ValueError, match="does not appear"):
        WebhookSettings(allowed_networks=("shop.example",))


def test_only_places_that_may_be_called_are_taken() -> None:
    assert webhook.checked("https://shop.example/hook?a=1") == "https://shop.example/hook?a=1"
    for url in ("http://shop.example/", "https://", "ftp://a", "", "https://me:secret@a/", "https://a/" + "x" * 2000):
        with pytest.raises(ValueError, match="URL") as refusal:
            webhook.checked(url)
        assert "secret" not in str(refusal.value)


async def test_the_client_of_the_service_calls_no_private_address() -> None:
    client = couriers.guarded_client(WebhookSettings())
    key, message = MASTER, webhook.Message("m", "{}")
    outcome = await webhook.deliver(client, "https://127.0.0.1:1/", key, message, at=time.time())
    assert outcome.said == "It is not at a public address."
    allowed = couriers.guarded_client(WebhookSettings(allowed_networks=("127.0.0.0/8",)))
    outcome = await webhook.deliver(allowed, "https://127.0.0.1:1/", key, message, at=time.time())
    assert "ConnectError" in outcome.said


# --- with the real queue, and a receiver that listens


class Receiver:
    """A place on this machine: verifies each message as its owner would, and answers with the next status."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.heard: queue.Queue[tuple[str, dict[str, object]]] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                told = Webhook(webhook.written(MASTER)).verify(content, dict(self.headers.items()))
                outer.heard.put((self.headers["webhook-id"], told))
                outer.may_answer.wait(30)
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


def loopback_courier(room: Storeroom) -> Courier:
    client = Guarded(max_answer_bytes=1000, timeout_s=20, allowed=networks(["127.0.0.0/8"]), schemes=("http",))
    return Courier(room.deliveries, client, lambda caller: MASTER)


async def nothing(job_id: str, attempt: int) -> None:
    pass


class NoBatches:
    async def step(self, batch_id: str, number: int) -> str:
        raise AssertionError

    async def give_up(self, batch_id: str) -> None:
        raise AssertionError


def own(settings: JobSettings, pause_s: float) -> None:
    """A process like `Jobs`, which a test kills."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(webhook, "PAUSES_S", (0.0, *[pause_s] * 5))
        room = Storeroom.open(settings)
        Owner(room.database, "first", 4).launch(nothing, nothing, loopback_courier(room).deliver, NoBatches())
        time.sleep(60)


def left(settings: JobSettings, url: str) -> tuple[Storeroom, str]:
    """A job that is cancelled at once, as soon as there is a queue: the shortest life with an end to tell of."""
    room = Storeroom.open(settings)
    room.database.create_tables()
    desk = Desk(room.database, Path(settings.folder), settings)
    request = desk.request(webhook=url)
    room.blobs.put([(each.digest, each.data) for each in (request.reference, request.candidate)])
    eventually(lambda: _enqueued(room, request), within_s=30)
    room.store.cancel("alice", request.id)
    return room, request.id


def _enqueued(room: Storeroom, request: Request) -> bool:
    try:
        room.store.enqueue(request)
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("killed", ["between two tries", "while a receiver thinks"])
def test_a_killed_process_goes_on_where_it_was(tmp_path: Path, receiver: Receiver, killed: str) -> None:
    settings = JobSettings(enabled=True, folder=str(tmp_path))
    receiver.statuses = [500]
    if killed == "while a receiver thinks":
        receiver.may_answer.clear()
    first = multiprocessing.get_context("spawn").Process(target=own, args=(settings, 1.0))
    first.start()
    try:
        room, job = left(settings, receiver.url)
        message_id, told = receiver.heard.get(timeout=30)
        if killed == "between two tries":
            eventually(lambda: _tries(room, job) == 1, within_s=10)
    finally:
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        first.join()
    receiver.may_answer.set()
    second = Owner(room.database, "second", 4, lambda: time.time() + durable.GONE_S + 1)
    try:
        second.launch(nothing, nothing, loopback_courier(room).deliver, NoBatches())
        second.take_over()
        assert receiver.heard.get(timeout=30) == (message_id, told)
        eventually(lambda: _status(room, job) == "delivered", within_s=10)
        assert receiver.heard.empty()
        assert room.store.find("alice", job).status == "cancelled"
    finally:
        second.close()
        room.database.close()


def _tries(room: Storeroom, job: str) -> int:
    found = room.store.find("alice", job).delivery
    return 0 if found is None else found.tries


def _status(room: Storeroom, job: str) -> str | None:
    found = room.store.find("alice", job).delivery
    return None if found is None else found.status


def test_a_receiver_that_comes_back_hears_of_it_on_both_databases(
    database: Database, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0, 0.05, 0.05, 0.05, 0.05, 0.05))
    receiver.statuses = [503, 500]
    desk = Desk(database, tmp_path)
    line = DurableQueue(database)
    store = JobStore(database, desk.blobs, line, desk.settings)
    room = Storeroom(database, desk.blobs, store, Deliveries(database, line), desk.batches)
    owner = Owner(database, "one", 4)
    try:
        owner.launch(nothing, nothing, loopback_courier(room).deliver, NoBatches())
        request = desk.request(webhook=receiver.url)
        room.blobs.put([(each.digest, each.data) for each in (request.reference, request.candidate)])
        room.store.enqueue(request)
        room.store.cancel("alice", request.id)
        heard = [receiver.heard.get(timeout=30) for _ in range(3)]
        assert len({message_id for message_id, _ in heard}) == 1
        eventually(lambda: _status(room, request.id) == "delivered", within_s=10)
        assert _tries(room, request.id) == 3
    finally:
        owner.close()
