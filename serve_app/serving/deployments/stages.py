"""Thin Ray Serve shells around the stages: each method is one call into a plain module.
No logic of a comparison: what is here is what only Ray needs, liveness, metrics, logs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_serve_request_context
from ray.serve.handle import DeploymentHandle

from serve_app import ocr
from serve_app.chat.chat import Chat
from serve_app.chat.pictures import Pictures, Sent
from serve_app.chat.talker import Talker
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.comparison.remembered import Remembered
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline, StageName
from serve_app.core.conversation import Conversation, Ended, Spoken
from serve_app.core.measured import Examination
from serve_app.core.pictures import ShownImage, Upload
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.serving.admission import NEXT_AT_A_MODEL
from serve_app.serving.api.app import create_app
from serve_app.serving.api.door import open_door
from serve_app.serving.deployments.counting import (
    RayAssessmentRecorder,
    RayExaminationRecorder,
    RayRecorder,
    abandoned_seconds,
    model_cache,
    out_of_memory,
)
from serve_app.serving.deployments.handles import (
    RemoteAssessor,
    RemoteExaminer,
    RemoteShowing,
    RemoteTalking,
    detached,
    handed_back,
    pieces_handed_back,
)
from serve_app.serving.deployments.logs import log_to_serve
from serve_app.serving.deployments.watch import ClusterWatch, stages_of, warn_if_open
from serve_app.settings import Settings
from serve_app.storage.report_stores import open_reports
from serve_app.storage.reports import Reports

if TYPE_CHECKING:
    from serve_app.serving.deployments.job_entrance import JobEntrance

logger = logging.getLogger("ray.serve")


class Preprocessor:
    """The CPU stage as a deployment."""

    def __init__(self, settings: Settings) -> None:
        log_to_serve()
        self._examiner = Examiner(
            settings.limits,
            settings.preprocessing,
            shows_images=settings.model.is_asked,
            reader=ocr.installed(settings.preprocessing.text_reader),
        )
        self._pictures = Pictures(settings.limits, self._examiner.budget, settings.preprocessing.threads)
        self._recorder = RayExaminationRecorder()

    async def examine(
        self, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> Examination | ComparisonError:
        outcome = await handed_back(self._examiner.examine(reference, candidate, config, deadline))
        self._recorder.ended(outcome)
        return outcome

    async def show(self, sent: tuple[Sent, ...], deadline: Deadline) -> tuple[ShownImage, ...] | ComparisonError:
        """The pictures of a conversation, as the model is shown them."""
        return await handed_back(self._pictures.show(sent, deadline))


class VLModel:
    """The model stage as a deployment: one replica, one device, one job at a time; or one server that takes many."""

    def __init__(self, settings: Settings) -> None:
        log_to_serve()
        self._assessor = Assessor(
            settings.model,
            on_abandoned=abandoned_seconds().inc,
            on_lookup=model_cache(),
            on_out_of_memory=out_of_memory(),
        )
        self._recorder = RayAssessmentRecorder()
        self._talker = Talker(self._assessor.model, self._assessor.device)

    async def assess(
        self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline
    ) -> Assessment | ComparisonError:
        outcome = await handed_back(self._assessor.assess(config, examination, deadline))
        self._recorder.assessed(outcome)
        return outcome

    async def talk(
        self, conversation: Conversation, deadline: Deadline
    ) -> AsyncGenerator[tuple[Spoken, ...] | ComparisonError, None]:
        """Its part in a conversation, piece by piece; a refusal is the last piece."""
        async with aclosing(pieces_handed_back(self._talker.talk(conversation, deadline))) as pieces:
            async for piece in pieces:
                if isinstance(piece, ComparisonError):
                    self._recorder.talked(piece)
                elif isinstance(piece[-1], Ended):
                    self._recorder.talked(None)
                yield piece

    async def check_health(self) -> None:
        """Async on purpose: a sync one would wait in the model's thread pool and get a busy replica killed."""
        self._assessor.assert_healthy()


