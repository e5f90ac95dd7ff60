"""Random checkpoints at sizes worth timing, with a tokenizer whose prompts are as long as a real one's.
No timing. Random weights at true shapes cost what trained ones cost.
"""

from __future__ import annotations

import functools
import io
import json
import random
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from serve_app.comparison.dialogue import prompt
from serve_app.core.inquiry import Inquiry, ModelIdentity
from serve_app.core.measured import Alignment, Crop, Examination, MeasuredDifference, Measurement
from serve_app.core.pictures import Box, ImageFacts, ShownImage
from serve_app.schema import ImageComparisonConfig
from serve_app.vlm.local import loading
from tests.worlds import checkpoints

transformers.utils.logging.disable_progress_bar()
ASPECTS = ("color", "layout", "content", "style", "texture", "text")
ELEMENTS = ("logo", "price tag", "button", "headline")
TOKENS = 32_000
TRAINING_CHARACTERS = 4_000_000
SPACE = "\u0120"  # how a byte-level tokenizer spells it
QWEN_TOKENS = 151_643
QWEN_VOCABULARY = 151_936  # columns of the logits: more than there are tokens


@dataclass(frozen=True)
class Shape:
    """A Qwen3-VL: `text` is hidden, layers, heads, key-value heads, head size, feed-forward, vocabulary; `vision` is
    depth, hidden, feed-forward, heads, and the layers whose features go deep into the text model."""

    text: tuple[int, int, int, int, int, int, int]
    vision: tuple[int, int, int, int, list[int]]
    is_tied: bool


# Of Qwen3-VL-2B, -4B and -8B-Instruct, with 2,304 position embeddings: 2B and 8B are those of torchtitan's Qwen3-VL
# (experiments/qwen3_vl); 4B is the text model of Qwen3-4B behind the vision model of 2B, not compared as a whole.
# "narrow" has 8B's depth and vocabulary and next to no width: what the host does costs as much, the rest little.
SHAPES = {
    "narrow": Shape((128, 36, 4, 2, 32, 128, QWEN_VOCABULARY), (27, 64, 128, 4, [8, 16, 24]), is_tied=True),
    "tiny": Shape((128, 2, 4, 2, 32, 256, TOKENS), (2, 64, 128, 4, [0]), is_tied=True),
    "150m": Shape((768, 12, 12, 4, 64, 3072, TOKENS), (6, 512, 2048, 8, [1, 3]), is_tied=True),
    "2b": Shape((2048, 28, 16, 8, 128, 6144, QWEN_VOCABULARY), (24, 1024, 4096, 16, [5, 11, 17]), is_tied=True),
    "4b": Shape((2560, 36, 32, 8, 128, 9728, QWEN_VOCABULARY), (24, 1024, 4096, 16, [5, 11, 17]), is_tied=True),
    "8b": Shape((4096, 36, 32, 8, 128, 12288, QWEN_VOCABULARY), (27, 1152, 4304, 16, [8, 16, 24]), is_tied=False),
}


