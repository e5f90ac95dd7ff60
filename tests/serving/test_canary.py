"""The canary without Ray: what it notices, what it says, and that trouble of its own ends nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.errors import DeadlineExceeded
from serve_app.evaluation import pairs
from serve_app.evaluation.observed import Kept
from serve_app.evaluation.run import Asking, observe
from serve_app.operating import launch
from serve_app.operating.launch import LaunchFailed
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.serving import canary
from serve_app.serving.canary import Canary, CanaryUnusable
from serve_app.settings import CanarySettings, JobSettings, Profile, Settings
from serve_app.storage.manifest import text_of
from tests.worlds.jobs import made_report


class Comparer:
    """A service whose similarity and verdict the test sets."""

    def __init__(self, similarity: float = 0.9) -> None:
        self.similarity = similarity
        self.fault: Exception | None = None
        self.asked = 0

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        verdict = "match" if self.similarity >= 0.8 else "mismatch"
        return made_report().model_copy(update={"similarity": self.similarity, "verdict": verdict})


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Four pairs, three of them labelled a match."""
    lines = ["reference,candidate,label"]
    for number in range(4):
        for side in "ab":
            (tmp_path / f"{number}{side}.png").write_text(f"{side}{number}")
        lines.append(f"{number}a.png,{number}b.png,{int(number != 3)}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.csv"


Make = Callable[..., Canary]


def written(path: Path, text: str) -> None:
    path.write_text(text)


def kept_of(world: Path, similarity: float) -> str:
    """The file that `pairlens eval` leaves of a service of this similarity."""
    path = world.with_name("kept.jsonl")
    with Kept(path) as kept:
        asyncio.run(observe(pairs.read(world), Comparer(similarity), Asking(ImageComparisonConfig()), kept))
    return str(path)


@pytest.fixture
def kept(world: Path) -> str:
    return kept_of(world, 0.5)


@pytest.fixture
def service() -> Comparer:
    return Comparer()


@pytest.fixture
def make(world: Path, service: Comparer) -> Make:
    def made(clock: Time | None = None, **settings: object) -> Canary:
        settings = {"pairs": str(world), "max_drift": 0.05, **settings}
        config = ImageComparisonConfig()
        return Canary(CanarySettings.model_validate(settings), service, config, max_bytes=1000, clock=clock or Time())

    return made


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_first_round_is_what_later_ones_are_held_against(
    make: Make, service: Comparer, caplog: pytest.LogCaptureFixture
) -> None:
    watched = make()
    assert await watched.look()
    assert (watched.standing.drift, watched.standing.right, watched.standing.answered) == (0.0, 0.75, 4)
    assert warnings(caplog) == []
    service.similarity = 0.7
    await watched.look()
    assert watched.standing.drift == pytest.approx(0.2)
    assert watched.standing.right == 0.25
    (said,) = warnings(caplog)
    assert said == "canary: drift of similarity 0.2000 (at most 0.05), right 0.250, 4 pairs answered, 0 not"


async def test_a_small_drift_is_no_warning(make: Make, service: Comparer, caplog: pytest.LogCaptureFixture) -> None:
    watched = make()
    await watched.look()
    service.similarity = 0.94
    await watched.look()
    assert watched.standing.drift == pytest.approx(0.04)
    assert warnings(caplog) == []


async def test_what_eval_kept_is_a_baseline_that_outlives_a_restart(make: Make, kept: str) -> None:
    watched = make(baseline=kept)
    await watched.look()
    assert watched.standing.drift == pytest.approx(0.4)


async def test_pairs_without_a_baseline_are_no_drift_of_zero(
    make: Make, world: Path, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        written(world.with_name(f"{number}a.png"), "another picture")
    watched = make(baseline=kept)
    await watched.look()
    assert watched.standing.drift is None
    assert "unknown: the baseline has none of these pairs" in warnings(caplog)[0]


async def test_its_age_grows_until_a_round_is_answered(
    make: Make, service: Comparer, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time()
    watched = make(time)
    time.now += 30
    assert watched.standing.age_s == 30
    service.fault = DeadlineExceeded("Too late.")
    assert not await watched.look()
    assert (watched.standing.age_s, watched.standing.failed, watched.standing.drift) == (30, 4, None)
    assert warnings(caplog) == ["canary: none of 4 pairs was answered: Too late."]
    service.fault = None
    await watched.look()
    assert (watched.standing.age_s, watched.standing.failed) == (0, 0)
    time.now += 5
    assert watched.standing.age_s == 5


async def test_a_list_that_became_wrong_is_said_and_looked_at_again(
    make: Make, world: Path, service: Comparer, caplog: pytest.LogCaptureFixture
) -> None:
    watched, text = make(), text_of(world)
    written(world, "nothing")
    assert not await watched.look()
    assert "there is no column reference" in warnings(caplog)[0]
    assert service.asked == 0
    written(world, text)
    assert await watched.look()


async def test_it_looks_again_and_again(make: Make, service: Comparer) -> None:
    life = asyncio.create_task(make(interval_s=0.001).live())
    while service.asked < 9:
        assert not life.done()
        await asyncio.sleep(0.001)
    life.cancel()
    await asyncio.wait([life])


def test_a_canary_that_can_not_be_run_is_told_before_anything_starts(world: Path, tmp_path: Path) -> None:
    def settings(**canary: object) -> Settings:
        return Settings.model_validate({"jobs": {"enabled": True}, "canary": {"pairs": str(world), **canary}})

    launch.check_canary(Settings())
    launch.check_canary(settings())
    for wrong, said in (
        ({"pairs": str(tmp_path / "none.csv")}, r"args\.canary\.pairs.*No such file"),
        ({"baseline": str(world)}, "holds no results of `pairlens eval`"),
        ({"baseline": str(tmp_path / "none")}, r"args\.canary\.baseline.*No such file"),
        ({"profile": "shop"}, r"There is no profile shop \(`args\.canary\.profile`\)"),
    ):
        with pytest.raises(LaunchFailed, match=said):
            launch.check_canary(settings(**wrong))
    known = settings(profile="shop").model_copy(update={"profiles": {"shop": Profile()}})
    launch.check_canary(known)
    with pytest.raises(ValueError, match=r"jobs\.enabled is not: the deployment Jobs runs the canary"):
        Settings(canary=CanarySettings(pairs=str(world)), jobs=JobSettings())


def test_a_set_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("a")
    rows = [f"a.png,b{number}.png,1" for number in range(canary.MOST_PAIRS + 1)]
    for number in range(canary.MOST_PAIRS + 1):
        (tmp_path / f"b{number}.png").write_text("b")
    (tmp_path / "pairs.csv").write_text("\n".join(["reference,candidate,label", *rows]) + "\n")
    with pytest.raises(CanaryUnusable, match="has 501 pairs; at most 500 are compared"):
        canary.labelled(CanarySettings(pairs=str(tmp_path / "pairs.csv")))
