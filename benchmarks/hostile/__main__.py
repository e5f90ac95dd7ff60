"""What strangers can do to the service: a row for each kind of hostility, against an instance of its own.

    python -m benchmarks.hostile [--seconds 1200] [--rows bombs,flips] [--seed 1] [--files FOLDER]

Each row prints its line as soon as it is measured; that no process is lost and no ERROR logged is a goal of all. What
has an end is sent to its end; what has none (flips and the like) shares the time that is left. Exit code 1 where a goal
is not met.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, get_args

from benchmarks.hostile import altering, bodies, callers, ending, generated, headers, instance, pictures, words
from benchmarks.hostile.row import Bench, Box, Row
from serve_app.settings import ImageFormat


@dataclass(frozen=True, slots=True)
class Kind:
    """A row that can be asked for. `weight`: its share of the time that is left; 0 where it has an end.
    `is_guarded`: at a second instance, with an API key and a scripted model of 0.5 s."""

    name: str
    number: str  # as the exam's table calls it
    measure: Callable[[Bench], None]
    weight: float = 0.0
    is_guarded: bool = False


KINDS: Final = (
    Kind("doors", "J", bodies.doors),
    Kind("believed", "11", headers.believed),
    Kind("ids", "12", headers.ids),
    Kind("malformed", "15", headers.malformed),
    Kind("disguises", "4", pictures.disguises),
    Kind("marks", "27", words.marks),
    Kind("leaving", "23", callers.leaving),
    Kind("refusals", "3b", pictures.refusals),
    Kind("bombs", "3", pictures.bombs),
    Kind("small-values", "JB", bodies.small_values),
    Kind("bodies", "7", bodies.bodies),
    Kind("slow", "9, 10", callers.slow),
    Kind("given", "2", pictures.given),
    Kind("flips", "6", pictures.flips, 3),
    Kind("altered", "J2", altering.without_key, 1),
    Kind("described", "14", generated.described, 2),
    Kind("guided", "5", generated.guided, 3),
    Kind("keys", "28", words.keys, is_guarded=True),
    Kind("altered-keys", "J2", altering.with_key, 1, is_guarded=True),
    Kind("described-keys", "14", generated.described_with_key, 2, is_guarded=True),
    Kind("sigterm", "20", ending.sigterm, is_guarded=True),
)


def measured(kinds: Sequence[Kind], seconds: float, seed: int, files: Path | None) -> Iterator[tuple[Kind, Row]]:
    """Each row as soon as it is there: first those of the plain instance, then those of the guarded one."""
    end = time.monotonic() + seconds
    guarded = sum(kind.weight for kind in kinds if kind.is_guarded)
    for is_guarded in (False, True):
        chosen = [kind for kind in kinds if kind.is_guarded == is_guarded]
        if chosen:
            with (
                tempfile.TemporaryDirectory(prefix="keys-") as folder,
                instance.started(**(guard(Path(folder)) if is_guarded else OPEN)) as service,
                giving_way(),
            ):
                later = 0.0 if is_guarded else guarded
                yield from _rows(service, chosen, end, later, seed, files)


@contextmanager
def giving_way() -> Iterator[None]:
    """The callers, who would be elsewhere, take no core from the service: Ray runs its workers at a niceness of 15."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


def guard(folder: Path) -> dict[str, Any]:
    """Settings of the second instance."""
    file = folder / "keys"
    file.write_text(f"{hashlib.sha256(words.KEY.encode()).hexdigest()} shop\n", encoding="utf-8")
    return {"access": {"api_keys_file": str(file)}, "model": {"engine": "scripted", "scripted": {"delay_s": 0.5}}}


def _rows(
    service: instance.Instance, kinds: Sequence[Kind], end: float, later: float, seed: int, files: Path | None
) -> Iterator[tuple[Kind, Row]]:
    """`later`: the weight of all rows that come after these, at another instance."""
    for index, kind in enumerate(kinds):
        left_s = max(LEAST_S, end - time.monotonic())
        share = kind.weight / (later + sum(each.weight for each in kinds[index:])) if kind.weight else 1.0
        row = Row(kind.name)
        bench = Bench(service, Box(time.monotonic() + left_s * share), random.Random(f"{seed} {kind.name}"), row, files)
        try:
            kind.measure(bench)
        except Exception:  # noqa: BLE001 - a row that breaks must not cost those after it
            row.want("the row itself broke", False)
            row.wrong(traceback.format_exc()[-600:])
        yield kind, row


def line(kind: Kind, row: Row) -> str:
    """The row of the table; what was not met is set in bold type."""
    answers = ", ".join(f"{status or 'none'}: {number}" for status, number in sorted(row.answers.items()))
    told = (goal for goal in row.goals if not (goal.is_met and goal.is_usual))
    goals = [goal.text if goal.is_met else f"**{goal.text}**" for goal in told]
    verdict = "met" if row.is_met else "**not met**"
    cells = (f"{kind.number} {kind.name}", row.sent, answers, "; ".join([*goals, *row.cost]), verdict)
    return f"| {' | '.join(cells)} | {row.seconds:.0f} |"


# Settings of the first instance: every format that there is.
OPEN: Final[dict[str, Any]] = {
    "limits": {"formats": [kind for kind in get_args(ImageFormat) if kind != "HEIC" or find_spec("pi_heif")]}
}
HEAD: Final = "| row | sent | answers | found (wanted) | goals | s |\n|---|---|---|---|---|---|"
LEAST_S: Final = 30.0  # for a row that comes when the time is over
EXAMPLES: Final = 20  # of what went wrong, told at most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--rows", default=",".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--files", type=Path, help="a folder of pictures to send, such as Pillow's own Tests/images")
    asked = parser.parse_args()
    names = asked.rows.split(",")
    unknown = set(names) - {kind.name for kind in KINDS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {seed}\n")
    print(HEAD, flush=True)
    result: dict[str, Any] = {"seed": seed, "rows": {}}
    for kind, row in measured([kind for kind in KINDS if kind.name in names], asked.seconds, seed, asked.files):
        print(line(kind, row), flush=True)
        for wrong in row.wrongs[:EXAMPLES]:
            print(f"    {kind.name}: {wrong}", file=sys.stderr, flush=True)
        result["rows"][kind.name] = {
            "is_met": row.is_met,
            "goals": [[goal.text, goal.is_met] for goal in row.goals],
            "answers": {str(status or "none"): number for status, number in sorted(row.answers.items())},
            "wrong": row.wrongs[:EXAMPLES],
        }
    print(json.dumps(result))
    return 0 if all(row["is_met"] for row in result["rows"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
