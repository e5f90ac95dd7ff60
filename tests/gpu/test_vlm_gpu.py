"""The transformers engine on a CUDA device, bfloat16, on tiny random checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [vl]")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

from serve_app.vlm.local import loading, pretrained  # noqa: E402
from serve_app.vlm.local.decoding import compiled, prefix  # noqa: E402
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """What was compiled for one test's model would count against the next."""
    torch._dynamo.reset()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_is_answered_on_the_gpu_in_half_precision(family: str, tmp_path: Path) -> None:
    folder = FAMILIES[family](tmp_path)
    model = pretrained.load(settings_for(folder, device="cuda", dtype="bfloat16"))
    output = model.answer(an_inquiry(), a_stop())
    assert len(output.replies) == len(an_inquiry().questions)
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
    """With no cache and no buffers for steps, so that nothing outlives an answer.

    Workspaces of libraries are made by the answers before.
    """
    settings = settings_for(FAMILIES[family](tmp_path), device="cuda", cache_bytes=0, compile="off")
    model = pretrained.load(settings)
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


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "gemma3"])
def test_recorded_steps_give_what_plain_ones_give(family: str, tmp_path: Path) -> None:
    """In every shape: rows that leave, a longer prefix, a shape that was recorded before."""
    model = loading.load(settings_for(FAMILIES[family](tmp_path), device="cuda", dtype="float32")).model
    step = compiled.Step(model)
    with torch.inference_mode():
        for length, count in ((40, 3), (300, 3), (600, 6), (40, 13), (40, 3)):
            ids = torch.arange(length, device="cuda")[None] % 200 + 3
            read = prefix.read(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
            ours, plain = read.branch([0] * count, step=step), read.branch([0] * count)
            for token in ([5, 6, 7], [8], [9], [10], [11, 12], [13], [14]):
                fed = [[number + row for number in token] for row in range(count)]
                torch.testing.assert_close(ours.feed(fed), plain.feed(fed), rtol=1e-2, atol=1e-2)
            for one in (ours, plain):
                one.keep([1])
            for token in ([15], [16], [17]):
                torch.testing.assert_close(ours.feed([token]), plain.feed([token]), rtol=1e-2, atol=1e-2)
    assert step.is_on
    assert step.is_fused


def test_an_answer_with_recorded_steps_is_that_of_plain_ones(tmp_path: Path) -> None:
    folder = FAMILIES["qwen3_vl"](tmp_path)
    texts = []
    for way in ("auto", "off"):
        model = pretrained.load(settings_for(folder, device="cuda", dtype="float32", compile=way))
        model.warm_up()
        texts.append([reply.text for reply in model.answer(an_inquiry(), a_stop()).replies])
    assert texts[0] == texts[1]
