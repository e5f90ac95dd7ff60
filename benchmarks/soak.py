"""Mixed load for a long time: different images, broken ones, near deadlines, callers who leave, replicas killed.
Does anything grow? Memory, descriptors and temporary files of every process of the cluster, sampled all along.

    python -m benchmarks.soak [--minutes 60]

The last fifth of the samples is held against the second fifth (the first is warming up). A process that a fault
has replaced is compared by its kind: two replicas a stage, one killed at a time. Exit code 1 where something grew.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import re
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
from PIL import Image, ImageDraw

from benchmarks import chaos, nodes

MODELS: Final = 2
SAMPLE_S: Final = 5.0
PACE_S: Final = 0.4  # pause of a caller after each answer: about ten requests a second in all
MIB: Final = 2**20
MOST_GROWTH: Final = (100.0, 0.05)  # MiB and share
MOST_DESCRIPTORS: Final = 0.05

Habit = Callable[[httpx.Client, str, list[bytes], random.Random], str]


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes at one moment, by kind: mebibytes (PSS), descriptors, number."""

    at: float
    memory: dict[str, float]
    descriptors: dict[str, int]
    number: dict[str, int]
    temporary_files: int


@dataclass(slots=True)
class Watch:
    """Samples every `SAMPLE_S` seconds until `stop`."""

    temporary: Path
    samples: list[Sample] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(SAMPLE_S):
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        memory: defaultdict[str, float] = defaultdict(float)
        descriptors: defaultdict[str, int] = defaultdict(int)
        number: defaultdict[str, int] = defaultdict(int)
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                name = kind(process)
                used = process.memory_full_info().pss / MIB
                memory[name] += used
                descriptors[name] += process.num_fds()
                number[name] += 1
        left = sum(1 for path in self.temporary.rglob("*") if path.is_file())
        return Sample(time.monotonic(), dict(memory), dict(descriptors), dict(number), left)


def kind(process: psutil.Process) -> str:
    """What a process of the cluster is: a stage, the proxy, the controller, or one of Ray's own."""
    if process.name() in ("raylet", "gcs_server"):
        return str(process.name())
    title = " ".join(process.cmdline())
    replica = re.match(r"ray::ServeReplica:\w+:(\w+)", title)
    if replica:
        return replica[1]
    names = {"ProxyActor": "proxy", "ServeController": "controller", "ray::": "idle worker"}
    return next((name for part, name in names.items() if part in title), "Ray's helpers")


# --- callers


