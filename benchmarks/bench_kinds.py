"""Pairs of every kind that people bring, by strength: how many come out as a person would say.

Run from the repository: `python -m benchmarks.bench_kinds [--only WORD] [--seeds N] [--wrong] [--before FILE]`. Both
ways round, each pair: (a, b) and (b, a) must agree. Writes benchmarks/results/kinds.md where every kind is run; the
last line is JSON, which `--before` takes from an earlier run to show beside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in replicas, where Ray sees to it

import cv2

from benchmarks.peers.measurement_speed import raster
from serve_app import measurement
from serve_app.core.measured import Measurement
from tests.worlds import copied, ignoring, labels, light, reflow, rescaled
from tests.worlds.known import Kind, KnownPair, misses

KINDS: tuple[Kind, ...] = (*labels.KINDS, *ignoring.KINDS, *rescaled.KINDS, *reflow.KINDS, *light.KINDS, *copied.KINDS)
RESULTS = Path(__file__).parent / "results" / "kinds.md"


@dataclass(frozen=True)
class Row:
    """One kind at one strength: so many pairs of all came out right, in so many milliseconds each."""

    kind: str
    strength: float
    unit: str
    right: int
    all: int
    ms: float


def row(kind: Kind, strength: float, seeds: int, *, tells: bool) -> Row:
    right, spent = 0, 0.0
    for seed in range(seeds):
        pair = kind.make(strength, seed)
        started = time.perf_counter()
        found = measured(pair)
        spent += time.perf_counter() - started
        wrong = misses(pair, found)
        if not pair.ignored:
            back = measured(KnownPair(pair.candidate, pair.reference))
            if (back.similarity, len(back.differences)) != (found.similarity, len(found.differences)):
                wrong.append("another answer the other way round")
        right += not wrong
        if wrong and tells:
            print(f"  {kind.name} {strength:g}, seed {seed}: {found.alignment.kind}, {'; '.join(wrong[:3])}")
    return Row(kind.name, strength, kind.unit, right, seeds, 1000 * spent / seeds)


def measured(pair: KnownPair) -> Measurement:
    """Where regions are ignored, by the CPU stage, decoding included."""
    if pair.ignored:
        return ignoring.examined(pair)
    return measurement.measure(raster(pair.reference), raster(pair.candidate))


def table(rows: list[Row], before: dict[tuple[str, float], int]) -> Iterator[str]:
    yield "| kind | strength | right before | right | of | ms |"
    yield "|---|---|---|---|---|---|"
    for each in rows:
        then = before.get((each.kind, each.strength), "")
        yield f"| {each.kind} | {each.strength:g} {each.unit} | {then} | {each.right} | {each.all} | {each.ms:.0f} |"


def earlier(path: Path | None) -> dict[tuple[str, float], int]:
    """By kind and strength, how many were right in an earlier run; its output or its last line."""
    if path is None:
        return {}
    rows = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return {(row["kind"], row["strength"]): row["right"] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--seeds", type=int, default=6, help="pairs a kind and strength")
    parser.add_argument("--wrong", action="store_true", help="tell what came out otherwise")
    parser.add_argument("--before", type=Path, help="the output of an earlier run")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    chosen = [kind for kind in KINDS if options.only in kind.name]
    rows = [row(kind, strength, options.seeds, tells=options.wrong) for kind in chosen for strength in kind.strengths]
    lines = list(table(rows, earlier(options.before)))
    print("\n".join(lines))
    if len(chosen) == len(KINDS):
        machine = f"{os.cpu_count()} cores, {platform.machine()}, one thread, {date.today().isoformat()}"
        how = f"`python -m benchmarks.bench_kinds --seeds {options.seeds}`, {machine}"
        head = f"# Kinds of pairs\n\n{how}, measurement {measurement.VERSION}.\n"
        RESULTS.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    print(json.dumps([asdict(each) for each in rows]))


if __name__ == "__main__":
    main()
