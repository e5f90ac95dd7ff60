"""What tracing costs: the same comparisons at services side by side that trace none, one in a hundred, and all.

    python -m benchmarks.bench_tracing [--rounds 20] [--requests 60]

`pairlens serve` four times, with one collector on the same machine. In each round every service gets as many requests
from two callers, in an order that turns from round to round; what is told is the median over the rounds of a service's
throughput and CPU time by those of the first, and between which the middle half of the rounds lies. A second service
that traces nothing says how much of it is chance.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import httpx2
import psutil

from benchmarks.bench_service import pair
from benchmarks.hostile import instance
from tests.rigs.collector import collecting

EXPORTER: Final = "serve_app.serving.deployments.tracing:to_collector"
# By the row's name: the ratio of requests that are traced, or None where tracing is off.
SERVICES: Final[dict[str, float | None]] = {"off": None, "off, again": None, "1 %": 0.01, "100 %": 1.0}
CALLERS: Final = 2
PARTS: Final = ("proxy", "Ingress", "Preprocessor", "VLModel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=60, help="at each service in each round")
    asked = parser.parse_args()
    with collecting() as collector, ExitStack() as stack:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        services = {name: stack.enter_context(_service(ratio)) for name, ratio in SERVICES.items()}
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        rows = measured(services, asked.rounds, asked.requests)
        spans = len(collector.spans)
    print(f"{rows['off']['per_s']:.1f} comparisons/s and {rows['off']['cpu_ms']:.1f} ms of CPU each with tracing off\n")
    print("| traced | throughput by that of off | middle half | CPU by that of off | middle half |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        told = (
            f"{row[f'{of}_ratio']:.3f} | {row[f'{of}_low']:.3f} to {row[f'{of}_high']:.3f}"
            for of in ("per_s", "cpu_ms")
        )
        print(f"| {name} | {' | '.join(told)} |")
    print(json.dumps({"rows": rows, "spans": spans, "rounds": asked.rounds, "requests": asked.requests}))


@contextmanager
def _service(ratio: float | None) -> Iterator[instance.Instance]:
    tracing = {"enabled": True, "exporter_import_path": EXPORTER, "sampling_ratio": ratio}
    with instance.started(tracing=None if ratio is None else tracing) as service:
        yield service


def measured(services: dict[str, instance.Instance], rounds: int, num_requests: int) -> dict[str, dict[str, float]]:
    """By service: the medians, and how its rounds stand to those of the first service."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in services}
    for number in range(rounds + 1):
        names = list(services)
        turned = [*names[number % len(names) :], *names[: number % len(names)]]
        for name in turned:
            block = _block(services[name], num_requests)
            if number:  # the first is for warming up
                found[name].append(block)
    first = found["off"]
    rows = {}
    for name, blocks in found.items():
        row = {}
        for of in ("per_s", "cpu_ms"):
            ratios = [block[of] / base[of] for block, base in zip(blocks, first, strict=True)]
            row[of] = statistics.median(block[of] for block in blocks)
            row[f"{of}_ratio"] = statistics.median(ratios)
            row[f"{of}_low"], _, row[f"{of}_high"] = statistics.quantiles(ratios, n=4)
        rows[name] = row
    return rows


def _block(service: instance.Instance, num_requests: int) -> dict[str, float]:
    files = [("files", (name, data)) for name, data in zip(("a.png", "b.png"), pair(), strict=True)]

    def ask(number: int) -> None:
        with httpx2.Client(base_url=service.url, timeout=60, headers={"Cache-Control": "no-store"}) as client:
            for _ in range(number):
                answer = client.post("/v1/compare", files=files)
                assert answer.status_code == httpx2.codes.OK, answer.text

    cpu, began = _cpu_s(service), time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(ask, [num_requests // CALLERS] * CALLERS))
    took = time.perf_counter() - began
    sent = num_requests // CALLERS * CALLERS
    return {"per_s": sent / took, "cpu_ms": (_cpu_s(service) - cpu) / sent * 1000}


def _cpu_s(service: instance.Instance) -> float:
    """Of the proxy and all replicas."""
    used: list[Any] = [psutil.Process(pid).cpu_times() for pid in service.watch.pids(*PARTS)]
    return sum(float(each.user + each.system) for each in used)


if __name__ == "__main__":
    main()
