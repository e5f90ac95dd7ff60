"""Engine `openai` against a server that plays whatever a test writes."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.responses import JSONResponse, Response

from serve_app import vlm
from serve_app.comparison import assessor
from serve_app.comparison.dialogue import reply_text
from serve_app.comparison.dialogue.phrases import PHRASES
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry, Question, Reply, Wording
from serve_app.core.measured import Crop
from serve_app.core.pictures import ShownImage, Upload
from serve_app.errors import ComparisonError, DeadlineExceeded, ModelFailed, Overloaded, Unavailable
from serve_app.local import open_pipeline
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings, ServerSettings, Settings
from serve_app.vlm.remote import ChatModel, labels
from tests.worlds.chat_server import Answering, Asked, endless, playing, raw, streamed
from tests.worlds.samples import examined, measured

WORDS = ("same", "changed", "added", "removed", "missing")
LETTERS = ("A", "B", "C", "D", "E")
BUSY_S = 5.0  # what a crowded machine may add to a few milliseconds; the server would take a minute
MORE_S = 0.2  # in which one request too many would come
NOBODY = "http://127.0.0.1:9/v1"  # the discard port: nothing listens there
RED = ShownImage(4, 2, "rgb", bytes([255, 0, 0]) * 8)
JPEG = ShownImage(2, 2, "jpeg", b"\xff\xd8\xff as it is")


def an_inquiry(elements: int = 1, *, swapped: bool = False) -> Inquiry:
    questions = tuple(
        Question("focus_element", i, (Wording(f"element {i} in words?", WORDS),)) for i in range(elements)
    )
    summary = Question("summary", 0, (Wording("all in all?"),))
    return Inquiry(RED, JPEG, "Two pictures.", (*questions, summary), questions if swapped else (), "en", "1")


def a_model(url: str, **server: Any) -> ChatModel:
    settings = ServerSettings(base_url=url, **server)
    model = vlm.load(ModelSettings(engine="openai", name="tiny", server=settings, max_explanation_tokens=50))
    assert isinstance(model, ChatModel)
    return model


def a_stop(timeout_s: float = 20.0) -> Stop:
    return Stop(Deadline.after(timeout_s))


def one_answer(label: str = "changed", probability: float = 0.75) -> Response:
    rest = '","explanation":"The logo is red.","summary":"It is red."}'
    tokens = [
        ('{"answer":"', {'{"answer":"': 1.0}),
        (label, {label: probability, "missing": 1 - probability}),
        (rest, {rest: 1.0}),
    ]
    return streamed("", tokens)


async def plainly(_: Asked) -> Response:
    return one_answer()


def refusing(*unknown: str) -> Answering:
    """A server that answers 400 to a request with one of these fields."""

    async def play(asked: Asked) -> Response:
        if any(name in asked for name in unknown):
            return JSONResponse({"error": {"message": "some parameter is not supported"}}, 400)
        return streamed('{"answer":"A"}')

    return play


def test_a_reply_holds_probabilities_and_text() -> None:
    with playing(plainly) as played:
        output = a_model(played.url).answer(an_inquiry(), a_stop())
    element, summary = output.replies
    assert element.probabilities == pytest.approx((0.0, 0.75, 0.0, 0.0, 0.25))
    assert reply_text.text_of(element.text, "explanation") == "The logo is red."
    assert summary.probabilities == ()
    assert reply_text.text_of(summary.text, "summary") == "It is red."
    assert (output.prompt_tokens, output.generated_tokens) == (200, 6)


def test_the_pictures_go_first_and_as_they_are_shown() -> None:
    with playing(plainly) as played:
        a_model(played.url).answer(an_inquiry(), a_stop())
    first, second, text = played.asked[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "Two pictures.\nelement 0 in words?"}
    kind, _, data = first["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.size, image.getpixel((0, 0))) == ((4, 2), (255, 0, 0))
    assert second["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(JPEG.data).decode()


def test_every_picture_follows_its_name_in_both_orders() -> None:
    names = ("First picture:", "Second picture:")
    with playing(plainly) as played:
        a_model(played.url).answer(replace(an_inquiry(swapped=True), captions=names), a_stop())
    orders = {
        tuple(part["text"] if part["type"] == "text" else part["image_url"]["url"][:15] for part in content[:4])
        for content in (asked["messages"][0]["content"] for asked in played.asked)
    }
    png, jpeg = "data:image/png;", "data:image/jpeg"
    assert orders == {(names[0], png, names[1], jpeg), (names[0], jpeg, names[1], png)}


def test_exchanged_pictures_are_asked_for_labels_alone() -> None:
    with playing(plainly) as played:
        output = a_model(played.url).answer(an_inquiry(2, swapped=True), a_stop())
    assert len(output.swapped_replies) == 2
    assert all(reply.text == "" and sum(reply.probabilities) > 0 for reply in output.swapped_replies)
    in_order = [
        asked["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png") for asked in played.asked
    ]
    assert sorted(in_order) == [False, False, True, True, True]
    schemas = {tuple(asked["response_format"]["json_schema"]["schema"]["properties"]) for asked in played.asked}
    assert schemas == {("answer", "explanation"), ("summary",), ("answer",)}


def test_the_answer_is_held_to_the_labels_by_a_schema() -> None:
    with playing(plainly) as played:
        a_model(played.url).answer(an_inquiry(), a_stop())
    described = played.asked[0]["response_format"]["json_schema"]
    assert described["strict"] is True
    assert described["schema"]["properties"]["answer"] == {"type": "string", "enum": list(WORDS)}
    assert described["schema"]["required"] == ["answer", "explanation"]
    assert played.asked[0]["max_tokens"] > 50


def test_every_shape_of_answer_has_its_schema() -> None:
    asked = (
        Question("focus_element", 0, (Wording("where?", WORDS),), "boxed_text"),
        Question("findings", 0, (Wording("what else?"),), "findings"),
    )
    with playing(plainly) as played:
        a_model(played.url).answer(Inquiry(RED, JPEG, "", asked, asked[:1], "en", "1"), a_stop())
    schemas = [asked["response_format"]["json_schema"]["schema"] for asked in played.asked]
    properties = {tuple(schema["properties"]): schema["properties"] for schema in schemas}
    assert set(properties) == {("answer", "box", "explanation"), ("findings",), ("answer",)}
    assert properties["answer", "box", "explanation"]["box"]["anyOf"][0] == {"type": "null"}
    finding = properties["findings",]["findings"]["items"]
    assert list(finding["properties"]) == finding["required"] == ["kind", "box", "description"]


def test_crops_follow_the_two_pictures_in_both_orders() -> None:
    crop = Crop(0, ShownImage(2, 2, "jpeg", b"in the first"), ShownImage(2, 2, "jpeg", b"in the second"))
    question = Question("aspect", 0, (Wording("?", LETTERS),))
    with playing(plainly) as played:
        inquiry = Inquiry(JPEG, JPEG, "", (question,), (question,), "en", "1", crops=(crop,))
        a_model(played.url).answer(inquiry, a_stop())
    sent = {
        tuple(part["image_url"]["url"].partition(",")[2] for part in asked["messages"][0]["content"][2:4])
        for asked in played.asked
    }
    first, second = (base64.b64encode(one.data).decode() for one in (crop.reference, crop.candidate))
    assert sent == {(first, second), (second, first)}


def test_the_first_question_goes_ahead_and_the_rest_follow_together() -> None:
    arrived: list[int] = []
    all_here = asyncio.Event()

    async def play(_: Asked) -> Response:
        arrived.append(len(played.asked))
        if len(played.asked) == 5:
            all_here.set()
        if len(played.asked) > 1:  # the four that follow wait for each other
            await all_here.wait()
        return one_answer()

    with playing(play) as played:
        a_model(played.url, parallel_requests=8).answer(an_inquiry(4), a_stop())
    assert arrived[0] == 1
    assert played.most_at_once == 4


def test_requests_at_once_are_bounded() -> None:
    async def play(_: Asked) -> Response:
        await asyncio.sleep(0.005)
        return one_answer()

    with playing(play) as played:
        a_model(played.url, parallel_requests=2).answer(an_inquiry(8), a_stop())
    assert (len(played.asked), played.most_at_once) == (9, 2)


@pytest.mark.parametrize(("server", "most"), [({}, 8), ({"parallel_comparisons": 3}, 3)])
async def test_a_server_is_sent_several_comparisons_at_once(server: dict[str, int], most: int) -> None:
    """The first question of each comparison waits at the server until all that may be there are."""
    has_started, all_here = False, asyncio.Event()
    here, most_here = 0, 0

    async def play(asked: Asked) -> Response:
        nonlocal here, most_here
        is_first = PHRASES["en"].aspect.format(name='"color"') in asked["messages"][0]["content"][-1]["text"]
        if not has_started or not is_first:
            return one_answer()
        here += 1
        most_here = max(here, most_here)
        if here == most:
            asyncio.get_running_loop().call_later(MORE_S, all_here.set)
        await all_here.wait()
        here -= 1
        return one_answer()

    with playing(play) as played:
        settings = ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=played.url, **server))
        model = await asyncio.to_thread(assessor.Assessor, settings)
        has_started = True
        asked = ImageComparisonConfig(swap_check=False)
        works = (model.assess(asked, examined(measured()), Deadline.after(BUSY_S * 4)) for _ in range(most + 2))
        answered = await asyncio.gather(*works)
        model.close()
    assert [each.status for each in answered] == ["answered"] * (most + 2)
    assert most_here == most


def test_a_server_without_log_probabilities_states_its_label() -> None:
    async def play(_: Asked) -> Response:
        return streamed('{"answer":"added","explanation":"New."}', usage=False)

    with playing(play) as played:
        output = a_model(played.url).answer(an_inquiry(), a_stop())
    assert output.replies[0].probabilities == (0.0, 0.0, labels.ASSUMED, 0.0, 0.0)
    assert (output.prompt_tokens, output.generated_tokens) == (0, 0)


def test_a_server_that_does_not_stream_is_read_all_the_same() -> None:
    async def play(_: Asked) -> Response:
        return JSONResponse({"choices": [{"message": {"content": '{"answer":"same","explanation":"Equal."}'}}]})

    with playing(play) as played:
        output = a_model(played.url).answer(an_inquiry(), a_stop())
    assert output.replies[0].probabilities[0] == labels.ASSUMED
    assert output.num_assumed == 1


def test_thoughts_and_fences_around_the_answer_are_cut_off() -> None:
    async def play(_: Asked) -> Response:
        return streamed('<think>{"a"}</think>\n```json\n{"answer":"same","explanation":"Equal."}\n```')

    with playing(play) as played:
        output = a_model(played.url).answer(an_inquiry(), a_stop())
    assert json.loads(output.replies[0].text) == {"answer": "same", "explanation": "Equal."}


def test_an_answer_that_is_no_json_degrades_its_field_alone() -> None:
    async def play(asked: Asked) -> Response:
        text = asked["messages"][0]["content"][-1]["text"]
        return streamed("I'd rather not.") if "element 1" in text else one_answer()

    with playing(play) as played:
        output = a_model(played.url).answer(an_inquiry(2), a_stop())
    assert output.replies[1] == Reply((0.0,) * 5, "I'd rather not.")
    assert output.replies[0].probabilities[1] == pytest.approx(0.75)


OPENING = '{"answer":"'


@pytest.mark.parametrize(
    ("pieces", "can"),
    [
        ((OPENING, "none", '"} ', OPENING, "nothing", '"}'), True),
        ((OPENING, "no", "ne", '"} ', OPENING, "no", "thing", '"}'), False),
        (("I'd rather not.",), True),
    ],
)
def test_labels_are_copied_once_to_find_out_what_tells_them_apart(pieces: tuple[str, ...], can: bool) -> None:
    async def play(_: Asked) -> Response:
        return streamed("", [(piece, {piece: 1.0}) for piece in pieces])

    with playing(play) as played:
        assert a_model(played.url).can_choose(("none", "nothing")) is can
    (content,) = (asked["messages"][0]["content"] for asked in played.asked)
    assert '{"answer":"none"} {"answer":"nothing"}' in content[0]["text"]
    assert "response_format" not in played.asked[0]


def test_a_server_that_refuses_to_copy_is_asked_in_words() -> None:
    with playing(fails_with(400)) as played:
        assert a_model(played.url).can_choose(("none", "nothing")) is True


def test_warm_up_asks_for_everything_once() -> None:
    with playing(plainly) as played:
        a_model(played.url).warm_up()
    assert len(played.asked) == 1
    assert {"max_tokens", "temperature", "response_format", "logprobs", "stream_options"} <= set(played.asked[0])


@pytest.mark.parametrize(
    ("unknown", "kept"),
    [
        (("logprobs",), {"max_tokens", "response_format", "temperature"}),
        (("response_format",), {"max_tokens", "logprobs", "top_logprobs"}),
        (
            ("max_tokens", "temperature", "chat_template_kwargs"),
            {"max_completion_tokens", "response_format", "logprobs"},
        ),
        (("response_format", "logprobs", "stream_options", "chat_template_kwargs"), {"max_tokens", "temperature"}),
    ],
)
def test_options_that_the_server_refuses_are_left_out_from_then_on(unknown: tuple[str, ...], kept: set[str]) -> None:
    with playing(refusing(*unknown)) as played:
        model = a_model(played.url)
        model.warm_up()
        tried = len(played.asked)
        model.answer(an_inquiry(), a_stop())
    assert tried <= 12
    for asked in played.asked[tried:]:
        assert not set(unknown) & set(asked)
        assert (kept - {"logprobs", "top_logprobs"}) <= set(asked)


def thinking(answers: Callable[[Asked], bool], begins: str = "") -> Answering:
    """A server whose model spends every token on a thought, unless `answers` says of a request that it doesn't."""

    async def play(asked: Asked) -> Response:
        return streamed('{"answer":"A"}') if answers(asked) else streamed(begins, finish="length")

    return play


