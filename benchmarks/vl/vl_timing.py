"""Seconds and bytes of one loaded model's reports, and of the plain ways to get as much text from it.
No table, no budget: a figure a method. What is asked of the engine's own code is named here and in vl_host only.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from benchmarks.vl import vl_floor, vl_models
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry, ModelOutput
from serve_app.settings import ModelSettings
from serve_app.vlm.local import loading, picture_bytes, pretrained
from serve_app.vlm.local.decoding import compiled

Engine = pretrained.PretrainedModel
SHORT = 4  # tokens a text: what a longer text takes more is decode steps
_ASKED_S = 3600.0


@dataclass(frozen=True)
class Taken:
    """Seconds of one kind of report: the first one asked for, and the median of those after it."""

    first: float
    median: float
    output: ModelOutput

    @property
    def rows(self) -> int:
        return len(self.output.replies) + len(self.output.swapped_replies)


class Timing:
    """One model on one device, two pictures of noise, `tokens` for each text."""

    def __init__(self, loaded: loading.Loaded, side: int, tokens: int, repeats: int) -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.device = torch.device(loaded.model.device)
        self.tokens = tokens
        self._repeats = repeats
        # One for all engines: it is compiled once, and what it recorded serves again.
        self._step = compiled.step_for(loaded.model, settings(tokens))
        pictures = (vl_models.noise(side, 1), vl_models.noise(side, 2))
        self._pictures = [picture_bytes.opened(picture) for picture in pictures]
        self.both = vl_models.an_inquiry(pictures, swap_check=True)
        self.one = vl_models.an_inquiry(pictures, swap_check=False)

    def engine(self, tokens: int | None = None, *, is_plain: bool = False) -> Engine:
        """Without its cache: every pair is a new one."""
        # Where the last prompt with pictures ended, which a Qwen3-VL keeps and would add to the next plain one.
        self.model.model.rope_deltas = None
        chosen = settings(tokens or self.tokens, "off" if is_plain else "auto")
        return Engine(self.loaded, chosen, step=None if is_plain else self._step)

    @property
    def compiles(self) -> bool:
        return self._step is not None

    @functools.cached_property
    def warm(self) -> Engine:
        """The one that reports are asked of."""
        return self.engine()

    def start_s(self) -> float:
        """From weights in memory to the engine that has answered its own first question."""
        return vl_floor.seconds(lambda: self.warm.warm_up(), self.device)

    @functools.cached_property
    def one_order(self) -> Taken:
        return self.report(self.one)

    def report(self, inquiry: Inquiry, engine: Engine | None = None) -> Taken:
        engine = engine or self.warm
        outputs: list[ModelOutput] = []
        first = vl_floor.seconds(lambda: outputs.append(ask(engine, inquiry)), self.device)
        again = [vl_floor.seconds(lambda: ask(engine, inquiry), self.device) for _ in range(self._repeats)]
        return Taken(first, statistics.median(again), outputs[0])

    def step_s(self, *, is_plain: bool = False) -> float:
        """One decode step of all questions of one order."""
        whole = self.report(self.one, self.engine(is_plain=True)) if is_plain else self.one_order
        short = self.report(self.one, self.engine(SHORT, is_plain=is_plain))
        return (whole.median - short.median) / (self.tokens - SHORT)

    def prefill_s(self) -> float:
        """One order's prompt and both its pictures, by the model's own forward pass."""

        def forward() -> None:
            with torch.inference_mode():
                self.model(**self.inputs, use_cache=True, logits_to_keep=1)

        return self.median(forward)

    def preprocess_s(self) -> float:
        """Both pictures to tensors, on the CPU."""
        return self.median(lambda: self._processed(""))

    def long_answer_s(self, cache: Literal["static"] | None = None) -> float:
        """As many tokens as a report of one order wrote, as one text of transformers' own `generate`; once: it is long.

        A static cache is compiled on a GPU, for its length, so a whole answer goes before.
        """
        tokens = self.one_order.output.generated_tokens
        self._generate(tokens if cache else SHORT, cache)
        return vl_floor.seconds(lambda: self._generate(tokens, cache), self.device)

    def memory(self) -> tuple[int, int | None]:
        """Bytes of a report of both orders beside the weights: as planned, and at their peak on a GPU."""
        on_gpu = self.device.type == "cuda"
        engine = self.warm
        ask(engine, self.both)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        held = torch.cuda.memory_allocated(self.device) if on_gpu else 0
        plan = ask(engine, self.both).plan
        peak = torch.cuda.max_memory_allocated(self.device) - held if on_gpu else None
        return plan.predicted_bytes if plan else 0, peak

    def alone_s(self) -> float:
        """Each question in an inquiry of its own."""
        alone = [replace(self.one, questions=(question,)) for question in self.one.questions]
        return self.median(lambda: [ask(self.warm, inquiry) for inquiry in alone])

    @functools.cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        return self._processed(vl_models.one_text(self.one))

    @property
    def prompt_tokens(self) -> int:
        return int(self.inputs["input_ids"].shape[1])

    def prefill_floor_s(self, rates: vl_floor.Rates) -> float:
        patches = [int(grid.prod()) for grid in self.inputs["image_grid_thw"]]
        return vl_floor.Work.of(self.model).prefill_s(self.prompt_tokens, patches, rates)

    def median(self, work: Callable[[], object]) -> float:
        work()
        return statistics.median(vl_floor.seconds(work, self.device) for _ in range(self._repeats))

    def _processed(self, text: str) -> dict[str, torch.Tensor]:
        processor = self.loaded.processor
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        batch = processor(text=[prompt], images=[self._pictures], return_tensors="pt", add_special_tokens=False)
        return dict(batch.to(self.device, dtype=self.model.dtype))

    def _generate(self, tokens: int, cache: str | None) -> None:
        lengths: dict[str, Any] = {"max_new_tokens": tokens, "min_new_tokens": tokens}
        self.model.generate(**self.inputs, **lengths, do_sample=False, cache_implementation=cache)


def settings(tokens: int, compile_: Literal["auto", "off"] = "auto") -> ModelSettings:
    return ModelSettings(
        engine="transformers",
        name="random",
        max_explanation_tokens=tokens,
        max_summary_tokens=tokens,
        cache_bytes=0,
        compile=compile_,
    )


def ask(engine: Engine, inquiry: Inquiry) -> ModelOutput:
    return engine.answer(inquiry, Stop(Deadline.after(_ASKED_S)))
