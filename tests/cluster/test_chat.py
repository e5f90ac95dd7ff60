"""Conversations through Serve: pieces while they are said, a caller that leaves, refusals from every process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.cluster.conftest import Deploy
from tests.cluster.waiting import eventually
from tests.serving.chat.service import PICTURE, SCRIPTED, asked, user
from tests.worlds.samples import card, encoded

WORDS = " ".join(f"word{number}" for number in range(600))


def scripted(tally: Path, **fields: object) -> Settings:
    """It compares at once, and speaks for minutes: longer than any test waits."""
    script = ScriptedSettings.model_validate({"says": WORDS, "pause_s": 0.5, "tally": str(tally), **fields})
    return Settings(model=ModelSettings(engine="scripted", scripted=script))


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chat") / "tally"


@pytest.fixture(scope="module")
def url(deploy: Deploy, tally: Path) -> Iterator[str]:
    """One model replica."""
    with deploy(scripted(tally)) as served:
        yield served


def listens(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


def lines(tally: Path, what: str) -> int:
    """How often the model noted that."""
    return sum(line.startswith(what) for line in tally.read_text().splitlines()) if tally.exists() else 0


def conversation(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, _strict_response_validation=True)


def test_pieces_come_while_the_model_speaks_and_it_stops_when_its_listener_leaves(url: str, tally: Path) -> None:
    before, answered = lines(tally, "stopped"), lines(tally, "answered")
    with conversation(url) as client:
        stream = client.chat.completions.create(**asked(), stream=True)
        heard = [next(stream) for _ in range(4)]
        assert lines(tally, "answered") == answered  # it speaks for minutes yet
        assert [chunk.choices[0].delta.content for chunk in heard] == ["", "word0 ", "word1 ", "word2 "]
        stream.close()
    eventually(lambda: lines(tally, "stopped") == before + 1, within_s=10)
    # Its one replica is free: the next one is heard at once.
    with conversation(url) as client:
        stream = client.chat.completions.create(**asked(), stream=True)
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "word0 "]
        stream.close()
    eventually(lambda: lines(tally, "stopped") == before + 2, within_s=10)


def test_a_caller_who_leaves_before_an_answer_frees_the_model(url: str, tally: Path) -> None:
    begun, stopped = lines(tally, "begun"), lines(tally, "stopped")
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{url}/v1/chat/completions", json=asked(), timeout=httpx2.Timeout(60, read=5))
    eventually(lambda: lines(tally, "begun") > begun and lines(tally, "stopped") > stopped, within_s=20)


def test_the_end_of_the_time_is_the_last_event_of_a_stream(url: str) -> None:
    body = {**asked(), "stream": True, "processing_timeout": 8}
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as answer:
        assert answer.status_code == httpx2.codes.OK
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    last = json.loads(events[-1])["error"]
    assert last == {
        "message": "The answer did not end within 8 s.",
        "type": "server_error",
        "param": "processing_timeout",
        "code": "deadline_exceeded",
    }


def test_what_a_stage_refuses_is_told_in_the_words_of_that_api(url: str) -> None:
    """From another process, as a value; nothing of Ray is in it."""
    damaged = encoded(card())[:60]
    answer = httpx2.post(f"{url}/v1/chat/completions", json={**asked(), "messages": [user(PICTURE, damaged)]})
    assert answer.status_code == httpx2.codes.BAD_REQUEST
    assert answer.json()["error"]["code"] == "image_unreadable"
    assert answer.json()["error"]["message"].startswith("The 2nd image can't be decoded")


def test_a_model_that_fails_says_nothing_of_itself(deploy: Deploy, tmp_path: Path) -> None:
    with deploy(scripted(tmp_path / "tally", fails=True), ready=False) as url:  # it can't compare, either
        eventually(lambda: listens(url), within_s=60)
        for body in (asked(), {**asked(), "stream": True}):
            answer = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
            assert answer.status_code == httpx2.codes.INTERNAL_SERVER_ERROR
            assert answer.json()["error"]["message"] == "The model could not answer."


def test_the_models_are_listed(url: str) -> None:
    with conversation(url) as client:
        assert [model.id for model in client.models.list()] == [SCRIPTED]