@pytest.mark.parametrize("begins", ["", "<think>The first picture", " ◁think▷The", "<think>a</think><think>b"])
def test_a_model_that_only_thinks_is_refused_at_the_start_in_one_sentence(begins: str) -> None:
    never = thinking(lambda _: False, begins)
    with playing(never) as played, pytest.raises(vlm.ModelUnavailable, match="tiny thinks before it answers") as caught:
        a_model(played.url).warm_up()
    assert "\n" not in str(caught.value)
    assert len(played.asked) <= 5


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        (lambda asked: asked.get("reasoning_effort") == "none", {"reasoning_effort": "none"}),
        (lambda asked: asked.get("reasoning_effort") == "low", {"reasoning_effort": "low"}),
        (lambda asked: asked["max_tokens"] > 1000, {}),
    ],
)
def test_a_model_that_thinks_less_or_has_room_for_it_is_asked_so_from_then_on(
    answers: Callable[[Asked], bool], kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with playing(thinking(answers)) as played:
        model = a_model(played.url)
        model.warm_up()
        output = model.answer(an_inquiry(), a_stop())
    assert all(kept.items() <= asked.items() and answers(asked) for asked in played.asked[-2:])
    assert output.replies[0].text
    assert ("thinks before each answer" in caplog.text) is (not kept)


def test_a_refused_effort_is_passed_over() -> None:
    async def play(asked: Asked) -> Response:
        if "reasoning_effort" in asked:
            return JSONResponse({}, 400)
        return streamed('{"answer":"A"}') if asked["max_tokens"] > 1000 else streamed("", finish="length")

    with playing(play) as played:
        a_model(played.url).warm_up()
    assert len(played.asked) == 5


@pytest.mark.parametrize(("text", "finish"), [("The pictures are", "length"), ("", "stop")])
def test_a_model_that_answers_badly_does_not_count_as_thinking(text: str, finish: str) -> None:
    async def play(_: Asked) -> Response:
        return streamed(text, finish=finish)

    with playing(play) as played:
        a_model(played.url).warm_up()
    assert len(played.asked) == 1


def test_fewer_alternatives_are_asked_for_where_twenty_are_refused() -> None:
    async def play(asked: Asked) -> Response:
        return JSONResponse({}, 400) if asked.get("top_logprobs", 0) > 5 else one_answer("A")

    with playing(play) as played:
        model = a_model(played.url)
        model.warm_up()
        model.answer(an_inquiry(), a_stop())
    assert played.asked[-1]["top_logprobs"] == 5


def test_a_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-secret\n")
    monkeypatch.setenv("SOME_KEY", "sk-other")
    with playing(plainly) as played:
        a_model(played.url, key_file=str(tmp_path / "key")).answer(an_inquiry(), a_stop())
        assert played.headers[-1]["authorization"] == "Bearer sk-secret"
        a_model(played.url, key_env="SOME_KEY").answer(an_inquiry(), a_stop())
        assert played.headers[-1]["authorization"] == "Bearer sk-other"
        a_model(played.url).answer(an_inquiry(), a_stop())
        assert "authorization" not in played.headers[-1]


@pytest.mark.parametrize("content", [None, b"", b"two words", "schlüssel".encode(), b"\xff\xfe"])
def test_a_key_that_cannot_be_read_is_named_by_its_place(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(vlm.ModelUnavailable, match=r"API key in .*key"):
        a_model(NOBODY, key_file=str(tmp_path / "key"))


def fails_with(status: int, **headers: str) -> Answering:
    async def play(_: Asked) -> Response:
        return JSONResponse({"error": {"message": "secret inner text"}}, status, headers=headers)

    return play


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refuses a request without a key"),
        (403, "refuses a request without a key"),
        (404, "knows no model tiny"),
        (400, r"refuses a request with two pictures for tiny \(400\). It says: secret inner text"),
        (500, "answers 500"),
    ],
)
def test_a_start_that_fails_says_why_in_one_sentence(status: int, sentence: str) -> None:
    with playing(fails_with(status)) as played, pytest.raises(vlm.ModelUnavailable, match=sentence) as caught:
        a_model(played.url).warm_up()
    assert "\n" not in str(caught.value)


