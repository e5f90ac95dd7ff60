"""The transformers engine on a CUDA device, bfloat16, on tiny random checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [vl]")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

from serve_app.vlm import loading, prefix, pretrained  # noqa: E402
from tests.test_vlm_pretrained import FAMILIES, a_stop, an_inquiry, settings_for  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_is_answered_on_the_gpu_in_half_precision(family: str, tmp_path: Path) -> None:
    folder = FAMILIES[family](tmp_path)
    model = pretrained.load(settings_for(folder, device="cuda", dtype="bfloat16"))
    output = model.answer(an_inquiry(), a_stop())
    assert len(output.replies) == 7
    assert all(0 <= sum(reply.probabilities) <= 1.01 for reply in output.replies)


def test_gpu_and_cpu_read_the_same_probabilities_in_single_precision(tmp_path: Path) -> None:
    folder = FAMILIES["qwen3_vl"](tmp_path)
    cpu = pretrained.load(settings_for(folder, dtype="float32")).answer(an_inquiry(), a_stop())
    gpu = pretrained.load(settings_for(folder, device="cuda", dtype="float32")).answer(an_inquiry(), a_stop())
    for one, other in zip(cpu.replies, gpu.replies, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=0.05, abs=1e-6)


def test_an_answer_leaves_no_memory_behind(tmp_path: Path) -> None:
    model = pretrained.load(settings_for(FAMILIES["qwen3_vl"](tmp_path), device="cuda"))
    model.warm_up()
    model.answer(an_inquiry(), a_stop())
    held = torch.cuda.memory_allocated()
    model.answer(an_inquiry(), a_stop())
    assert torch.cuda.memory_allocated() == held


@pytest.mark.parametrize("family", FAMILIES)
def test_the_device_holds_no_more_than_predicted_and_not_much_less(family: str, tmp_path: Path) -> None:
    """With no cache, so that nothing outlives an answer. Workspaces of libraries are made by the answers before."""
    model = pretrained.load(settings_for(FAMILIES[family](tmp_path), device="cuda", cache_bytes=0))
    inquiry = an_inquiry()
    for _ in range(2):
        model.answer(inquiry, a_stop())
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    output = model.answer(inquiry, a_stop())
    measured = torch.cuda.max_memory_allocated() - before
    if output.plan is None:
        pytest.skip("this family's memory is not planned")
    # A tiny model's tensors are small against the 512 bytes that the allocator rounds each up to.
    assert measured <= output.plan.predicted_bytes + 64 * 1024
    assert output.plan.predicted_bytes <= 1.2 * measured


def test_rows_that_share_a_prefix_read_what_each_would_read_alone(tmp_path: Path) -> None:
    model = loading.load(settings_for(FAMILIES["qwen3_vl"](tmp_path), device="cuda", dtype="float32")).model
    begun = torch.arange(50, 100, device="cuda")[None]
    rows = [[5, 6, 7, 8], [9], [10, 11]]
    with torch.inference_mode():
        read = prefix.read(model, {"input_ids": begun, "attention_mask": torch.ones_like(begun)})
        together = read.branch([0, 0, 0]).feed(rows)
        for row, logits in zip(rows, together, strict=True):
            alone = read.branch([0], together=False).feed([row])[0]
            torch.testing.assert_close(logits, alone, rtol=1e-2, atol=1e-2)
