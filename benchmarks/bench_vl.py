"""Times a whole inquiry against one long answer by `generate`, on the same random weights, pictures and device.

    python -m benchmarks.bench_vl                         # CPU, about 150 M parameters
    python -m benchmarks.bench_vl --shape 8b              # a GPU, bfloat16, the true shape of Qwen3-VL-8B

Random weights at true shapes cost what trained ones cost, but write texts of other lengths: the long answer is
given as many tokens as ours wrote. Prints a table and a last line of JSON. Needs the extra [vl], no Ray, no download.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from serve_app import prompt
from serve_app.core import (
    Alignment,
    Deadline,
    Examination,
    ImageFacts,
    Inquiry,
    Measurement,
    ModelIdentity,
    ShownImage,
    Stop,
)
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings
from serve_app.vlm import loading, pretrained
from tests import checkpoints

ASPECTS = ("color", "layout", "content", "style", "texture", "text")
ELEMENTS = ("logo", "price tag", "button", "headline")
VOCABULARY = 151_936
SHAPES: dict[str, dict[str, Any]] = {
    # hidden, layers, heads, key-value heads, head size, feed-forward; vision: depth, hidden, feed-forward, deep stack
    "150m": {"text": (768, 12, 12, 4, 64, 3072, 32_000), "vision": (6, 512, 2048, 8, [1, 3])},
    "2b": {"text": (2048, 28, 16, 8, 128, 6144, VOCABULARY), "vision": (24, 1024, 4096, 16, [5, 11, 17])},
    "4b": {"text": (2560, 36, 32, 8, 128, 9728, VOCABULARY), "vision": (24, 1024, 4096, 16, [5, 11, 17])},
    "8b": {"text": (4096, 36, 32, 8, 128, 12288, VOCABULARY), "vision": (27, 1152, 4304, 16, [8, 16, 24])},
}


def a_model(shape: str, device: str, settings: ModelSettings) -> pretrained.PretrainedModel:
    """Random weights at a true shape, made on the device, with the processor of a tiny checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.tiny_qwen3_vl(Path(folder))
        processor = loading.processor(folder, {"trust_remote_code": False})
        tiny = transformers.AutoConfig.from_pretrained(folder)
    processor.image_processor.patch_size = 16
    processor.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": 1024 * 1024}
    config = _config(shape, tiny)
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = transformers.Qwen3VLForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    identity = ModelIdentity("transformers", f"random Qwen3-VL {shape}", None)
    return pretrained.PretrainedModel(loading.Loaded(model.eval(), processor, identity), settings)


def _config(shape: str, tiny: Any) -> Any:
    hidden, layers, heads, key_value, head, forward, vocabulary = SHAPES[shape]["text"]
    depth, vision_hidden, vision_forward, vision_heads, deep = SHAPES[shape]["vision"]
    section = [24, 20, 20] if head == 128 else [12, 10, 10]
    text = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value,
        "head_dim": head,
        "intermediate_size": forward,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5e6,
            "mrope_section": section,
            "mrope_interleaved": True,
        },
        "eos_token_id": tiny.text_config.eos_token_id,
        "pad_token_id": tiny.text_config.pad_token_id,
    }
    vision = {
        "depth": depth,
        "hidden_size": vision_hidden,
        "intermediate_size": vision_forward,
        "num_heads": vision_heads,
        "patch_size": 16,
        "out_hidden_size": hidden,
        "deepstack_visual_indexes": deep,
    }
    ids = {
        name: getattr(tiny, name)
        for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    }
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)


def an_inquiry(side: int, *, swap_check: bool) -> Inquiry:
    def picture(seed: int) -> ShownImage:
        return ShownImage(side, side, "rgb", random.Random(seed).randbytes(side * side * 3))

    facts = ImageFacts(side, side, "PNG", 1, "", side, side)
    nothing = Measurement(
        identical=False,
        similarity=0.5,
        similarity_interval=(0.0, 1.0),
        changed_ratio=0.5,
        ssim=0.5,
        color_delta_e=1.0,
        alignment=Alignment("none"),
        smallest_visible_px=1.0,
        aspects={},
        differences=(),
        further_differences=0,
        version="bench",
    )
    examination = Examination(facts, facts, picture(1), picture(2), nothing, (), (), 0.0, 0.0)
    config = ImageComparisonConfig(comparison_aspects=ASPECTS, focus_elements=ELEMENTS, swap_check=swap_check)
    return prompt.render(config, examination)


def long_answer(model: pretrained.PretrainedModel, inquiry: Inquiry, tokens: int) -> None:
    """What a service without shared prefill does: all questions in one prompt, one answer of `tokens` tokens."""
    before, after = model.prompt(inquiry.instructions)
    text = before + "\n".join(question.wordings[0].text for question in inquiry.questions) + after
    pictures = [pretrained.opened(inquiry.shown_reference), pretrained.opened(inquiry.shown_candidate)]
    inputs = model.inputs(text, pictures)
    model.model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, the device's queue emptied before the clock is read."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="150m")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, default=0, help="of both square pictures; 0: 1024 on a GPU, 256 on a CPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--explanation-tokens", type=int, default=32)
    options = parser.parse_args()
    side = options.side or (1024 if options.device.startswith("cuda") else 256)
    settings = ModelSettings(
        engine="transformers", name="random", max_explanation_tokens=options.explanation_tokens, device="auto"
    )
    model = a_model(options.shape, options.device, settings)
    both, one = an_inquiry(side, swap_check=True), an_inquiry(side, swap_check=False)
    alone = [replace(one, questions=(question,)) for question in one.questions]

    def ask(inquiry: Inquiry) -> int:
        return model.answer(inquiry, Stop(Deadline.after(3600))).generated_tokens

    written = ask(one)
    rows = {
        "ours, one order": seconds(lambda: ask(one), options.repeats),
        "ours, both orders": seconds(lambda: ask(both), options.repeats),
        "ours, each question alone": seconds(lambda: [ask(inquiry) for inquiry in alone], options.repeats),
        "one long answer by generate": seconds(lambda: long_answer(model, one, written), options.repeats),
    }
    parameters = sum(parameter.numel() for parameter in model.model.parameters())
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else f"CPU {platform.machine()}"
    threads = torch.get_num_threads()
    print(f"{parameters / 1e6:.0f} M parameters, random; {device}, {threads} threads; two {side} x {side} pictures;")
    print(f"{len(one.questions)} questions, {written} tokens written; median of {options.repeats}")
    for name, taken in rows.items():
        print(f"{name:30} {taken:8.3f} s  {taken / rows['ours, one order']:6.2f} x")
    conditions = {"parameters": parameters, "device": device, "threads": threads, "side": side, "tokens": written}
    print(json.dumps({"bench": "vl", **conditions, "seconds": {name: round(taken, 4) for name, taken in rows.items()}}))


if __name__ == "__main__":
    main()
