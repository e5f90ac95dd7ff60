"""The families of checkpoints that are verified: what the table in docs/models.md says and the tests go through.
Each entry makes a tiny random checkpoint; those that are not in checkpoints.py are made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from serve_app.vlm.local.lfm2_images import Lfm2VlImageProcessorPil
from tests.worlds import checkpoints
from tests.worlds.checkpoints import QWEN_TOKENS, a_text_config, a_tokenizer, mrope, qwen_ids, qwen_images, saved

_CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Family:
    """`model_type`: as config.json names it; `asks`: how its questions go through the model."""

    name: str
    model_type: str
    make: Callable[[Path], Path]
    cache: str = "keys and values"
    asks: str = "as one batch"


def tiny_qwen3_vl_moe(folder: Path) -> Path:
    """A Qwen3-VL with experts: 2 of 4 for each token."""
    tokenizer = a_tokenizer(QWEN_TOKENS)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    rope = mrope([4, 2, 2], 16, interleaved=True)
    config = transformers.Qwen3VLMoeConfig(
        text_config=a_text_config(tokenizer, 64, 2, rope_parameters=rope, **experts),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **qwen_ids(tokenizer),
    )
    model = transformers.Qwen3VLMoeForConditionalGeneration
    return saved(folder, model, config, tokenizer, qwen_images(), "Qwen3VLProcessor")


def tiny_gemma4(folder: Path) -> Path:
    """A Gemma 4: sliding windows, wider heads in full layers, layers that share keys, embeddings for each layer."""
    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
        "audio_token": "<audio_soft_token>",
        "boa_token": "<start_of_audio>",
        "eoa_token": "<end_of_audio>",
    }
    tokenizer = a_tokenizer((*_CHAT, *names.values(), "<|video|>"), **names)
    layers = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    config = transformers.Gemma4Config(
        text_config=a_text_config(
            tokenizer,
            64,
            4,
            sliding_window=24,
            layer_types=layers,
            num_kv_shared_layers=2,
            global_head_dim=32,
            hidden_size_per_layer_input=16,
            vocab_size_per_layer_input=len(tokenizer),
            use_bidirectional_attention="vision",
            final_logit_softcapping=30.0,
        ),
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 16,
            "patch_size": 4,
            "position_embedding_size": 256,
        },
        audio_config=None,
        boi_token_id=tokenizer.convert_tokens_to_ids(names["boi_token"]),
        eoi_token_id=tokenizer.convert_tokens_to_ids(names["eoi_token"]),
        image_token_id=tokenizer.convert_tokens_to_ids(names["image_token"]),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )
    images = transformers.Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70)
    model = transformers.Gemma4ForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "Gemma4Processor", image=names["image_token"])


def tiny_smolvlm(folder: Path) -> Path:
    """A SmolVLM: pictures in tiles with row and column tokens."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    marks = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<video>")
    tokenizer = a_tokenizer((*_CHAT, *marks, *tiles))
    config = transformers.SmolVLMConfig(
        text_config={"model_type": "llama", **a_text_config(tokenizer, 64, 2)},
        vision_config={**_TOWER, "image_size": 32, "patch_size": 8},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    images = transformers.SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    model = transformers.SmolVLMForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "SmolVLMProcessor", image="<image>", image_seq_len=4)


def tiny_mistral3(folder: Path) -> Path:
    """A Mistral 3: a Pixtral tower, rows of patches with break tokens between."""
    tokenizer = a_tokenizer((*_CHAT, "[IMG]", "[IMG_BREAK]", "[IMG_END]"))
    tower = {**_TOWER, "model_type": "pixtral", "image_size": 64, "patch_size": 8, "head_dim": 16}
    config = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **a_text_config(tokenizer, 64, 2, sliding_window=None)},
        vision_config=tower,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    images = transformers.PixtralImageProcessorPil(patch_size=8, size={"longest_edge": 64})
    model = transformers.Mistral3ForConditionalGeneration
    grid = {"patch_size": 8, "spatial_merge_size": 2}
    return saved(folder, model, config, tokenizer, images, "PixtralProcessor", image="[IMG]", **grid)


def tiny_glm4v(folder: Path) -> Path:
    """A GLM-4.1V: M-RoPE on pairs of neighbours, a tower that interpolates its positions."""
    return _glm(folder, transformers.Glm4vConfig, transformers.Glm4vForConditionalGeneration, "Glm4vProcessor")


def tiny_glm4v_moe(folder: Path) -> Path:
    """A GLM-4.5V: 2 of 4 experts and a shared one for each token, after a dense first layer."""
    experts = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
    }
    model = transformers.Glm4vMoeForConditionalGeneration
    return _glm(folder, transformers.Glm4vMoeConfig, model, "Glm4vProcessor", **experts)


