"""What is known of a request from its first byte."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from serve_app.schema import Language
from serve_app.serving import telemetry
from serve_app.serving.admission import Ticket


@dataclass(slots=True)
class Arrival:
    """What is known of a request from its first byte; `language` once its config has been seen."""

    request_id: str
    time: float
    record: telemetry.RequestRecord
    language: Language = "en"
    caller: str = ""  # who it is: a key's name or an address
    ticket: Ticket | None = None  # of requests with a body
    fetched_bytes: int = 0  # beside the body, from URLs that it names
    fetching: Callable[[int], None] = lambda _: None  # told of each piece of these; raises `Overloaded`

    @property
    def age_ms(self) -> float:
        return round((clock.time() - self.time) * 1000, 2)


def arrival(request: Request) -> Arrival:
    """The arrival of the request being handled."""
    found = request.scope["pairlens.arrival"]
    assert isinstance(found, Arrival)  # put there by Reception, below
    return found