def qwen3_vl(shape: str, device: str) -> loading.Loaded:
    """Random weights at a true shape, made on the device: bfloat16 on a GPU, float32 on a CPU."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.tiny_qwen3_vl(Path(folder))
        _with_long_words(Path(folder), min(QWEN_TOKENS, SHAPES[shape].text[-1]))
        processor = loading.processor(folder, {"trust_remote_code": False})
        tiny = transformers.AutoConfig.from_pretrained(folder)
    processor.image_processor.patch_size = 16
    processor.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": 1024 * 1024}
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device.startswith("cuda") else torch.float32)
    try:
        with torch.device(device):
            model = transformers.Qwen3VLForConditionalGeneration(_qwen_config(SHAPES[shape], tiny))
    finally:
        torch.set_default_dtype(torch.float32)
    return loading.Loaded(model.eval(), processor, ModelIdentity("transformers", f"random {shape}", None))


# hidden, layers, heads, key-value heads, feed-forward; vision: hidden, layers, heads, feed-forward
SERVED = {"tiny": (64, 2, 4, 2, 128, 64, 2, 4, 128), "150m": (768, 12, 12, 4, 3072, 512, 6, 8, 2048)}


def idefics3(folder: Path, shape: str, side: int) -> Path:
    """A checkpoint in the form of SmolVLM, saved: one that any server loads without torchvision.

    A picture of `side` x `side` is one tile of (side / 32)² tokens.
    """
    checkpoints.tiny_idefics3(folder)
    tokenizer = _with_long_words(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    hidden, layers, heads, key_value, forward, seen, seen_layers, seen_heads, seen_forward = SERVED[shape]
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value,
        "head_dim": hidden // heads,
        "tie_word_embeddings": True,
    }
    vision = {
        "hidden_size": seen,
        "intermediate_size": seen_forward,
        "num_hidden_layers": seen_layers,
        "num_attention_heads": seen_heads,
        "image_size": side,
        "patch_size": 16,
    }
    config = transformers.Idefics3Config(
        text_config={**config.text_config.to_dict(), **text},
        vision_config={**config.vision_config.to_dict(), **vision},
        scale_factor=2,
        image_token_id=config.image_token_id,
        pad_token_id=config.pad_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = transformers.Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": side}, max_image_size={"longest_edge": side}
    ).save_pretrained(folder)
    described = f'{{"processor_class": "Idefics3Processor", "image_seq_len": {(side // 32) ** 2}}}'
    (folder / "processor_config.json").write_text(described)
    return folder


def an_inquiry(encoded: tuple[ShownImage, ShownImage], *, swap_check: bool) -> Inquiry:
    """Six aspects, four elements and a summary about two pictures: 11 rows, and 10 more with both orders."""
    config = ImageComparisonConfig(comparison_aspects=ASPECTS, focus_elements=ELEMENTS, swap_check=swap_check)
    return prompt.render(config, _examination(encoded, ()))


def an_inquiry_with_crops(encoded: tuple[ShownImage, ShownImage], crops: Sequence[Crop]) -> Inquiry:
    """Four aspects, two elements, an area for each crop, findings and a summary, in both orders.

    With four crops: 12 rows that write and 10 more, as many as most comparisons have.
    """
    config = ImageComparisonConfig(focus_elements=ELEMENTS[:2])
    return prompt.render(config, _examination(encoded, crops))


def _examination(encoded: tuple[ShownImage, ShownImage], crops: Sequence[Crop]) -> Examination:
    reference, candidate = (
        ImageFacts(shown.width, shown.height, "PNG", 1, "", shown.width, shown.height) for shown in encoded
    )
    place = Box(8, 8, 40, 40)
    differences = tuple(MeasuredDifference("changed", place, place, 0.5, 1600, 5.0) for _ in crops)
    measured = Measurement(
        identical=False,
        similarity=0.5,
        similarity_interval=(0.0, 1.0),
        changed_ratio=0.5,
        ssim=0.5,
        color_delta_e=1.0,
        alignment=Alignment("none"),
        smallest_visible_px=1.0,
        aspects={},
        differences=differences,
        further_differences=0,
        version="bench",
    )
    return Examination(reference, candidate, *encoded, measured, (), (), 0.0, 0.0, tuple(crops))


def noise(side: int, seed: int) -> ShownImage:
    return ShownImage(side, side, "rgb", random.Random(seed).randbytes(side * side * 3))


def jpeg(width: int, height: int, seed: int) -> ShownImage:
    """A picture with soft colours rather than noise, which no JPEG holds well."""
    small = Image.frombytes("RGB", (8, 8), noise(8, seed).data)
    encoded = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=85)
    return ShownImage(width, height, "jpeg", encoded.getvalue())


def crops(count: int, chance: random.Random) -> list[Crop]:
    """Pairs of areas, each pair of another size, as `serve_app.comparison.dialogue.closeups` cuts them."""
    sizes = [(chance.randint(128, 448), chance.randint(128, 448)) for _ in range(count)]
    return [
        Crop(i, jpeg(*size, chance.randrange(1 << 30)), jpeg(*size, chance.randrange(1 << 30)))
        for i, size in enumerate(sizes)
    ]


def one_text(inquiry: Inquiry) -> str:
    """The same as one request for one JSON answer, put as briefly as somebody would who asks only once."""
    general, *_ = inquiry.instructions.splitlines()  # what follows is how our short questions are answered
    return (
        f"{general}\nFor each of these qualities say how much it may differ (none, small, medium, large "
        f"or total) and explain it in one short sentence: {', '.join(ASPECTS)}. For each of these elements say what "
        "may have happened to it (same, changed, added, removed or none) and explain it in one short sentence: "
        f"{', '.join(ELEMENTS)}. Then sum up what differs in one or two sentences. Answer with one JSON object: "
        '{"<name>":{"answer":"<option>","explanation":"<sentence>"},...,"summary":"<sentences>"}.'
    )


def _with_long_words(folder: Path, tokens: int = TOKENS) -> Any:
    """Replaces a tiny checkpoint's tokenizer by one of at least 32,000 tokens; control tokens keep their ids.

    Trained on the sources of Python's standard library: about four characters a token of English, as in real ones,
    where the tiny checkpoints' own tokenizer spells nearly every letter.
    """
    tiny = transformers.AutoTokenizer.from_pretrained(folder)
    control = [token for token, _ in sorted(tiny.get_added_vocab().items(), key=lambda item: item[1])]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(tuple(control), tokens)),
        eos_token=tiny.eos_token,
        pad_token=tiny.pad_token,
        model_max_length=8192,
        extra_special_tokens=getattr(tiny, "extra_special_tokens", None) or {},
    )
    tokenizer.chat_template = tiny.chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


@functools.cache
def _trained(control: tuple[str, ...], tokens: int) -> str:
    """A tokenizer as JSON. What is over 32,000 tokens is made up of two others each: to train them takes a minute, and
    only their number and length matter, to a grammar that goes through them all."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=list(control),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([*checkpoints.SENTENCES, *_sources()], trainer)
    described = json.loads(inner.to_str())
    vocabulary, merges = described["model"]["vocab"], described["model"]["merges"]
    begins = [token for token in vocabulary if token[:1] == SPACE and token[1:].isalpha()]
    ends = [token for token in vocabulary if token.isalpha() and len(token) > 1 and token[0] != SPACE]
    chance = random.Random(0)
    while len(vocabulary) < tokens:
        pair = [chance.choice(begins), chance.choice(ends)]
        if "".join(pair) not in vocabulary:
            vocabulary["".join(pair)] = len(vocabulary)
            merges.append(pair)
    return json.dumps(described)


def _sources() -> Iterator[str]:
    left = TRAINING_CHARACTERS
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield text
        left -= len(text)
        if left < 0:
            return


def _qwen_config(shape: Shape, tiny: Any) -> Any:
    hidden, layers, heads, key_value, head, forward, vocabulary = shape.text
    depth, vision_hidden, vision_forward, vision_heads, deep = shape.vision
    section = {128: [24, 20, 20], 64: [12, 10, 10], 32: [8, 4, 4]}[head]
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
        "tie_word_embeddings": shape.is_tied,
    }
    vision = {
        "depth": depth,
        "hidden_size": vision_hidden,
        "intermediate_size": vision_forward,
        "num_heads": vision_heads,
        "patch_size": 16,
        "out_hidden_size": hidden,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": deep,
    }
    ids = {
        name: getattr(tiny, name)
        for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    }
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=shape.is_tied, **ids)
