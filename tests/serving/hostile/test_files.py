"""Hostile files meet the fate that is foreseen, start nothing and call nobody."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve_app.comparison.pair_plan import plan_pair
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.pictures import Upload
from serve_app.errors import ComparisonError
from serve_app.local import open_pipeline
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Limits, PreprocessingSettings, Settings
from tests.serving.hostile.bombs import BOMBS, Bomb
from tests.serving.hostile.deeds import Deeds
from tests.serving.hostile.pictures import DISGUISES, KINDS, REFUSED, Picture, flipped, valid
from tests.worlds.samples import card, encoded

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
HONEST = Upload(encoded(card()))
FLIPS = 250
OF_THE_FILE = {"report", "image_unreadable", "image_too_large", "unsupported_image_type"}
# What a header may cost: the text chunks that Pillow reads at most, and some for the allocator.
HEADER_MIB = 96


@pytest.fixture(scope="module")
def deeds() -> Deeds:
    return Deeds()


@pytest.fixture
async def local() -> AsyncIterator[Pipeline]:
    async with open_pipeline(Settings()) as opened:
        yield opened


async def fate(local: Pipeline, candidate: bytes) -> str:
    try:
        config = ImageComparisonConfig()
        await local.compare(HONEST, Upload(candidate), config, local.deadline(config))
    except ComparisonError as refusal:
        return refusal.type
    return "report"


@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb.by_header], ids=str)
def test_a_bomb_is_known_by_its_header(bomb: Bomb) -> None:
    data, found = Upload(bomb.make()), "report"
    try:
        plan = plan_pair(data, data, ImageComparisonConfig(), Limits(), PreprocessingSettings().memory_budget_bytes)
    except ComparisonError as refusal:
        found = refusal.type
    else:
        assert plan.reserved_bytes <= PreprocessingSettings().memory_budget_bytes
    assert found == bomb.fate


def test_no_header_costs_much_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.serving.hostile.peak"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
        timeout=200,
    )
    peaks = json.loads(done.stdout)
    assert peaks.keys() == {bomb.name for bomb in BOMBS}
    assert {name: mib for name, mib in peaks.items() if mib > HEADER_MIB} == {}


@pytest.mark.parametrize("picture", [*REFUSED, *DISGUISES], ids=str)
async def test_what_is_no_picture_of_ours_is_refused(local: Pipeline, deeds: Deeds, picture: Picture) -> None:
    deeds.clear()
    assert await fate(local, picture.make()) == picture.fate
    assert deeds == []


@pytest.mark.parametrize("kind", KINDS)
async def test_every_way_to_make_a_file_that_is_taken_gets_a_report(local: Pipeline, kind: str) -> None:
    assert await fate(local, valid(kind)) == "report"


async def test_changed_files_are_pictures_or_refused(local: Pipeline, deeds: Deeds) -> None:
    dice = random.Random(1)
    deeds.clear()
    fates = Counter([await fate(local, flipped(dice)[1]) for _ in range(FLIPS)])
    assert fates.keys() <= OF_THE_FILE
    assert fates["report"] > FLIPS / 20
    assert fates["image_unreadable"] > FLIPS / 20
    assert deeds == []


def test_a_deed_would_be_seen(deeds: Deeds) -> None:
    deeds.clear()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert "subprocess.Popen" in deeds