def test_the_key_is_never_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret")
    with playing(fails_with(401)) as played, pytest.raises(vlm.ModelUnavailable) as caught:
        a_model(played.url, key_file=str(tmp_path / "key")).warm_up()
    assert "sk-secret" not in str(caught.value)
    assert "inner" not in str(caught.value)  # hosts quote the key there, masked more or less
    assert str(tmp_path / "key") in str(caught.value)


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (fails_with(400), ModelFailed),
        (fails_with(401), ModelFailed),
        (fails_with(404), ModelFailed),
        (fails_with(500), ModelFailed),
        (fails_with(429, **{"Retry-After": "30"}), Overloaded),
        (fails_with(503, **{"Retry-After": "30"}), Unavailable),
    ],
)
def test_a_caller_learns_nothing_of_the_server(
    play: Answering, kind: type[ComparisonError], caplog: pytest.LogCaptureFixture
) -> None:
    with playing(play) as played, pytest.raises(kind) as caught:
        a_model(played.url).answer(an_inquiry(), a_stop())
    assert type(caught.value) is kind
    for secret in ("secret", "127.0.0.1", "tiny", "400", "500"):
        assert secret not in caught.value.detail
    assert "secret inner text" not in caplog.text
    assert "127.0.0.1" in caplog.text  # the operator learns which server it was


