"""The composition root beside `app`: the whole comparison in this process, without Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.settings import Settings


@asynccontextmanager
async def open_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """The whole pipeline in this process, for the command line and for tests.

    Raises `vlm.ModelUnavailable` where the model can't be loaded.
    """
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=settings.model.is_asked)
    assessor = Assessor(settings.model)
    try:
        yield Pipeline(examiner, assessor, settings)
    finally:
        examiner.close()
        assessor.close()
