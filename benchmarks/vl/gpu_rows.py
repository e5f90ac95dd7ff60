"""The rows of `make gpu`, most wanted first: measures one after the other and says each as a line of JSON.
No budget, no table: `gpu` ends this process when its time is over.

Lines: {"conditions"}, {"wanted": names}, then for each row {"begins": name} and {"row"}. Random weights at true shapes,
made on the device in bfloat16 (float32 on a CPU).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import transformers

from benchmarks.vl import bench_vl_host, vl_floor, vl_models, vl_timing

NUM_CROPS = 4
GOALS = {
    ("8b", "report, one order"): 0.40,
    ("8b", "report, both orders"): 0.50,
    ("8b", "report, both orders and four pairs of crops"): 0.75,
    ("2b", "report, both orders"): 0.20,
}
TRUE_SHAPES = ("8b", "2b")
START_GOAL_S = 30.0
LONG_GOAL, STATIC_GOAL = 15.0, 5.0  # times our report of one order


@dataclass(frozen=True)
class Row:
    """`goal`: in words; `is_met`: None where this device has none. `value` None: it failed, `beside` says why."""

    name: str
    value: float | None
    unit: str
    digits: int = 2
    goal: str | None = None
    is_met: bool | None = None
    beside: str = ""


class Shape:
    """One shape's rows; its model is made when the first is wanted."""

    def __init__(self, shape: str, options: argparse.Namespace, rates: vl_floor.Rates) -> None:
        self.shape = shape
        self._options = options
        self._rates = rates
        self._has_goals = options.device.startswith("cuda") and shape in TRUE_SHAPES

    @functools.cached_property
    def timing(self) -> vl_timing.Timing:
        options = self._options
        loaded = vl_models.qwen3_vl(self.shape, options.device)
        return vl_timing.Timing(loaded, options.side, options.explanation_tokens, options.repeats)

    @functools.cached_property
    def work(self) -> vl_floor.Work:
        return vl_floor.Work.of(self.timing.model)

    def start(self) -> Row:
        started = time.monotonic()
        weights = sum(one.numel() for one in self.timing.model.parameters())
        made = time.monotonic() - started
        beside = f"without the weights: {weights / 1e9:.2f} G of them were made in {made:.0f} s"
        return self._at_most("start", self.timing.start_s(), START_GOAL_S, beside, digits=1)

    def one_order(self) -> Row:
        return self._report("report, one order", self.timing.one_order)

    def both_orders(self) -> Row:
        return self._report("report, both orders", self.timing.report(self.timing.both))

    def crops(self) -> Row:
        side, chance = self._options.side, random.Random(0)
        pictures = (vl_models.noise(side, 1), vl_models.noise(side, 2))
        inquiry = vl_models.an_inquiry_with_crops(pictures, vl_models.crops(NUM_CROPS, chance))
        return self._report("report, both orders and four pairs of crops", self.timing.report(inquiry))

    def long_answer(self) -> Row:
        return self._times_ours("one long answer by generate", self.timing.long_answer_s(), LONG_GOAL)

    def static_answer(self) -> Row:
        return self._times_ours("the same, compiled static cache", self.timing.long_answer_s("static"), STATIC_GOAL)

    def step(self) -> Row:
        rows, tokens = self.timing.one_order.rows, self.timing.prompt_tokens
        taken, floor = self.timing.step_s(), self.work.step_s(self._rates)
        with_cache = self.work.step_with_cache_s(rows, tokens, self._rates)
        beside = (
            f"{taken / floor:.2f} x reading the weights ({1000 * floor:.2f} ms), {taken / with_cache:.2f} x with caches"
        )
        return Row(self._named("decode step, all questions"), 1000 * taken, "ms", beside=beside)

    def prefill(self) -> Row:
        taken, floor = self.timing.prefill_s(), self.timing.prefill_floor_s(self._rates)
        beside = f"{taken / floor:.2f} x its arithmetic ({1000 * floor:.1f} ms), {self.timing.prompt_tokens} tokens"
        return Row(self._named("prefill, one order"), 1000 * taken, "ms", 1, beside=beside)

    def memory(self) -> Row:
        predicted, peak = self.timing.memory()
        if peak is None:
            return Row(self._named("memory predicted"), predicted / 1e6, "MB", 0, beside="measured on a GPU only")
        beside = f"{peak / 1e6:.0f} MB measured, {predicted / peak:.2f} x"
        name, goal = self._named("memory predicted"), "at least what is measured"
        return Row(name, predicted / 1e6, "MB", 0, goal, predicted >= peak, beside)

    def host(self) -> Row:
        """Of comparisons with pictures of other sizes each time, so last of those that use recordings."""
        chance = random.Random(1)
        inquiries = [bench_vl_host.an_inquiry(self._options.side, chance) for _ in range(self._options.repeats + 1)]
        found = bench_vl_host.measured(self.timing.warm, inquiries)
        total = sum(found.totals_ms) / len(found.totals_ms)
        parts = ", ".join(f"{part} {ms:.0f}" for part, ms in found.ms.items() if ms >= 0.5)
        name = self._named("the host's own CPU, with crops")
        is_met = total <= bench_vl_host.GOAL_MS if self._has_goals else None
        return Row(name, total, "ms", 0, f"{bench_vl_host.GOAL_MS:.0f} ms", is_met, parts)

    def _report(self, what: str, taken: vl_timing.Taken) -> Row:
        output = taken.output
        beside = f"first {taken.first:.2f} s, {taken.rows} rows, {output.generated_tokens} tokens written"
        return self._at_most(what, taken.median, GOALS.get((self.shape, what)), beside)

    def _at_most(self, what: str, seconds: float, goal: float | None, beside: str, digits: int = 3) -> Row:
        is_met = seconds <= goal if goal is not None and self._has_goals else None
        told = None if goal is None else f"{goal:g} s"
        return Row(self._named(what), seconds, "s", digits, told, is_met, beside)

    def _times_ours(self, what: str, seconds: float, least: float) -> Row:
        times = seconds / self.timing.one_order.median
        is_met = times >= least if self._has_goals else None
        tokens = self.timing.one_order.output.generated_tokens
        return Row(self._named(what), times, "x ours", 1, f"{least:g} x", is_met, f"{seconds:.2f} s, {tokens} tokens")

    def _named(self, what: str) -> str:
        return f"{self.shape} {what}"


