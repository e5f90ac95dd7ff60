"""What one process needs to keep jobs and batches: database, files, stores and queue, opened by the operator's
settings. Opens no connection and makes no folder before it is used."""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.jobs.batch_store import BatchStore
from serve_app.jobs.deliveries import Deliveries
from serve_app.jobs.durable import DurableQueue
from serve_app.jobs.store import JobStore
from serve_app.settings import JobSettings
from serve_app.storage.blobs import Blobs
from serve_app.storage.database import Database


@dataclass(frozen=True, slots=True)
class Storeroom:
    """Of an entrance and of the owner of the queue alike."""

    database: Database
    blobs: Blobs
    store: JobStore
    deliveries: Deliveries
    batches: BatchStore

    @classmethod
    def open(cls, settings: JobSettings) -> Storeroom:
        database = Database(settings.database)
        blobs = Blobs(database, settings.folder, settings.max_stored_bytes)
        queue = DurableQueue(database)
        return cls(
            database,
            blobs,
            JobStore(database, blobs, queue, settings),
            Deliveries(database, queue),
            BatchStore(database, blobs, queue, settings),
        )
