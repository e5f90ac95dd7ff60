"""Thin Ray Serve shells around the stages: each method is one call into a plain module.
No logic of a comparison: what is here is what only Ray needs, handles, errors across processes, liveness."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayError, TaskCancelledError
from ray.serve.context import _get_serve_request_context
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatusOverview
from ray.util import metrics

from serve_app import telemetry, warmup
from serve_app.api import create_app
from serve_app.assessor import Assessor
from serve_app.core import Assessment, Deadline, Examination, Upload
from serve_app.errors import ComparisonError, Overloaded, Unavailable
from serve_app.examiner import Examiner
from serve_app.pipeline import Pipeline
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Settings

T = TypeVar("T")
# Ray Serve's logger: it writes JSON with the request's context to rotated files in the session folder.
logger = logging.getLogger("ray.serve")

# A stage ends by its own clock and says why; the caller's patience is this much longer, for the way back.
HOP_GRACE_S: Final = 0.5
# One retry: a comparison changes nothing, so a second try is safe; a third would only add load to a fault.
ATTEMPTS: Final = 2


class _ToServe(logging.Handler):
    """Hands what the stages' modules log to Serve's logger, so that it stands beside the request's line."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.handle(record)


def _log_to_serve() -> None:
    stages = logging.getLogger("pairlens")
    stages.setLevel(logging.INFO)
    stages.propagate = False
    stages.handlers = [_ToServe()]


class Preprocessor:
    """The CPU stage as a deployment."""

    def __init__(self, settings: Settings) -> None:
        _log_to_serve()
        shows = settings.model.engine != "none"
        self._examiner = Examiner(settings.limits, settings.preprocessing, shows_images=shows)

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        return await self._examiner.examine(reference, candidate, config, deadline)


class VLModel:
    """The model stage as a deployment: one replica, one device, one job at a time."""

    def __init__(self, settings: Settings) -> None:
        _log_to_serve()
        abandoned = metrics.Counter(
            telemetry.ABANDONED_SECONDS, description="Seconds the model worked on after its caller had gone."
        )
        self._assessor = Assessor(settings.model, on_abandoned=abandoned.inc)

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        return await self._assessor.assess(config, examination, deadline)

    async def check_health(self) -> None:
        """Async on purpose: a sync one would wait in the model's thread pool and get a busy replica killed."""
        self._assessor.assert_healthy()


@serve.ingress()
class Ingress:
    """The HTTP door: builds the app around handles to the other two."""

    def __init__(self, settings: Settings, preprocessor: DeploymentHandle, model: DeploymentHandle) -> None:
        self._settings = settings
        self._pipeline = Pipeline(RemoteExaminer(preprocessor), RemoteAssessor(model), settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        app_name = serve.get_replica_context().app_name
        return create_app(
            self._pipeline,
            self._settings,
            readiness=ClusterReadiness(app_name, self._pipeline),
            logger=logger,
            context_request_id=lambda: _get_serve_request_context().request_id or None,
        )


class RemoteExaminer:
    """The `Examining` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination:
        def send() -> Any:
            return self._handle.examine.remote(reference, candidate, config, deadline)

        examination: Examination = await answered(send, deadline)
        return examination


class RemoteAssessor:
    """The `Assessing` stage behind a handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        def send() -> Any:
            return self._handle.assess.remote(config, examination, deadline)

        assessment: Assessment = await answered(send, deadline)
        return assessment


async def answered(send: Callable[[], Any], deadline: Deadline) -> Any:
    """Send a call to a deployment and await its answer, once more if its replica died under it.

    Raises our own errors as they were raised there, without Ray's wrapper; `DeadlineExceeded`;
    `Overloaded` where the queue is full; `Unavailable` where no replica could answer. Whatever ends the
    wait also cancels the call, because Serve does not do so by itself when a timeout is ours.
    """
    for attempt in range(1, ATTEMPTS + 1):
        response = send()
        try:
            async with asyncio.timeout(deadline.remaining_s + HOP_GRACE_S):
                return await unwrapped(response)
        except TimeoutError:
            response.cancel()
            raise deadline.exceeded() from None
        except asyncio.CancelledError:
            response.cancel()
            raise
        except BackPressureError:
            raise Overloaded("The queue for the model is full.") from None
        except (RayActorError, DeploymentUnavailableError) as exc:
            logger.warning("replica lost (%s), attempt %d of %d", type(exc).__name__, attempt, ATTEMPTS)
        except TaskCancelledError:
            # Not by us: the replica is going away and drops what it has not begun.
            logger.warning("call dropped by a replica, attempt %d of %d", attempt, ATTEMPTS)
        if deadline.passed:
            raise deadline.exceeded()
    raise Unavailable("A worker was lost while it compared these images; please try again.")


async def unwrapped(response: Awaitable[T]) -> T:
    """Await a handle's response; re-raise our own errors without Ray's wrapper, hide all others."""
    try:
        return await response
    except ComparisonError as exc:  # on a real handle also a RayTaskError, whose text is a remote traceback
        raise getattr(exc, "cause", exc) from None
    except (RayActorError, TaskCancelledError, RayServeException):
        raise
    except RayError as exc:
        cause = getattr(exc, "cause", exc)
        logger.error("stage failed: %s", type(cause).__name__)  # noqa: TRY400 - its text may quote a caller
        if isinstance(cause, RayActorError):
            raise cause from None
        raise ComparisonError("Something went wrong here; the request is in our log.") from None


class ClusterReadiness:
    """Whether every stage has a replica that runs, and a comparison has really passed since the last loss.

    Asks Serve's controller every `PERIOD_S` rather than the model: the model's one slot may be taken by a
    long job, which is no reason to be taken out of a load balancer.
    """

    PERIOD_S: Final = 1.0
    # An answer older than this means the watch itself hangs, so nothing is known.
    STALE_S: Final = 4.0

    def __init__(self, app_name: str, pipeline: Pipeline) -> None:
        self._app_name = app_name
        self._pipeline = pipeline
        self._problem: str | None = "No comparison has passed here yet."
        self._warm = False
        self._checked_at = 0.0
        self._warming: asyncio.Task[None] | None = None

    async def check(self) -> None:
        if self._problem is not None:
            raise Unavailable(self._problem)
        if time.monotonic() - self._checked_at > self.STALE_S:
            raise Unavailable("The state of the service is not known right now.")

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            if self._warming is not None:
                self._warming.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                self._learn(await asyncio.to_thread(_application, self._app_name))
            except (RayError, RayServeException, KeyError) as exc:
                # The controller is restarting: what is known grows stale, and `check` says so.
                logger.warning("no status from Serve: %s", type(exc).__name__)
            await asyncio.sleep(self.PERIOD_S)

    def _learn(self, status: ApplicationStatusOverview) -> None:
        self._checked_at = time.monotonic()
        missing = [name for name, stage in status.deployments.items() if not stage.replica_states.get("RUNNING")]
        if missing:
            self._warm = False
            self._problem = f"No worker runs for: {', '.join(sorted(missing))}."
        elif self._warm:
            self._problem = None
        elif self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        try:
            await warmup.compare(self._pipeline)
        except ComparisonError as exc:
            self._problem = "The warm-up comparison failed."
            logger.warning("warm-up comparison failed: %s", exc.type)
        else:
            self._warm = True
            self._problem = None


def _application(name: str) -> ApplicationStatusOverview:
    return serve.status().applications[name]
