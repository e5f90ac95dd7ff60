"""A browser a module, and the service in this process for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Settings
from tests.rigs.browser import launched
from tests.rigs.http_server import served
from tests.serving.hostile.service import desk_in


def pipeline(settings: Settings) -> Pipeline:
    """Real stages of this process."""
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=settings.model.is_asked)
    return Pipeline(examiner, Assessor(settings.model), settings)


def app_of(settings: Settings, folder: Path | None = None, pipeline_: Any = None) -> Any:
    """`folder`: in which it takes jobs, which nobody does."""
    return create_app(
        pipeline_ or pipeline(settings),
        settings,
        readiness=AlwaysReady(),
        logger=logging.Logger("page"),
        jobs=None if folder is None else desk_in(folder),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without a model, which takes jobs."""
    with served(lambda: app_of(Settings(), tmp_path_factory.mktemp("jobs"))) as address:
        yield address


expect.set_options(timeout=15_000)  # what other tests leave of the machine may be little