# Name and measure, in the order in which they are wanted.
ROWS: tuple[tuple[str, Callable[[Shape], Row]], ...] = (
    ("start", Shape.start),
    ("report, one order", Shape.one_order),
    ("report, both orders", Shape.both_orders),
    ("report, both orders and four pairs of crops", Shape.crops),
    ("one long answer by generate", Shape.long_answer),
    ("decode step, all questions", Shape.step),
    ("prefill, one order", Shape.prefill),
    ("memory predicted", Shape.memory),
    ("the host's own CPU, with crops", Shape.host),
)
OTHERS = (ROWS[0], ROWS[2])
LAST = (("the same, compiled static cache", Shape.static_answer),)  # it compiles for minutes


def wanted(shapes: Sequence[Shape]) -> list[tuple[str, Callable[[], Row]]]:
    first, *others = shapes
    chosen = [(first, row) for row in ROWS] + [(other, row) for other in others for row in OTHERS]
    chosen += [(first, row) for row in LAST]
    return [(f"{shape.shape} {name}", functools.partial(measure, shape)) for shape, (name, measure) in chosen]


def row_of(name: str, measure: Callable[[], Row]) -> Row:
    """One that fails leaves the others their chance."""
    try:
        return measure()
    except Exception as exc:  # noqa: BLE001 - whatever the device, a compiler or the engine raises is what is to be seen
        traceback.print_exc(file=sys.stderr)
        return Row(name, None, "", beside=f"{type(exc).__name__}: {next(iter(str(exc).splitlines()), '')}"[:200])


def conditions(device: torch.device, rates: vl_floor.Rates) -> dict[str, object]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    return {"device": name, "cores": os.cpu_count(), "load": os.getloadavg()[0], **versions, **asdict(rates)}


def _say(**said: object) -> None:
    print(json.dumps(said), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=vl_models.SHAPES, nargs="+", default=["8b", "2b"])
    parser.add_argument("--side", type=int, default=0, help="of both square pictures; 0: 1024 on a GPU, 256 on a CPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--explanation-tokens", type=int, default=32)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    options.side = options.side or (1024 if device.type == "cuda" else 256)
    rates = vl_floor.Rates.of(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    _say(conditions={**conditions(device, rates), "side": options.side, "tokens": options.explanation_tokens})
    rows = wanted([Shape(shape, options, rates) for shape in options.shape])
    _say(wanted=[name for name, _ in rows])
    for name, measure in rows:
        _say(begins=name)
        _say(row=asdict(row_of(name, measure)))


if __name__ == "__main__":
    main()
