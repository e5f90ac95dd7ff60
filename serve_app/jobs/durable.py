"""The durable queue under the jobs, DBOS: entrances enqueue with a client, one process owns it and runs what waits.
The only module that knows DBOS; a job's state is not here but in `store`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, StepOptions
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from serve_app.errors import Unavailable
from serve_app.jobs.webhook import PAUSES_S
from serve_app.storage.database import METADATA, Database

logger = logging.getLogger("pairlens.jobs")

QUEUE: Final = "pairlens-jobs"
WORKFLOW: Final = "pairlens-job"
BATCHES: Final = "pairlens-batches"
BATCH: Final = "pairlens-batch"
DELIVERIES: Final = "pairlens-webhooks"
DELIVERY: Final = "pairlens-webhook"
# Fixed: DBOS runs only what was enqueued under its own version, and an upgrade must go on with old jobs.
APPLICATION_VERSION: Final = "1"
# How often the owner looks for new jobs: half of it is what an empty service adds to each.
LOOK_S: Final = 0.07
# Jobs fetched for each that is in work: the next one is there when one ends, and short ones don't wait for a look.
FETCHED: Final = 2
# Between tries where nobody is there to compare, and how many: a model that loads for half an hour is waited for.
TRY_AGAIN_S: Final = 2.0
TRIES: Final = 900

# Batches in work at once, of one caller one: their pairs share the places there are, and callers take turns. How often
# it is looked for the next one: half of it nobody notices, and each look costs.
BATCHES_AT_ONCE: Final = 4
LOOK_FOR_BATCHES_S: Final = 0.5

# Webhooks: how often it is looked for tries that are due (DBOS looks once a second for those whose pause is over), how
# many are on their way at once, and of one caller: receivers that never answer hold their places for 15 s each.
LOOK_FOR_DELIVERIES_S: Final = 1.0
DELIVERIES_AT_ONCE: Final = 32
DELIVERIES_PER_CALLER: Final = 8

# When each owner was last seen: two services may share one database, and only what a dead one had begun is taken over.
OWNERS: Final = sa.Table(
    "pairlens_job_owners",
    METADATA,
    sa.Column("executor_id", sa.String(255), primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
)
# An owner that was not seen for so long is gone. A replica of Serve that was killed is replaced no sooner.
GONE_S: Final = 7.0

Run = Callable[[str, int], Awaitable[object]]
Deliver = Callable[[str, int, int], Awaitable[object]]


class Batching(Protocol):
    """Does batches, a step at a time."""

    async def step(self, batch_id: str, number: int) -> str:
        """`over` where there is nothing more to do. Raises `Unavailable` where it is to be tried again."""
        ...

    async def give_up(self, batch_id: str) -> None: ...


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raises `Unavailable` where the database can't be reached."""
    try:
        yield
    except (SQLAlchemyError, dbos_error.DBOSException, OSError) as exc:
        logger.warning("queue of jobs: %s", type(exc).__name__)
        raise Unavailable("The job store can't be reached right now.") from None


def _workflow_id(job_id: str, attempt: int) -> str:
    return f"{job_id}.{attempt}"


def _try_id(job_id: str, attempt: int, number: int) -> str:
    return f"{_workflow_id(job_id, attempt)}.webhook.{number}"


def _batch_id(batch_id: str) -> str:
    return f"batch.{batch_id}"


def _workflow_ids(job_id: str, attempt: int) -> list[str]:
    tries = [_try_id(job_id, attempt, number) for number in range(1, len(PAUSES_S) + 1)]
    return [_workflow_id(job_id, attempt), *tries]


