"""Calls from one deployment to another: the stages behind handles, refusals across processes, one retry.
No logic of a comparison."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import traceback
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, TypeVar

from grpc.aio import AioRpcError  # with Ray: its Serve calls from replica to replica over it
from ray.exceptions import RayActorError, TaskCancelledError
from ray.serve.context import _get_serve_request_context, _serve_request_context
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.chat.pictures import Sent
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline, StageName, is_being_cancelled
from serve_app.core.conversation import Conversation, Spoken
from serve_app.core.measured import Examination
from serve_app.core.pictures import ShownImage, Upload
from serve_app.errors import ComparisonError, Overloaded, Unavailable, WorkerLost
from serve_app.schema import ImageComparisonConfig

T = TypeVar("T")
# Told of each second try, with the stage it is at.
OnRetry = Callable[[StageName], None]
logger = logging.getLogger("ray.serve")

# A stage ends by its own clock and says why; the caller's patience is this much longer, for the way back.
HOP_GRACE_S: Final = 0.5
# One retry: a comparison changes nothing, so a second try is safe; a third would only add load to a fault.
ATTEMPTS: Final = 2


async def pieces_handed_back(work: AsyncGenerator[T, None]) -> AsyncGenerator[T | ComparisonError, None]:
    """The same of an answer in pieces, of which a refusal is the last."""
    async with aclosing(work):
        while True:
            piece = await handed_back(_next(work))
            if piece is None:
                return
            yield piece
            if isinstance(piece, ComparisonError):
                return


async def _next(work: AsyncGenerator[T, None]) -> T | None:
    return await anext(work, None)


async def handed_back(work: Awaitable[T]) -> T | ComparisonError:
    """What a stage answers to its caller in another process: its result, or the refusal as a value.

    Raised through Serve, a refusal would be an ERROR with a traceback in its log, so that callers fill the log and
    nobody can hear an alarm in it, and the traceback would keep the pixels of the refused picture.
    """
    try:
        return await work
    except ComparisonError as refusal:
        return refusal.bare()
    except Exception as bug:  # noqa: BLE001 - whatever it was: its text must reach neither the log nor the caller
        where = "".join(traceback.format_tb(bug.__traceback__))
        logger.error("bug: %s\n%s", type(bug).__name__, where)  # noqa: TRY400 - its text may quote a caller
        return ComparisonError("Something went wrong here; the request is in our log.")


def result(outcome: T | ComparisonError) -> T:
    """The other end of `handed_back`: a refusal is raised where it is dealt with."""
    try:
        if isinstance(outcome, ComparisonError):
            raise outcome
        return outcome
    finally:
        del outcome  # else this frame and the error would hold each other, and the uploads in the frames above


class RemoteExaminer:
    """The `Examining` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle, on_retry: OnRetry) -> None:
        self._handle = handle
        self._on_retry = on_retry

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        def send() -> Any:
            return self._handle.examine.remote(reference, candidate, config, deadline)

        examination: Examination = result(await answered(send, deadline, lambda: self._on_retry("examine")))
        return examination


class RemoteAssessor:
    """The `Assessing` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle, on_retry: OnRetry) -> None:
        self._handle = handle
        self._on_retry = on_retry

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        def send() -> Any:
            return self._handle.assess.remote(config, examination, deadline)

        assessment: Assessment = result(await answered(send, deadline, lambda: self._on_retry("assess")))
        return assessment


class RemoteShowing:
    """The `Showing` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle, on_retry: OnRetry) -> None:
        self._handle = handle
        self._on_retry = on_retry

    async def show(self, sent: tuple[Sent, ...], deadline: Deadline) -> tuple[ShownImage, ...]:
        def send() -> Any:
            return self._handle.show.remote(sent, deadline)

        shown: tuple[ShownImage, ...] = result(await answered(send, deadline, lambda: self._on_retry("examine")))
        return shown


