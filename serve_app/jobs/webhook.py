"""Tells a place of the caller's that something has happened, by Standard Webhooks: a signed message, tried again.
Knows no database and no clock of its own: each try is one call, and whoever makes it keeps the steps.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from standardwebhooks import Webhook

from serve_app.client.guarded import Answer, NoAnswer, PlaceRefused, place

# Seconds to wait before each of the six tries: an hour and a half in all, in which a receiver may be deployed anew.
PAUSES_S: Final = (0.0, 5.0, 30.0, 180.0, 900.0, 3600.0)
# Of an answer only the status is read; who says more than this has not understood the message.
MAX_ANSWER_BYTES: Final = 64 * 1024
TIMEOUT_S: Final = 15.0
MAX_URL: Final = 2000
_PREFIX: Final = "whsec_"
_GONE: Final = 410  # Standard Webhooks: the receiver wants no more of them


class Sending(Protocol):
    """What `client.guarded.Guarded` does."""

    async def send(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), content: bytes = b""
    ) -> Answer:
        """Raises `NoAnswer`."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """The same on every try. `id`: by which a receiver knows a message that it has had before."""

    id: str
    body: str

    @classmethod
    def of(cls, id_: str, kind: str, at: float, data: Mapping[str, Any]) -> Message:
        """`kind`: such as `job.succeeded`; `at`: when it happened, as `time.time()`; `data`: fit for JSON."""
        told = {"type": kind, "timestamp": moment(at), "data": data}
        return cls(id_, json.dumps(told, ensure_ascii=False, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try. `is_over`: no further one is to follow. `said`: one sentence for who looks why."""

    is_delivered: bool
    is_over: bool
    said: str


def moment(at: float) -> str:
    """`time.time()` as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def secret(text: str) -> bytes:
    """The key in `whsec_` and base64, 24 to 64 bytes of it. Raises ValueError, whose text does not quote it."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("A webhook's secret is whsec_ and base64.") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"A webhook's secret has 24 to 64 bytes, not {len(key)}.")
    return key


def written(key: bytes) -> str:
    """The same key as text, as receivers have it in their settings."""
    return _PREFIX + base64.b64encode(key).decode()


def key_of(master: bytes, owner: str) -> bytes:
    """The key that signs one owner's messages: who verifies with it could else write messages to all the others.

    `owner`: the name of an API key, empty where everybody is one. HMAC-SHA256 of the name, as HKDF's expansion.
    """
    return hmac.new(master, owner.encode(), hashlib.sha256).digest() if owner else master


def checked(url: str) -> str:
    """A URL that may be told of something. Raises ValueError with one sentence that does not quote it.

    Where its name leads to is checked at each try: it can change until then.
    """
    if not url.startswith("https://") or len(url) > MAX_URL:
        raise ValueError(f"A webhook's URL begins with https:// and has at most {MAX_URL} characters.")
    try:
        place(("https",), url)
    except PlaceRefused as exc:
        raise ValueError(str(exc)) from None
    return url


def pause_s(tries: int) -> float | None:
    """Seconds to wait before the next try, once there were `tries` of them; None where that was the last."""
    return PAUSES_S[tries] if tries < len(PAUSES_S) else None


def signed(message: Message, key: bytes, at: float) -> tuple[tuple[str, str], ...]:
    """The headers of one try at `at`, as `time.time()`: a receiver refuses what is five minutes old, so each is signed
    anew."""
    signature = Webhook(key).sign(message.id, datetime.fromtimestamp(at, UTC), message.body)
    return (
        ("content-type", "application/json"),
        ("user-agent", "PairLens"),
        ("webhook-id", message.id),
        ("webhook-timestamp", str(math.floor(at))),
        ("webhook-signature", signature),
    )


async def deliver(client: Sending, url: str, key: bytes, message: Message, *, at: float) -> Outcome:
    """One try. Raises nothing of the receiver's: that a place can't be told changes no job."""
    try:
        answer = await client.send("POST", url, headers=signed(message, key, at), content=message.body.encode())
    except NoAnswer as exc:
        return Outcome(is_delivered=False, is_over=False, said=str(exc))
    if 200 <= answer.status < 300:
        return Outcome(is_delivered=True, is_over=True, said=f"It answered {answer.status}.")
    if answer.status == _GONE:
        return Outcome(is_delivered=False, is_over=True, said=f"It answered {_GONE}: it wants no more messages.")
    return Outcome(is_delivered=False, is_over=False, said=f"It answered {answer.status}.")
