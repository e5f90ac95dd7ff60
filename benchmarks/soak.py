"""Mixed load for a long time: different images, broken ones, near deadlines, callers who leave, replicas killed.
Does anything grow? Memory, descriptors and temporary files of the cluster's processes, sampled while all callers rest.

    python -m benchmarks.soak [--minutes 60]

Of thirty samples the last fifth is held against the third (until then allocators fill), process by process, for
those that lived all the time: of two replicas a stage the younger is killed now and then. Exit code 1 where it grew.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2
import numpy as np
import psutil
from PIL import Image, ImageDraw

from benchmarks import chaos
from tests.rigs import nodes
from tests.rigs.growth import Sample, growth, judged, sample

MODELS: Final = 2
SAMPLES: Final = 30
REST_S: Final = 4.0  # longer than any request that is on its way when the callers stop
PACE_S: Final = 0.4  # pause of a caller after each answer: about ten requests a second in all

Habit = Callable[[httpx2.Client, str, list[bytes], random.Random], str]


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


def send(client: httpx2.Client, url: str, first: bytes, second: bytes, config: dict[str, Any]) -> str:
    files = [("files", ("a", first)), ("files", ("b", second))]
    response = client.post(
        f"{url}/v1/compare", files=files, data={"config": json.dumps(config)}, headers={"cache-control": "no-store"}
    )
    return str(response.status_code)


def plain(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    return send(client, url, chosen.choice(images), chosen.choice(images), {"focus_elements": ["logo"]})


def drawn(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    config = {"visuals": ["overlay", "heatmap", "side_by_side"], "language": "zh"}
    return send(client, url, chosen.choice(images), chosen.choice(images), config)


def same(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    image = chosen.choice(images)
    return send(client, url, image, image, {})


def broken(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    image = chosen.choice(images)
    wrong = chosen.choice((image[: len(image) // 2], b"%!PS-Adobe-3.0 EPSF-3.0", b"", chosen.randbytes(5000)))
    return send(client, url, image, wrong, chosen.choice(({}, {"unknown": 1})))


def hurried(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    config = {"processing_timeout": chosen.uniform(0.05, 0.4)}
    return send(client, url, chosen.choice(images), chosen.choice(images), config)


def leaving(client: httpx2.Client, url: str, images: list[bytes], chosen: random.Random) -> str:
    del client
    with httpx2.Client(timeout=chosen.uniform(0.02, 0.3), trust_env=False) as impatient:
        return send(impatient, url, chosen.choice(images), chosen.choice(images), {})


HABITS: Final[tuple[Habit, ...]] = (plain, plain, drawn, same, broken, hurried, leaving)


@contextmanager
def callers(url: str, counted: Counter[str], rest: threading.Event) -> Iterator[None]:
    """One caller a habit, at work while the block is open and `rest` is not set."""
    stop, images = threading.Event(), pool()

    def work(habit: Habit, seed: int) -> None:
        chosen = random.Random(seed)
        with httpx2.Client(timeout=60, trust_env=False) as client:
            while not stop.wait(PACE_S):
                if rest.is_set():
                    continue
                try:
                    outcome = habit(client, url, images, chosen)
                except httpx2.TransportError as exc:
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


def run(cluster: nodes.Nodes, seconds: float, counted: Counter[str]) -> tuple[list[Sample], int]:
    """Load with rests, a sample at the end of each, a replica killed after every third. Samples; how many killed."""
    rest, samples, killed = threading.Event(), [], 0
    with callers(cluster.url, counted, rest):
        for number in range(SAMPLES):
            time.sleep(max(1.0, seconds / SAMPLES - REST_S))
            rest.set()
            time.sleep(REST_S)
            samples.append(sample(cluster.folder / "tmp"))
            rest.clear()
            if number % 3 == 0:
                killed += kill_younger(cluster, ("VLModel", "Preprocessor", "Ingress")[number // 3 % 3])
    return samples, killed


def kill_younger(cluster: nodes.Nodes, stage: str) -> int:
    """SIGKILL for the one of two replicas that was started later; 0 where only one runs."""
    running = [each.pid for each in cluster.replicas(stage)]
    if len(running) < 2:
        return 0
    cluster.kill(max(running, key=lambda pid: psutil.Process(pid).create_time()))
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    counted: Counter[str] = Counter()
    with nodes.started(gpu_nodes=MODELS, own_tmp=True) as cluster:
        cluster.deploy(chaos.config(VLModel={"max_surge_percent": 0}))
        nodes.eventually(lambda: chaos.well(cluster), within_s=90, what="the service")
        samples, killed = run(cluster, minutes * 60, counted)
    grown, left = growth(samples), samples[-1].temporary_files
    problems = judged(grown, left)
    print(f"{minutes:g} minutes, {counted.total()} requests, {killed} replicas killed. ", end="")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n")
    print("| processes that lived all the time | MiB before | after | growth | descriptors before | after |")
    print("|---|---|---|---|---|---|")
    for name, row in grown.items():
        more = row["late_mib"] - row["early_mib"]
        share = more / max(1.0, row["early_mib"])
        cells = (f"{row['processes']:.0f} {name}", f"{row['early_mib']:.0f}", f"{row['late_mib']:.0f}")
        print(f"| {' | '.join(cells)} | {more:+.1f} MiB, {share:+.1%} ", end="")
        print(f"| {row['early_fds']:.0f} | {row['late_fds']:.0f} |")
    print(f"\nTemporary files left: {left}. Answers: {dict(sorted(counted.items()))}.")
    print(f"Verdict: {'; '.join(problems) or 'nothing grew'}.")
    oldest = {used.kind: pid for pid, used in reversed(samples[-1].processes.items()) if pid in samples[0].processes}
    series = {name: [round(each.processes[pid].mib) for each in samples] for name, pid in oldest.items()}
    result = {"minutes": minutes, "answers": counted, "growth": grown, "temporary_files": left, "series_mib": series}
    print(json.dumps(result))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
