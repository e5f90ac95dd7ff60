"""How a call to another deployment ends, with calls that are made up: no Ray is started."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Generator
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError

from serve_app.core import Deadline
from serve_app.deployments.handles import answered
from serve_app.errors import ComparisonError, DeadlineExceeded, ImageRejected, Overloaded, Unavailable


class Call:
    """A response of a handle: ends as told, and remembers whether it was cancelled."""

    def __init__(self, end: Callable[[], Any] | None) -> None:
        self.cancelled = False
        self._end = end

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        if self._end is None:
            await asyncio.Event().wait()
            return None
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
    assert type((await ended(raising(lost), raising(lost)))[0]) is Unavailable


async def test_two_lost_replicas_are_a_503() -> None:
    error, _ = await ended(raising(ActorDiedError()), raising(ActorDiedError()))
    assert type(error) is Unavailable


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


async def test_our_error_comes_without_the_remote_traceback() -> None:
    ours = ImageRejected("The candidate image can't be decoded.", image="candidate")
    wrapped = RayTaskError("examine", "Traceback: pid=1 ip=10.0.0.1", ours).as_instanceof_cause()
    error, _ = await ended(raising(wrapped))
    assert (type(error), str(error), error.image) == (ImageRejected, ours.detail, "candidate")


@pytest.mark.parametrize("bare", [ValueError("secret"), TimeoutError("secret")])
@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_another_error_is_hidden(bare: Exception, is_wrapped: bool) -> None:
    wrapped = RayTaskError("examine", "Traceback: pid=1", bare).as_instanceof_cause() if is_wrapped else bare
    error, _ = await ended(raising(wrapped))
    assert type(error) is ComparisonError
    assert "secret" not in str(error)


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
