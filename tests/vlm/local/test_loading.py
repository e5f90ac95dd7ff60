"""The type that a checkpoint is computed in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch
import transformers

from serve_app.vlm.local import loading, pretrained
from tests.vlm.local.test_pretrained import a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints


@pytest.mark.parametrize(
    ("own", "capability", "expected"),
    [
        (torch.bfloat16, "avx512_bf16", "bfloat16"),
        (torch.bfloat16, "amx_bf16", "bfloat16"),
        (torch.bfloat16, "avx512_f", "float32"),
        (torch.float32, "avx512_bf16", "float32"),
        (torch.float16, "avx512_bf16", "float32"),
        (None, "avx512_bf16", "float32"),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_checkpoint_and_cpu_are_made_for_it(
    own: torch.dtype | None, capability: str, expected: str
) -> None:
    config = transformers.Qwen3VLConfig(dtype=own)
    assert loading.type_on_cpu(config, {capability: True, "sse2": True}) == expected


def test_a_type_is_looked_for_in_the_text_models_part_too() -> None:
    config = transformers.Qwen3VLConfig(text_config={"dtype": torch.bfloat16})
    config.dtype = None
    assert loading.type_on_cpu(config, {"amx_bf16": True}) == "bfloat16"


def test_a_type_that_the_operator_names_is_taken(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    assert loading.load(settings_for(folder)).model.dtype == torch.float32
    assert loading.load(settings_for(folder, dtype="bfloat16")).model.dtype == torch.bfloat16


def test_label_probabilities_in_bfloat16_are_close_to_those_in_float32(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    exact, rounded = (
        pretrained.load(settings_for(folder, dtype=dtype)).answer(an_inquiry(), a_stop())
        for dtype in ("float32", "bfloat16")
    )
    for one, other in zip(exact.replies, rounded.replies, strict=True):
        assert other.probabilities == pytest.approx(one.probabilities, rel=0.05)
