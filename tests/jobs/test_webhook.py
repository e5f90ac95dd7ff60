"""Webhooks as Standard Webhooks has them: what a receiver verifies with the library's own verifier."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from serve_app.client.guarded import Answer, Guarded, PlaceRefused, Unreached
from serve_app.jobs import webhook
from serve_app.jobs.webhook import Message, Outcome

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY = webhook.secret(SECRET)
MESSAGE_DATA = {"id": "a", "word": "对比"}
MESSAGE = Message.of("msg_1", "job.succeeded", 1_800_000_000.5, MESSAGE_DATA)


@dataclass
class Receiver:
    """In the place of a guarded client: verifies as a receiver would, then answers with the next status."""

    statuses: list[int | Exception]
    sent: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def send(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), content: bytes = b""
    ) -> Answer:
        assert (method, url) == ("POST", "https://shop.example/hook")
        self.sent.append((dict(headers), content))
        status = self.statuses.pop(0)
        if isinstance(status, Exception):
            raise status
        return Answer(status, (), b"")

    async def told(self, *, at: float | None = None) -> Outcome:
        when = time.time() if at is None else at
        return await webhook.deliver(self, "https://shop.example/hook", KEY, MESSAGE, at=when)


async def test_a_receiver_can_verify_what_it_gets() -> None:
    receiver = Receiver([204])
    outcome = await receiver.told()
    assert outcome == Outcome(is_delivered=True, is_over=True, said="It answered 204.")
    ((headers, content),) = receiver.sent
    told = Webhook(SECRET).verify(content, headers)
    assert told == {"type": "job.succeeded", "timestamp": "2027-01-15T08:00:00.500000Z", "data": MESSAGE_DATA}
    assert headers["content-type"] == "application/json"
    for broken in (content + b" ", content.replace(b"succeeded", b"failed")):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(broken, headers)
    for name, value in (("webhook-id", "msg_2"), ("webhook-timestamp", str(int(time.time()) - 1))):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(content, {**headers, name: value})
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(bytes(32)).decode()).verify(content, headers)


async def test_every_try_is_the_same_message_signed_at_its_own_time() -> None:
    receiver = Receiver([500, 503, 200])
    now = time.time()
    outcomes = [await receiver.told(at=now - 240 + 120 * number) for number in range(3)]
    assert [(each.is_delivered, each.is_over) for each in outcomes] == [(False, False), (False, False), (True, True)]
    assert {headers["webhook-id"] for headers, _ in receiver.sent} == {"msg_1"}
    assert len({content for _, content in receiver.sent}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.sent}) == 3
    for headers, content in receiver.sent:
        Webhook(SECRET).verify(content, headers)


async def test_a_try_of_an_hour_ago_is_no_longer_believed() -> None:
    receiver = Receiver([200])
    await receiver.told(at=time.time() - 3600)
    ((headers, content),) = receiver.sent
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(content, headers)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock on the wall is eight hours ahead."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
async def test_the_time_of_a_message_is_that_of_the_world() -> None:
    receiver = Receiver([200])
    await receiver.told()
    ((headers, content),) = receiver.sent
    Webhook(SECRET).verify(content, headers)
    began = Message.of("a", "job.failed", 0.0, {})
    assert began.body == '{"type":"job.failed","timestamp":"1970-01-01T00:00:00Z","data":{}}'


@pytest.mark.parametrize("status", [301, 302, 400, 404, 429, 500, 503])
async def test_other_answers_are_tried_again(status: int) -> None:
    outcome = await Receiver([status]).told()
    assert outcome == Outcome(is_delivered=False, is_over=False, said=f"It answered {status}.")


async def test_who_wants_no_more_gets_no_more() -> None:
    outcome = await Receiver([410]).told()
    assert (outcome.is_delivered, outcome.is_over) == (False, True)


@pytest.mark.parametrize("failure", [Unreached("It can't be reached."), PlaceRefused("It is not at a public address.")])
async def test_no_answer_is_a_try_that_failed_and_no_error(failure: Exception) -> None:
    outcome = await Receiver([failure]).told()
    assert outcome == Outcome(is_delivered=False, is_over=False, said=str(failure))


async def test_the_guarded_client_is_what_sends() -> None:
    client = Guarded(max_answer_bytes=webhook.MAX_ANSWER_BYTES, timeout_s=webhook.TIMEOUT_S)
    outcome = await webhook.deliver(client, "https://127.0.0.1/hook", KEY, MESSAGE, at=time.time())
    assert (outcome.is_over, outcome.said) == (False, "It is not at a public address.")


def test_there_are_six_tries_from_five_seconds_to_an_hour() -> None:
    pauses = [webhook.pause_s(tries) for tries in range(7)]
    assert (pauses[0], pauses[1], pauses[5], pauses[6]) == (0, 5, 3600, None)
    told = [pause for pause in pauses if pause is not None]
    assert told == sorted(set(told))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_not base64!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "w" * 100,
        "whsec_é" * 10,
        SECRET[:20] + "!" + SECRET[20:],
    ],
)
def test_a_secret_that_is_none_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="A webhook's secret") as refusal:
        webhook.secret(text)
    assert not text or text not in str(refusal.value)


def test_a_secret_is_that_of_the_library() -> None:
    assert webhook.secret(SECRET) == webhook.secret(SECRET.removeprefix("whsec_")) == bytes(range(32))


def test_the_message_is_compact_json() -> None:
    assert json.loads(MESSAGE.body)["data"] == MESSAGE_DATA
    assert ": " not in MESSAGE.body
