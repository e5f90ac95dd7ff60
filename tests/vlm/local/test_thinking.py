"""What a model writes before it is asked: held against plain passes over the whole text, each token found anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app import vlm
from serve_app.core.clock import Deadline, Stop
from serve_app.core.inquiry import Inquiry, Question
from serve_app.errors import DeadlineExceeded
from serve_app.vlm.local import picture_bytes, pretrained, thinking
from serve_app.vlm.local.lexicon import ANSWER_OPENING, Lexicon
from serve_app.vlm.thought_marks import THOUGHT_MARKS
from tests.vlm.local.test_memory import held_to_its_word, measured_peak
from tests.vlm.local.test_pretrained import FAMILIES, a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints

# A processor of transformers' own, GLM's, makes arrays of tensors in a way that numpy will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
MARKS = THOUGHT_MARKS[0]
MOST = 6
LENGTHS = (2, 4)  # of both orders, where they are to differ
TURN = "<|im_end|>\n<|im_start|>"


def a_model(folder: Path, thought_tokens: int = MOST) -> pretrained.PretrainedModel:
    return pretrained.load(settings_for(folder, thought_tokens=thought_tokens))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> pretrained.PretrainedModel:
    return a_model(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> pretrained.PretrainedModel:
    folder = checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("thinker"), tokens=tuple(MARKS))
    return a_model(checkpoints.that_thinks(folder))


def short(inquiry: Inquiry) -> Inquiry:
    return replace(inquiry, instructions="Compare.", crops=(), captions=())


def with_tokens(inputs: dict[str, torch.Tensor], ids: Sequence[int]) -> dict[str, torch.Tensor]:
    longer = dict(inputs)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"):
        if name in inputs:
            added = ids if name == "input_ids" else [int(name == "attention_mask")] * len(ids)
            longer[name] = torch.cat([inputs[name], torch.tensor([added], dtype=inputs[name].dtype)], dim=1)
    return longer


def after(model: pretrained.PretrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model.model(**inputs, use_cache=False).logits[0, -1].float()
    return logits


class Dialogue:
    """One order's, in the words that its template must make, by plain passes without a cache."""

    def __init__(self, model: pretrained.PretrainedModel, inquiry: Inquiry, *, thinks: bool, most: int = MOST) -> None:
        self.model = model
        self.begins = f"{MARKS.begins}\n" if thinks else ""
        ended = f"\n{MARKS.ends}\n\n" if thinks else ""
        before, _ = model.prompt(inquiry.instructions, len(inquiry.pictures))
        inputs = model.inputs(before, [picture_bytes.opened(shown) for shown in inquiry.pictures])
        self.asked = model.lexicon.data(inquiry.thought_request) + self.ids(f"{TURN}assistant\n{self.begins}")
        inputs = with_tokens(inputs, self.asked)
        self.thought: list[int] = []
        stops = set(model._processor.tokenizer.get_added_vocab().values())
        while len(self.thought) < most and (token := int(after(model, inputs).argmax())) not in stops:
            self.thought.append(token)
            inputs = with_tokens(inputs, [token])
        self.inputs = with_tokens(inputs, self.ids(f"{ended}{TURN}user\n"))
        self.tail = f"{TURN}assistant\n" + self.begins + ended

    def ids(self, text: str) -> list[int]:
        return self.model.lexicon.template(text)

    def probabilities(self, question: Question) -> torch.Tensor:
        wording, labels = self.model.lexicon.choose(question)
        suffix = self.model.lexicon.data(wording.text) + self.ids(self.tail) + self.ids(ANSWER_OPENING)
        return after(self.model, with_tokens(self.inputs, suffix)).softmax(-1)[list(labels)]


def both_orders(
    model: pretrained.PretrainedModel, inquiry: Inquiry, *, thinks: bool, lengths: Sequence[int] = (MOST, MOST)
) -> tuple[Dialogue, Dialogue]:
    exchanged = replace(inquiry, shown_reference=inquiry.shown_candidate, shown_candidate=inquiry.shown_reference)
    one, other = (
        Dialogue(model, each, thinks=thinks, most=most)
        for each, most in zip((inquiry, exchanged), lengths, strict=True)
    )
    return one, other


