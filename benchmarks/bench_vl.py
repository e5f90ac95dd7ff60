"""Times a whole report of the engine `transformers` on random weights at true shapes, beside what the device could do.

    python -m benchmarks.bench_vl                             # about 150 M parameters, whatever device there is
    python -m benchmarks.bench_vl --gpu                       # Qwen3-VL-2B, -4B and -8B in one table
    python -m benchmarks.bench_vl --shape tiny --device cpu   # the same path in seconds, anywhere
    python -m benchmarks.bench_vl --peers                     # beside two servers, on the same checkpoint

Prints a table and a last line of JSON. Needs the extra [vl] ([dev] for --peers), no Ray, no download.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

from benchmarks import vl_floor, vl_models
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry
from serve_app.settings import ModelSettings
from serve_app.vlm.local import loading, pretrained
from serve_app.vlm.local.decoding import compiled

SHORT, LONG = 4, 28  # tokens a text: the difference of both reports' times is 24 decode steps


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


class Bench:
    """One model on one device."""

    def __init__(self, loaded: loading.Loaded, side: int, explanation_tokens: int, repeats: int) -> None:
        self._loaded = loaded
        self._device = torch.device(loaded.model.device)
        self._tokens = explanation_tokens
        self._repeats = repeats
        # One for all engines: it is compiled once, and what it recorded serves again.
        self._step = compiled.step_for(loaded.model, _settings(explanation_tokens))
        pictures = (vl_models.noise(side, 1), vl_models.noise(side, 2))
        self._pictures = [pretrained.opened(picture) for picture in pictures]
        self._both = vl_models.an_inquiry(pictures, swap_check=True)
        self._one = vl_models.an_inquiry(pictures, swap_check=False)

    def run(self, shape: str, rates: vl_floor.Rates, *, is_static: bool) -> Figures:
        model = self._loaded.model
        work = vl_floor.Work.of(model)
        inputs = self._inputs(vl_models.one_text(self._one))
        patches = [int(grid.prod()) for grid in inputs["image_grid_thw"]]
        prompt_tokens = int(inputs["input_ids"].shape[1])
        asked = _ask(self._engine(self._tokens), self._one)
        predicted, peak = self._memory()
        step = self._decode_s()
        rows = len(self._one.questions)
        return Figures(
            shape=shape,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            questions=rows,
            prompt_tokens=prompt_tokens,
            preprocess=self._median(lambda: self._inputs("")),
            prefill=self._median(lambda: self._forward(inputs)),
            prefill_floor=work.prefill_s(prompt_tokens, patches, rates),
            step=step,
            step_plain=self._decode_s(is_plain=True) if self._step is not None else None,
            step_floor=work.step_s(rates),
            step_floor_with_cache=work.step_with_cache_s(rows, prompt_tokens, rates),
            report=self._report_s(self._both, self._tokens),
            report_one_order=self._report_s(self._one, self._tokens),
            tokens=asked,
            long_answer=self._median(lambda: self._generate(inputs, asked)),
            long_answer_static=self._median(lambda: self._generate(inputs, asked, "static")) if is_static else None,
            predicted_bytes=predicted,
            peak_bytes=peak,
        )

    def alone_s(self) -> float:
        """Each question in an inquiry of its own."""
        engine = self._engine(self._tokens)
        alone = [replace(self._one, questions=(question,)) for question in self._one.questions]
        return self._median(lambda: [_ask(engine, inquiry) for inquiry in alone])

    def _memory(self) -> tuple[int, int | None]:
        """Bytes of a report beside the weights: as the engine planned them, and at their peak."""
        on_gpu = self._device.type == "cuda"
        engine = self._engine(self._tokens)
        _ask(engine, self._both)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
        weights = torch.cuda.memory_allocated(self._device) if on_gpu else 0
        plan = engine.answer(self._both, Stop(Deadline.after(3600))).plan
        peak = torch.cuda.max_memory_allocated(self._device) - weights if on_gpu else None
        return plan.predicted_bytes if plan else 0, peak

    def _decode_s(self, *, is_plain: bool = False) -> float:
        short, long = (self._report_s(self._one, tokens, is_plain=is_plain) for tokens in (SHORT, LONG))
        return (long - short) / (LONG - SHORT)

    def _engine(self, tokens: int, *, is_plain: bool = False) -> pretrained.PretrainedModel:
        """Without its cache: every pair is a new one."""
        # Where the last prompt with pictures ended, which a Qwen3-VL keeps and would add to the next plain one.
        self._loaded.model.model.rope_deltas = None
        step = None if is_plain else self._step
        settings = _settings(tokens, "off" if is_plain else "auto")
        return pretrained.PretrainedModel(self._loaded, settings, step=step)

    def _report_s(self, inquiry: Inquiry, tokens: int, *, is_plain: bool = False) -> float:
        engine = self._engine(tokens, is_plain=is_plain)
        return self._median(lambda: _ask(engine, inquiry))

    def _inputs(self, text: str) -> dict[str, torch.Tensor]:
        processor = self._loaded.processor
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        batch = processor(text=[prompt], images=[self._pictures], return_tensors="pt", add_special_tokens=False)
        return dict(batch.to(self._device, dtype=self._loaded.model.dtype))

    def _forward(self, inputs: dict[str, torch.Tensor]) -> None:
        with torch.inference_mode():
            self._loaded.model(**inputs, use_cache=True, logits_to_keep=1)

    def _generate(self, inputs: dict[str, torch.Tensor], tokens: int, cache: str | None = None) -> None:
        lengths = {"max_new_tokens": tokens, "min_new_tokens": tokens}
        self._loaded.model.generate(**inputs, **lengths, do_sample=False, cache_implementation=cache)

    def _median(self, work: Any) -> float:
        work()
        return statistics.median(vl_floor.seconds(work, self._device) for _ in range(self._repeats))


def _settings(tokens: int, compile_: Literal["auto", "off"] = "auto") -> ModelSettings:
    return ModelSettings(
        engine="transformers",
        name="random",
        max_explanation_tokens=tokens,
        max_summary_tokens=tokens,
        cache_bytes=0,
        compile=compile_,
    )


def _ask(engine: pretrained.PretrainedModel, inquiry: Inquiry) -> int:
    return engine.answer(inquiry, Stop(Deadline.after(3600))).generated_tokens


def shapes(options: argparse.Namespace) -> None:
    """The table of `--shape` and `--gpu`."""
    device = torch.device(options.device)
    rates = vl_floor.Rates.of(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"
    side = options.side or (1024 if device.type == "cuda" else 256)
    print(f"{name}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__};")
    print(f"copies {rates.bytes_per_s / 1e9:.0f} GB/s, multiplies {rates.flops / 1e12:.2f} TFLOP/s; random weights;")
    print(f"two {side} x {side} pictures, {options.explanation_tokens} tokens a text, median of {options.repeats}")
    found = []
    for shape in options.shape:
        bench = Bench(vl_models.qwen3_vl(shape, options.device), side, options.explanation_tokens, options.repeats)
        figures = bench.run(shape, rates, is_static=options.static)
        found.append({**asdict(figures), **({"alone": bench.alone_s()} if options.alone else {})})
        _print(figures, found[-1].get("alone"))
        del bench
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
        against = figures.report_one_order
        rows.append(("  with a static cache", figures.long_answer_static, against, "x of our one order"))
    if alone is not None:
        rows.append(("ours, each question alone", alone, figures.report_one_order, "x of our one order"))
    for name, taken, against, meaning in rows:
        ratio = f"{taken / against:8.2f} {meaning}" if against else ""
        print(f"{name:32} {taken * 1000:11.2f} ms{ratio}")
    measured = f", measured {figures.peak_bytes / 1e6:.0f} MB" if figures.peak_bytes is not None else ""
    print(f"memory beside the weights: predicted {figures.predicted_bytes / 1e6:.0f} MB{measured}")


def peers(options: argparse.Namespace) -> None:
    """The table of `--peers`."""
    from benchmarks import vl_peers

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
    parser.add_argument("--gpu", action="store_true", help="the three true shapes on the first GPU")
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
    if options.gpu:
        options.shape, options.device, options.static = ["2b", "4b", "8b"], "cuda", True
    if options.peers:
        peers(options)
    else:
        shapes(options)


if __name__ == "__main__":
    main()
