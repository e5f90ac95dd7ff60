"""What jobs cost beside their comparison, on both databases: one empty job, many, and the owner of the queue at rest.
No Ray and no HTTP: one process owns the queue, as the deployment `Jobs` does, two leave jobs, as ingress replicas do.

    python -m benchmarks.jobs.bench_jobs [--jobs 1000] [--idle-s 20]

Each comparison answers at once. PostgreSQL is one of the benchmark's own; without it that row is left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier, Event
from typing import Any, Final

import psutil
import pytest

from serve_app.core.pictures import Upload
from serve_app.errors import Unavailable
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.courier import Courier, guarded_client
from serve_app.jobs.durable import Owner
from serve_app.jobs.job import Request
from serve_app.jobs.storeroom import Storeroom
from serve_app.jobs.worker import Worker
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import MIB, JobSettings, Limits
from tests.rigs import postgres
from tests.worlds.jobs import Comparer
from tests.worlds.samples import card, encoded

ENTRANCES: Final = 2
CALLERS: Final = 4  # at once at each of them
ALONE: Final = 40  # jobs one after the other, each with pictures of its own
LOOK_S: Final = 0.005


def own(settings: JobSettings, ready: Event, done: Event) -> None:
    """The process that runs what waits."""
    room, comparer = Storeroom.open(settings), Comparer()
    worker = Worker(room.store, room.blobs, lambda job: comparer)
    owner = Owner(room.database, "benchmark", settings.parallel)
    room.database.create_tables()
    courier = Courier(room.deliveries, guarded_client(settings.webhooks), None)
    batches = BatchWorker(room.batches, room.blobs, Documents(Limits()), lambda *_: comparer, 16)
    owner.launch(worker.run, worker.give_up, courier.deliver, batches)
    ready.set()
    done.wait()
    owner.close()


def request(number: int) -> Request:
    reference, candidate = encoded(card(size=(200, 120 + number % 500))), encoded(card("red"))
    return Request.of("caller", None, Upload(reference), Upload(candidate), ImageComparisonConfig())


def leave(room: Storeroom, asked: Request) -> str:
    room.blobs.put([(each.digest, each.data) for each in (asked.reference, asked.candidate)])
    return room.store.enqueue(asked).id


def leave_many(settings: JobSettings, first: int, number: int, refused: Any, used_s: Any, together: Barrier) -> None:
    """One entrance with some callers at once; it counts what it was refused, and its seconds of a core."""
    room = Storeroom.open(settings)
    requests = [request(each) for each in range(first, first + number)]

    def leave_one(asked: Request) -> None:
        try:
            leave(room, asked)
        except Unavailable:
            with refused.get_lock():
                refused.value += 1

    with ThreadPoolExecutor(CALLERS) as callers:
        room.store.page("caller", [], 1, None)
        together.wait()
        before = cpu_s(psutil.Process())
        list(callers.map(leave_one, requests))
    with used_s.get_lock():
        used_s.value += cpu_s(psutil.Process()) - before
    room.database.close()


def alone(room: Storeroom) -> tuple[list[float], list[float]]:
    """Milliseconds to leave a job, and from there to its report, each when nothing else is to be done."""
    taken_ms, ended_ms = [], []
    for number in range(ALONE):
        asked = request(number)
        began = time.perf_counter()
        job = leave(room, asked)
        taken_ms.append((time.perf_counter() - began) * 1000)
        while not room.store.find("caller", job).has_ended:
            time.sleep(LOOK_S)
        ended_ms.append((time.perf_counter() - began) * 1000)
    return taken_ms, ended_ms


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def many(settings: JobSettings, room: Storeroom, owner: psutil.Process, number: int) -> dict[str, Any]:
    refused, used_s = multiprocessing.Value("i", 0), multiprocessing.Value("d", 0.0)
    together = multiprocessing.Barrier(ENTRANCES + 1)
    share = number // ENTRANCES
    entrances = [
        multiprocessing.Process(target=leave_many, args=(settings, index * share, share, refused, used_s, together))
        for index in range(ENTRANCES)
    ]
    for each in entrances:
        each.start()
    together.wait()
    began, before_s = time.perf_counter(), cpu_s(owner)
    for each in entrances:
        each.join()
    left_s = time.perf_counter() - began
    while room.store.page("caller", ["queued", "running"], 1, None).jobs:
        time.sleep(0.05)
    took_s = time.perf_counter() - began
    return {
        "left_per_s": number / left_s,
        "jobs_per_s": number / took_s,
        "refused": int(refused.value),
        "owner_cpu_ms": (cpu_s(owner) - before_s) / number * 1000,
        "entrance_cpu_ms": float(used_s.value) / number * 1000,
    }


def at_rest(owner: psutil.Process, idle_s: float) -> dict[str, float]:
    before = cpu_s(owner)
    time.sleep(idle_s)
    return {"idle_share": (cpu_s(owner) - before) / idle_s, "mib": owner.memory_full_info().uss / MIB}


def measure(name: str, url: str | None, number: int, idle_s: float) -> dict[str, Any]:
    """One row."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        settings = JobSettings(enabled=True, folder=folder, database_url=url)
        ready, done = context.Event(), context.Event()
        owner = context.Process(target=own, args=(settings, ready, done))
        owner.start()
        ready.wait(60)
        room = Storeroom.open(settings)
        time.sleep(2)  # the queue's thread begins to look within a second
        taken_ms, ended_ms = alone(room)
        row = {
            "database": name,
            "post_ms": statistics.median(taken_ms),
            "median_ms": statistics.median(ended_ms),
            "p90_ms": statistics.quantiles(ended_ms, n=10)[-1],
            **many(settings, room, psutil.Process(owner.pid), number),
            **at_rest(psutil.Process(owner.pid), idle_s),
        }
        done.set()
        owner.join(20)
        room.database.close()
    return row


def databases(stack: ExitStack) -> dict[str, Callable[[], str | None]]:
    found: dict[str, Callable[[], str | None]] = {"SQLite": lambda: None}
    try:
        server = stack.enter_context(postgres.server(is_durable=True))
    except (pytest.skip.Exception, FileNotFoundError):
        return found
    return {**found, "PostgreSQL": server.new_database}


def main() -> None:
    multiprocessing.set_start_method("spawn")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--idle-s", type=float, default=20.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        rows = [measure(name, url(), options.jobs, options.idle_s) for name, url in databases(stack).items()]
    print("| database | left, ms | empty job to report, ms | p90, ms | jobs/s | refused ", end="")
    print("| of a core a job, ms: entrance, owner | owner at rest | its memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['database']} | {row['post_ms']:.0f} | {row['median_ms']:.0f} | {row['p90_ms']:.0f} | "
            f"{row['jobs_per_s']:.0f} | {row['refused']} | {row['entrance_cpu_ms']:.1f}, {row['owner_cpu_ms']:.1f} | "
            f"{row['idle_share']:.1%} of a core | {row['mib']:.0f} MiB |"
        )
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
