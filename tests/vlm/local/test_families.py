"""What each family of checkpoints is said to do in docs/models.md, and what happens with families that can't do it.

That answers are right for every family is tested in test_vlm_pretrained.py, on the same checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app import vlm
from serve_app.vlm.local import loading
from serve_app.vlm.local.decoding import prefix
from tests.vlm.local.test_pretrained import settings_for
from tests.worlds import checkpoints, families_table
from tests.worlds.families import FAMILIES, Family


def test_the_table_of_the_docs_is_what_the_tests_go_through() -> None:
    assert families_table.on_the_page() == families_table.table()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_questions_share_the_prefix_where_the_table_says_so(family: Family, tmp_path: Path) -> None:
    folder = family.make(tmp_path)
    assert json.loads((folder / "config.json").read_text())["model_type"] == family.model_type
    assert prefix.can_share(loading.load(settings_for(folder)).model) == (family.asks == "as one batch")


@pytest.mark.parametrize("make", [checkpoints.tiny_qwen3_5, checkpoints.tiny_gemma3, checkpoints.tiny_qwen3_vl])
def test_rows_of_any_length_read_what_each_would_read_alone(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = loading.load(settings_for(make(tmp_path))).model
    begun = torch.arange(50, 100)[None]
    feeds = [([5, 6, 7, 8], [9], [10, 11]), ([20], [21, 22], [23])]
    with torch.inference_mode():
        read = prefix.read(model, {"input_ids": begun, "attention_mask": torch.ones_like(begun)})
        branches = read.branch([0, 0, 0])
        together = [branches.feed(rows) for rows in feeds]
        branches.keep([0, 2])
        together.append(branches.feed([[30] * 70, [31]]))  # more than a suffix has room for at first
        for row, kept in ((0, 0), (1, None), (2, 1)):
            alone = read.branch([0], together=False)
            expected = [alone.feed([rows[row]])[0] for rows in feeds]
            torch.testing.assert_close(torch.stack([logits[row] for logits in together[:2]]), torch.stack(expected))
            if kept is not None:
                last = alone.feed([([30] * 70, [31])[kept]])[0]
                torch.testing.assert_close(together[2][kept], last)


def test_a_model_whose_attention_wants_tensors_is_asked_one_at_a_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = loading.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path))).model
    layer = model.model.language_model.layers[0].self_attn

    def needs_tensors(*_: object, past_key_values: object = None, **__: object) -> None:
        if past_key_values is not None and hasattr(past_key_values, "layout"):
            raise TypeError("expected a tensor")

    hook = layer.register_forward_pre_hook(lambda _, args, kwargs: needs_tensors(*args, **kwargs), with_kwargs=True)
    assert not prefix.can_share(model)
    assert "one at a time" in caplog.text
    hook.remove()
    assert prefix.can_share(model)


def test_a_family_whose_pictures_need_torchvision_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama4"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(vlm.ModelUnavailable, match=r"llama4 model, whose pictures .* torchvision only"):
        vlm.check(settings_for(tmp_path))
