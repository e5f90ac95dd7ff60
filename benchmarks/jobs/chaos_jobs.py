"""Jobs under SIGKILL of any process: what was lost, stored twice or paid twice, and how soon work went on.
One node, two ingress, two preprocessor and two model replicas (scripted engine), the shipped config, SQLite.

    python -m benchmarks.jobs.chaos_jobs [--jobs 200] [--job-s 0.5]

It kills processes of the cluster that it has started itself, and nothing else. Each job has pictures of its own, so
what the model answered for is counted by them, in a file that survives whoever is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks.chaos import Condition, proxy, quietly, replica
from pairlens import Client, ComparisonError, ImageComparisonConfig, ServerFailed
from serve_app.errors import AlreadyEnded
from tests.rigs import nodes
from tests.worlds.samples import card, encoded

CALLERS: Final = 4
REPLICAS: Final = 2
BACK_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 180.0
CANCELS: Final = 10
KILLS: Final = ("VLModel", "Jobs", "Ingress", "Preprocessor", "proxy") * 2
AS_THEY_ARE: Final = ImageComparisonConfig(
    image_quality=100
)  # what the model is shown is as different as what was left
STAGES: Final[dict[str, dict[str, Any]]] = {
    "Preprocessor": {"autoscaling_config": {"min_replicas": REPLICAS, "max_replicas": REPLICAS}},
    "VLModel": {"autoscaling_config": None, "num_replicas": REPLICAS, "ray_actor_options": {"num_cpus": 0}},
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service keeps what this benchmark reads."""

    folder: Path

    @property
    def tally(self) -> Path:
        return self.folder / "tally"

    def events(self, since: float) -> list[tuple[str, str, str | None, float]]:
        """Job, state, stage and time of each event after a time, in order."""
        with closing(sqlite3.connect(f"file:{self.folder}/jobs.sqlite?mode=ro", uri=True)) as database:
            told = "SELECT job_id, status, stage, at FROM pairlens_job_events WHERE at > ? ORDER BY at"
            return list(database.execute(told, (since,)))

    def statuses(self) -> Counter[str]:
        with closing(sqlite3.connect(f"file:{self.folder}/jobs.sqlite?mode=ro", uri=True)) as database:
            return Counter(status for (status,) in database.execute("SELECT status FROM pairlens_jobs"))

    def one_more(self, what: str) -> Condition:
        """Whether that has happened once more than until now."""
        before = sum(self.done(what).values())
        return lambda: sum(self.done(what).values()) > before

    def last(self, what: str) -> float:
        return max(float(at) for kind, at, _ in map(str.split, self.tally.read_text().splitlines()) if kind == what)

    def running(self) -> set[str]:
        with closing(sqlite3.connect(f"file:{self.folder}/jobs.sqlite?mode=ro", uri=True)) as database:
            return {job for (job,) in database.execute("SELECT id FROM pairlens_jobs WHERE status = 'running'")}

    def done(self, what: str) -> Counter[str]:
        """How often the model has begun, stopped or answered, by pictures."""
        lines = (line.split() for line in self.tally.read_text().splitlines())
        return Counter(which for kind, _, which in lines if kind == what)


def strike(cluster: nodes.Nodes, what: str) -> Condition:
    return proxy(cluster) if what == "proxy" else replica(what)(cluster)


def suffer(cluster: nodes.Nodes, place: Place, what: str) -> dict[str, Any]:
    """One kill while jobs run: seconds until the process was back, until the next job had ended, and until something
    had happened to each of those that ran: begun anew, at the next stage, or ended."""
    nodes.eventually(lambda: bool(place.running()), within_s=60, what="a job that runs")
    running, struck = place.running(), time.time()
    is_back = strike(cluster, what)
    back_s = nodes.eventually(lambda: quietly(is_back), within_s=BACK_WITHIN_S, what=f"{what} to be back")

    def went_on() -> bool:
        return {job for job, _, _, _ in place.events(struck)} >= running

    with suppress(TimeoutError):
        nodes.eventually(went_on, within_s=BACK_WITHIN_S, what="each job that ran to go on")
    told = place.events(struck)
    first: dict[str, float] = {}
    for job, _, _, at in told:
        first.setdefault(job, at)
    ended = [at for _, status, _, at in told if status == "succeeded"]
    return {
        "killed": what,
        "running": len(running),
        "back_s": back_s,
        "next_s": min(ended) - struck if ended else None,
        "again_s": max(first[job] for job in running) - struck if went_on() else None,
    }