@serve.ingress()
class Ingress:
    """The HTTP door: builds the app around handles to the others. `jobs`: None where the operator has them off."""

    def __init__(
        self,
        settings: Settings,
        preprocessor: DeploymentHandle,
        model: DeploymentHandle,
        jobs: DeploymentHandle | None = None,
    ) -> None:
        log_to_serve()
        recorder = RayRecorder()
        self._settings = settings
        self._door = open_door(settings, recorder=recorder)
        self._pipeline = Pipeline(
            RemoteExaminer(preprocessor, recorder.retried), RemoteAssessor(model, recorder.retried), settings
        )
        self._chat = Chat(RemoteShowing(preprocessor, recorder.retried), RemoteTalking(model, recorder.retried))
        sent_to_each: dict[StageName, int] = {
            "examine": settings.preprocessing.pairs_at_once,
            "assess": settings.model.comparisons_at_once + NEXT_AT_A_MODEL,
        }
        self._remembered = Remembered(
            self._pipeline,
            settings,
            open_reports(settings.cache, shared=_shared_reports(settings) if jobs is not None else None),
            on_lookup=recorder.report_looked_up,
            detached=detached,
        )
        self._jobs: JobEntrance | None = None
        if jobs is not None:
            from serve_app.serving.deployments.job_entrance import JobEntrance  # with the database and its queue

            self._jobs = JobEntrance(settings, jobs, self._door, self._remembered)
        warn_if_open(settings.access)
        app_name = serve.get_replica_context().app_name
        self._watch = ClusterWatch(
            lambda: stages_of(app_name),
            self._pipeline,
            self._door,
            sent_to_each,
            each_period=lambda: recorder.reports_held(self._remembered.held_bytes),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(
            self._pipeline,
            self._settings,
            readiness=self._watch,
            logger=logger,
            door=self._door,
            remembered=self._remembered,
            jobs=self._jobs.desk if self._jobs is not None else None,
            batches=self._jobs.batch_desk if self._jobs is not None else None,
            chat=self._chat if self._settings.model.is_asked else None,
            context_request_id=lambda: _get_serve_request_context().request_id or None,
        )

    async def compare_job(
        self,
        job_id: str,
        attempt: int,
        caller: str,
        reference: Upload,
        candidate: Upload,
        config: ImageComparisonConfig,
        deadline: Deadline,
    ) -> ComparisonReport | ComparisonError:
        """One attempt at a job, for `Jobs`."""
        assert self._jobs is not None  # else nobody asks
        pair = reference, candidate
        return await handed_back(self._jobs.compare(job_id, attempt, caller, *pair, config, deadline))

    async def compare_in_batch(
        self, caller: str, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> ComparisonReport | ComparisonError:
        """One pair of a batch, for `Jobs`."""
        assert self._jobs is not None  # else nobody asks
        return await handed_back(self._jobs.compare_in_batch(caller, reference, candidate, config, deadline))

    async def compare_anew(
        self, caller: str, reference: Upload, candidate: Upload, config: ImageComparisonConfig, deadline: Deadline
    ) -> ComparisonReport | ComparisonError:
        """One pair of the canary, for `Jobs`."""
        assert self._jobs is not None  # else nobody asks
        return await handed_back(self._jobs.compare_anew(caller, reference, candidate, config, deadline))

    async def is_ready(self) -> bool:
        """Whether this replica would say so at `/readyz`. For `handle.broadcast`: over HTTP any of them answers."""
        return await self._watch.is_ready()

    async def pending(self) -> int:
        """How many requests are let in and not yet answered."""
        return self._door.admission.num_pending

    async def drain(self) -> int:
        """Take nothing new from now on; how many requests are still to be answered. For `handle.broadcast`."""
        return self._door.admission.drain()


def _shared_reports(settings: Settings) -> Reports | None:
    """Of all ingress replicas, where there is a job store."""
    if not settings.cache.shared_report_bytes:
        return None
    from serve_app.storage.stored_reports import StoredReports  # with the database

    return StoredReports.open(settings.jobs.reports_database, settings.cache.shared_report_bytes)
