"""The engine's whole way on a card that isn't there: nothing of the CPU's meets what is the card's, and Python seldom
waits. Answers must be the CPU's, because the numbers are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app.core.inquiry import Inquiry, ModelOutput
from serve_app.vlm.local import loading, pretrained, transfer
from serve_app.vlm.local.decoding import compiled, prefix
from tests.vlm.gpu.pretend_card import CARD, Card, pretend_card
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for

GIB = 1 << 30


def an_engine(loaded: loading.Loaded, card: Card, **more: object) -> pretrained.PretrainedModel:
    """On the card, its steps recorded there."""
    loaded.model.to(CARD)
    settings = settings_for(Path("tiny"), device=str(CARD), **more)
    step = compiled.Step(loaded.model, backend="eager", record=card.record, free_bytes=lambda _: 64 * GIB)
    return pretrained.PretrainedModel(loaded, settings, lambda _: 64 * GIB, step=step)


def short() -> Inquiry:
    """One question of each kind, in both orders; few words, which a tiny tokenizer spells."""
    whole = an_inquiry()
    questions, swapped = whole.questions[3:], whole.swapped_questions[3:]
    return replace(whole, instructions="Compare.", questions=questions, swapped_questions=swapped)


def same(one: ModelOutput, other: ModelOutput) -> None:
    for mine, its in zip((*one.replies, *one.swapped_replies), (*other.replies, *other.swapped_replies), strict=True):
        assert mine.text == its.text
        assert mine.probabilities == pytest.approx(its.probabilities, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_answers_on_the_card_are_those_of_the_cpu(family: str, tmp_path: Path) -> None:
    """Inputs, sight, prefix, branches, recorded steps, labels and masks, and `warm_up`, which must come first."""
    loaded = loading.load(settings_for(FAMILIES[family](tmp_path)))
    expected = pretrained.PretrainedModel(loaded, settings_for(tmp_path)).answer(short(), a_stop())
    with pretend_card() as card:
        engine = an_engine(loaded, card)
        engine.warm_up()
        output = engine.answer(short(), a_stop())
    same(output, expected)
    assert output.plan is not None
    assert card.recordings


def test_recurrent_states_on_the_card_are_those_of_the_cpu(tmp_path: Path) -> None:
    model = loading.load(settings_for(FAMILIES["qwen3_5"](tmp_path))).model

    def logits(device: torch.device) -> list[torch.Tensor]:
        ids = torch.arange(50, 60, device=device)[None]
        branches = prefix.read(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).branch([0, 0, 0])
        found = [branches.feed([[5, 6, 7], [8], [9, 10]])]
        branches.keep([0, 2])
        return [*found, branches.feed([[11], [12]])]

    with torch.inference_mode():
        expected = logits(torch.device("cpu"))
        with pretend_card():
            model.to(CARD)
            found = [one.tolist() for one in logits(CARD)]
    torch.testing.assert_close([torch.tensor(one) for one in found], expected)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> loading.Loaded:
    return loading.load(settings_for(FAMILIES["qwen3_vl"](tmp_path_factory.mktemp("qwen"))))


@pytest.mark.parametrize("compiles", ["auto", "off"])
def test_a_step_waits_for_the_card_once(qwen: loading.Loaded, compiles: str) -> None:
    """For the tokens it chose. What all else waits for doesn't grow with the text."""
    waits = []
    with pretend_card() as card:
        for most in (6, 12):
            engine = an_engine(qwen, card, max_explanation_tokens=most, max_summary_tokens=most)
            if compiles == "off":
                engine._step = None
            engine.answer(short(), a_stop())
            card.waits.clear()
            engine.answer(short(), a_stop())
            waits.append(card.waits.total())
    assert waits[1] - waits[0] == 12 - 6


