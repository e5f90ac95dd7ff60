"""What a batch costs beside its comparisons, on both databases: throughput against direct calls, store, memory.
No Ray and no HTTP: one process owns the queue and compares, engine none, as the deployment `Jobs` and all stages would.

    python -m benchmarks.jobs.bench_batch [--pairs 10000] [--compared 1000]

Two batches: one of many pairs that are answered at once, for the store and for memory; one of fewer that are compared.
Direct calls are of the same pairs, as many at once, in the same process, before the second batch and after it.
PostgreSQL is one of the benchmark's own; without it that row is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from multiprocessing.connection import Connection
from typing import Any, Final

import psutil

from benchmarks.jobs.bench_jobs import databases
from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.comparing import Comparing
from serve_app.core.pictures import Upload
from serve_app.imaging.pdf.documents import Documents
from serve_app.jobs.batch import Batch, BatchPair, BatchRequest, Picture
from serve_app.jobs.batch_worker import BatchWorker
from serve_app.jobs.courier import Courier, guarded_client
from serve_app.jobs.durable import Owner
from serve_app.jobs.storeroom import Storeroom
from serve_app.jobs.worker import Worker
from serve_app.local import Here
from serve_app.schema import ComparisonReport, ImageComparisonConfig
from serve_app.settings import MIB, JobSettings, Limits, Settings
from tests.worlds.jobs import made_report
from tests.worlds.samples import card, encoded

AT_ONCE: Final = 16
CANDIDATES: Final = 400  # files, each in many pairs: nothing remembers a report here
SIZE: Final = (90, 80)
ANSWERED, COMPARED = "answered at once", "compared"  # callers
CURVE: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
CONFIG: Final = ImageComparisonConfig()


def pictures() -> list[bytes]:
    """The reference, then its candidates: a square in other places."""
    places = [(number % 20 * 3, 31 + number // 20) for number in range(CANDIDATES)]
    return [encoded(card(size=SIZE)), *(encoded(card("red", size=SIZE, place=place)) for place in places)]


def here() -> Here:
    settings = Settings()
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=False)
    return Here(Pipeline(examiner, Assessor(settings.model), settings))


class AtOnce:
    """Knows one report and tells it."""

    def __init__(self) -> None:
        self._report = made_report()

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        return self._report


class Timed:
    """Seconds that calls of a store took, all together."""

    def __init__(self) -> None:
        self.spent_s = 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.spent_s += time.perf_counter() - began

        return timed


async def directly(images: list[bytes], number: int) -> float:
    """Pairs a second of as many calls at once as a batch makes."""
    comparing, waiting = here(), iter(range(number))
    await comparing.compare(images[0], images[1], CONFIG)

    async def caller() -> None:
        for each in waiting:
            await comparing.compare(images[0], images[1 + each % CANDIDATES], CONFIG)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return number / (time.perf_counter() - began)


def own(settings: JobSettings, pipe: Connection) -> None:
    """The process that compares: directly where it is asked to, and whatever waits in the queue."""
    room, timed = Storeroom.open(settings), Timed()
    for name in ("begin", "to_do", "keep"):
        setattr(room.batches, name, timed.around(getattr(room.batches, name)))
    at_once, found = AtOnce(), list[Here]()

    def comparing_for(batch: Batch, *_: object) -> Comparing:
        if batch.caller == ANSWERED:
            return at_once
        if not found:
            found.append(here())  # in the loop that it is used in
        return found[0]

    batches = BatchWorker(room.batches, room.blobs, Documents(Limits()), comparing_for, AT_ONCE)
    jobs = Worker(room.store, room.blobs, lambda _: at_once)
    room.database.create_tables()
    owner = Owner(room.database, "benchmark", settings.parallel)
    courier = Courier(room.deliveries, guarded_client(settings.webhooks), None)
    owner.launch(jobs.run, jobs.give_up, courier.deliver, batches)
    pipe.send("ready")
    images = pictures()
    while (asked := pipe.recv()) is not None:
        pipe.send(asyncio.run(directly(images, asked)) if asked else timed.spent_s)
    owner.close()


def leave(room: Storeroom, caller: str, number: int) -> str:
    uploads = [Upload(data).digested() for data in pictures()]
    room.blobs.put([(each.digest, each.data) for each in uploads])
    shown = [Picture(each.digest, f"{index}.png") for index, each in enumerate(uploads)]
    pairs = [BatchPair(each + 1, f"{each}.png", shown[0], shown[1 + each % CANDIDATES]) for each in range(number)]
    num_bytes = sum(len(each.data) for each in uploads)
    return room.batches.enqueue(BatchRequest.of(caller, None, CONFIG, pairs, file_bytes=num_bytes)).id


def watched(room: Storeroom, caller: str, batch: str, process: psutil.Process) -> tuple[float, list[float]]:
    """Seconds from the first pair to the last, and MiB of the process at each point of the curve."""
    curve: list[float] = []
    began = 0.0
    while True:
        found = room.batches.find(caller, batch)
        began = began or (time.perf_counter() if found.status != "queued" else 0.0)
        while len(curve) < len(CURVE) and found.num_done >= CURVE[len(curve)] * found.num_pairs:
            curve.append(process.memory_full_info().uss / MIB)
        if found.has_ended:
            assert found.num_done == found.num_pairs, found
            return time.perf_counter() - began, curve
        time.sleep(0.02)


def measure(name: str, url: str | None, number: int, compared: int) -> dict[str, Any]:
    """One row."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        settings = JobSettings(enabled=True, folder=folder, database_url=url)
        mine, theirs = context.Pipe()
        process = context.Process(target=own, args=(settings, theirs))
        process.start()
        mine.recv()
        room, seen = Storeroom.open(settings), psutil.Process(process.pid)

        def asked(question: int) -> float:
            mine.send(question)
            answer: float = mine.recv()
            return answer

        began = time.perf_counter()
        batch = leave(room, ANSWERED, number)
        left_s = time.perf_counter() - began
        answered_s, curve = watched(room, ANSWERED, batch, seen)
        store_s, before = asked(0), asked(compared // 2)
        compared_s, later = watched(room, COMPARED, leave(room, COMPARED, compared), seen)
        after = asked(compared // 2)
        mine.send(None)
        process.join(20)
        room.database.close()
    return {
        "database": name,
        "pairs": number,
        "left_s": left_s,
        "answered_s": answered_s,
        "store_ms": store_s / number * 1000,
        "curve_mib": curve,
        "growth_mib": max(curve[1:]) - curve[0],
        "direct_per_s": [before, after],
        "batch_per_s": compared / compared_s,
        "share": compared / compared_s / ((before + after) / 2),
        "growth_compared_mib": max(later[1:]) - later[0],
    }


def line(row: dict[str, Any]) -> str:
    direct = " and ".join(f"{each:.0f}" for each in row["direct_per_s"])
    curve = " | ".join(f"{each:.0f}" for each in row["curve_mib"])
    return (
        f"| {row['database']} | {row['left_s']:.1f} | {row['answered_s']:.1f} | {row['store_ms']:.2f} | {curve} | "
        f"{direct} | {row['batch_per_s']:.0f} | {row['share']:.0%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--compared", type=int, default=1000)
    options = parser.parse_args()
    points = " | ".join(f"MiB at {share:.0%}" for share in CURVE)
    columns = f"store, ms a pair | {points} | directly, pairs/s | batch, pairs/s | share"
    print(f"| database | left, s | answered, s | {columns} |")
    print("|---" * (7 + len(CURVE)) + "|", flush=True)
    rows = []
    with ExitStack() as stack:
        for name, url in databases(stack).items():
            rows.append(measure(name, url(), options.pairs, options.compared))
            print(line(rows[-1]), flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