class RemoteTalking:
    """The `Talking` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle, on_retry: OnRetry) -> None:
        self._handle = handle.options(stream=True)
        self._on_retry = on_retry

    async def talk(self, conversation: Conversation, deadline: Deadline) -> AsyncGenerator[tuple[Spoken, ...], None]:
        def send() -> Any:
            return self._handle.talk.remote(conversation, deadline)

        async with aclosing(streamed(send, deadline, lambda: self._on_retry("assess"))) as pieces:
            async for piece in pieces:
                yield result(piece)


async def answered(send: Callable[[], Any], deadline: Deadline, on_retry: Callable[[], None]) -> Any:
    """Send a call to a deployment and await its answer, once more if its replica died under it.

    Raises our own errors as they were raised there, without Ray's wrapper; `DeadlineExceeded`;
    `Overloaded` where the queue is full; `Unavailable` where no replica could answer, `WorkerLost` where the last one
    died. Whatever ends the wait also cancels the call, because Serve does not do so by itself when a timeout is ours.
    """
    was_lost = False
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            on_retry()
        response = send()
        try:
            async with asyncio.timeout(deadline.remaining_s + HOP_GRACE_S):
                return await unwrapped(response)
        except TimeoutError:
            response.cancel()
            raise deadline.exceeded() from None
        except asyncio.CancelledError:
            response.cancel()
            if is_being_cancelled():
                raise
            logger.warning("call dropped by a replica, attempt %d of %d", attempt, ATTEMPTS)
        except BackPressureError:
            raise Overloaded("The queue for the model is full.") from None
        except (RayActorError, DeploymentUnavailableError, AioRpcError) as exc:
            was_lost = not isinstance(exc, DeploymentUnavailableError)
            logger.warning("replica lost (%s), attempt %d of %d", type(exc).__name__, attempt, ATTEMPTS)
        except TaskCancelledError:
            # Not by us: the replica is going away and drops what it has not begun.
            logger.warning("call dropped by a replica, attempt %d of %d", attempt, ATTEMPTS)
        if deadline.passed:
            raise deadline.exceeded()
    kind = WorkerLost if was_lost else Unavailable
    raise kind("A worker was lost while it compared these images; please try again.")


async def streamed(
    send: Callable[[], Any], deadline: Deadline, on_retry: Callable[[], None]
) -> AsyncGenerator[Any, None]:
    """What a call to a deployment answers piece by piece; once more from the start if its replica died before that.

    Raises as `answered` does. However it ends, the call is cancelled: its replica works on for nobody.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            on_retry()
        response, has_begun = send(), False
        try:
            while True:
                try:
                    piece = await answered_once(anext(response), deadline)
                except StopAsyncIteration:
                    return
                has_begun = True
                yield piece
        except WorkerLost:
            if has_begun or attempt == ATTEMPTS or deadline.passed:
                raise
            logger.warning("replica lost before its first words, attempt %d of %d", attempt, ATTEMPTS)
        finally:
            response.cancel()


async def answered_once(response: Awaitable[T], deadline: Deadline) -> T:
    """One piece. Raises StopAsyncIteration behind the last."""
    try:
        async with asyncio.timeout(deadline.remaining_s + HOP_GRACE_S):
            return await unwrapped(response)
    except TimeoutError:
        raise deadline.exceeded() from None
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
    except BackPressureError:
        raise Overloaded("The queue for the model is full.") from None
    except (RayActorError, DeploymentUnavailableError, AioRpcError, TaskCancelledError) as exc:
        logger.warning("replica lost (%s)", type(exc).__name__)
    raise WorkerLost("A worker was lost in this conversation; please try again.")


async def unwrapped(response: Awaitable[T]) -> T:
    """Await a handle's response; hide what it raised: a stage hands its refusals back as values (`handed_back`).

    Serve's own errors and the loss of a replica or of the connection to it pass, for `answered`.
    """
    try:
        return await response
    except (RayActorError, TaskCancelledError, RayServeException, AioRpcError, StopAsyncIteration):
        raise
    except Exception as exc:  # noqa: BLE001 - whatever a stage raised: it must not reach a caller
        cause = getattr(exc, "cause", exc)
        logger.error("stage failed: %s", type(cause).__name__)  # noqa: TRY400 - its text may quote a caller
        if isinstance(cause, RayActorError):
            raise cause from None
        raise ComparisonError("Something went wrong here; the request is in our log.") from None


def detached() -> contextvars.Context:
    """The running request's context, for work that outlives it.

    When a caller leaves, Serve cancels every call that was made in the name of that request, on whatever task, so such
    work gets a name of its own. The id that callers and logs know stays.
    """
    context = contextvars.copy_context()
    renamed = replace(_get_serve_request_context(), _internal_request_id=str(uuid.uuid4()))
    context.run(_serve_request_context.set, renamed)
    return context
