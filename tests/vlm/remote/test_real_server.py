"""Engine `openai` against a real server: `transformers serve` with a tiny random checkpoint.

It takes neither `response_format` nor log probabilities, and says so only in its own log: what is tested here is that
requests, pictures, streams and stops are understood by a server we didn't write.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from serve_app import vlm
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry, Question, Wording
from serve_app.core.pictures import ShownImage
from serve_app.errors import DeadlineExceeded, ModelFailed
from serve_app.settings import ModelSettings, ServerSettings
from serve_app.vlm.remote import ChatModel
from tests.worlds import checkpoints

START_S = 150.0  # 10 s on two idle cores, 41 s seen on busy ones
LETTERS = ("A", "B", "C", "D", "E")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's base_url; the checkpoint is an Idefics3, whose processor needs no torchvision."""
    home = tmp_path_factory.mktemp("served")
    checkpoints.tiny_idefics3(home / "tiny")
    (home / "hub").mkdir()  # without a cache to list, its /v1/models answers 500
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sysconfig.get_path("scripts")) / "transformers"), "serve", "tiny"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    offline = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (home / "log").open("wb") as log:
        served = subprocess.Popen([*command, *options], cwd=home, env=offline, stdout=log, stderr=log)
    try:
        _await_health(served, f"http://127.0.0.1:{port}/health", home / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        served.terminate()
        served.wait(20)


def _await_health(served: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and served.poll() is None:
        try:
            if httpx2.get(url, timeout=2, trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    pytest.fail(f"transformers serve didn't start:\n{log.read_text()[-2000:]}")


def settings(url: str, name: str = "tiny", tokens: int = 8) -> ModelSettings:
    server = ServerSettings(base_url=url, parallel_requests=4)
    return ModelSettings(
        engine="openai", name=name, server=server, max_explanation_tokens=tokens, max_summary_tokens=tokens
    )


def an_inquiry() -> Inquiry:
    picture = ShownImage(64, 48, "rgb", bytes([200, 30, 30]) * 64 * 48)
    aspect = Question("aspect", 0, (Wording("How different? A, B, C, D or E.", LETTERS),))
    summary = Question("summary", 0, (Wording("All in all?"),))
    return Inquiry(picture, picture, "Two pictures.", (aspect, aspect, summary), (aspect,), "en", "1")


def a_model(url: str, tokens: int = 8) -> ChatModel:
    model = vlm.load(settings(url, tokens=tokens))
    assert isinstance(model, ChatModel)
    model.warm_up()
    return model


def test_it_checks_warms_up_and_answers(url: str, caplog: pytest.LogCaptureFixture) -> None:
    vlm.check(settings(url))
    output = a_model(url).answer(an_inquiry(), Stop(Deadline.after(60)))
    assert "no log probabilities" in caplog.text
    assert (len(output.replies), len(output.swapped_replies)) == (3, 1)
    assert all(len(reply.probabilities) == 5 for reply in (*output.replies[:2], *output.swapped_replies))
    assert output.replies[0] == output.replies[1]  # greedy: the same question, the same answer
    assert output.prompt_tokens > 4 * 50  # the pictures were read
    assert 0 < output.generated_tokens <= 4 * 64


def test_the_deadline_hangs_up_and_the_next_request_is_served(url: str) -> None:
    model = a_model(url, tokens=4000)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        model.answer(an_inquiry(), Stop(Deadline.after(0.5)))
    assert time.monotonic() - started < 0.5 + 5.0  # 5 ms over on a machine with less at work
    # A generation that went on for 3 x 4,000 tokens would hold its one thread for 20 s.
    assert len(a_model(url).answer(an_inquiry(), Stop(Deadline.after(18))).replies) == 3


def test_another_model_than_the_served_one_is_refused_with_its_words(url: str) -> None:
    model = vlm.load(settings(url, name="other"))
    assert model is not None
    with pytest.raises(vlm.ModelUnavailable, match=r"\(400\). It says: Server is pinned to 'tiny'"):
        model.warm_up()
    with pytest.raises(ModelFailed):
        model.answer(an_inquiry(), Stop(Deadline.after(60)))
