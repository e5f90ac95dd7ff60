"""A stream while it is told: pieces as they come, the end of the time, a caller who leaves. Events, no clock."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from serve_app.core.conversation import Ended, Said, Spoken
from serve_app.serving.api.chat import events
from serve_app.serving.api.chat.replies import Answering
from serve_app.serving.telemetry import RequestRecord
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.waiting import eventually
from tests.serving.chat.service import Service, asked, serving

WORDS = " ".join(f"word{number}" for number in range(600))


def speaking(tally: Path, *, delay_s: float = 0.0, pause_s: float = 0.5) -> Settings:
    """A model that speaks for minutes unless it is stopped."""
    script = ScriptedSettings(says=WORDS, delay_s=delay_s, pause_s=pause_s, tally=str(tally))
    return Settings(model=ModelSettings(engine="scripted", scripted=script))


class Caller:
    """One request to the app itself: it reads what is sent when it likes, and leaves when it likes."""

    def __init__(self, service: Service, **fields: Any) -> None:
        self._body = json.dumps({**asked(), **fields}).encode()
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._is_read = False
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("test", 1),
        }
        self.task = asyncio.create_task(service.app(scope, self._receive, self._sent.put))

    async def _receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Message:
        return await asyncio.wait_for(self._sent.get(), 60)

    async def event(self) -> Any:
        """The next one, parsed."""
        body: bytes = (await self.next())["body"]
        return json.loads(body.removeprefix(b"data: "))

    async def leave(self) -> None:
        self._left.set()
        await asyncio.wait_for(self.task, 60)


@pytest.fixture
async def speaker(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(speaking(tmp_path / "tally")) as service:
        yield service


def has(tally: Path, what: str) -> bool:
    return tally.exists() and what in tally.read_text()


async def noted(tally: Path, what: str) -> None:
    """Wait until the model, in its thread, has noted it."""
    await asyncio.wait_for(asyncio.to_thread(eventually, lambda: has(tally, what), within_s=60), 61)


async def test_pieces_are_told_while_the_model_speaks(speaker: Service, tmp_path: Path) -> None:
    caller = Caller(speaker, stream=True)
    assert (await caller.next())["status"] == 200
    heard = [(await caller.event())["choices"][0]["delta"]["content"] for _ in range(3)]
    assert heard[:2] == ["", "word0 "]
    assert heard[2].startswith("word1 ")
    assert not has(tmp_path / "tally", "answered")
    await caller.leave()


async def test_the_model_stops_when_its_listener_leaves_and_hears_the_next(speaker: Service, tmp_path: Path) -> None:
    caller = Caller(speaker, stream=True)
    await caller.next()
    await caller.leave()
    await noted(tmp_path / "tally", "stopped")
    assert speaker.counted.records[0].outcome == "client_left" or speaker.counted.records[0].status == 200
    following = Caller(speaker, stream=True)  # there is one device: it is free again
    assert (await following.next())["status"] == 200
    await following.leave()


async def test_a_stream_ends_the_conversation_with_itself() -> None:
    """Whoever else still knows the conversation: nothing is left to a collector of garbage."""
    has_ended = False

    async def speaking() -> AsyncGenerator[tuple[Spoken, ...], None]:
        nonlocal has_ended
        try:
            while True:
                yield (Said("word "),)
        finally:
            has_ended = True

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    spoken = speaking()
    answering, record = Answering("id", 0, "model", False), RequestRecord("id", "POST", "/")
    told = events.told(answering, await anext(spoken), spoken, record, counts=False, logger=logging.Logger("test"))
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    await events.EventStream(told, spoken)(scope, receive, send)
    assert has_ended


async def test_what_was_said_together_is_one_event_and_nothing_of_it_is_lost() -> None:
    async def speaking() -> AsyncGenerator[tuple[Spoken, ...], None]:
        yield (Said("one "), Said("two "))
        yield (Said("three"), Ended("stop", 7, 3))

    spoken = speaking()
    answering, record = Answering("id", 0, "model", False), RequestRecord("id", "POST", "/")
    told = events.told(answering, await anext(spoken), spoken, record, counts=True, logger=logging.Logger("test"))
    sent = [event async for event in told]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in sent[:-1]]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]] == ["", "one two ", "three", None]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 10
    assert sent[-1] == events.DONE
    assert (record.prompt_tokens, record.generated_tokens) == (7, 3)


async def test_an_answer_nobody_waits_for_any_more_stops(speaker: Service, tmp_path: Path) -> None:
    """Serve cancels the request of a caller who has left."""
    caller = Caller(speaker)
    await noted(tmp_path / "tally", "begun")
    caller.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller.task
    await noted(tmp_path / "tally", "stopped")
    assert speaker.counted.records[0].outcome == "client_left"


async def test_who_waits_for_the_model_hears_it_once_it_is_free(speaker: Service) -> None:
    first = Caller(speaker, stream=True)
    await first.next()
    second = Caller(speaker, stream=True)
    await asyncio.sleep(0)
    assert second._sent.empty()
    await first.leave()
    assert (await second.next())["status"] == 200
    await second.leave()


async def test_the_end_of_the_time_is_the_last_event(speaker: Service) -> None:
    caller = Caller(speaker, stream=True, processing_timeout=2)
    await caller.next()
    event: Any = {}
    while "error" not in event:
        event = await caller.event()
    assert event["error"]["code"] == "deadline_exceeded"
    assert event["error"]["message"] == "The answer did not end within 2 s."
    await asyncio.wait_for(caller.task, 60)
    assert (await caller.next())["body"] == b""
    assert speaker.counted.records[0].error == "deadline_exceeded"


async def test_before_the_first_word_the_end_of_the_time_is_a_status(tmp_path: Path) -> None:
    async with serving(speaking(tmp_path / "tally", delay_s=60.0)) as service:
        answer = await service.ask(stream=True, processing_timeout=0.5)
        assert (answer.status_code, answer.json()["error"]["param"]) == (504, "processing_timeout")


async def test_a_fault_in_the_middle_is_told_without_its_text(tmp_path: Path) -> None:
    async with serving(speaking(tmp_path / "tally", pause_s=0.0)) as service:
        model = service.assessor.model
        assert model is not None
        real = model.talk

        def failing(conversation: Any, tell: Any, stop: Any) -> Any:
            real(conversation, tell, stop)
            raise RuntimeError("secret")

        model.talk = failing  # type: ignore[method-assign]
        answer = await service.ask(stream=True)
    events = [line for line in answer.text.split("\n\n") if line]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["message"] == "The model could not answer."
    assert "secret" not in answer.text
    assert "[DONE]" not in answer.text
