"""The composition root beside `app`: the whole comparison in this process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from serve_app import ocr
from serve_app.client import wire
from serve_app.client.pictures import Picture
from serve_app.client.report import Report
from serve_app.client.wire import Config
from serve_app.comparison import profiles
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.pictures import Upload
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.settings import Profile, Settings
from serve_app.storage.profiles import with_profiles

NO_PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({})


class Here:
    """A pipeline of this process in the role of `core.comparing.Comparing`."""

    def __init__(self, pipeline: Pipeline, named: Mapping[str, Profile] = NO_PROFILES) -> None:
        self._pipeline = pipeline
        self._profiles = named

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        """Raises `ComparisonError` and its kinds."""
        config = profiles.applied(config, self._profiles)
        deadline = self._pipeline.deadline(config)
        return await self._pipeline.compare(Upload(reference), Upload(candidate), config, deadline)


@asynccontextmanager
async def open_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """All stages in this process. Raises `vlm.ModelUnavailable` where the model can't be loaded."""
    examiner = Examiner(
        settings.limits,
        settings.preprocessing,
        shows_images=settings.model.is_asked,
        reader=ocr.installed(settings.preprocessing.text_reader),
    )
    assessor = Assessor(settings.model)
    try:
        yield Pipeline(examiner, assessor, settings)
    finally:
        examiner.close()
        assessor.close()


@asynccontextmanager
async def open_here(settings: Settings) -> AsyncIterator[Here]:
    """The same, as the role that all faces ask. Raises `ProfileWrong` too, where `profiles_dir` can't be used."""
    settings = with_profiles(settings)
    async with open_pipeline(settings) as pipeline:
        yield Here(pipeline, settings.profiles)


def compare(
    reference: Picture, candidate: Picture, config: Config | None = None, settings: Settings | None = None
) -> Report:
    """Compare two pictures (bytes, paths, images of Pillow, arrays) in this process and wait for the report; without a
    model, unless `settings` name one. Also where an event loop runs already, as in a notebook, which then waits, too:
    programs with one of their own await `open_here`.

    Raises `ComparisonError` and its kinds, `vlm.ModelUnavailable`, and OSError for a path.
    """
    pair = wire.pair(reference, candidate, config)

    async def compared() -> ComparisonReport:
        async with open_here(settings or Settings()) as here:
            return await here.compare(pair.reference.read(), pair.candidate.read(), pair.config)

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # there is none: as everywhere but in notebooks
        return Report.of(asyncio.run(compared()), pair)
    with ThreadPoolExecutor(1, "compare") as elsewhere:
        return Report.of(elsewhere.submit(lambda: asyncio.run(compared())).result(), pair)
