"""Whether the processes of a cluster grow: what each holds at one moment, early samples against late ones."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

MIB: Final = 2**20
MOST_GROWTH: Final = (100.0, 0.05)  # MiB and share
MOST_DESCRIPTORS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Used:
    """What one process holds."""

    kind: str
    mib: float  # anonymous memory: not what is mapped from files or from the object store
    descriptors: int


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of the cluster at one moment, by id."""

    processes: dict[int, Used]
    temporary_files: int


def sample(temporary: Path) -> Sample:
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_info()
            found[process.pid] = Used(kind(process), (memory.rss - memory.shared) / MIB, process.num_fds())
    return Sample(found, sum(1 for path in temporary.rglob("*") if path.is_file()))


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


# --- the result


def growth(samples: list[Sample]) -> dict[str, dict[str, float]]:
    """By kind and in all: medians of the third and of the last fifth, of the processes that lived all along."""
    fifth = max(1, len(samples) // 5)
    early, late = samples[2 * fifth : 3 * fifth], samples[-fifth:]
    lived = set.intersection(*(set(each.processes) for each in samples[2 * fifth :]))
    rows: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for pid in sorted(lived):
        for name in (late[-1].processes[pid].kind, "all"):
            row = rows[name]
            row["processes"] += 1
            for when, part in (("early", early), ("late", late)):
                row[f"{when}_mib"] += statistics.median(each.processes[pid].mib for each in part)
                row[f"{when}_fds"] += statistics.median(each.processes[pid].descriptors for each in part)
    ordered = sorted(rows, key=lambda name: (name == "all", name))
    return {name: dict(rows[name]) for name in ordered}


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