def held_against(model: pretrained.PretrainedModel, inquiry: Inquiry, dialogues: Sequence[Dialogue]) -> None:
    output = model.answer(inquiry, a_stop())
    asked = (inquiry.questions, output.replies), (inquiry.swapped_questions, output.swapped_replies)
    for dialogue, (questions, replies) in zip(dialogues, asked, strict=True):
        labelled = [each for each in zip(questions, replies, strict=True) if each[0].num_labels]
        assert len(labelled) == 6
        for question, reply in labelled:
            expected = dialogue.probabilities(question)
            torch.testing.assert_close(torch.tensor(reply.probabilities), expected, rtol=1e-3, atol=1e-7)
    silent = model.answer(replace(inquiry, thought_request=""), a_stop())
    assert output.prompt_tokens > silent.prompt_tokens
    assert output.plan is not None
    assert output.plan.prompt_tokens == max(one.inputs["input_ids"].shape[1] for one in dialogues)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_are_asked_behind_what_the_model_wrote_first(family: str, tmp_path: Path) -> None:
    model, inquiry = a_model(FAMILIES[family](tmp_path)), short(an_inquiry())
    held_against(model, inquiry, both_orders(model, inquiry, thinks=False))


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5", "gemma3"])
def test_a_thought_stands_where_the_template_begins_one(family: str, tmp_path: Path) -> None:
    model, inquiry = a_model(checkpoints.that_thinks(FAMILIES[family](tmp_path))), short(an_inquiry())
    held_against(model, inquiry, both_orders(model, inquiry, thinks=True))


def test_each_order_of_the_pictures_has_its_own(thinker: pretrained.PretrainedModel) -> None:
    inquiry = short(an_inquiry())
    one, other = both_orders(thinker, inquiry, thinks=True)
    assert one.thought
    assert one.thought != other.thought
    held_against(thinker, inquiry, (one, other))
    labels = thinker.answer(replace(inquiry, questions=()), a_stop())  # alone: the thought is all that is written
    assert labels.generated_tokens == len(other.thought)


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5", "gemma3", "lfm2_vl"])
def test_orders_whose_texts_differ_in_length_are_asked_apart(family: str, tmp_path: Path) -> None:
    model, inquiry = a_model(FAMILIES[family](tmp_path)), short(an_inquiry())
    thinks = model._thinking
    assert thinks is not None
    written = thinks._texts
    thinks._texts = lambda *of: [text[:most] for text, most in zip(written(*of), LENGTHS, strict=True)]  # type: ignore[method-assign]
    dialogues = both_orders(model, inquiry, thinks=False, lengths=LENGTHS)
    assert [len(one.thought) for one in dialogues] == list(LENGTHS)
    held_against(model, inquiry, dialogues)


def test_one_at_a_time_where_a_prefix_is_not_shared(plain: pretrained.PretrainedModel) -> None:
    inquiry = short(an_inquiry())
    assert plain._thinking is not None
    usual = plain.answer(inquiry, a_stop())
    plain._thinking._shares = False
    try:
        alone = plain.answer(inquiry, a_stop())
    finally:
        plain._thinking._shares = True
    assert [one.text for one in alone.replies] == [one.text for one in usual.replies]
    assert alone.generated_tokens == usual.generated_tokens


@pytest.mark.parametrize("thinks", [False, True])
def test_without_it_nothing_is_written_and_nothing_else_is_asked(thinks: bool, tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path, tokens=tuple(MARKS))
    none = a_model(checkpoints.that_thinks(folder) if thinks else folder, 0)
    inquiry = an_inquiry()
    assert inquiry.thought_request
    fed: list[list[int]] = []
    watching = none.model.register_forward_pre_hook(
        lambda _, __, inputs: fed.append(inputs["input_ids"].flatten().tolist()), with_kwargs=True
    )
    outputs = []
    for asked in (inquiry, replace(inquiry, thought_request="")):
        fed.append([])
        outputs.append(none.answer(asked, a_stop()))
    watching.remove()
    second = fed.index([], 1)
    assert fed[1:second] == fed[second + 1 :]
    assert outputs[0].replies == outputs[1].replies
    request = none.lexicon.data(inquiry.thought_request)
    assert not any(str(request)[1:-1] in str(ids) for ids in fed)
    with_it = a_model(folder).answer(inquiry, a_stop())
    assert with_it.replies != outputs[0].replies