def pictures(number: int) -> tuple[bytes, bytes]:
    """A pair that no other number has."""
    square = Image.new("RGB", (40, 40), (number % 251, number // 251 % 251, 200))
    candidate = card()
    candidate.paste(square, (20, 20))
    return encoded(card()), encoded(candidate)


def leave(url: str, number: int) -> tuple[str, float]:
    """A job's id, and the seconds until it was taken, however often it had to be sent."""
    pair, began = pictures(number), time.monotonic()
    while True:
        with Client(url) as client, suppress(ComparisonError, ServerFailed):
            job = client.jobs.create(*pair, AS_THEY_ARE, idempotency_key=f"chaos-{number}")
            return job.id, time.monotonic() - began


@contextmanager
def left(url: str, number: int) -> Iterator[list[tuple[str, float]]]:
    """Jobs come in from some callers while the block runs; at its end all have been taken."""
    taken: list[tuple[str, float]] = []
    with ThreadPoolExecutor(CALLERS) as callers:
        lock = threading.Lock()

        def one(each: int) -> None:
            found = leave(url, each)
            with lock:
                taken.append(found)

        under_way = [callers.submit(one, each) for each in range(number)]
        yield taken
        for each in under_way:
            each.result()


def under_kills(cluster: nodes.Nodes, place: Place, number: int) -> dict[str, Any]:
    began, kills = time.time(), []
    with left(cluster.url, number) as taken:
        for what in KILLS:
            kills.append(suffer(cluster, place, what))
            print(json.dumps(kills[-1]), file=sys.stderr, flush=True)
            time.sleep(1.0)
    over = {"succeeded", "failed", "cancelled"}
    with suppress(TimeoutError):
        nodes.eventually(lambda: set(place.statuses()) <= over, within_s=END_WITHIN_S, what="all jobs to end")
    statuses, answered = place.statuses(), place.done("answered")
    ends = Counter(job for job, status, _, _ in place.events(0) if status in over)
    return {
        "kills": kills,
        "jobs": number,
        "ids": len({job for job, _ in taken}),
        "statuses": dict(statuses),
        "lost": number - statuses["succeeded"],
        "stored_twice": sum(statuses.values()) - number,
        "ended_twice": sum(times > 1 for times in ends.values()),
        "paid_twice": sum(times - 1 for times in answered.values()),
        "begun_again": sum(times - 1 for times in place.done("begun").values()),
        "left_s": statistics.median(seconds for _, seconds in taken),
        "took_s": time.time() - began,
    }


def cancels(url: str, place: Place) -> list[float]:
    """Seconds from asking for a cancel until the model's loop has stopped."""
    found = []
    for number in range(CANCELS):
        has_begun, has_stopped = place.one_more("begun"), place.one_more("stopped")
        with Client(url) as client, suppress(AlreadyEnded):
            job = client.jobs.create(*pictures(100_000 + number), AS_THEY_ARE)
            nodes.eventually(has_begun, within_s=30, what="the model at work")
            asked = time.time()
            job.cancel()
            nodes.eventually(has_stopped, within_s=10, what="a stop")
            found.append(place.last("stopped") - asked)
    return found


def table(outcome: dict[str, Any]) -> str:
    lines = ["| killed | jobs running | its process back, s | next job ended, s | all of those go on, s |"]
    lines.append("|---|---|---|---|---|")
    for kill in outcome["kills"]:
        shown = ("-" if kill[key] is None else f"{kill[key]:.1f}" for key in ("back_s", "next_s", "again_s"))
        lines.append(f"| {kill['killed']} | {kill['running']} | {' | '.join(shown)} |")
    counted = ("jobs", "lost", "stored_twice", "ended_twice", "paid_twice", "begun_again")
    lines += ["", "| jobs | lost | stored twice | ended twice | paid twice | begun again | cancel to the loop, ms |"]
    lines += ["|---|---|---|---|---|---|---|"]
    worst_ms = max(outcome["cancel_s"]) * 1000
    lines.append(f"| {' | '.join(str(outcome[key]) for key in counted)} | at most {worst_ms:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--job-s", type=float, default=0.5)
    asked = parser.parse_args()
    with nodes.started(gpu_nodes=0) as cluster:
        place = Place(cluster.folder / "jobs")
        place.folder.mkdir()
        place.tally.touch()
        raw = nodes.config(delay_s=asked.job_s, gpus=0, stages=STAGES, jobs=place.folder)
        raw["applications"][0]["args"]["model"]["scripted"]["tally"] = str(place.tally)
        cluster.deploy(raw)
        nodes.eventually(cluster.is_ready, within_s=120, what="a service that is ready")
        place.tally.write_text("")  # its own warm-up
        outcome = under_kills(cluster, place, asked.jobs)
        outcome["cancel_s"] = cancels(cluster.url, place)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ", end="")
    print(f"{CALLERS} callers, {asked.job_s:g} s a job, {outcome['took_s']:.0f} s in all\n")
    print(f"{table(outcome)}\n{json.dumps(outcome)}")


if __name__ == "__main__":
    main()