def tiny_minicpm_v(folder: Path) -> Path:
    """A MiniCPM-V 4.6: a Qwen3.5 language model, windows merged inside the tower, slices of large pictures."""
    names = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "image_start_token": "<image>",
        "image_end_token": "</image>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
    tokenizer = a_tokenizer((*_CHAT, *names.values()), **names)
    config = transformers.MiniCPMV4_6Config(
        text_config={"model_type": "qwen3_5_text", **hybrid_text(tokenizer)},
        vision_config={**_TOWER, "image_size": 64, "patch_size": 8},
        insert_layer_id=0,
        image_size=64,
        image_token_id=tokenizer.convert_tokens_to_ids(names["image_token"]),
        video_token_id=tokenizer.convert_tokens_to_ids(names["video_token"]),
    )
    images = transformers.MiniCPMV4_6ImageProcessorPil(patch_size=8, scale_resolution=64, max_slice_nums=4)
    model = transformers.MiniCPMV4_6ForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "MiniCPMV4_6Processor", image=names["image_token"])


def tiny_lfm2_vl(folder: Path) -> Path:
    """An LFM2-VL: short convolutions in most layers, tiles and a thumbnail, a SigLIP 2 tower of any grid."""
    names = {"image_token": "<image>", "image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>"}
    tiles = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = a_tokenizer((*_CHAT, *names.values(), "<|img_thumbnail|>", *tiles), **names)
    layers = ["conv", "full_attention", "conv", "full_attention"]
    text = a_text_config(tokenizer, 64, 4, layer_types=layers, block_auto_adjust_ff_dim=False)
    config = transformers.Lfm2VlConfig(
        text_config={"model_type": "lfm2", **text},
        vision_config={
            **_TOWER,
            "model_type": "siglip2_vision_model",
            "num_patches": 16,
            "patch_size": 8,
            "vision_use_head": False,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=64,
    )
    images = Lfm2VlImageProcessorPil(
        encoder_patch_size=8, tile_size=32, min_image_tokens=2, max_image_tokens=6, max_tiles=4
    )
    model = transformers.Lfm2VlForConditionalGeneration
    return saved(folder, model, config, tokenizer, images, "Lfm2VlProcessor", image="<image>")


_TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def hybrid_text(tokenizer: Any) -> dict[str, Any]:
    """Qwen3.5's language model: three layers of four keep a recurrent state."""
    rope = {**mrope([2, 1, 1], 8, interleaved=True), "partial_rotary_factor": 0.5}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = ["linear_attention", "linear_attention", "linear_attention", "full_attention"]
    return a_text_config(tokenizer, 64, 4, rope_parameters=rope, layer_types=layers, **linear)


def _glm(folder: Path, config_class: Any, model_class: Any, processor: str, **text: Any) -> Path:
    marks = ("<|begin_of_image|>", "<|image|>", "<|end_of_image|>")
    videos = ("<|begin_of_video|>", "<|video|>", "<|end_of_video|>")
    tokenizer = a_tokenizer((*_CHAT, *marks, *videos))
    rope = {**mrope([4, 2, 2], 16, interleaved=False), "partial_rotary_factor": 1.0}
    ids = {
        "image_token_id": "<|image|>",
        "video_token_id": "<|video|>",
        "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }
    config = config_class(
        text_config=a_text_config(tokenizer, 64, 2, rope_parameters=rope, **text),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "out_hidden_size": 64,
        },
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    size = {"shortest_edge": 16 * 16, "longest_edge": 2 * 64 * 64}
    images = transformers.Glm4vImageProcessorPil(patch_size=8, merge_size=2, size=size)
    return saved(folder, model_class, config, tokenizer, images, processor, image="".join(marks))


FAMILIES = (
    Family("Qwen3-VL", "qwen3_vl", checkpoints.tiny_qwen3_vl),
    Family("Qwen3-VL, experts", "qwen3_vl_moe", tiny_qwen3_vl_moe),
    Family("Qwen2.5-VL", "qwen2_5_vl", checkpoints.tiny_qwen2_5_vl),
    Family("Qwen2-VL", "qwen2_vl", checkpoints.tiny_qwen2_vl),
    Family("Qwen3.5", "qwen3_5", checkpoints.tiny_qwen3_5, "with recurrent layers"),
    Family("Gemma 3", "gemma3", checkpoints.tiny_gemma3, "with sliding windows"),
    Family("Gemma 4", "gemma4", tiny_gemma4, "with sliding windows"),
    Family("InternVL", "internvl", checkpoints.tiny_internvl),
    Family("LLaVA-OneVision", "llava_onevision", checkpoints.tiny_llava_onevision),
    Family("SmolVLM", "smolvlm", tiny_smolvlm),
    Family("Idefics3", "idefics3", checkpoints.tiny_idefics3),
    Family("Mistral 3", "mistral3", tiny_mistral3),
    Family("GLM-4.1V", "glm4v", tiny_glm4v),
    Family("GLM-4.5V, experts", "glm4v_moe", tiny_glm4v_moe),
    Family("LFM2-VL", "lfm2_vl", tiny_lfm2_vl, "with recurrent layers"),
    Family("MiniCPM-V 4.6", "minicpmv4_6", tiny_minicpm_v, "with recurrent layers"),
)
BY_TYPE = {family.model_type: family for family in FAMILIES}