def test_what_was_written_is_in_no_log_and_in_no_answer(
    thinker: pretrained.PretrainedModel, caplog: pytest.LogCaptureFixture
) -> None:
    inquiry = short(an_inquiry())
    with caplog.at_level(logging.DEBUG):
        output = thinker.answer(inquiry, a_stop())
    for one in both_orders(thinker, inquiry, thinks=True):
        thought = thinker._processor.tokenizer.decode(one.thought)
        assert len(thought) > MOST
        assert thought not in caplog.text
        assert thought not in repr(output)


class StopsAtStep(Stop):
    """Is cancelled in the n-th pass of one token a row."""

    def __init__(self, model: Any, step: int) -> None:
        super().__init__(Deadline.after(120))
        self.steps = 0
        self._last = step
        self.watching = model.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, _: object, __: object, inputs: dict[str, torch.Tensor]) -> None:
        self.steps += inputs["input_ids"].shape[1] == 1
        if self.steps == self._last:
            self.cancel()


def test_a_cancel_ends_it_within_a_step(thinker: pretrained.PretrainedModel) -> None:
    stop = StopsAtStep(thinker.model, 3)
    try:
        with pytest.raises(DeadlineExceeded):
            thinker.answer(short(an_inquiry()), stop)
    finally:
        stop.watching.remove()
    assert stop.steps == 3 < MOST


@pytest.mark.parametrize("most", [24, 200])
@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5", "gemma3", "llava_onevision"])
def test_its_memory_is_foretold(family: str, most: int, tmp_path: Path) -> None:
    model = a_model(FAMILIES[family](tmp_path), most)
    assert model._thinking is not None
    model._thinking._ends = set()  # random weights end it by chance: as long as it may be
    whole = an_inquiry()
    few = replace(whole, questions=whole.questions[:3], swapped_questions=whole.swapped_questions[:3])
    for inquiry in (whole, few):
        held_to_its_word(model, inquiry)
    # Nothing takes as much here as the thought; one row behind a short prompt is foretold too high without it, too.
    alone = replace(short(whole), questions=whole.questions[:1], swapped_questions=())
    predicted, measured = measured_peak(model, alone)
    assert measured <= predicted <= 1.35 * measured


class Scripted:
    """A prefix of two rows, each of which goes on as it is told to; keeps what it is lengthened by."""

    can_batch = True

    def __init__(self, size: int, *rows: Sequence[int]) -> None:
        self.size = size
        self.rows = [iter(row) for row in rows]
        self.num_rows = len(rows)
        self.longer: list[list[list[int]]] = []

    def branch(self, places: Sequence[int], **_: object) -> ScriptedBranches:
        return ScriptedBranches(self.size, [self.rows[place] for place in places])

    def lengthened(self, rows: list[list[int]]) -> tuple[Scripted, torch.Tensor]:
        self.longer.append(rows)
        return self, said(self.size, self.rows)


def said(size: int, rows: Sequence[Iterator[int]]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor([next(row, 0) for row in rows]), size).float()


class ScriptedBranches:
    def __init__(self, size: int, rows: list[Iterator[int]]) -> None:
        self.size = size
        self.rows = rows

    def feed(self, fed: Sequence[Sequence[int]]) -> torch.Tensor:
        assert len(fed) == len(self.rows)
        return said(self.size, self.rows)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[i] for i in rows]


