"""When the service says it is ready, from states of its stages that are made up; no Ray is started."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.errors import DeadlineExceeded, Unavailable
from serve_app.serving.deployments.watch import state
from serve_app.serving.readiness import STALE_S, ServiceState, StageState

RUNS, LOST, RESTS = StageState(1), StageState(0), StageState(0, rests=True)


class World:
    """A service whose clock and warm-up comparison the test holds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fault: Exception | None = None
        self.warm_ups = 0
        self.state = ServiceState(self._warm_up, clock=lambda: self.now)

    async def _warm_up(self) -> None:
        self.warm_ups += 1
        if self.fault is not None:
            raise self.fault

    async def learn(self, **stages: StageState) -> str | None:
        """One report of the cluster, and time for a warm-up; why it is not ready then."""
        self.state.learn(stages)
        for _ in range(3):
            await asyncio.sleep(0)
        return self.problem()

    def problem(self) -> str | None:
        try:
            self.state.check()
        except Unavailable as exc:
            return exc.detail
        return None


async def test_ready_only_after_a_comparison_has_passed() -> None:
    world = World()
    assert world.problem() == "No comparison has passed here yet."
    assert await world.learn(model=RUNS) is None
    assert await world.learn(model=RUNS) is None
    assert world.warm_ups == 1


async def test_a_comparison_that_fails_is_tried_again() -> None:
    world = World()
    world.fault = DeadlineExceeded("Too late.")
    assert await world.learn(model=RUNS) == "The warm-up comparison failed."
    world.fault = None
    await world.learn(model=RUNS)
    assert world.problem() is None
    assert world.warm_ups == 2


async def test_a_lost_stage_is_named_and_has_to_prove_itself_again() -> None:
    world = World()
    await world.learn(model=RUNS, cpu=RUNS)
    assert await world.learn(model=LOST, cpu=RUNS) == "No worker runs for: model."
    assert await world.learn(model=RUNS, cpu=RUNS) is None
    assert world.warm_ups == 2


async def test_a_stage_that_rests_is_no_loss() -> None:
    world = World()
    await world.learn(model=RUNS)
    assert await world.learn(model=RESTS) is None
    assert await world.learn(model=RUNS) is None
    assert world.warm_ups == 1


async def test_no_news_is_bad_news() -> None:
    world = World()
    await world.learn(model=RUNS)
    world.now += STALE_S + 0.1
    assert world.problem() == "The state of the service is not known right now."


async def test_a_comparison_that_passes_stands_for_news() -> None:
    world = World()
    await world.learn(model=RUNS)
    world.now += STALE_S + 0.1
    await world.state.prove()
    assert world.problem() is None
    world.now += STALE_S + 0.1
    world.fault = Unavailable("Lost.")
    await world.state.prove()
    assert world.problem() == "The state of the service is not known right now."


async def test_what_was_never_ready_or_is_lost_is_not_proved_by_silence() -> None:
    world = World()
    await world.state.prove()
    assert world.problem() == "No comparison has passed here yet."
    await world.learn(model=RUNS)
    await world.learn(model=LOST)
    await world.state.prove()
    assert world.problem() == "No worker runs for: model."
    assert world.warm_ups == 1


@pytest.mark.parametrize(
    ("status", "trigger", "replicas", "lost"),
    [
        ("HEALTHY", "CONFIG_UPDATE_COMPLETED", {"RUNNING": 1}, False),
        ("HEALTHY", "DOWNSCALE_COMPLETED", {}, False),  # scaled to zero
        ("UPSCALING", "AUTOSCALING", {"STARTING": 1}, False),  # waking for a request
        ("DOWNSCALING", "AUTOSCALING", {"STOPPING": 1}, False),
        ("UNHEALTHY", "HEALTH_CHECK_FAILED", {"STARTING": 1, "STOPPING": 1}, True),
        ("UNHEALTHY", "HEALTH_CHECK_FAILED", {"RUNNING": 1, "STARTING": 1}, False),  # another one still runs
        ("UPDATING", "CONFIG_UPDATE_STARTED", {"STARTING": 1}, True),
        ("HEALTHY", "CONFIG_UPDATE_COMPLETED", {"PENDING_MIGRATION": 1, "STARTING": 1}, False),  # its node is drained
        ("DEPLOY_FAILED", "REPLICA_STARTUP_FAILED", {}, True),
    ],
)
def test_what_serves_words_mean(status: str, trigger: str, replicas: dict[str, int], lost: bool) -> None:
    assert state(status, trigger, each_of(replicas)).is_lost == lost


def each_of(replicas: dict[str, int]) -> list[str]:
    return [name for name, number in replicas.items() for _ in range(number)]


@pytest.mark.parametrize(("replicas", "unknown"), [({"RECOVERING": 2}, True), ({"RECOVERING": 1, "RUNNING": 1}, False)])
def test_what_a_controller_that_came_back_still_looks_for_is_not_known(replicas: dict[str, int], unknown: bool) -> None:
    assert state("UPDATING", "CONFIG_UPDATE_STARTED", each_of(replicas)).is_unknown == unknown


async def test_who_joins_can_wait_for_its_comparison() -> None:
    world = World()
    await world.state.warmed()  # none is under way: nothing to wait for
    world.state.learn({"model": RUNS})
    assert world.problem() is not None
    await world.state.warmed()
    assert world.problem() is None
