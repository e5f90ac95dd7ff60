"""Tiny random vision-language checkpoints with real tokenizers, processors and chat templates, made in a second.
Their answers mean nothing; their files go through the real loading code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LABELS = (
    *"ABCDE",
    "none",
    "small",
    "medium",
    "large",
    "total",
    "same",
    "changed",
    "added",
    "removed",
    "moved",
    "missing",
)
SENTENCES = [
    '{"answer":"none","explanation":"The first picture and the second picture look the same."}',
    '{"answer":"small","description":"The colour of the label may have changed."}',
    '{"summary":"Nothing visible differs."} medium large total same changed added removed moved none',
    "Look only at this quality: color. Options: A, B, C, D, E. 无小中大全同变增删移缺",
    *(f'{{"answer":"{label}","explanation":"The {label} one."}}' for label in LABELS),
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def tiny_qwen3_vl(folder: Path, *, width: int = 64, layers: int = 2, tokens: tuple[str, ...] = ()) -> Path:
    """A Qwen3-VL of about 0.3 M parameters at the default width: M-RoPE, deep-stacked vision features."""
    tokenizer = a_tokenizer((*QWEN_TOKENS, *tokens))
    config = transformers.Qwen3VLConfig(
        text_config=a_text_config(
            tokenizer, width, layers, rope_parameters=mrope([4, 2, 2], width // 4, interleaved=True)
        ),
        vision_config={
            "depth": 2,
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": width,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **qwen_ids(tokenizer),
    )
    images = qwen_images()
    return saved(folder, transformers.Qwen3VLForConditionalGeneration, config, tokenizer, images, "Qwen3VLProcessor")


def that_thinks(folder: Path, begins: str = "<think>") -> Path:
    """The checkpoint with a template that begins a thought before every answer."""
    template = (folder / "chat_template.jinja").read_text()
    turn = "<|im_start|>assistant\n{% endif %}"
    (folder / "chat_template.jinja").write_text(template.replace(turn, turn.replace("{%", begins + "\n{%")))
    return folder


def tiny_qwen2_5_vl(folder: Path) -> Path:
    """A Qwen2.5-VL: M-RoPE in sections, windowed vision attention."""
    tokenizer = a_tokenizer(QWEN_TOKENS)
    config = transformers.Qwen2_5_VLConfig(
        text_config=a_text_config(tokenizer, 64, 2, rope_parameters=mrope([4, 2, 2], 16, interleaved=False)),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": 8,
            "window_size": 32,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 64,
        },
        **qwen_ids(tokenizer),
    )
    images = qwen_images()
    model = transformers.Qwen2_5_VLForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "Qwen2_5_VLProcessor")


def tiny_llava_onevision(folder: Path) -> Path:
    """A LLaVA-OneVision: plain positions, a SigLIP tower, pictures cut into tiles."""
    tokenizer = a_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"))
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **a_text_config(tokenizer, 64, 2)},
        vision_config=siglip(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]],
        vision_feature_layer=-1,
    )
    images = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]]
    )
    return saved(
        folder,
        transformers.LlavaOnevisionForConditionalGeneration,
        config,
        tokenizer,
        images,
        "LlavaOnevisionProcessor",
        image="<image>\n",
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )


def tiny_qwen2_vl(folder: Path) -> Path:
    """A Qwen2-VL: M-RoPE in sections, full vision attention."""
    tokenizer = a_tokenizer(QWEN_TOKENS)
    config = transformers.Qwen2VLConfig(
        text_config=a_text_config(tokenizer, 64, 2, rope_parameters=mrope([4, 2, 2], 16, interleaved=False)),
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2, "num_heads": 4, "patch_size": 8},
        **qwen_ids(tokenizer),
    )
    model = transformers.Qwen2VLForConditionalGeneration
    return saved(folder, model, config, tokenizer, qwen_images(), "Qwen2VLProcessor")


def tiny_qwen3_5(folder: Path) -> Path:
    """A Qwen3.5: three layers of four keep a recurrent state instead of keys and values."""
    tokenizer = a_tokenizer(QWEN_TOKENS)
    rope = {**mrope([2, 1, 1], 8, interleaved=True), "partial_rotary_factor": 0.5}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = ["linear_attention", "linear_attention", "linear_attention", "full_attention"]
    config = transformers.Qwen3_5Config(
        text_config=a_text_config(tokenizer, 64, 4, rope_parameters=rope, layer_types=layers, **linear),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
        },
        **qwen_ids(tokenizer),
    )
    model = transformers.Qwen3_5ForConditionalGeneration
    return saved(folder, model, config, tokenizer, qwen_images(), "Qwen3VLProcessor")


def tiny_gemma3(folder: Path) -> Path:
    """A Gemma 3: a sliding window shorter than the prompt, pictures that see themselves both ways."""
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = a_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", *names.values()), **names)
    layers = ["sliding_attention", "full_attention"]
    config = transformers.Gemma3Config(
        text_config=a_text_config(tokenizer, 64, 2, sliding_window=24, layer_types=layers, query_pre_attn_scalar=16),
        vision_config=siglip(),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids(names["boi_token"]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(names["eoi_token"]),
        image_token_index=tokenizer.convert_tokens_to_ids(names["image_token"]),
    )
    images = transformers.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    model = transformers.Gemma3ForConditionalGeneration
    image = names["boi_token"]
    return saved(folder, model, config, tokenizer, images, "Gemma3Processor", image=image, image_seq_length=4)


def tiny_idefics3(folder: Path) -> Path:
    """An Idefics3, the mother of SmolVLM: pictures in tiles with row and column tokens."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    marks = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    tokenizer = a_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", *marks, *tiles))
    config = transformers.Idefics3Config(
        text_config={"model_type": "llama", **a_text_config(tokenizer, 64, 2)},
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    images = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    model = transformers.Idefics3ForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "Idefics3Processor", image="<image>", image_seq_len=4)


def tiny_internvl(folder: Path) -> Path:
    """An InternVL: pixel shuffle, a Qwen2 language model."""
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = a_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", *names.values()), **names)
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **a_text_config(tokenizer, 64, 2)},
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": [32, 32],
            "patch_size": [8, 8],
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = transformers.GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=False)
    model = transformers.InternVLForConditionalGeneration
    image = "<IMG_CONTEXT>"
    return saved(folder, model, config, tokenizer, images, "InternVLProcessor", image=image, image_seq_length=4)


def a_tokenizer(special: tuple[str, ...], **named: str) -> Any:
    """A byte-level BPE trained on a few sentences; every label is one token, as in large vocabularies."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=8192,
        extra_special_tokens=named,
    )


def a_text_config(tokenizer: Any, width: int, layers: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": width // 4,
        "max_position_embeddings": 8192,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def mrope(section: list[int], head_dim: int, *, interleaved: bool) -> dict[str, Any]:
    scale = head_dim // 2 // sum(section)
    scaled = [part * scale for part in section]
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": scaled}
    return {**rope, "mrope_interleaved": True} if interleaved else rope


def siglip() -> dict[str, Any]:
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "vision_use_head": False,
    }


def qwen_images() -> Any:
    size = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    return transformers.Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, size=size)


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def saved(
    folder: Path,
    model_class: Any,
    config: Any,
    tokenizer: Any,
    images: Any,
    processor_class: str,
    *,
    image: str = QWEN_IMAGE,
    **processor: Any,
) -> Path:
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():  # wider than at initialisation, so that no two logits are nearly equal
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.chat_template = CHATML.replace("IMAGE", image)
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    described = {"processor_class": processor_class, **processor}
    (folder / "processor_config.json").write_text(json.dumps(described))
    return folder
