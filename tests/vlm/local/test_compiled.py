"""Compiled decode steps on the CPU: as on a GPU, less the recording, and with a compiler that compiles nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app.core.inquiry import ModelOutput
from serve_app.errors import DeadlineExceeded
from serve_app.vlm.local import loading, pretrained
from serve_app.vlm.local.decoding import compiled, prefix
from serve_app.vlm.local.decoding.branches import stoppable
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints

torch.set_num_threads(1)  # tiny matrices: a second thread only waits for the first
# The compiler's own: it warns of what it leaves to others.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")


class Counting:
    """A compiler's back end that runs what it is given as it is, and counts."""

    def __init__(self) -> None:
        self.compilations = 0
        self.steps = 0

    def __call__(self, graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        self.compilations += 1

        def run(*arguments: Any) -> Any:
            self.steps += 1
            return graph.forward(*arguments)

        return run


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What was compiled for one test's model would count against the next."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen2_5_vl", "gemma3"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> loading.Loaded:
    return loading.load(settings(FAMILIES[request.param](tmp_path_factory.mktemp(request.param))))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> loading.Loaded:
    return loading.load(settings(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen"))))


def settings(folder: Path = Path("tiny")) -> Any:
    return settings_for(folder, dtype="float32")


def answered(loaded: loading.Loaded, step: compiled.Step | None = None, **config: object) -> ModelOutput:
    engine = pretrained.PretrainedModel(loaded, settings(), step=step)
    return engine.answer(an_inquiry(**config), a_stop())


def begun(model: Any, length: int) -> prefix.Prefix:
    ids = torch.arange(length)[None] % 200 + 3
    return prefix.read(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def decoded(read: prefix.Prefix, rows: int, step: compiled.Step | None) -> list[torch.Tensor]:
    """Questions of other lengths, single tokens, some tokens at once, and rows that leave."""
    branches = read.branch([0] * rows, step=step)
    found = [branches.feed([[5 + i] * (1 + i % 3) for i in range(rows)])]
    found += [branches.feed([[20 + i + j] for i in range(rows)]).clone() for j in range(3)]
    found.append(branches.feed([[20 + i] * (1 + i % 4) for i in range(rows)]))
    found += [branches.feed([[30 + i + j] for i in range(rows)]).clone() for j in range(2)]
    branches.keep(range(1, rows))
    found += [branches.feed([[40 + i + j] for i in range(1, rows)]).clone() for j in range(3)]
    return found


def test_answers_are_token_for_token_those_of_plain_steps(loaded: loading.Loaded) -> None:
    back_end = Counting()
    step = compiled.Step(loaded.model, backend=back_end)
    plain, ours = answered(loaded), answered(loaded, step)
    assert [reply.text for reply in ours.replies] == [reply.text for reply in plain.replies]
    assert step.is_fused
    assert back_end.steps > 10


def test_logits_are_those_of_plain_steps_in_every_shape_with_one_layer_compiled(loaded: loading.Loaded) -> None:
    """Also where buffers grow, and where two prefixes take turns. Gemma has layers of two kinds."""
    back_end = Counting()
    step = compiled.Step(loaded.model, backend=back_end)
    with torch.inference_mode():
        for length, rows in ((40, 3), (300, 3), (600, 6), (40, 13), (40, 3)):
            read = begun(loaded.model, length)
            for ours, plain in zip(decoded(read, rows, step), decoded(read, rows, None), strict=True):
                torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert step.is_fused
    assert back_end.compilations == (2 if loaded.model.config.model_type == "gemma3" else 1)


def test_tails_longer_than_their_buffers_move_into_larger_ones(qwen: loading.Loaded) -> None:
    step = compiled.Step(qwen.model, backend=Counting())
    with torch.inference_mode():
        read = begun(qwen.model, 40)
        ours, plain = read.branch([0, 0], step=step), read.branch([0, 0])
        for count in (100, 1, 1, 150, 1, 1, 1, 3, 1, 1, 60, 1, 1):
            fed = [[7] * count, [8] * count]
            torch.testing.assert_close(ours.feed(fed), plain.feed(fed), rtol=1e-4, atol=1e-5)
    assert step.is_on


def test_rows_in_the_buffers_make_place_for_others_and_come_back(qwen: loading.Loaded) -> None:
    step = compiled.Step(qwen.model, backend=Counting())
    with torch.inference_mode():
        reads = [begun(qwen.model, 40), begun(qwen.model, 50)]
        ours = [read.branch([0, 0], step=step) for read in reads]
        plain = [read.branch([0, 0]) for read in reads]
        for token in ([5, 6], [7], [8], [9], [10]):
            for one, other in zip(ours, plain, strict=True):
                torch.testing.assert_close(one.feed([token] * 2), other.feed([token] * 2), rtol=1e-4, atol=1e-5)


def test_recurrent_states_take_the_plain_way(tmp_path: Path) -> None:
    model = loading.load(settings(FAMILIES["qwen3_5"](tmp_path))).model
    back_end = Counting()
    step = compiled.Step(model, backend=back_end)
    with torch.inference_mode():
        read = begun(model, 40)
        ours, plain = read.branch([0, 0], step=step), read.branch([0, 0])
        for token in ([5], [6], [7]):
            torch.testing.assert_close(ours.feed([token] * 2), plain.feed([token] * 2))
    assert back_end.compilations == 0
    assert step.is_on


def test_a_compiler_that_fails_leaves_the_answer_as_it_is_and_says_so(
    qwen: loading.Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object, __: object) -> Any:
        raise RuntimeError("no compiler here")

    step = compiled.Step(qwen.model, backend=broken)
    with caplog.at_level(logging.WARNING, "pairlens.vlm"):
        ours = answered(qwen, step)
    assert [reply.text for reply in ours.replies] == [reply.text for reply in answered(qwen).replies]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["decode steps are not fused"]


def test_a_compiler_that_computes_wrongly_is_found_out_at_the_first_step(
    qwen: loading.Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        return lambda *arguments: [one * 2 if one.dtype == torch.float32 else one for one in graph.forward(*arguments)]

    step = compiled.Step(qwen.model, backend=wrong)
    with caplog.at_level(logging.WARNING, "pairlens.vlm"):
        ours = answered(qwen, step)
    assert [reply.text for reply in ours.replies] == [reply.text for reply in answered(qwen).replies]
    assert not step.is_on
    assert [record.getMessage() for record in caplog.records] == ["decode steps are not compiled: its answers differ"]


def test_a_stop_ends_the_work_before_the_next_step(qwen: loading.Loaded) -> None:
    back_end, stop = Counting(), a_stop()
    step = compiled.Step(qwen.model, backend=back_end)
    with torch.inference_mode(), stoppable(qwen.model, a_stop(), step):
        branches = begun(qwen.model, 40).branch([0, 0], step=step)
        for token in ([5], [6], [7], [8]):
            branches.feed([token] * 2)
    steps = back_end.steps
    stop.cancel()
    step.stop = stop
    with torch.inference_mode(), pytest.raises(DeadlineExceeded):
        branches.feed([[9], [9]])
    assert back_end.steps == steps == 3 * 2  # layers


def test_another_answers_stop_compiles_nothing_anew(qwen: loading.Loaded) -> None:
    back_end = Counting()
    engine = pretrained.PretrainedModel(qwen, settings(), step=compiled.Step(qwen.model, backend=back_end))
    for _ in range(3):
        engine.answer(an_inquiry(), a_stop())
    assert back_end.compilations == 1


def test_as_many_layers_as_there_are_cost_one_compilation(tmp_path: Path) -> None:
    """And the layers are themselves again afterwards."""
    model = loading.load(settings(checkpoints.tiny_qwen3_vl(tmp_path, layers=12))).model
    back_end = Counting()
    step = compiled.Step(model, backend=back_end)
    with torch.inference_mode():
        for ours, plain in zip(decoded(begun(model, 40), 3, step), decoded(begun(model, 40), 3, None), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert back_end.compilations == 1
    assert back_end.steps % 12 == 0
    layers = model.model.language_model.layers
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(12))
    assert not any("forward" in vars(layer) for layer in layers)


def test_rows_that_leave_need_no_other_shape_while_more_than_half_stay(qwen: loading.Loaded) -> None:
    step = compiled.Step(qwen.model, backend=Counting())
    recorded = []
    with torch.inference_mode():
        ours, plain = (begun(qwen.model, 40).branch([0] * 12, step=one) for one in (step, None))
        for branches in (ours, plain):
            branches.feed([[5, 6]] * 12)
        for left in range(12, 1, -1):
            for branches in (ours, plain):
                branches.keep(range(left))
            torch.testing.assert_close(
                ours.feed([[7 + i] for i in range(left)]),
                plain.feed([[7 + i] for i in range(left)]),
                rtol=1e-4,
                atol=1e-5,
            )
            recorded.append(step.num_recorded)
    assert recorded == [1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4]  # another at six of twelve, four of eight, two of four


def test_the_recording_replayed_longest_ago_goes(qwen: loading.Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_MOST_RECORDED", 2)
    made: list[int] = []

    def record(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        made.append(len(made))
        return run

    step = compiled.Step(qwen.model, backend="eager", record=record)
    with torch.inference_mode():
        for rows in (8, 4, 8, 2, 8, 4):  # 2 drives 4 out, because 8 was used after it
            branches = begun(qwen.model, 40).branch([0] * rows, step=step)
            branches.feed([[5, 6]] * rows)
            branches.feed([[7]] * rows)
    assert len(made) == 4
    assert step.num_recorded == 2


def test_buffers_are_given_back_and_made_anew(qwen: loading.Loaded) -> None:
    step = compiled.Step(qwen.model, backend=Counting())
    with torch.inference_mode():
        read = begun(qwen.model, 40)
        ours, plain = read.branch([0, 0], step=step), read.branch([0, 0])
        for token in ([5], [6], [7], [8]):
            torch.testing.assert_close(ours.feed([token] * 2), plain.feed([token] * 2), rtol=1e-4, atol=1e-5)
            step.clear()


def test_steps_are_compiled_on_a_gpu_only_and_where_they_may(qwen: loading.Loaded) -> None:
    assert compiled.step_for(qwen.model, settings()) is None