@pytest.mark.parametrize("tokens", [tuple(MARKS), ()])
@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("I see.</think>\n\nNo more", "I see."),
        ("I see.<|im_end|>", "I see."),
        ("I see.<|image_pad|>", "I see."),
        ("</think>", ""),
        ("I see " * 60, None),
    ],
)
def test_it_ends_at_its_mark_at_the_turns_end_or_at_its_bound(
    written: str, kept: str | None, tokens: tuple[str, ...], tmp_path: Path
) -> None:
    """With a mark that is one token and with one that is several."""
    model = a_model(checkpoints.that_thinks(checkpoints.tiny_qwen3_vl(tmp_path, tokens=tokens)), 20)
    lexicon, thinks = model.lexicon, model._thinking
    assert thinks is not None
    ids = lexicon.template(written)
    scripted = Scripted(max(len(model._processor.tokenizer), 1), ids, ids)
    thought = thinks.think([scripted], "What of it?")  # type: ignore[list-item]
    expected = ids[:20] if kept is None else lexicon.data(kept)
    asked = lexicon.template(f"What of it?{TURN}assistant\n<think>\n")
    closing = lexicon.template(f"\n</think>\n\n{TURN}user\n")
    assert scripted.longer == [[asked] * 2, [[*expected, *closing]] * 2]
    assert thought.num_tokens == 2 * len(expected)


def begins_by_itself(model: pretrained.PretrainedModel, mark: str) -> None:
    """From here on `mark`, one token, is the likeliest behind the turn that a plain task opens."""
    before, behind = model.prompt(thinking._PLAIN_TASK, 0)
    ids = torch.tensor([model.lexicon.template(before + behind)])
    given: list[torch.Tensor] = []
    head = model.model.get_output_embeddings()
    watching = head.register_forward_hook(lambda _, args, __: given.append(args[0]))
    with torch.no_grad():
        model.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        watching.remove()
        head.weight[model.lexicon.template(mark)] = 100 * given[-1][0, -1]


def test_a_model_that_begins_a_thought_by_itself_is_found_out(tmp_path: Path) -> None:
    model = a_model(checkpoints.tiny_qwen3_vl(tmp_path, tokens=tuple(MARKS)), 0)
    assert thinking.marks_of(model.model, model._processor, model.lexicon) is None
    begins_by_itself(model, MARKS.begins)
    marks = thinking.marks_of(model.model, model._processor, model.lexicon)
    assert marks == MARKS
    thinks = thinking.Thinking(model.model, model._processor, model.lexicon, marks, most_tokens=4, shares=True)
    assert thinks._opening == model.lexicon.template(f"{TURN}assistant\n<think>\n")
    assert thinks._closing == model.lexicon.template(f"\n</think>\n\n{TURN}user\n")


@pytest.mark.parametrize(("most", "said"), [(0, True), (MOST, False)])
def test_a_thinking_model_that_is_not_let_to_is_told_of_in_the_log(
    most: int, said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, thinks in enumerate((True, False)):
        caplog.clear()
        folder = checkpoints.tiny_qwen3_vl(tmp_path / str(number))
        a_model(checkpoints.that_thinks(folder) if thinks else folder, most)
        assert ("model.thought_tokens lets it" in caplog.text) is (said and thinks)


def test_a_model_trained_for_both_is_no_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    switch = "{% if enable_thinking %}<think>{% endif %}"
    model = a_model(checkpoints.that_thinks(checkpoints.tiny_qwen3_vl(tmp_path), switch), 0)
    assert thinking.marks_of(model.model, model._processor, model.lexicon) == MARKS
    assert "thought" not in caplog.text


def test_a_template_in_which_the_model_can_not_speak_first_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("messages %}", "messages if message['role'] == 'user' %}", 1))
    a_model(folder, 0)
    with pytest.raises(vlm.ModelUnavailable, match="thought_tokens needs a chat template"):
        a_model(folder)


def test_lexicon_knows_its_control_tokens(plain: pretrained.PretrainedModel) -> None:
    assert Lexicon(plain._processor.tokenizer).control_ids >= {plain._processor.tokenizer.eos_token_id}