def test_a_busy_server_is_asked_again_after_the_pause_it_wants() -> None:
    async def play(_: Asked) -> Response:
        if len(played.asked) == 1:
            return JSONResponse({}, 429, headers={"Retry-After": "0.01"})
        return one_answer()

    with playing(play) as played:
        output = a_model(played.url).answer(an_inquiry(), a_stop())
    assert (len(played.asked), len(output.replies)) == (3, 2)


def test_a_pause_longer_than_the_time_left_is_handed_on() -> None:
    with playing(fails_with(429, **{"Retry-After": "7"})) as played, pytest.raises(Overloaded) as caught:
        a_model(played.url).answer(an_inquiry(), a_stop(5.0))
    assert (caught.value.retry_after_s, len(played.asked)) == (7, 1)


@pytest.mark.parametrize(
    "garbage",
    [
        raw("<html>hello</html>", "text/html"),
        raw("data: {not json\n\n"),
        raw("data: [1, 2]\n\n"),
        raw("data: [DONE]\n\n"),
        raw(""),
        raw('data: {"choices": [{"delta": {"content": 5}}]}\n\n'),
        raw('data: {"error": {"message": "secret inner text"}}\n\n'),
        raw("data: " + "x" * 9_000_000),
    ],
)
def test_garbage_is_a_failure_of_the_model(garbage: Response, caplog: pytest.LogCaptureFixture) -> None:
    async def play(_: Asked) -> Response:
        return garbage

    with playing(play) as played, pytest.raises(ModelFailed):
        a_model(played.url).answer(an_inquiry(), a_stop())
    assert "secret" not in caplog.text


