"""The transformers engine on a card, on tiny random checkpoints; where there is none, on one that is pretended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

from serve_app.vlm.local import pretrained  # noqa: E402
from serve_app.vlm.local.decoding import prefix  # noqa: E402
from tests.vlm.gpu.cards import AnyCard, a_card  # noqa: E402
from tests.vlm.local.test_card import short  # noqa: E402
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for  # noqa: E402

# Without a card they belong to `make test`, and two families will do: each operation takes Python.
HAS_CARD = torch.cuda.is_available()
ASKED = list(FAMILIES) if HAS_CARD else ["qwen3_vl", "gemma3"]
WORKSPACES = 16 << 20  # bytes that a plan may allow for what libraries take on a card
pytestmark = [
    *([pytest.mark.gpu] if HAS_CARD else []),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation:DeprecationWarning"
    ),  # GLM's processor, in transformers
]


@pytest.fixture
def card() -> Iterator[AnyCard]:
    torch._dynamo.reset()  # what was compiled for one test's model would count against the next
    with a_card() as one:
        yield one


@pytest.mark.parametrize("family", ASKED)
def test_a_pair_is_answered_in_half_precision_with_the_memory_predicted(
    card: AnyCard, family: str, tmp_path: Path
) -> None:
    """With no cache and no buffers for steps, so that nothing outlives an answer, and no memory is left behind."""
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="its processor needs it")
    model = card.engine(FAMILIES[family](tmp_path), dtype="bfloat16", cache_bytes=0, compile="off")
    inquiry = an_inquiry() if HAS_CARD else short()
    model.answer(inquiry, a_stop())  # libraries make their workspaces
    before = card.held_bytes()
    card.reset_peak()
    output = model.answer(inquiry, a_stop())
    measured = card.peak_bytes() - before
    assert card.held_bytes() == before
    assert len(output.replies) == len(inquiry.questions)
    assert all(0 <= sum(reply.probabilities) <= 1.01 for reply in (*output.replies, *output.swapped_replies))
    assert all(reply.text for reply in output.replies)
    assert output.plan is not None
    # A tiny model's tensors are small against the 512 bytes that the allocator rounds each up to.
    assert measured <= output.plan.predicted_bytes + 64 * 1024
    assert output.plan.predicted_bytes <= 1.2 * measured + WORKSPACES


def test_card_and_cpu_read_the_same_probabilities_in_single_precision(tmp_path: Path) -> None:
    folder = FAMILIES["qwen3_vl"](tmp_path)
    on_cpu = pretrained.load(settings_for(folder, dtype="float32")).answer(short(), a_stop())
    with a_card() as card:
        on_card = card.engine(folder, dtype="float32", compile="off").answer(short(), a_stop())
    for one, other in zip(on_cpu.replies, on_card.replies, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=0.05, abs=1e-6)


def test_a_picture_seen_before_is_not_looked_at_again_in_half_precision(card: AnyCard, tmp_path: Path) -> None:
    """Rounding must not make the engine read all pictures together: then it remembers none."""
    lookups: Counter[tuple[str, str]] = Counter()
    folder = FAMILIES["qwen3_vl"](tmp_path)
    model = card.engine(folder, lambda *one: lookups.update([one]), dtype="bfloat16", compile="off")
    for _ in range(2):
        model.answer(short(), a_stop())
    assert lookups["vision", "hit"] == lookups["vision", "miss"] == len(short().pictures)


def test_rows_that_share_a_prefix_read_what_each_would_read_alone(card: AnyCard, tmp_path: Path) -> None:
    model = card.model(FAMILIES["qwen3_vl"](tmp_path), dtype="float32")
    begun = torch.arange(50, 100, device=card.device)[None]
    rows = [[5, 6, 7, 8], [9], [10, 11]]
    with torch.inference_mode():
        read = prefix.read(model, {"input_ids": begun, "attention_mask": torch.ones_like(begun)})
        together = read.branch([0, 0, 0]).feed(rows).cpu()
        for row, logits in zip(rows, together, strict=True):
            alone = read.branch([0], together=False).feed([row])[0].cpu()
            torch.testing.assert_close(logits, alone, rtol=1e-2, atol=1e-2)


def test_an_answer_with_recorded_steps_is_that_of_plain_ones(card: AnyCard, tmp_path: Path) -> None:
    """After `warm_up`, as in a replica."""
    folder = FAMILIES["qwen3_vl"](tmp_path)
    texts = []
    for way in ("off", "auto"):
        model = card.engine(folder, dtype="float32", compile=way)
        model.warm_up()
        texts.append([reply.text for reply in model.answer(short(), a_stop()).replies])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "gemma3"] if HAS_CARD else ["qwen3_vl"])
def test_recorded_steps_give_what_plain_ones_give(card: AnyCard, family: str, tmp_path: Path) -> None:
    """In every shape: rows that leave, a longer prefix, a shape that was recorded before."""
    model = card.model(FAMILIES[family](tmp_path), dtype="float32")
    step = card.step(model)
    with torch.inference_mode():
        for length, count in ((40, 3), (300, 3), (600, 6), (40, 13), (40, 3)):
            ids = (torch.arange(length, device=card.device) % 200 + 3)[None]
            read = prefix.read(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
            ours, plain = read.branch([0] * count, step=step), read.branch([0] * count)

            def same(rows: list[list[int]], ours: object = ours, plain: object = plain) -> None:
                one, other = (branches.feed(rows).cpu() for branches in (ours, plain))  # type: ignore[attr-defined]
                torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)

            for token in ([5, 6, 7], [8], [9], [10], [11, 12], [13], [14]):
                same([[number + row for number in token] for row in range(count)])
            for one in (ours, plain):
                one.keep([1])
            for number in (15, 16, 17):
                same([[number]])
    assert step.is_on
    assert step.is_fused or not HAS_CARD  # a compiler takes no tensors of a card that isn't there