def test_all_labels_are_one_wait(qwen: loading.Loaded) -> None:
    waits = []
    asked = an_inquiry().swapped_questions
    with pretend_card() as card:
        engine = an_engine(qwen, card)
        for count in (2, len(asked)):
            inquiry = replace(short(), questions=(), swapped_questions=asked[:count])
            engine.answer(inquiry, a_stop())
            card.waits.clear()
            engine.answer(inquiry, a_stop())
            waits.append(card.waits.total())
    assert waits[0] == waits[1]


def test_a_usual_comparison_records_nothing_after_the_warm_up(qwen: loading.Loaded) -> None:
    with pretend_card() as card:
        engine = an_engine(qwen, card)
        engine.warm_up()
        recorded = card.recordings
        engine.answer(an_inquiry(), a_stop())
        assert recorded == card.recordings
        engine.answer(replace(an_inquiry(), instructions="Compare. " * 1500), a_stop())  # a longer one than usual
        assert card.recordings > recorded


def test_what_is_compiled_is_kept_where_the_operator_says(
    qwen: loading.Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "usual"))
    monkeypatch.setenv("TORCHINDUCTOR_FX_GRAPH_CACHE", "0")
    with pretend_card():
        qwen.model.to(CARD)
        assert compiled.step_for(qwen.model, settings_for(tmp_path)) is not None
        assert cache_dir() == str(tmp_path / "usual")
        compiled.step_for(qwen.model, settings_for(tmp_path, compile_cache=str(tmp_path / "kept")))
    assert cache_dir() == str(tmp_path / "kept")
    assert os.environ["TORCHINDUCTOR_FX_GRAPH_CACHE"] == "1"


def test_what_a_card_refuses_is_refused() -> None:
    """Among it the call that made every answer on a GPU fail, and an index that a card takes but waits for."""
    with pretend_card() as card:
        there, here = torch.arange(4, device=CARD), torch.tensor([1, 2])
        works: tuple[Callable[[], torch.Tensor], ...] = (
            lambda: torch.isin(there, here),
            lambda: torch.cat([there, here]),
            lambda: there[here],
            lambda: there[[1, 2]],
            lambda: torch.where(there > 1, there, torch.zeros(4, dtype=torch.long)),
        )
        for work in works:
            with pytest.raises(RuntimeError, match="same device"):
                work()
        assert (there * torch.tensor(2)).tolist() == [0, 2, 4, 6]  # a number is no tensor of the CPU's
        card.waits.clear()
        assert torch.isin(there, transfer.sent([1, 2], CARD)).sum().shape == ()
        assert not card.waits


@pytest.mark.parametrize(
    "wait",
    [
        lambda there: there.tolist(),
        lambda there: int(there.sum()),
        lambda there: bool(there.any()),
        lambda there: there.cpu(),
        lambda there: there[there > 1],
        lambda there: there.nonzero(),
        lambda there: torch.equal(there, there),
        lambda there: torch.zeros(4, dtype=torch.long).copy_(there),
        lambda there: torch.tensor([1, 2], device=CARD),
        lambda there: torch.tensor([1, 2]).to(CARD, non_blocking=True),  # from memory that isn't pinned
        lambda there: torch.tensor([1, 2]).pin_memory().to(CARD),
    ],
)
def test_every_wait_is_counted(wait: Any) -> None:
    with pretend_card() as card:
        there = torch.arange(4, device=CARD)
        wait(there)
        assert card.waits.total() == 1
        with pytest.raises(RuntimeError, match="capturing"):
            card.record(lambda: wait(there))


def test_a_recording_does_the_same_again_on_the_same_memory() -> None:
    with pretend_card() as card:
        total, fed = torch.zeros(3, device=CARD), torch.ones(3, device=CARD)

        def run() -> torch.Tensor:
            total.add_(fed[None].expand(2, 3).sum(0))
            return total * 10

        replay = card.record(run)
        fed.fill_(4)
        assert replay().tolist() == [100, 100, 100]
        assert replay().tolist() == [180, 180, 180]