def test_nobody_there_is_said_at_once() -> None:
    model = a_model(NOBODY)
    with pytest.raises(vlm.ModelUnavailable, match=r"127\.0\.0\.1:9/v1 can't be reached"):
        model.warm_up()
    with pytest.raises(Unavailable) as caught:
        model.answer(an_inquiry(), a_stop(1.0))
    assert "127" not in caught.value.detail


def slow(seconds: float) -> Answering:
    async def play(_: Asked) -> Response:
        await asyncio.sleep(seconds)
        return one_answer()

    return play


async def never_ending(_: Asked) -> Response:
    return endless()


@pytest.mark.parametrize("play", [slow(60), never_ending])
def test_the_deadline_ends_a_slow_server(play: Answering) -> None:
    with playing(play) as played:
        model = a_model(played.url)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            model.answer(an_inquiry(3), a_stop(0.3))
        assert time.monotonic() - started < 0.3 + BUSY_S


def test_a_cancel_hangs_up() -> None:
    stop = a_stop()
    hung_up = threading.Event()

    async def play(_: Asked) -> Response:
        stop.cancel()
        return endless(hung_up)

    with playing(play) as played:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            a_model(played.url).answer(an_inquiry(3), stop)
        assert time.monotonic() - started < BUSY_S
        assert hung_up.wait(BUSY_S)


