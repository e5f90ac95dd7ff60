"""Makes each try to tell a place of the caller's that its job has ended, and keeps what came of it.
Knows no queue: who calls it keeps the tries and their pauses. Whatever comes of it changes no job."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from serve_app.client.addresses import networks
from serve_app.client.guarded import Guarded
from serve_app.jobs import deliveries, webhook
from serve_app.jobs.deliveries import Deliveries
from serve_app.jobs.webhook import Outcome, Sending
from serve_app.schema import WebhookStatus
from serve_app.settings import WebhookSettings

_TURNED_OFF: Final = Outcome(is_delivered=False, is_over=True, said="The operator has turned webhooks off.")


class WebhooksUnavailable(Exception):
    """The signing secret can't be used as it is set: one sentence for the operator."""


class Courier:
    """`key_of`: the signing key of a caller; None where the operator has turned webhooks off since the job was left.

    `tried`: told what each try has made of a delivery.
    """

    def __init__(
        self,
        kept: Deliveries,
        client: Sending,
        key_of: Callable[[str], bytes] | None,
        tried: Callable[[WebhookStatus], None] = lambda _: None,
    ) -> None:
        self._kept = kept
        self._client = client
        self._key_of = key_of
        self._tried = tried

    async def deliver(self, job_id: str, attempt: int, number: int) -> WebhookStatus | None:
        """Try `number`, if it is the next one. Raises `Unavailable` where the store can't be reached.

        A process that dies between the message and its record sends it again, with the same id.
        """
        due = await asyncio.to_thread(self._kept.due, job_id, attempt, number)
        if due is None:
            return None
        outcome = _TURNED_OFF
        if self._key_of is not None:
            key, message = self._key_of(due.caller), deliveries.message(due)
            outcome = await webhook.deliver(self._client, due.url, key, message, at=time.time())
        status = await asyncio.to_thread(self._kept.record, due, outcome)
        self._tried(status)
        return status


def guarded_client(settings: WebhookSettings) -> Guarded:
    """Over https to public addresses, and to the operator's own networks."""
    return Guarded(
        max_answer_bytes=webhook.MAX_ANSWER_BYTES,
        timeout_s=webhook.TIMEOUT_S,
        allowed=networks(settings.allowed_networks),
    )


def master_key(settings: WebhookSettings) -> bytes | None:
    """The operator's signing key, None where webhooks are off. Raises `WebhooksUnavailable`."""
    if settings.secret_env:
        text, where = os.environ.get(settings.secret_env, ""), f"the environment variable {settings.secret_env}"
    elif settings.secret_file:
        where = settings.secret_file
        try:
            text = Path(where).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise WebhooksUnavailable(f"The webhooks' secret in {where} can't be read: {type(exc).__name__}.") from None
    else:
        return None
    try:
        return webhook.secret(text.strip())
    except ValueError as exc:
        raise WebhooksUnavailable(f"{str(exc).rstrip('.')} (in {where}).") from None
