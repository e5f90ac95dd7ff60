"""What a comparison costs the device's thread on the host, by part, on any CPU.

    OMP_NUM_THREADS=1 python -m benchmarks.vl.bench_vl_host               # 8B's depth and vocabulary, hardly any width
    OMP_NUM_THREADS=1 python -m benchmarks.vl.bench_vl_host --shape tiny --comparisons 1

Each comparison has pictures of other sizes, four pairs of crops and 22 rows, none seen before. Only the parts in
`vl_host.PARTS` are counted, in the thread's own CPU time: not the model's kernels, which a device would do, nor what
starting them costs. Prints a table and a last line of JSON. Needs the extra [vl], no Ray, no download.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.vl import vl_host, vl_models, vl_timing
from benchmarks.vl.vl_host import Watch
from serve_app.core.inquiry import Inquiry
from serve_app.vlm.local import loading
from serve_app.vlm.local.decoding import compiled

GOAL_MS = 60.0
NUM_CROPS = 4


@dataclass(frozen=True)
class Found:
    """Of the comparisons after the first: CPU milliseconds in the answering thread and in others, and calls, a
    comparison; `totals_ms`: of the answering thread, for each comparison."""

    ms: dict[str, float]
    beside_ms: dict[str, float]
    calls: dict[str, float]
    totals_ms: list[float]
    rows: int


def an_inquiry(side: int, chance: random.Random) -> Inquiry:
    """Of two pictures whose sides are between 0.7 and 1 of `side`, with crops."""
    width, height = (chance.randint(int(side * 0.7), side) for _ in range(2))
    pictures = [vl_models.jpeg(width, height, chance.randrange(1 << 30)) for _ in range(2)]
    return vl_models.an_inquiry_with_crops((pictures[0], pictures[1]), vl_models.crops(NUM_CROPS, chance))


def measured(engine: vl_timing.Engine, inquiries: Sequence[Inquiry]) -> Found:
    """The first is asked to warm up, and not counted."""
    vl_timing.ask(engine, inquiries[0])
    watches: list[Watch] = []
    rows = 0
    for inquiry in inquiries[1:]:
        with vl_host.watching() as watch:
            output = vl_timing.ask(engine, inquiry)
        watches.append(watch)
        rows = len(output.replies) + len(output.swapped_replies)

    def mean(part: str, which: str) -> float:
        return float(statistics.mean(getattr(watch, which)[part] for watch in watches))

    return Found(
        ms={part: 1000 * mean(part, "own_s") for part in vl_host.PARTS},
        beside_ms={part: 1000 * mean(part, "beside_s") for part in vl_host.PARTS},
        calls={part: mean(part, "calls") for part in vl_host.PARTS},
        totals_ms=[1000 * watch.total_s for watch in watches],
        rows=rows,
    )


def an_engine(loaded: loading.Loaded, tokens: int) -> vl_timing.Engine:
    """On a CPU, with the steps that it has on a GPU: a recording costs as many passes as a CUDA graph's does."""

    def record(run: compiled.Run) -> compiled.Run:
        run()
        run()
        run()
        return run

    step = compiled.Step(loaded.model, backend="eager", record=record)
    return vl_timing.Engine(loaded, vl_timing.settings(tokens), step=step)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=vl_models.SHAPES, default="narrow")
    parser.add_argument("--side", type=int, default=1024, help="of the larger pictures")
    parser.add_argument("--comparisons", type=int, default=5)
    parser.add_argument("--explanation-tokens", type=int, default=32)
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    engine = an_engine(vl_models.qwen3_vl(options.shape, "cpu"), options.explanation_tokens)
    chance = random.Random(0)
    found = measured(engine, [an_inquiry(options.side, chance) for _ in range(options.comparisons + 1)])
    load = [round(before, 1), round(os.getloadavg()[0], 1)]
    print(
        f"CPU {platform.machine()}, {torch.get_num_threads()} threads, load {load[0]} before, {load[1]} after, "
        f"torch {torch.__version__};\nshape {options.shape}, pictures up to {options.side} x {options.side}, "
        f"{NUM_CROPS} pairs of crops, {found.rows} rows, {options.explanation_tokens} tokens a text; "
        f"mean of {options.comparisons} comparisons never seen before"
    )
    print(f"\n{'part':24} {'calls':>7} {'CPU ms':>9} {'in other threads':>17}")
    for part in vl_host.PARTS:
        print(f"{part:24} {found.calls[part]:7.1f} {found.ms[part]:9.1f} {found.beside_ms[part]:17.1f}")
    total = statistics.mean(found.totals_ms)
    print(
        f"{'the device thread':24} {'':7} {total:9.1f}   goal {GOAL_MS:.0f}: {'met' if total <= GOAL_MS else 'missed'}"
    )
    conditions = {"shape": options.shape, "side": options.side, "load": load, "threads": torch.get_num_threads()}
    print(json.dumps({"bench": "vl_host", **conditions, "total_ms": total, "goal_ms": GOAL_MS, **vars(found)}))


if __name__ == "__main__":
    main()