class DurableQueue:
    """What an entrance, or the store of the owner, does with the queue: no workflow runs here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened: DBOSClient | None = None

    def enqueue(self, connection: sa.Connection, job_id: str, attempt: int, caller: str) -> None:
        """In the caller's transaction: the job and its place in the queue are there both, or neither is."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": _workflow_id(job_id, attempt),
                "app_version": APPLICATION_VERSION,
                "queue_partition_key": caller,  # callers take turns
            },
            job_id,
            attempt,
        )

    def enqueue_batch(self, connection: sa.Connection, batch_id: str, num_steps: int, caller: str) -> None:
        """The same of a batch."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": BATCH,
                "queue_name": BATCHES,
                "workflow_id": _batch_id(batch_id),
                "app_version": APPLICATION_VERSION,
                "queue_partition_key": caller,
            },
            batch_id,
            num_steps,
        )

    def forget_batches(self, batch_ids: Sequence[str]) -> None:
        """Delete what is kept of these batches. Raises `Unavailable`."""
        with _told():
            self._client.delete_workflows([_batch_id(batch_id) for batch_id in batch_ids])

    def enqueue_try(
        self, connection: sa.Connection, job_id: str, attempt: int, number: int, caller: str, delay_s: float
    ) -> None:
        """Try `number` to tell of an ended attempt, in `delay_s` seconds, in the caller's transaction."""
        options: EnqueueOptions = {
            "workflow_name": DELIVERY,
            "queue_name": DELIVERIES,
            "workflow_id": _try_id(job_id, attempt, number),
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": caller,
        }
        if delay_s:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(connection, options, job_id, attempt, number)

    def forget(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Delete what is kept of all attempts at these jobs. Raises `Unavailable`."""
        attempts = [(job_id, attempt) for job_id, last in jobs for attempt in range(1, last + 1)]
        ids = [each for job_id, attempt in attempts for each in _workflow_ids(job_id, attempt)]
        with _told():
            self._client.delete_workflows(ids)

    @property
    def _client(self) -> DBOSClient:
        if self._opened is None:
            self._opened = DBOSClient(
                system_database_engine=self._database.engine,
                application_name=WORKFLOW,
                lazy=True,
                retry_connection_errors=False,  # callers are told, not kept waiting
            )
        return self._opened


class Owner:
    """The one process that runs what waits; `executor_id` names it among those that were before it.

    Everything here blocks, and must be called where no event loop runs.
    """

    def __init__(
        self, database: Database, executor_id: str, parallel: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._executor_id = executor_id
        self._parallel = parallel
        self._clock = clock

    def launch(self, run: Run, give_up: Run, deliver: Deliver, batches: Batching) -> None:
        """Begin to run jobs: `run(job_id, attempt)` in DBOS's own event loop, again while it raises `Unavailable`;
        after the last try `give_up`. Likewise `deliver(job_id, attempt, number)` each try to tell of an ended one, and
        batches a step after the other. Raises `Unavailable`, and can then be tried again."""
        DBOS.destroy(destroy_registry=True)  # of a launch that failed half-way
        self.beat()  # before it begins anything that another owner could find
        config: DBOSConfig = {
            "name": WORKFLOW,
            "system_database_engine": self._database.engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._executor_id,
            "use_listen_notify": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        DBOS.workflow(name=WORKFLOW)(_workflow(run, give_up, asyncio.Semaphore(self._parallel)))
        DBOS.workflow(name=DELIVERY)(_delivery(deliver))
        DBOS.workflow(name=BATCH)(_batch(batches))
        with _told():
            DBOS.launch()
            DBOS.register_queue(
                QUEUE,
                worker_concurrency=FETCHED * self._parallel,
                partition_worker_concurrency=FETCHED * self._parallel,
                polling_interval_sec=LOOK_S,
            )
            DBOS.register_queue(
                BATCHES,
                worker_concurrency=BATCHES_AT_ONCE,
                partition_worker_concurrency=1,
                polling_interval_sec=LOOK_FOR_BATCHES_S,
            )
            DBOS.register_queue(
                DELIVERIES,
                worker_concurrency=DELIVERIES_AT_ONCE,
                partition_worker_concurrency=DELIVERIES_PER_CALLER,
                polling_interval_sec=LOOK_FOR_DELIVERIES_S,
            )

    def beat(self) -> None:
        """Say that this owner is there; again well within `GONE_S`. Raises `Unavailable`."""
        now = self._clock()
        with self._database.begin() as connection:
            if not self._database.insert_new(connection, OWNERS, {"executor_id": self._executor_id, "seen": now}):
                mine = OWNERS.c.executor_id == self._executor_id
                connection.execute(sa.update(OWNERS).where(mine).values(seen=now))
            connection.execute(sa.delete(OWNERS).where(OWNERS.c.seen < now - GONE_S))

    def take_over(self) -> int:
        """Put back into the queue what executors that are gone had begun: DBOS itself leaves that PENDING for ever
        (its issues 453, 716, 804). How many it were. Raises `Unavailable`."""
        self.beat()
        with self._database.read() as connection:
            there = set(connection.execute(sa.select(OWNERS.c.executor_id)).scalars())
        with _told():
            return sum(_take_over(queue, there) for queue in (QUEUE, BATCHES, DELIVERIES))

    def close(self) -> None:
        DBOS.destroy(destroy_registry=True)


def _take_over(queue: str, there: set[str]) -> int:
    begun = DBOS.list_workflows(status="PENDING", queue_name=queue, load_input=False, load_output=False)
    left = [status.workflow_id for status in begun if status.executor_id not in there]
    if left:
        DBOS.resume_workflows(left, queue_name=queue)
    return len(left)


def _workflow(run: Run, give_up: Run, turns: asyncio.Semaphore) -> Callable[[str, int], Awaitable[None]]:
    """No step of DBOS's: what an attempt has come to stands in the job's own row, and `run` begun again looks there
    first. The record of a step took four of a job's thirteen statements and two of its five commits."""

    async def attempt_job(job_id: str, attempt: int) -> None:
        try:
            for _ in range(TRIES):
                with contextlib.suppress(Unavailable):  # nobody was there; a refusal is an answer, and final
                    async with turns:
                        await run(job_id, attempt)
                    return
                await asyncio.sleep(TRY_AGAIN_S)
        except Exception as exc:  # noqa: BLE001 - whatever was left over: the job must end
            logger.error("job given up: %s", type(exc).__name__)  # noqa: TRY400
        await give_up(job_id, attempt)

    return attempt_job


def _delivery(deliver: Deliver) -> Callable[[str, int, int], Awaitable[None]]:
    async def try_once(job_id: str, attempt: int, number: int) -> None:
        try:
            await DBOS.run_step_async(_patient("tell"), _tell, deliver, job_id, attempt, number)
        except Exception as exc:  # noqa: BLE001 - it is no job's fault
            logger.error("webhook given up: %s", type(exc).__name__)  # noqa: TRY400

    return try_once


def _batch(batches: Batching) -> Callable[[str, int], Awaitable[None]]:
    async def do_batch(batch_id: str, num_steps: int) -> None:
        try:
            for number in range(num_steps):
                if await DBOS.run_step_async(_patient("pairs"), batches.step, batch_id, number) == "over":
                    return
        except Exception as exc:  # noqa: BLE001 - whatever was left over: the batch must end
            logger.error("batch given up: %s", type(exc).__name__)  # noqa: TRY400
            await batches.give_up(batch_id)

    return do_batch


def _patient(name: str) -> StepOptions:
    """A step that is tried again while the store can't be reached."""
    return {
        "name": name,
        "retries_allowed": True,
        "interval_seconds": TRY_AGAIN_S,
        "backoff_rate": 1.0,
        "max_attempts": TRIES,
        "should_retry": _is_worth_a_try,
    }


async def _tell(deliver: Deliver, job_id: str, attempt: int, number: int) -> str:
    return str(await deliver(job_id, attempt, number))


def _is_worth_a_try(exc: BaseException) -> bool:
    """That the store can't be reached; whatever a receiver or a stage does is an answer."""
    return isinstance(exc, Unavailable | asyncio.CancelledError)
