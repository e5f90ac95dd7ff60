"""Questions through the model: when which label is read, under which a text is written, and how exactly it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app.core.inquiry import Question, Wording
from serve_app.vlm.local import loading, pretrained
from serve_app.vlm.local.asking import Asking, Row
from serve_app.vlm.local.decoding.head import Head
from serve_app.vlm.local.grammar import JsonText
from serve_app.vlm.local.lexicon import Lexicon
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints

# A processor of transformers' own, GLM's, makes arrays of tensors in a way that numpy will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WORDING = Wording("What of it?", ("none", "changed"))
REGION, ASPECT = Question("region", 0, (WORDING,)), Question("aspect", 1, (WORDING,))
SUMMARY = Question("summary", 0, (Wording("Sum up.", ()),))


class Prefixes:
    """A prefix with both orders whose branches give the labels that they are told to, and any text."""

    can_batch = True
    num_rows = 2
    said: dict[tuple[int, str], tuple[float, float]]

    def __init__(self, size: int, said: dict[tuple[int, str], tuple[float, float]]) -> None:
        self.size = size
        self.said = said
        self.fed: list[tuple[str, int]] = []

    def branch(self, places: Sequence[int], **_: object) -> Branching:
        return Branching(self, list(places))


class Branching:
    def __init__(self, prefix: Prefixes, places: list[int]) -> None:
        self.prefix = prefix
        self.places = places
        self.asked = False

    def feed(self, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]] = ()) -> torch.Tensor:
        assert len(rows) == len(self.places)
        self.prefix.fed.append(("labels" if labels else "again" if not self.asked else "text", len(rows)))
        self.asked = True
        logits = torch.zeros(len(rows), self.prefix.size)
        for row, (place, ids) in enumerate(zip(self.places, labels or [()] * len(rows), strict=True)):
            for token, chance in zip(ids, self.prefix.said[place, "changed"], strict=False):
                logits[row, token] = 20 + torch.tensor(chance).log()
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        self.places = [self.places[i] for i in rows]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> loading.Loaded:
    return loading.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen"))))


def asked(
    qwen: loading.Loaded,
    first: tuple[float, float],
    second: tuple[float, float],
    questions: Sequence[Question],
    exchanged: Sequence[Question],
    at_once: int,
) -> tuple[list[Row], list[tuple[str, int]]]:
    size = qwen.model.get_output_embeddings().weight.shape[0]
    lexicon = Lexicon(qwen.processor.tokenizer)
    json = JsonText(qwen.processor.tokenizer, size, max_finding_tokens=8, device=torch.device("cpu"))
    settings = settings_for(Path("tiny"), max_explanation_tokens=2, max_summary_tokens=2)
    asking = Asking(Head(qwen.model), lexicon, json, settings, shares=True, step=None)
    prefix: Any = Prefixes(size, {(0, "changed"): first, (1, "changed"): second})
    rows = [asking.row(question, [], 0) for question in questions]
    rows += [asking.row(question, [], 1) for question in exchanged]
    asking.ask([prefix], rows, at_once)
    return rows, prefix.fed


def test_a_text_is_written_under_what_both_orders_say_together(qwen: loading.Loaded) -> None:
    """Alone, the first order would have said: none. Then the difference is confirmed as `No visible change.`"""
    rows, _ = asked(qwen, (0.55, 0.45), (0.1, 0.9), [REGION, SUMMARY], [REGION], 8)
    assert rows[0].opening == '{"answer":"changed","description":"'
    assert rows[0].probabilities == pytest.approx((0.55, 0.45), rel=1e-3)
    assert rows[2].probabilities == pytest.approx((0.1, 0.9), rel=1e-3)
    assert (rows[1].opening, rows[2].opening) == ('{"summary":"', "")


def test_a_question_asked_in_one_order_only_is_answered_under_that_orders_label(qwen: loading.Loaded) -> None:
    rows, _ = asked(qwen, (0.55, 0.45), (0.1, 0.9), [REGION, ASPECT], [ASPECT], 8)
    assert rows[0].opening == '{"answer":"none","description":"'
    assert rows[1].opening == '{"answer":"changed","explanation":"'


def test_rows_that_fit_at_once_are_read_once(qwen: loading.Loaded) -> None:
    _, fed = asked(qwen, (0.5, 0.5), (0.1, 0.9), [REGION, ASPECT, SUMMARY], [REGION, ASPECT], 8)
    assert fed[:2] == [("labels", 5), ("text", 3)]
    assert {kind for kind, _ in fed} == {"labels", "text"}


def test_where_memory_is_short_nothing_is_written_before_the_last_label(qwen: loading.Loaded) -> None:
    """Those that write are read again, but for the batch read last."""
    rows, fed = asked(qwen, (0.55, 0.45), (0.1, 0.9), [REGION, ASPECT, SUMMARY], [REGION, ASPECT], 2)
    kinds = [kind for kind, _ in fed]
    assert kinds[:3] == ["labels"] * 3
    assert "labels" not in kinds[3:]
    assert kinds.count("again") == 1
    assert max(count for _, count in fed) <= 2
    assert [row.opening[:20] for row in rows[:2]] == ['{"answer":"changed",'] * 2
    assert all(row.writing for row in rows[:3])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_labels_are_read_in_single_precision(family: str, tmp_path: Path) -> None:
    """In bfloat16, with logits as large as real models' are: a product in float32, and not of rounded logits."""
    model = loading.load(settings_for(FAMILIES[family](tmp_path), dtype="bfloat16")).model
    head = Head(model)
    assert head.is_plain
    layer = model.get_output_embeddings()
    hidden = torch.randn(3, 1, layer.weight.shape[1], dtype=torch.bfloat16, generator=torch.manual_seed(1))
    tokens = [[5, 6, 7], [8, 9, 10], [11, 12, 13]]
    with torch.inference_mode():
        logits = layer(hidden)[:, -1].float()
        rounded = logits.clone()
        head.put(logits, [hidden], tokens)
    exact = hidden[:, 0].double() @ layer.weight.double().T
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    exact = exact if cap is None else torch.tanh(exact / cap) * cap
    for row, columns in enumerate(tokens):
        torch.testing.assert_close(logits[row, columns].double(), exact[row, columns], rtol=1e-4, atol=1e-4)
        others = [i for i in range(logits.shape[1]) if i not in columns]
        assert torch.equal(logits[row, others], rounded[row, others])


