"""Both clients against servers that are dead, slow or broken, over real sockets: one exception, what and when."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from pairlens import AsyncClient, Client, CutOff, NoAnswerInTime, ServerFailed, StillAtWork, Unreachable
from serve_app.client import patience
from serve_app.client.failures import NoSuchServer, NotUnderstood
from serve_app.errors import BodyTooLarge, DeadlineExceeded, NotAllowed, Overloaded, RateLimited, Unavailable
from serve_app.schema import Envelope, ErrorReport, JobReport
from serve_app.schema.stream import Progress
from tests.client.test_jobs import JOB, seen
from tests.rigs import bad_server
from tests.rigs.bad_server import answering, dripping, events, said, silent
from tests.worlds.jobs import made_report

# Asks by name, with what the client is made with.
Ask = Callable[..., Any]


def waiting(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    with Client(url, **options) as client:
        if name == "stream":
            return list(client.stream(*arguments))
        found = client
        for part in name.split("."):
            found = getattr(found, part)
        return found(*arguments)  # type: ignore[operator]


def awaiting(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    async def asked() -> Any:
        async with AsyncClient(url, **options) as client:
            if name == "stream":
                async with aclosing(client.stream(*arguments)) as told:
                    return [event async for event in told]
            found: Any = client
            for part in name.split("."):
                found = getattr(found, part)
            return await found(*arguments)

    return asyncio.run(asked())


both = pytest.mark.parametrize("ask", [waiting, awaiting])
PAIR = (b"one", b"two")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """What slow servers wait for."""
    event = threading.Event()
    yield event
    event.set()


def envelope(data: Any = None, error: ErrorReport | None = None, code: int = 200) -> bytes:
    return Envelope[Any](code=code, msg="", data=data, error=error, request_id="r-1").model_dump_json().encode()


def refused(status: str, kind: str, **headers: Any) -> bad_server.Answering:
    error = ErrorReport(type=kind, detail="No.")
    return said(status, envelope(error=error, code=int(status.split()[0])), **headers)


REPORT = said("200 OK", envelope(made_report()))


@both
def test_a_dead_server_is_unreachable_and_was_tried_again(ask: Ask) -> None:
    with pytest.raises(Unreachable, match="can't be reached") as caught:
        ask(bad_server.free_url(), "compare", *PAIR)
    assert "3 tries" in caught.value.__notes__[0]
    assert caught.value.request_id is not None
    with pytest.raises(NoSuchServer, match="is no URL of a server") as wrong:
        ask("ftp://host", "compare", *PAIR)
    assert "1 try" in wrong.value.__notes__[0]


@both
@pytest.mark.parametrize("name", ["compare", "stream", "jobs.create"])
def test_a_silent_server_is_left_when_the_time_is_over(ask: Ask, name: str, ended: threading.Event) -> None:
    with answering(silent(ended)) as server:
        with pytest.raises(NoAnswerInTime, match="did not answer in time") as caught:
            ask(server.url, name, *PAIR, timeout=0.2)
        assert isinstance(caught.value, TimeoutError | ServerFailed)
        assert server.num_asked == 1  # one time for all tries: nothing was left for another
        ended.set()


@both
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_an_answer_that_drips_has_no_more_time_than_another(ask: Ask, kind: str, ended: threading.Event) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n".encode()
    with answering(dripping(ended, head)) as server:
        with pytest.raises(NoAnswerInTime):
            ask(server.url, "stream" if "event" in kind else "compare", *PAIR, timeout=0.3)
        ended.set()


@both
def test_an_answer_that_is_cut_off_is_asked_for_again(ask: Ask) -> None:
    cut = said("200 OK", envelope(made_report())[:100], declared=1000)
    with answering(cut, REPORT) as server:
        assert ask(server.url, "compare", *PAIR) == made_report()
    with answering(cut) as server:
        with pytest.raises(CutOff):
            ask(server.url, "compare", *PAIR)
        assert server.num_asked == 3


@both
def test_a_stream_that_is_cut_off_raises_one_error_and_is_not_begun_anew(ask: Ask) -> None:
    progress = b'event: progress\ndata: {"stage":"examine","state":"done","elapsed_ms":1}\n\n'
    for is_whole in (True, False):
        with answering(events(progress, progress[:30], is_whole=is_whole)) as server:
            with pytest.raises(CutOff, match=r"after 1 events.* ask again"):
                ask(server.url, "stream", *PAIR)
            assert server.num_asked == 1


@both
def test_a_stream_is_told_however_it_is_cut_into_pieces(ask: Ask) -> None:
    whole = b': hello\r\n\r\nevent: progress\ndata: {"stage":"examine",\ndata: "state":"done","elapsed_ms":1}\n\n'
    whole += b"event: of_a_later_version\ndata: {}\n\nevent: report\ndata: " + envelope(made_report()) + b"\n\n"
    for size in (1, 7, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        with answering(events(*pieces, is_whole=True)) as server:
            progress, report = ask(server.url, "stream", *PAIR)
        assert progress == Progress(stage="examine", state="done", elapsed_ms=1)
        assert report == made_report()


@both
def test_an_error_in_a_stream_is_raised_with_when_to_come_again(ask: Ask) -> None:
    error = ErrorReport(type="overloaded", detail="Full.")
    told = b"event: error\nretry: 7000\ndata: " + envelope(error=error, code=503) + b"\n\n"
    with answering(events(told, is_whole=True)) as server, pytest.raises(Overloaded, match="Full") as caught:
        ask(server.url, "stream", *PAIR)
    assert (caught.value.retry_after_s, caught.value.request_id) == (7, "r-1")


@both
def test_an_error_in_a_stream_that_is_none_is_no_report_either(ask: Ask) -> None:
    told = b"event: error\ndata: " + envelope(None) + b"\n\n"
    with answering(events(told, is_whole=True)) as server, pytest.raises(NotUnderstood, match="told of an error"):
        ask(server.url, "stream", *PAIR)


@both
@pytest.mark.parametrize("name", ["compare", "jobs.create"])
def test_a_retry_after_is_obeyed_and_then_it_is_answered(ask: Ask, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_SPREAD", 0.0)
    taken = said("202 Accepted", envelope(seen(), code=202)) if name == "jobs.create" else REPORT
    busy = refused("429 Too Many Requests", "rate_limited", Retry_After="0")
    with answering(busy, refused("503 Service Unavailable", "draining", Retry_After="0"), taken) as server:
        ask(server.url, name, *PAIR)
        assert server.num_asked == 3
        assert len(set(server.header("x-request-id"))) == 1
        assert len(set(server.header("idempotency-key"))) == (1 if name == "jobs.create" else 0)


@both
def test_what_would_be_too_late_is_told_at_once(ask: Ask) -> None:
    with answering(refused("429 Too Many Requests", "rate_limited", Retry_After="40")) as server:
        with pytest.raises(RateLimited) as caught:
            ask(server.url, "compare", *PAIR, timeout=5)
        assert server.num_asked == 1
    assert caught.value.retry_after_s == 40
    assert caught.value.__notes__ == ["429 rate_limited, request r-1, 1 try; it may be asked again in 40 s"]


@both
def test_a_refusal_is_not_repeated(ask: Ask) -> None:
    with answering(refused("504 Gateway Timeout", "deadline_exceeded")) as server:
        with pytest.raises(DeadlineExceeded):
            ask(server.url, "compare", *PAIR)
        assert server.num_asked == 1


@both
@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        ("413 Content Too Large", BodyTooLarge, 1),
        ("403 Forbidden", NotAllowed, 1),
        ("429 Too Many Requests", RateLimited, 3),
        ("503 Service Unavailable", Unavailable, 3),
        ("504 Gateway Timeout", NotUnderstood, 3),
        ("502 Bad Gateway", NotUnderstood, 3),
        ("200 OK", NotUnderstood, 1),
        ("302 Found", NotUnderstood, 1),
    ],
)
def test_what_a_proxy_says_in_its_own_words_has_the_same_classes(
    ask: Ask, status: str, kind: type[Exception], tries: int
) -> None:
    with answering(said(status, b"<html><h1>nginx</h1></html>")) as server:
        with pytest.raises(kind, match=f"answered {status[:3]}, but not as PairLens does") as caught:
            ask(server.url, "compare", *PAIR)
        assert server.num_asked == tries
    assert getattr(caught.value, "status", None) == int(status[:3])


@both
def test_beginning_a_job_anew_is_not_repeated_where_it_may_have_arrived(ask: Ask) -> None:
    with answering(said("202 Accepted", b"{", declared=10)) as server:
        with pytest.raises(CutOff):
            ask(server.url, "jobs.retry", JOB)
        assert server.num_asked == 1
    with answering(refused("503 Service Unavailable", "not_ready", Retry_After="0")) as server:
        with pytest.raises(Unavailable):
            ask(server.url, "jobs.retry", JOB)
        assert server.num_asked == 3


@both
def test_a_cancel_whose_answer_was_lost_is_done(ask: Ask) -> None:
    cut = said("200 OK", b"{", declared=10)
    gone = said("200 OK", envelope(seen("cancelled")))
    with answering(cut, refused("409 Conflict", "already_ended"), gone) as server:
        assert ask(server.url, "jobs.cancel", JOB).status == "cancelled"


@both
@pytest.mark.parametrize("name", ["jobs.wait", "batches.wait"])
def test_a_wait_ends_and_names_the_work_whatever_the_server_does(ask: Ask, name: str, ended: threading.Event) -> None:
    drip = dripping(ended, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for answer in (silent(ended), drip, refused("503 Service Unavailable", "not_ready", Retry_After="60")):
        with answering(answer) as server:
            with pytest.raises(StillAtWork, match=f"{JOB} has not ended within 0.3 s") as caught:
                ask(server.url, name, JOB, 0.3)
            assert caught.value.id == JOB
            ended.set()
        ended.clear()
    with pytest.raises(StillAtWork):
        ask(bad_server.free_url(), name, JOB, 0.3)


@both
def test_a_wait_asks_no_sooner_than_the_service_wants(ask: Ask) -> None:
    with answering(refused("503 Service Unavailable", "overloaded", Retry_After="60")) as server:
        with pytest.raises(StillAtWork):
            ask(server.url, "jobs.wait", JOB, 0.5)
        assert server.num_asked <= 2  # at once, and once more when the time is over


@both
def test_a_wait_survives_a_restart(ask: Ask) -> None:
    answers = [
        said("200 OK", envelope(seen("running"))),
        said("502 Bad Gateway", b"<html>"),
        refused("503 Service Unavailable", "draining", Retry_After="0"),
        said("200 OK", b"{", declared=5),
        said("200 OK", envelope(seen("succeeded", report=made_report()))),
    ]
    with answering(*answers) as server:
        job = ask(server.url, "jobs.wait", JOB, 30)
        assert (job.status, server.num_asked) == ("succeeded", 5)
        assert job.report == made_report()


def event(status: str, number: int) -> bytes:
    told = {"status": status, "attempt": 1, "stage": None, "time": "2026-01-01T00:00:00Z"}
    return f"event: {status}\nid: {number}\ndata: {json.dumps(told)}\n\n".encode()


def test_events_of_a_job_go_on_where_they_were_cut_off() -> None:
    streams = [
        events(event("queued", 1), event("running", 2)[:20], is_whole=False),
        said("502 Bad Gateway", b"<html>"),
        events(event("running", 2), is_whole=True),  # its patience is over
        events(event("succeeded", 3), is_whole=True),
    ]
    with answering(*streams) as server, Client(server.url) as client:
        told = list(client.jobs.events(JOB))
        assert [each.status for each in told] == ["queued", "running", "succeeded"]
        assert server.header("last-event-id") == ["1", "1", "2"]
    with answering(events(event("queued", 1), is_whole=True)) as server, Client(server.url) as client:
        with pytest.raises(StillAtWork):
            list(client.jobs.events(JOB, timeout=0.3))
        job: JobReport = seen()
        assert job.status == "queued"


def test_who_leaves_a_stream_closes_its_connection(ended: threading.Event) -> None:
    gone = threading.Event()

    def answer(connection: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        connection.sendall(head + b'event: progress\ndata: {"stage":"examine","state":"done","elapsed_ms":1}\n\n')
        if connection.recv(1) == b"":
            gone.set()

    with answering(answer) as server, Client(server.url) as client:
        told = client.stream(*PAIR)
        assert next(told) == Progress(stage="examine", state="done", elapsed_ms=1)
        told.close()
        assert gone.wait(10)
