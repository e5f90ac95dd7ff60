"""How a call to another deployment ends, with calls that are made up: no Ray is started."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import numpy as np
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, RayTaskError, TaskCancelledError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from serve_app.core.clock import Deadline
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError, DeadlineExceeded, ImageRejected, Overloaded, Unavailable, WorkerLost
from serve_app.serving.deployments.handles import RemoteExaminer, answered, handed_back, streamed
from tests.worlds.samples import config, upload, without_collection


class Call:
    """A response of a handle: ends as told, and remembers whether it was cancelled."""

    def __init__(self, end: Callable[[], Any] | None, work: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.cancelled = False
        self._end = end
        self._work = work

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        if self._end is None:
            await asyncio.Event().wait()
            return None
        if self._work is not None:
            return await self._work()
        return self._end()

    def cancel(self) -> None:
        self.cancelled = True


def raising(error: BaseException) -> Callable[[], Any]:
    def end() -> Any:
        raise error

    return end


async def ended(*ends: Callable[[], Any] | None, within_s: float = 5) -> tuple[Any, list[Call]]:
    """The result or the error of a call whose attempts end one after the other as given."""
    calls = [Call(end) for end in ends]
    waiting = list(calls)
    try:
        return await answered(lambda: waiting.pop(0), Deadline.after(within_s), lambda: None), calls
    except ComparisonError as exc:
        return exc, calls


async def test_an_answer_comes_back() -> None:
    assert (await ended(lambda: 5))[0] == 5


async def test_a_lost_replica_is_tried_once_more() -> None:
    assert (await ended(raising(ActorDiedError()), lambda: 5))[0] == 5


async def test_a_second_try_is_counted() -> None:
    retries: list[int] = []
    calls = [Call(raising(ActorDiedError())), Call(lambda: 5)]
    assert await answered(lambda: calls.pop(0), Deadline.after(5), lambda: retries.append(1)) == 5
    assert await answered(lambda: Call(lambda: 6), Deadline.after(5), lambda: retries.append(1)) == 6
    assert retries == [1]


@pytest.mark.parametrize("dropped", [TaskCancelledError(), asyncio.CancelledError()])
async def test_a_call_dropped_by_a_replica_is_tried_once_more(dropped: BaseException) -> None:
    assert (await ended(raising(dropped), lambda: 5))[0] == 5


async def test_a_lost_connection_is_tried_once_more() -> None:
    lost = AioRpcError(StatusCode.INTERNAL, Metadata(), Metadata(), "RST_STREAM")
    assert (await ended(raising(lost), lambda: 5))[0] == 5
    assert type((await ended(raising(lost), raising(lost)))[0]) is WorkerLost


async def test_two_lost_replicas_are_a_503() -> None:
    error, _ = await ended(raising(ActorDiedError()), raising(ActorDiedError()))
    assert (type(error), error.type) == (WorkerLost, "not_ready")


async def test_where_no_replica_is_there_none_was_lost_over_it() -> None:
    nobody = raising(DeploymentUnavailableError(DeploymentID("VLModel")))
    assert type((await ended(nobody, nobody))[0]) is Unavailable
    assert type((await ended(raising(ActorDiedError()), nobody))[0]) is Unavailable


async def test_a_full_queue_is_overload() -> None:
    error, _ = await ended(raising(BackPressureError(num_queued_requests=2, max_queued_requests=2)))
    assert type(error) is Overloaded


async def test_a_call_past_its_deadline_is_cancelled() -> None:
    error, calls = await ended(None, within_s=-0.45)
    assert type(error) is DeadlineExceeded
    assert calls[0].cancelled


async def test_a_caller_that_leaves_cancels_the_call() -> None:
    call = Call(None)
    task = asyncio.create_task(answered(lambda: call, Deadline.after(30), lambda: None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.cancelled


@pytest.mark.parametrize("bare", [ValueError("secret"), TimeoutError("secret")])
@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_another_error_is_hidden(bare: Exception, is_wrapped: bool) -> None:
    wrapped = RayTaskError("examine", "Traceback: pid=1", bare).as_instanceof_cause() if is_wrapped else bare
    error, _ = await ended(raising(wrapped))
    assert type(error) is ComparisonError
    assert "secret" not in str(error)


class Stage:
    """The handle of a deployment whose replica hands back what it is told, through pickle as between processes."""

    def __init__(self, end: Callable[[], Any]) -> None:
        self._end = end
        self.examine = self.assess = self

    def remote(self, *_: object) -> Call:
        async def ended() -> Any:
            return self._end()

        async def sent() -> Any:
            return pickle.loads(pickle.dumps(await handed_back(ended())))

        return Call(lambda: None, sent)


def unreadable() -> Any:
    pixels = np.zeros((100, 100, 3), np.uint8)
    try:
        pixels[200, 200, 200] += 1
    except IndexError as exc:
        raise ImageRejected("The candidate image can't be decoded.", image="candidate") from exc


async def handed_over(end: Callable[[], Any]) -> Any:
    """What a comparison gets of a stage that ends so, result or error."""
    remote = RemoteExaminer(cast(DeploymentHandle, Stage(end)), lambda _: None)
    try:
        return await remote.examine(upload(), upload("red"), config(), Deadline.after(5))
    except ComparisonError as exc:
        return exc


async def test_a_refusal_is_handed_back_as_a_value_and_raised_by_the_caller() -> None:
    error = await handed_over(unreadable)
    assert (type(error), error.detail, error.image) == (
        ImageRejected,
        "The candidate image can't be decoded.",
        "candidate",
    )
    assert await handed_over(lambda: 5) == 5


async def test_a_refusal_that_is_handed_back_holds_no_frame() -> None:
    async def ended() -> Any:
        return unreadable()

    refusal = await handed_back(ended())
    assert (refusal.__traceback__, refusal.__cause__, refusal.__context__) == (None, None, None)


async def test_a_bug_of_a_stage_is_logged_where_it_is_and_not_by_its_text(caplog: pytest.LogCaptureFixture) -> None:
    quoted = "secret"

    def broken() -> Any:
        raise ValueError(quoted)

    error = await handed_over(broken)
    assert (type(error), error.type) == (ComparisonError, "internal")
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("bug: ValueError")
    assert "test_deployments" in line
    assert quoted not in line + str(error)


async def test_a_refused_upload_is_not_kept_by_the_error_that_refused_it() -> None:
    with without_collection(Upload) as kept:
        for _ in range(3):
            assert isinstance(await handed_over(unreadable), ImageRejected)
        assert await kept.settle() == []


def every_error() -> list[type[ComparisonError]]:
    found, seen = [ComparisonError], []
    while found:
        seen.append(found.pop())
        found.extend(seen[-1].__subclasses__())
    return seen


@pytest.mark.parametrize("kind", every_error())
def test_every_error_survives_the_way_between_processes(kind: type[ComparisonError]) -> None:
    sent = kind("A sentence.", image="candidate", field="/config", retry_after_s=3)
    came = pickle.loads(pickle.dumps(sent))
    assert (type(came), came.detail, came.__dict__) == (kind, "A sentence.", sent.__dict__)


class Stream:
    """A streaming response of a handle: pieces, then an end as told."""

    def __init__(self, *pieces: str, end: Exception | None = None) -> None:
        self.cancelled = False
        self._pieces = iter(pieces)
        self._end = end

    async def __anext__(self) -> str:
        for piece in self._pieces:
            return piece
        raise self._end or StopAsyncIteration

    def cancel(self) -> None:
        self.cancelled = True


async def heard(*streams: Stream, within_s: float = 5.0) -> tuple[list[str], int, type[Exception] | None]:
    """Pieces, second tries, and what ended it but its end."""
    waiting, retries, found = list(streams), [], []
    try:
        told = streamed(lambda: waiting.pop(0), Deadline.after(within_s), lambda: retries.append(1))
        async for piece in told:
            found.append(piece)  # noqa: PERF401 - what came before an error counts
    except ComparisonError as exc:
        return found, len(retries), type(exc)
    return found, len(retries), None


def lost() -> ActorDiedError:
    return ActorDiedError()


async def test_a_stream_whose_replica_died_before_its_first_piece_is_begun_once_more() -> None:
    first, second = Stream(end=lost()), Stream("a", "b")

    assert await heard(first, second) == (["a", "b"], 1, None)
    assert (first.cancelled, second.cancelled) == (True, True)


async def test_a_stream_that_has_begun_is_never_told_twice() -> None:
    assert await heard(Stream("a", end=lost()), Stream("a", "b")) == (["a"], 0, WorkerLost)


async def test_a_stream_is_not_begun_for_ever_nor_after_its_time() -> None:
    assert await heard(Stream(end=lost()), Stream(end=lost()), Stream("a")) == ([], 1, WorkerLost)
    assert await heard(Stream(end=lost()), Stream("a"), within_s=-1) == ([], 0, WorkerLost)


async def test_who_leaves_a_stream_cancels_the_call() -> None:
    stream = Stream("a", "b")
    told = streamed(lambda: stream, Deadline.after(5), lambda: None)
    await anext(told)
    await told.aclose()
    assert stream.cancelled