def test_a_model_that_changes_its_logits_afterwards_keeps_its_own(
    qwen: loading.Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    hook = qwen.model.get_output_embeddings().register_forward_hook(lambda _, __, logits: logits * 0.3)
    try:
        head = Head(qwen.model)
    finally:
        hook.remove()
    assert not head.is_plain
    assert "own precision" in caplog.text
    logits = torch.ones(1, 20)
    head.put(logits, [torch.ones(1, 1, 64)], [[1]])
    assert torch.equal(logits, torch.ones(1, 20))


def test_probabilities_of_a_pass_are_those_of_exact_labels(tmp_path: Path) -> None:
    """Through the engine: bfloat16 alone is off by hundredths and more."""
    loaded = loading.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path), dtype="bfloat16"))
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.mul_(8)
    engine = pretrained.PretrainedModel(loaded, settings_for(tmp_path))
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    layer = loaded.model.get_output_embeddings()
    hook = layer.register_forward_hook(lambda _, args, logits: given.append((args[0][:, -1], logits[:, -1])))
    try:
        inquiry = an_inquiry()
        output = engine.answer(inquiry, a_stop())
    finally:
        hook.remove()
    hidden, own = next((one, two) for one, two in given if len(one) == len(inquiry.questions) + 6)
    _, ids = engine.lexicon.choose(inquiry.questions[0])
    exact = hidden[0].float() @ layer.weight[list(ids)].float().T
    expected = exact - exact[0]
    ours = torch.tensor(output.replies[0].probabilities).log()
    torch.testing.assert_close((ours - ours[0])[1:], expected[1:], rtol=0, atol=2e-3)
    rounded = own[0, list(ids)].float()
    assert not torch.allclose((rounded - rounded[0])[1:], expected[1:], rtol=0, atol=2e-3)