async def test_it_can_be_called_where_a_loop_runs() -> None:
    with playing(plainly) as played:
        model = a_model(played.url)
        model.warm_up()
        assert len(model.answer(an_inquiry(), a_stop()).replies) == 2


def test_check_asks_for_the_list_of_models() -> None:
    def settings(url: str) -> ModelSettings:
        return ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=url))

    with playing(plainly) as played:
        vlm.check(settings(played.url))
    with playing(plainly, models=JSONResponse({}, 404)) as played:
        vlm.check(settings(played.url))  # some have no list
    with playing(plainly, models=JSONResponse({}, 401)) as played, pytest.raises(vlm.ModelUnavailable, match="key"):
        vlm.check(settings(played.url))
    with playing(plainly, models=raw("<html>", "text/html")) as played:  # noqa: SIM117
        with pytest.raises(vlm.ModelUnavailable, match="not with a list of models"):
            vlm.check(settings(played.url))
    with pytest.raises(vlm.ModelUnavailable, match="can't be reached"):
        vlm.check(settings(NOBODY))


@pytest.mark.parametrize("url", ["ftp://host/v1", "http://user:secret@host/v1", "host:8000/v1", "http://host/v1?key=1"])
def test_a_base_url_is_plain(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        ServerSettings(base_url=url)


def test_engine_openai_needs_a_name_and_a_server() -> None:
    with pytest.raises(ValueError, match=r"model\.name is required"):
        ModelSettings(engine="openai", server=ServerSettings(base_url=NOBODY))
    with pytest.raises(ValueError, match="base_url is required"):
        ModelSettings(engine="openai", name="tiny")
    with pytest.raises(ValueError, match="not both"):
        ServerSettings(base_url=NOBODY, key_file="a", key_env="B")


async def test_a_report_rests_on_the_server() -> None:
    model = ModelSettings(engine="openai", name="tiny", server=ServerSettings(base_url=NOBODY))
    with playing(plainly) as played:
        server = ServerSettings(base_url=played.url)
        async with open_pipeline(Settings(model=model.model_copy(update={"server": server}))) as pipeline:
            config = ImageComparisonConfig(focus_elements=("logo",), processing_timeout=20)
            uploads = (Upload(png("white")), Upload(png("red")))
            report = await pipeline.compare(*uploads, config, pipeline.deadline(config))
    assert (report.model.engine, report.model.name, report.model.status) == ("openai", "tiny", "answered")
    assert report.focus_elements[0].status == "changed"
    assert report.summary == "It is red."


def png(square: str) -> bytes:
    image = Image.new("RGB", (96, 96), "white")
    image.paste(square, (32, 32, 64, 64))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()
