"""Times a whole report of the engine `transformers` on random weights at true shapes, beside what the device could do.

    python -m benchmarks.bench_vl                             # about 150 M parameters, whatever device there is
    python -m benchmarks.bench_vl --shape tiny --device cpu   # the same path in seconds, anywhere
    python -m benchmarks.bench_vl --peers                     # beside two servers, on the same checkpoint

Prints a table and a last line of JSON. Needs the extra [vl] ([dev] for --peers), no Ray, no download.
On a GPU `make gpu` prints each row as soon as it is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from benchmarks.vl import vl_floor, vl_models
from benchmarks.vl.vl_timing import Timing


@dataclass(frozen=True)
class Figures:
    """Seconds of one shape. "floor": what the device's measured rates would allow."""

    shape: str
    parameters: int
    questions: int
    prompt_tokens: int
    preprocess: float  # both pictures to tensors, on the CPU
    prefill: float
    prefill_floor: float
    step: float
    step_plain: float | None  # the same with `compile: off`; only where steps are compiled
    step_floor: float
    step_floor_with_cache: float
    report: float  # both orders
    report_one_order: float
    tokens: int
    long_answer: float  # one order, as many tokens in one text
    long_answer_static: float | None  # the same with transformers' static cache, which it compiles on a GPU
    predicted_bytes: int  # of the report with both orders, beside the weights
    peak_bytes: int | None  # the same measured; on a GPU only


def figures_of(timing: Timing, shape: str, rates: vl_floor.Rates, *, is_static: bool) -> Figures:
    work = vl_floor.Work.of(timing.model)
    one, both = timing.one_order, timing.report(timing.both)
    predicted, peak = timing.memory()
    return Figures(
        shape=shape,
        parameters=sum(parameter.numel() for parameter in timing.model.parameters()),
        questions=one.rows,
        prompt_tokens=timing.prompt_tokens,
        preprocess=timing.preprocess_s(),
        prefill=timing.prefill_s(),
        prefill_floor=timing.prefill_floor_s(rates),
        step=timing.step_s(),
        step_plain=timing.step_s(is_plain=True) if timing.compiles else None,
        step_floor=work.step_s(rates),
        step_floor_with_cache=work.step_with_cache_s(one.rows, timing.prompt_tokens, rates),
        report=both.median,
        report_one_order=one.median,
        tokens=one.output.generated_tokens,
        long_answer=timing.long_answer_s(),
        long_answer_static=timing.long_answer_s("static") if is_static else None,
        predicted_bytes=predicted,
        peak_bytes=peak,
    )


