"""The whole service in this process behind a real port, its jobs and batches done by a thread: no Ray, no model."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.worker import Worker
from serve_app.local import open_here
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Access, Settings
from serve_app.storage.database import Database
from tests.rigs.http_server import served
from tests.worlds.jobs import Desk


@contextmanager
def whole_service(folder: Path, *, access: Access | None = None) -> Iterator[str]:
    """Its URL. `folder`: where its jobs lie."""
    settings, stop = Settings(access=access or Access()), threading.Event()
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(f"sqlite:///{folder}/jobs.sqlite")))
        documents = stack.enter_context(closing(Documents(settings.limits)))
        examiner = stack.enter_context(closing(Examiner(settings.limits, settings.preprocessing, shows_images=False)))
        assessor = stack.enter_context(closing(Assessor(settings.model)))
        desk = Desk(database, folder)
        app = create_app(
            Pipeline(examiner, assessor, settings),
            settings,
            readiness=AlwaysReady(),
            logger=logging.Logger("whole"),
            jobs=JobDesk(desk.store, desk.blobs, lambda *_: None, 30.0),
            batches=BatchDesk(desk.batches, desk.blobs, documents, lambda _: None, 30.0),
        )
        worker = threading.Thread(target=lambda: asyncio.run(_work(desk, documents, stop)), name="jobs", daemon=True)
        worker.start()
        stack.callback(worker.join, 20)
        stack.callback(stop.set)
        yield stack.enter_context(served(lambda: app))


async def _work(desk: Desk, documents: Documents, stop: threading.Event) -> None:
    """What is left at the desk, as the deployment Jobs would."""
    async with open_here(Settings()) as here:
        jobs = Worker(desk.store, desk.blobs, lambda job: here)
        batches = BatchWorker(desk.batches, desk.blobs, documents, lambda *_: here, at_once=2)
        while not stop.is_set():
            while desk.queue.enqueued:
                await jobs.run(*desk.queue.enqueued.pop(0))
            while desk.queue.batches:
                batch_id, num_steps = desk.queue.batches.pop(0)
                for number in range(num_steps):
                    await batches.step(batch_id, number)
            await asyncio.sleep(0.02)
