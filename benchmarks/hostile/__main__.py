"""What strangers can do to the service: a row for each kind of hostility, against an instance of its own.

    python -m benchmarks.hostile [--seconds 900] [--rows bombs,flips] [--seed 1]

Each row prints its line as soon as it is measured. What has an end is sent to its end; what has none (flips and the
like) shares the time that is left. Exit code 1 where a goal is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.hostile import bodies, headers, instance, pictures
from benchmarks.hostile.row import Bench, Box, Row


@dataclass(frozen=True, slots=True)
class Kind:
    """A row that can be asked for. `weight`: its share of the time that is left; 0 where it has an end."""

    name: str
    number: str  # as the exam's table calls it
    measure: Callable[[Bench], None]
    weight: float = 0.0


KINDS: Final = (
    Kind("doors", "J", bodies.doors),
    Kind("believed", "11", headers.believed),
    Kind("ids", "12", headers.ids),
    Kind("malformed", "15", headers.malformed),
    Kind("disguises", "4", pictures.disguises),
    Kind("refusals", "3b", pictures.refusals),
    Kind("bombs", "3", pictures.bombs),
    Kind("small-values", "JB", bodies.small_values),
    Kind("bodies", "7", bodies.bodies),
    Kind("flips", "6", pictures.flips, 3),
)


def measured(kinds: Sequence[Kind], seconds: float, seed: int) -> Iterator[tuple[Kind, Row]]:
    """Each row as soon as it is there, on one instance."""
    end = time.monotonic() + seconds
    with instance.started() as service:
        for index, kind in enumerate(kinds):
            weights = sum(each.weight for each in kinds[index:])
            left_s = max(0.0, end - time.monotonic())
            share = kind.weight / weights if kind.weight else 1.0
            row = Row(kind.name)
            bench = Bench(service, Box(time.monotonic() + left_s * share), random.Random(f"{seed} {kind.name}"), row)
            try:
                kind.measure(bench)
            except Exception:  # noqa: BLE001 - a row that breaks must not cost those after it
                row.want("the row itself broke", False)
                row.wrong(traceback.format_exc()[-600:])
            yield kind, row


def line(kind: Kind, row: Row) -> str:
    """The row of the table."""
    answers = ", ".join(f"{status or 'none'}: {number}" for status, number in sorted(row.answers.items()))
    goals = "; ".join(goal.text for goal in row.goals)
    verdict = "met" if row.is_met else "**not met**"
    cells = (f"{kind.number} {kind.name}", row.sent, answers, "; ".join(row.cost), goals, verdict, f"{row.seconds:.0f}")
    return f"| {' | '.join(cells)} |"


HEAD: Final = "| row | sent | answers | seen | goals | verdict | s |\n|---|---|---|---|---|---|---|"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--rows", default=",".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    names = asked.rows.split(",")
    unknown = set(names) - {kind.name for kind in KINDS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {seed}\n")
    print(HEAD, flush=True)
    result: dict[str, Any] = {"seed": seed, "rows": {}}
    for kind, row in measured([kind for kind in KINDS if kind.name in names], asked.seconds, seed):
        print(line(kind, row), flush=True)
        for example in row.examples:
            print(f"    {kind.name}: {example}", file=sys.stderr, flush=True)
        result["rows"][kind.name] = {
            "is_met": row.is_met,
            "goals": [[goal.text, goal.is_met] for goal in row.goals],
            "answers": {str(status or "none"): number for status, number in sorted(row.answers.items())},
            "examples": row.examples,
        }
    print(json.dumps(result))
    return 0 if all(row["is_met"] for row in result["rows"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
