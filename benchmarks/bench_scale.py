"""Throughput against the number of VLModel replicas, each with a logical GPU on a node of its own, over real HTTP.
The scripted engine takes a fixed time and no processor, so that the service is measured and not this machine.

    python -m benchmarks.bench_scale [--replicas 1 2 4] [--seconds 20] [--delay 0.5]

Callers keep every replica busy (three a replica, each sends again as soon as it is answered). The ideal is
replicas / delay; the efficiency is what was reached of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from typing import Any

from tests.rigs import load, nodes

CALLERS_A_REPLICA = 3


def measure(cluster: nodes.Nodes, replicas: int, delay_s: float, seconds: float) -> dict[str, Any]:
    """One row: deploy so many replicas, saturate them, count."""
    stages: dict[str, dict[str, Any]] = {
        "VLModel": {"autoscaling_config": None, "num_replicas": replicas, "graceful_shutdown_timeout_s": 5},
        "Preprocessor": {"autoscaling_config": {"min_replicas": 2, "max_replicas": 2}},
    }
    stages["VLModel"]["ray_actor_options"] = {"num_cpus": 0, "num_gpus": 1}
    cluster.deploy(nodes.config(delay_s=delay_s, gpus=1, stages=stages))
    nodes.eventually(
        lambda: len(cluster.replicas("VLModel")) == replicas and cluster.is_ready(), within_s=90, what="all replicas"
    )
    with load.callers(cluster.url, replicas * CALLERS_A_REPLICA) as under_way:
        time.sleep(3)  # until every replica has work
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
    done = [each for each in under_way.answers if began <= each.sent + each.took_s < ended]
    good = [each for each in done if each.status == 200]
    return {
        "replicas": replicas,
        "per_second": len(good) / (ended - began),
        "ideal": replicas / delay_s,
        "p50_s": load.percentile(good, 0.5),
        "p95_s": load.percentile(good, 0.95),
        "not_200": len(done) - len(good),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--delay", type=float, default=0.5)
    asked = parser.parse_args()
    with nodes.started(gpu_nodes=max(asked.replicas)) as cluster:
        rows = [measure(cluster, number, asked.delay, asked.seconds) for number in asked.replicas]
    print(
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {asked.delay:g} s a job"
    )
    print("| replicas | comparisons/s | ideal | efficiency | p50 s | p95 s | not 200 |\n|---|---|---|---|---|---|---|")
    for row in rows:
        efficiency = row["per_second"] / row["ideal"]
        print(
            f"| {row['replicas']} | {row['per_second']:.2f} | {row['ideal']:.2f} | {efficiency:.0%} "
            f"| {row['p50_s']:.2f} | {row['p95_s']:.2f} | {row['not_200']} |"
        )
    print(json.dumps({"delay_s": asked.delay, "seconds": asked.seconds, "rows": rows}))


if __name__ == "__main__":
    main()
