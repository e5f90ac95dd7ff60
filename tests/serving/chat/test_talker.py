"""The model stage of a conversation by itself: what is handed over when, and what comes before a refusal."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from serve_app import vlm
from serve_app.chat.talker import Talker
from serve_app.comparison.device import Device
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Said, Spoken, Turn
from serve_app.errors import ModelFailed

ASKED = Conversation((Turn("user", ("What is this?",)),), (), max_tokens=8)
END = Ended("stop", 1, 4)
LONG_S = 3600.0


class Speaker:
    """Says what it is made with, and between two words does what it is told to."""

    def __init__(self, *words: str, between: Callable[[str], None] = lambda _: None) -> None:
        self._words = words
        self._between = between

    def talk(self, conversation: Conversation, tell: vlm.Tell, stop: Stop) -> Ended:
        for word in self._words:
            tell(Said(word))
            self._between(word)
        return END


async def told_by(speaker: Speaker, telling_s: float, on: Callable[[tuple[Spoken, ...]], None]) -> None:
    talker = Talker(speaker, Device(1.0), telling_s=telling_s)
    async for spoken in talker.talk(ASKED, Deadline.after(60)):
        on(spoken)


async def test_the_first_words_come_at_once_and_the_end_waits_for_nothing() -> None:
    was_heard = threading.Event()
    heard: list[tuple[Spoken, ...]] = []

    def on(spoken: tuple[Spoken, ...]) -> None:
        heard.append(spoken)
        was_heard.set()

    def between(word: str) -> None:
        if word == "one ":
            assert_heard(was_heard)
        else:
            time.sleep(0.2)  # long enough for a listener that would not let words gather

    speaker = Speaker("one ", "two ", "three", between=between)
    await asyncio.wait_for(told_by(speaker, LONG_S, on), 30)
    assert heard == [(Said("one "),), (Said("two "), Said("three"), END)]


async def test_words_do_not_wait_for_the_next_ones() -> None:
    was_heard = threading.Event()
    words: list[str] = []

    def on(spoken: tuple[Spoken, ...]) -> None:
        words.extend(one.text for one in spoken if isinstance(one, Said))
        if "two" in words:
            was_heard.set()

    speaker = Speaker("one ", "two", "three", between=lambda word: assert_heard(was_heard) if word == "two" else None)
    await told_by(speaker, 0.01, on)
    assert words == ["one ", "two", "three"]


async def test_nothing_that_was_said_is_lost_or_told_twice() -> None:
    words = [f"{number} " for number in range(5000)]
    heard: list[Spoken] = []
    await told_by(Speaker(*words), 0.0, heard.extend)
    assert heard == [*map(Said, words), END]


async def test_what_was_said_before_a_failure_comes_before_it() -> None:
    def fails(word: str) -> None:
        if word == "two":
            raise RuntimeError("it broke")

    heard: list[Spoken] = []
    with pytest.raises(ModelFailed):
        await told_by(Speaker("one ", "two", between=fails), LONG_S, heard.extend)
    assert heard == [Said("one "), Said("two")]


def assert_heard(event: threading.Event) -> None:
    assert event.wait(30), "nobody was told"
