"""A conversation handed on to a server that plays what a test writes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Said, Sampling, Turn
from serve_app.core.pictures import ShownImage
from serve_app.errors import ComparisonError, DeadlineExceeded, MalformedRequest, ModelFailed, Overloaded, Unavailable
from serve_app.settings import ModelSettings, ServerSettings
from serve_app.vlm.remote import ChatModel
from tests.worlds.chat_server import Answering, Asked, endless, playing, raw, streamed

JPEG = ShownImage(2, 2, "jpeg", b"\xff\xd8\xff as it is")
TURNS = (Turn("system", ("Be brief.",)), Turn("user", ("Look:", 0, "What is it?")))


def conversation(**more: Any) -> Conversation:
    return Conversation(**{"turns": TURNS, "pictures": (JPEG,), "max_tokens": 20, **more})


def talked(answer: Answering, **more: Any) -> tuple[Ended, list[Said], list[Asked]]:
    """How it ended, what was said, and what the server was asked."""
    said: list[Said] = []
    with playing(answer) as played:
        settings = ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=played.url))
        ended = ChatModel(settings).talk(conversation(**more), said.append, Stop(Deadline.after(20)))
        return ended, said, list(played.asked)


async def plainly(_: Asked) -> Response:
    return streamed("", [("A ", {"A ": 0.5, "B ": 0.5}), ("cat.", {"cat.": 1.0})])


def test_it_is_handed_on_and_back_as_it_comes() -> None:
    ended, said, (asked,) = talked(plainly, num_alternatives=2)
    assert [one.text for one in said] == ["A ", "cat."]
    assert [token.spelling for one in said for token in one.tokens] == [b"A ", b"cat."]
    assert [other.spelling for other in said[0].tokens[0].alternatives] == [b"A ", b"B "]
    assert ended == Ended("stop", 100, 2)
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("tiny", 20, True)
    assert asked["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    first, second, third = asked["messages"][1]["content"]
    assert (first["text"], third["text"]) == ("Look:", "What is it?")
    assert second["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_only_what_was_asked_for_is_sent() -> None:
    """A server need not know the rest."""
    _, _, (plain,) = talked(plainly)
    assert not plain.keys() & {"temperature", "top_p", "seed", "stop", "logprobs", "response_format"}
    sampling = Sampling(0.2, 0.9, 7, 0.5, -0.5)
    more: dict[str, Any] = {"stops": ("x",), "num_alternatives": 0, "schema": '{"type":"object"}'}
    _, _, (asked,) = talked(plainly, sampling=sampling, **more)
    assert (asked["temperature"], asked["top_p"], asked["seed"]) == (0.2, 0.9, 7)
    assert (asked["presence_penalty"], asked["frequency_penalty"]) == (0.5, -0.5)
    assert (asked["stop"], asked["logprobs"], asked["top_logprobs"]) == (["x"], True, 0)
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_an_answer_that_was_cut_off_says_so_and_one_uncounted_is_counted() -> None:
    async def cut(_: Asked) -> Response:
        return streamed("A long", usage=False, finish="length")

    ended, _, _ = talked(cut)
    assert ended == Ended("length", 0, 1)


def test_a_server_that_does_not_stream_is_heard_too() -> None:
    async def whole(_: Asked) -> Response:
        choice = {"message": {"content": "A cat."}, "finish_reason": "stop"}
        return JSONResponse({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}})

    ended, said, _ = talked(whole)
    assert ([one.text for one in said], ended) == (["A cat."], Ended("stop", 5, 3))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, MalformedRequest), (401, ModelFailed), (429, Overloaded), (503, Unavailable)]
)
def test_what_the_server_refuses_is_told_without_a_word_of_it(status: int, kind: type[ComparisonError]) -> None:
    async def refusing(_: Asked) -> Response:
        return JSONResponse({"error": {"message": "secret"}}, status, headers={"Retry-After": "60"})

    with pytest.raises(kind) as refused:
        talked(refusing)
    assert type(refused.value) is kind
    assert "secret" not in refused.value.detail
    assert "pair" not in refused.value.detail


def test_what_was_only_busy_is_asked_again_and_nothing_is_said_twice() -> None:
    num_asked = 0

    async def busy_once(_: Asked) -> Response:
        nonlocal num_asked
        num_asked += 1
        return JSONResponse({}, 503, headers={"Retry-After": "0.01"}) if num_asked == 1 else await plainly({})

    _, said, asked = talked(busy_once)
    assert ("".join(one.text for one in said), len(asked)) == ("A cat.", 2)


def test_what_breaks_off_in_the_middle_fails() -> None:
    async def breaking(_: Asked) -> Response:
        piece = 'data: {"choices": [{"delta": {"content": "A "}}]}\n\n'
        return raw(piece + 'data: {"error": {"message": "secret"}}\n\n')

    said: list[Said] = []
    with playing(breaking) as played:
        settings = ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=played.url))
        with pytest.raises(ModelFailed, match="could not answer"):
            ChatModel(settings).talk(conversation(), said.append, Stop(Deadline.after(20)))
        assert len(played.asked) == 1
    assert [one.text for one in said] == ["A "]


def test_a_stop_hangs_up() -> None:
    hung_up, stop = threading.Event(), Stop(Deadline.after(60))

    async def speaking(_: Asked) -> Response:
        return endless(hung_up)

    with playing(speaking) as played:
        settings = ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=played.url))
        with pytest.raises(DeadlineExceeded):
            ChatModel(settings).talk(conversation(), lambda _: stop.cancel(), stop)
        assert hung_up.wait(20)
