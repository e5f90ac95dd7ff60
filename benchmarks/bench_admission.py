"""What admission is worth, in a made-up cluster with a clock of its own: promises kept and capacity used, by load.
No Ray and no HTTP: `tests/cluster/test_admission.py` shows the same on the real service.

    python -m benchmarks.bench_admission [--minutes 5]

Two replicas serve jobs of 0.5 s on average (log-normal, spread 0.3), callers want their answer within 5 s. Beside ours:
a queue of 64 places that looks at no deadline, which is what a queue limit alone does.
"""

from __future__ import annotations

import argparse
import json
import random
from typing import Any, Final

from tests.worlds.admission import World

REPLICAS: Final = 2
JOB_S: Final = 0.5
SPREAD: Final = 0.3
TIMEOUT_S: Final = 5.0
PLACES: Final = 64
LOADS: Final = (0.5, 0.9, 1.2, 2.0, 10.0)


def measure(load: float, minutes: float, places: int | None) -> dict[str, Any]:
    """One row: arrivals at `load` times the capacity."""
    dice = random.Random(1)
    world = World(REPLICAS, lambda: JOB_S * dice.lognormvariate(-SPREAD * SPREAD / 2, SPREAD), places=places)
    capacity_per_s = REPLICAS / JOB_S
    sent = world.arrivals("a", load * capacity_per_s, minutes * 60, TIMEOUT_S, dice)
    world.run()
    in_time, late = world.answered.total(), world.late.total()
    return {
        "load": load,
        "policy": "ours" if places is None else f"{places} places",
        "refused": world.refused.total() / sent,
        "late": late / max(1, in_time + late),
        "goodput": in_time / min(1.0, load) / (capacity_per_s * minutes * 60),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the made-up clock")
    minutes = parser.parse_args().minutes
    rows = [measure(load, minutes, places) for load in LOADS for places in (None, PLACES)]
    print("| load | policy | refused | late of those let in | in time, of what was possible |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['load']:g}x | {row['policy']} | {row['refused']:.1%} | {row['late']:.1%} | {row['goodput']:.0%} |"
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