def pool(number: int = 40) -> list[bytes]:
    """Different images: sizes from 64 to 1600 px, smooth and flat ones, five formats."""
    chosen, noise = random.Random(3), np.random.default_rng(3)
    made = []
    for index in range(number):
        size = (chosen.randrange(64, 1600), chosen.randrange(64, 1200))
        coarse = Image.fromarray(noise.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        image = coarse.resize(size, Image.Resampling.BICUBIC) if index % 2 else Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(image)
        for _ in range(8):
            x, y = chosen.randrange(size[0]), chosen.randrange(size[1])
            draw.rectangle((x, y, x + 60, y + 20), fill=chosen.choice(("navy", "teal", "red", "black")))
        encoded = io.BytesIO()
        image.save(encoded, chosen.choice(("PNG", "JPEG", "WEBP", "BMP", "GIF")))
        made.append(encoded.getvalue())
    return made


def send(client: httpx.Client, url: str, first: bytes, second: bytes, config: dict[str, Any]) -> str:
    files = [("files", ("a", first)), ("files", ("b", second))]
    response = client.post(f"{url}/v1/compare", files=files, data={"config": json.dumps(config)})
    return str(response.status_code)


def plain(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    return send(client, url, chosen.choice(images), chosen.choice(images), {"focus_elements": ["logo"]})


def drawn(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    config = {"visuals": ["overlay", "heatmap", "side_by_side"], "language": "zh"}
    return send(client, url, chosen.choice(images), chosen.choice(images), config)


def same(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    image = chosen.choice(images)
    return send(client, url, image, image, {})


def broken(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    image = chosen.choice(images)
    wrong = chosen.choice((image[: len(image) // 2], b"%!PS-Adobe-3.0 EPSF-3.0", b"", chosen.randbytes(5000)))
    return send(client, url, image, wrong, chosen.choice(({}, {"unknown": 1})))


def hurried(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    config = {"processing_timeout": chosen.uniform(0.05, 0.4)}
    return send(client, url, chosen.choice(images), chosen.choice(images), config)


def leaving(client: httpx.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    del client
    with httpx.Client(timeout=chosen.uniform(0.02, 0.3), trust_env=False) as impatient:
        return send(impatient, url, chosen.choice(images), chosen.choice(images), {})


HABITS: Final[tuple[Habit, ...]] = (plain, plain, drawn, same, broken, hurried, leaving)


@contextmanager
def callers(url: str, counted: Counter[str]) -> Iterator[None]:
    """One caller a habit, at work while the block is open."""
    stop, images = threading.Event(), pool()

    def work(habit: Habit, seed: int) -> None:
        chosen = random.Random(seed)
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not stop.wait(PACE_S):
                try:
                    outcome = habit(client, url, images, chosen)
                except httpx.TransportError as exc:
                    outcome = type(exc).__name__
                counted[f"{habit.__name__}: {outcome}"] += 1

    threads = [threading.Thread(target=work, args=(habit, seed), daemon=True) for seed, habit in enumerate(HABITS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(70)


def kill_now_and_then(cluster: nodes.Nodes, until: float, every_s: float) -> int:
    """One replica of each stage in turn; the number of those killed."""
    killed = 0
    while time.monotonic() + every_s < until:
        time.sleep(every_s)
        stage = ("VLModel", "Preprocessor", "Ingress")[killed % 3]
        running = cluster.replicas(stage)
        if len(running) == MODELS:
            cluster.kill(running[0].pid)
            killed += 1
    time.sleep(max(0.0, until - time.monotonic()))
    return killed


# --- the result


def growth(samples: list[Sample]) -> dict[str, dict[str, float]]:
    """By kind and in all: medians of the second and of the last fifth, memory and descriptors.

    Only samples with as many processes as at the end: while one is replaced the sum says nothing.
    """
    fifth = max(1, len(samples) // 5)
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    kinds = sorted({name for sample in late for name in sample.memory} - {"idle worker"})

    def middle(part: list[Sample], names: list[str], what: str) -> float:
        full = statistics.median_high(sum(each.number.get(name, 0) for name in names) for each in samples)
        whole = [each for each in part if sum(each.number.get(name, 0) for name in names) == full] or part
        return float(statistics.median(sum(getattr(each, what).get(name, 0) for name in names) for each in whole))

    groups = {name: [name] for name in kinds} | {"all": kinds}
    return {
        name: {
            "early_mib": middle(early, names, "memory"),
            "late_mib": middle(late, names, "memory"),
            "early_fds": middle(early, names, "descriptors"),
            "late_fds": middle(late, names, "descriptors"),
        }
        for name, names in groups.items()
    }


def judged(grown: dict[str, dict[str, float]], temporary_files: int) -> list[str]:
    """What is over the limits, a sentence each."""
    total = grown["all"]
    more = total["late_mib"] - total["early_mib"]
    problems = []
    if more > MOST_GROWTH[0] or more > MOST_GROWTH[1] * total["early_mib"]:
        problems.append(f"memory grew by {more:.0f} MiB")
    if total["late_fds"] > total["early_fds"] * (1 + MOST_DESCRIPTORS):
        problems.append(f"descriptors grew from {total['early_fds']:.0f} to {total['late_fds']:.0f}")
    if temporary_files:
        problems.append(f"{temporary_files} temporary files were left")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    counted: Counter[str] = Counter()
    with nodes.started(gpu_nodes=MODELS, own_tmp=True) as cluster:
        cluster.deploy(chaos.config(VLModel={"max_surge_percent": 0}))
        nodes.eventually(lambda: chaos.well(cluster), within_s=90, what="the service")
        watch = Watch(cluster.folder / "tmp")
        watching = threading.Thread(target=watch.run, daemon=True)
        watching.start()
        with callers(cluster.url, counted):
            killed = kill_now_and_then(cluster, time.monotonic() + minutes * 60, every_s=minutes * 60 / 10)
        time.sleep(2 * SAMPLE_S)  # what the last requests left is to be gone by now
        watch.stop.set()
        watching.join()
    grown, left = growth(watch.samples), watch.samples[-1].temporary_files
    problems = judged(grown, left)
    print(f"{minutes:g} minutes, {counted.total()} requests, {killed} replicas killed. ", end="")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n")
    print("| processes | MiB (PSS) before | after | growth | descriptors before | after |\n|---|---|---|---|---|---|")
    for name, row in grown.items():
        more = row["late_mib"] - row["early_mib"]
        share = more / max(1.0, row["early_mib"])
        print(
            f"| {name} | {row['early_mib']:.0f} | {row['late_mib']:.0f} | {more:+.1f} MiB, {share:+.1%} "
            f"| {row['early_fds']:.0f} | {row['late_fds']:.0f} |"
        )
    print(f"\nTemporary files left: {left}. Answers: {dict(sorted(counted.items()))}.")
    print(f"Verdict: {'; '.join(problems) or 'nothing grew'}.")
    print(json.dumps({"minutes": minutes, "answers": counted, "growth": grown, "temporary_files": left}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
