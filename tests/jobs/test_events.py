"""Following a job: each event once, from any number on, to the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve_app.errors import Unavailable
from serve_app.jobs import events
from serve_app.jobs.events import Event


class Past:
    """What has happened so far, as a store would tell it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_over = False
        self.fault: Exception | None = None
        self.looked = threading.Event()

    def happen(self, *names: str) -> None:
        for name in names:
            self.events.append(Event(len(self.events) + 1, name, 1, None, 0.0))  # type: ignore[arg-type]

    def look(self, after: int) -> tuple[list[Event], bool]:
        self.looked.set()
        if self.fault is not None:
            raise self.fault
        return [event for event in self.events if event.number > after], self.is_over


async def collected(past: Past, after: int = 0) -> list[int]:
    return [event.number async for event in events.follow(past.look, after)]


async def test_what_comes_is_told_once_and_in_order() -> None:
    past = Past()
    past.happen("queued")
    following = asyncio.create_task(collected(past))
    await asyncio.to_thread(past.looked.wait)
    past.happen("running", "running")
    past.looked.clear()
    await asyncio.to_thread(past.looked.wait)
    past.happen("succeeded")
    past.is_over = True
    assert await following == [1, 2, 3, 4]


async def test_who_comes_back_is_told_the_rest_and_no_more() -> None:
    past = Past()
    past.happen("queued", "running", "succeeded")
    past.is_over = True
    assert await collected(past, 2) == [3]
    assert await collected(past, 3) == []
    assert await collected(past, 99) == []


async def test_what_the_look_raises_ends_it() -> None:
    past = Past()
    past.fault = Unavailable("Gone.")
    with pytest.raises(Unavailable):
        await collected(past)