def shapes(options: argparse.Namespace) -> None:
    """The table of `--shape`."""
    device = torch.device(options.device)
    rates = vl_floor.Rates.of(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"
    side = options.side or (1024 if device.type == "cuda" else 256)
    print(f"{name}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__};")
    print(f"copies {rates.bytes_per_s / 1e9:.0f} GB/s, multiplies {rates.flops / 1e12:.2f} TFLOP/s; random weights;")
    print(f"two {side} x {side} pictures, {options.explanation_tokens} tokens a text, median of {options.repeats}")
    found = []
    for shape in options.shape:
        loaded = vl_models.qwen3_vl(shape, options.device)
        timing = Timing(loaded, side, options.explanation_tokens, options.repeats)
        figures = figures_of(timing, shape, rates, is_static=options.static)
        found.append({**asdict(figures), **({"alone": timing.alone_s()} if options.alone else {})})
        _print(figures, found[-1].get("alone"))
        del timing, loaded
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    conditions = {"device": name, "threads": torch.get_num_threads(), "side": side, **asdict(rates)}
    print(json.dumps({"bench": "vl", **conditions, "load": os.getloadavg()[0], "shapes": found}))


def _print(figures: Figures, alone: float | None) -> None:
    print(
        f"\n{figures.shape}: {figures.parameters / 1e6:.0f} M parameters, {figures.questions} questions, "
        f"{figures.prompt_tokens} prompt tokens, {figures.tokens} tokens written"
    )
    rows: list[tuple[str, float, float | None, str]] = [
        ("pictures to tensors", figures.preprocess, None, ""),
        ("prefill", figures.prefill, figures.prefill_floor, "x of its arithmetic"),
        ("decode step, all questions", figures.step, figures.step_floor, "x of reading the weights"),
        ("  with the rows' caches", figures.step, figures.step_floor_with_cache, "x of reading both"),
        ("report, both orders", figures.report, None, ""),
        ("report, one order", figures.report_one_order, None, ""),
        ("one long answer by generate", figures.long_answer, figures.report_one_order, "x of our one order"),
    ]
    if figures.step_plain is not None:
        rows.insert(4, ("  not compiled", figures.step_plain, figures.step, "x of the compiled one"))
    if figures.long_answer_static is not None:
        rows.append(
            ("  with a static cache", figures.long_answer_static, figures.report_one_order, "x of our one order")
        )
    if alone is not None:
        rows.append(("ours, each question alone", alone, figures.report_one_order, "x of our one order"))
    for name, taken, against, meaning in rows:
        ratio = f"{taken / against:8.2f} {meaning}" if against else ""
        print(f"{name:32} {taken * 1000:11.2f} ms{ratio}")
    measured = f", measured {figures.peak_bytes / 1e6:.0f} MB" if figures.peak_bytes is not None else ""
    print(f"memory beside the weights: predicted {figures.predicted_bytes / 1e6:.0f} MB{measured}")


def peers(options: argparse.Namespace) -> None:
    """The table of `--peers`."""
    from benchmarks.peers import vl_peers

    side = options.side or 512
    before = os.getloadavg()[0]
    rows = vl_peers.compare(
        options.shape[0], side, options.dtype, options.explanation_tokens, options.repeats, options.queued
    )
    ours = rows[0]
    print(
        f"CPU {platform.machine()}, {torch.get_num_threads()} threads, load {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after, torch {torch.__version__}; {options.dtype}; two {side} x {side} pictures; "
        f"{options.explanation_tokens} tokens a text; best of {options.repeats}; {options.queued} requests queued"
    )
    print(f"{'':38} {'tokens':>6} {'CPU s':>8} {'x ours':>7} {'wall s':>8} {'x ours':>7} {'a minute':>9} {'ours x':>7}")
    for row in rows:
        queued = ""
        if row.throughput is not None and ours.throughput is not None:
            queued = f"{row.throughput * 60:9.2f} {ours.throughput / row.throughput:7.2f}"
        print(
            f"{row.name:38} {row.tokens:6} {row.cpu_s:8.2f} {row.cpu_s / ours.cpu_s:7.2f} "
            f"{row.latency_s:8.2f} {row.latency_s / ours.latency_s:7.2f} {queued}"
        )
    conditions = {
        "threads": torch.get_num_threads(),
        "dtype": options.dtype,
        "side": side,
        "load": [before, os.getloadavg()[0]],
    }
    print(json.dumps({"bench": "vl_peers", **conditions, "rows": [asdict(row) for row in rows]}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=vl_models.SHAPES, nargs="+", default=["150m"])
    parser.add_argument("--peers", action="store_true", help="beside a serial server and `transformers serve`")
    parser.add_argument("--static", action="store_true", help="also `generate` with a static cache (compiled on a GPU)")
    parser.add_argument("--alone", action="store_true", help="also each question in an inquiry of its own")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, default=0, help="of both square pictures; 0: 1024 on a GPU, 256 on a CPU")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of all, with --peers")
    parser.add_argument("--queued", type=int, default=4, help="requests at once, with --peers; 1: none queue")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--explanation-tokens", type=int, default=32)
    options = parser.parse_args(arguments)
    if options.peers:
        peers(options)
    else:
        shapes(options)


if __name__ == "__main__":
    main()
