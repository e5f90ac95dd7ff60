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

LABELS = (*"ABCDE", "none", "small", "medium", "large", "total", "same", "changed", "added", "removed", "moved")
SENTENCES = [
    '{"answer":"none","explanation":"The first picture and the second picture look the same."}',
    '{"answer":"small","description":"The colour of the label may have changed."}',
    '{"summary":"Nothing visible differs."} medium large total same changed added removed moved none',
    "Look only at this quality: color. Options: A, B, C, D, E. 无小中大全同变增删移",
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


def tiny_qwen3_vl(folder: Path, *, width: int = 64, layers: int = 2) -> Path:
    """A Qwen3-VL of about 0.3 M parameters at the default width: M-RoPE, deep-stacked vision features."""
    tokenizer = _tokenizer(QWEN_TOKENS)
    config = transformers.Qwen3VLConfig(
        text_config=_text(tokenizer, width, layers, rope_parameters=_mrope([4, 2, 2], width // 4, interleaved=True)),
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
        **_qwen_ids(tokenizer),
    )
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    )
    return _saved(folder, transformers.Qwen3VLForConditionalGeneration, config, tokenizer, images, "Qwen3VLProcessor")


def tiny_qwen2_5_vl(folder: Path) -> Path:
    """A Qwen2.5-VL: M-RoPE in sections, windowed vision attention."""
    tokenizer = _tokenizer(QWEN_TOKENS)
    config = transformers.Qwen2_5_VLConfig(
        text_config=_text(tokenizer, 64, 2, rope_parameters=_mrope([4, 2, 2], 16, interleaved=False)),
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
        **_qwen_ids(tokenizer),
    )
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    )
    model = transformers.Qwen2_5_VLForConditionalGeneration
    return _saved(folder, model, config, tokenizer, images, "Qwen2_5_VLProcessor")


def tiny_llava_onevision(folder: Path) -> Path:
    """A LLaVA-OneVision: plain positions, a SigLIP tower, pictures cut into tiles."""
    tokenizer = _tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"))
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text(tokenizer, 64, 2)},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]],
        vision_feature_layer=-1,
    )
    images = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 32, "width": 32}, image_grid_pinpoints=[[32, 32], [32, 64], [64, 32]]
    )
    return _saved(
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


def _tokenizer(special: tuple[str, ...]) -> Any:
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
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=8192
    )


def _text(tokenizer: Any, width: int, layers: int, **more: Any) -> dict[str, Any]:
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


def _mrope(section: list[int], head_dim: int, *, interleaved: bool) -> dict[str, Any]:
    scale = head_dim // 2 // sum(section)
    scaled = [part * scale for part in section]
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": scaled, "mrope_interleaved": interleaved}


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _saved(
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
