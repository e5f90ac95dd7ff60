"""Asks Serve every second how many workers each stage has, and tells those who need to know.
Decides nothing itself: readiness, admission and quota do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from serve_app.comparison.pipeline import Pipeline
from serve_app.core.clock import StageName
from serve_app.errors import Unavailable
from serve_app.serving import exposure, warmup
from serve_app.serving.api.door import Door
from serve_app.serving.deployments.names import INGRESS, JOBS, STAGES
from serve_app.serving.readiness import ServiceState, StageState
from serve_app.settings import Access

logger = logging.getLogger("ray.serve")

# A model in the middle of long work keeps a joining replica's comparison waiting: then it joins all the same.
JOINS_WITHIN_S: Final = 10.0
# The controller answers in milliseconds, or it restarts (3 to 4 s) and does not answer at all.
SILENT_S: Final = 1.5


class ClusterWatch:
    """One ingress replica's view of its application. `sent_to_each`: jobs sent to one worker of a stage at once.

    `each_period`: called as often as the cluster is asked, for what has to be told again and again.
    `ask`: what the cluster says of every deployment; may raise Ray's errors, and take its time.
    """

    PERIOD_S: Final = 1.0

    def __init__(
        self,
        ask: Callable[[], Mapping[str, StageState]],
        pipeline: Pipeline,
        door: Door,
        sent_to_each: Mapping[StageName, int],
        each_period: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask = ask
        self._pipeline = pipeline
        self._door = door
        self._sent_to_each = sent_to_each
        self._each_period = each_period
        self._state = ServiceState(self._warm_up)
        self._asked: asyncio.Future[Mapping[str, StageState]] | None = None

    async def check(self) -> None:
        """Raises `Unavailable`."""
        self._state.check()

    async def is_ready(self) -> bool:
        try:
            self._state.check()
        except Unavailable:
            return False
        return True

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Serve sends requests here only once this has begun: a replica that joins others proves itself first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(JOINS_WITHIN_S):
                await self._look()
                await self._state.warmed()
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            self._state.close()

    async def _watch(self) -> None:
        while True:
            await self._look()
            # A gauge vanishes some 20 s after it was last set.
            self._door.recorder.load(self._door.admission.num_pending, self._door.admission.expected_wait_s)
            self._each_period()
            await asyncio.sleep(self.PERIOD_S)

    async def _look(self) -> None:
        """Learn what the cluster says; where it says nothing, as while its controller restarts, ask the stages."""
        if self._asked is None:  # else the last question still waits: one thread at most hangs in it
            self._asked = asyncio.ensure_future(asyncio.to_thread(self._ask))
        if not (await asyncio.wait({self._asked}, timeout=SILENT_S))[0]:
            await self._state.prove()
            return
        asked, self._asked = self._asked, None
        try:
            stages = asked.result()
        except (RayError, RayServeException, KeyError) as exc:
            logger.warning("no status from Serve: %s", type(exc).__name__)
            stages = {}
        if not stages or any(stage.is_unknown for stage in stages.values()):
            await self._state.prove()
        else:
            self._learn(stages)

    def _learn(self, stages: Mapping[str, StageState]) -> None:
        self._state.learn(stages)
        entrances = max(1, stages[INGRESS].running) if INGRESS in stages else 1
        if self._door.quota is not None:
            self._door.quota.entrances = entrances
        for deployment, name in STAGES.items():
            if deployment in stages:
                self._door.admission.resize(
                    name,
                    stages[deployment].running,
                    entrances=entrances,
                    sent_to_each=self._sent_to_each[name],
                    rests=stages[deployment].rests,
                )

    async def _warm_up(self) -> None:
        ticket = self._door.admission.trusted("warm-up")
        try:
            await warmup.compare(self._pipeline, ticket)
        finally:
            ticket.leave()


def state(status: str, trigger: str, replicas: Sequence[str]) -> StageState:
    """What Serve says of a deployment means this, by the state of each of its replicas: without a worker it rests only
    if the autoscaler says so.

    A lost or failed replica makes its deployment UNHEALTHY or DEPLOY_FAILED until it is replaced.
    """
    # A replica that is to leave its node works on until another one has taken over.
    running = sum(each in ("RUNNING", "PENDING_MIGRATION") for each in replicas)
    scaled = status in ("UPSCALING", "DOWNSCALING") and trigger == "AUTOSCALING"
    asleep = status == "HEALTHY" and not replicas
    return StageState(running, not running and (scaled or asleep), "RECOVERING" in replicas)


def stages_of(app_name: str) -> dict[str, StageState]:
    """What Serve's controller says now of all that a comparison needs.

    Raises `RayError`, `RayServeException`, `KeyError`.
    """
    # As its REST API has it. `serve.status()` makes models of the same and pickles a request router for each deployment
    # on the way: 50 ms of CPU, every second in every ingress replica.
    details = _get_global_client().get_serve_details()
    deployments = details["applications"][app_name]["deployments"]
    return {
        name: state(each["status"], each["status_trigger"], [replica["state"] for replica in each["replicas"]])
        for name, each in deployments.items()
        if name != JOBS  # comparisons go on without it
    }


def warn_if_open(access: Access) -> None:
    """Into the log, where anybody who reaches this service may use it. Asks Serve where it listens, in a thread."""

    def warn() -> None:
        with suppress(RayError, RayServeException):
            found = exposure.warning(_get_global_client().http_config.host, access)
            if found is not None:
                logger.warning(found)

    if access.api_keys_file is None:
        threading.Thread(target=warn, daemon=True).start()
