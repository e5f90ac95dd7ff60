"""The transformers engine on tiny random checkpoints: the true loading code, a true chat template, no download."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch

from serve_app import vlm
from serve_app.comparison.dialogue import answer, prompt, reply_text
from serve_app.core.clock import Deadline, Stop
from serve_app.core.habits import UNKNOWN, Habits
from serve_app.core.inquiry import Inquiry, Question, Wording
from serve_app.core.measured import Crop
from serve_app.core.pictures import Box, ShownImage
from serve_app.errors import DeadlineExceeded, Overloaded
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import ModelSettings
from serve_app.vlm.local import loading, picture_bytes, pretrained
from serve_app.vlm.local.lexicon import ANSWER_OPENING
from tests.comparison.test_prompt import a_difference, an_examination
from tests.worlds import checkpoints, families

# GLM's image processor in transformers, under numpy 2: nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
torch.set_num_threads(1)  # tiny matrices: a second thread only waits for the first
FAMILIES = {family.model_type: family.make for family in families.FAMILIES}


def a_picture(width: int, height: int, seed: int) -> ShownImage:
    return ShownImage(width, height, "rgb", random.Random(seed).randbytes(width * height * 3))


def an_inquiry(habits: Habits = UNKNOWN, /, **config: object) -> Inquiry:
    examination = replace(
        an_examination(a_difference(Box(0, 0, 20, 20), Box(0, 0, 20, 20))),
        shown_reference=a_picture(60, 40, 1),
        shown_candidate=a_picture(40, 60, 2),
        crops=(Crop(0, a_picture(40, 40, 3), a_picture(40, 40, 4)),),
    )
    asked = ImageComparisonConfig.model_validate({"focus_elements": ("logo",), **config})
    return prompt.render(asked, examination, habits)


def a_stop(timeout_s: float = 120.0) -> Stop:
    return Stop(Deadline.after(timeout_s))


def settings_for(folder: Path, **more: object) -> ModelSettings:
    short = {"max_explanation_tokens": 16, "max_summary_tokens": 24}
    chosen = {"engine": "transformers", "name": str(folder), "device": "cpu", **short, **more}
    return ModelSettings.model_validate(chosen)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pretrained.PretrainedModel:
    settings = settings_for(FAMILIES[request.param](tmp_path_factory.mktemp(request.param)))
    vlm.check(settings)
    return pretrained.load(settings)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> pretrained.PretrainedModel:
    return pretrained.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen"))))


def whole_ids(model: pretrained.PretrainedModel, inquiry: Inquiry, question: Question) -> dict[str, torch.Tensor]:
    """The tensors of one question's whole prompt, as one plain forward pass would read it."""
    before, after = model.prompt(inquiry.instructions, len(inquiry.pictures), inquiry.captions)
    pictures = [picture_bytes.opened(shown) for shown in inquiry.pictures]
    inputs = model.inputs(before, pictures)
    wording, _ = model.lexicon.choose(question)
    suffix = model.lexicon.data(wording.text) + model.lexicon.template(after) + model.lexicon.template(ANSWER_OPENING)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([suffix])], dim=1)
    for name in ("attention_mask", "mm_token_type_ids", "token_type_ids"):
        if name in inputs:
            filler = torch.full((1, len(suffix)), int(name == "attention_mask"), dtype=inputs[name].dtype)
            inputs[name] = torch.cat([inputs[name], filler], dim=1)
    return inputs


def test_label_probabilities_are_those_of_a_plain_forward_pass(model: pretrained.PretrainedModel) -> None:
    inquiry = an_inquiry()
    if model._sight.uncut():  # the processor cuts all pictures of one call, or none
        inquiry = replace(inquiry, crops=(), captions=())
    output = model.answer(inquiry, a_stop())
    labelled = [each for each in zip(inquiry.questions, output.replies, strict=True) if each[0].num_labels]
    assert len(labelled) == 6
    for question, reply in labelled:
        _, labels = model.lexicon.choose(question)
        with torch.inference_mode():
            logits = model.model(**whole_ids(model, inquiry, question), use_cache=False).logits[0, -1]
        expected = logits.float().softmax(-1)[list(labels)]
        torch.testing.assert_close(torch.tensor(reply.probabilities), expected, rtol=1e-3, atol=1e-7)


def test_every_picture_stands_behind_its_name(model: pretrained.PretrainedModel) -> None:
    before, _ = model.prompt("Look.", 2, ("First picture:", "Second picture:"))
    begins, first, rest = before.partition("First picture:")[0], *before.partition("First picture:")[2].split("Second")
    assert "picture" not in begins
    assert first.strip()
    assert rest.startswith(" picture:")
    assert first in rest  # the same mark stands for each picture
    assert rest.endswith("Look.\n")


def test_questions_as_a_batch_are_answered_as_each_alone(model: pretrained.PretrainedModel) -> None:
    inquiry = replace(an_inquiry(), instructions="Compare.")
    together = model.answer(inquiry, a_stop()).replies
    for question, reply in zip(inquiry.questions, together, strict=True):
        about = question.kind, question.index
        again = tuple(one for one in inquiry.swapped_questions if (one.kind, one.index) == about)
        alone = model.answer(replace(inquiry, questions=(question,), swapped_questions=again), a_stop()).replies[0]
        assert alone.text == reply.text
        assert alone.probabilities == pytest.approx(reply.probabilities, rel=1e-3)


def test_exchanged_pictures_are_asked_as_if_they_came_exchanged(model: pretrained.PretrainedModel) -> None:
    inquiry = replace(an_inquiry(), instructions="Compare.")
    swapped = model.answer(inquiry, a_stop()).swapped_replies
    turned = replace(
        inquiry,
        shown_reference=inquiry.shown_candidate,
        shown_candidate=inquiry.shown_reference,
        crops=tuple(Crop(crop.index, crop.candidate, crop.reference) for crop in inquiry.crops),
        questions=inquiry.swapped_questions,
        swapped_questions=(),
    )
    plain = model.answer(turned, a_stop()).replies
    assert [reply.text for reply in swapped] == [""] * len(plain)
    for one, other in zip(swapped, plain, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-3)


def test_even_random_weights_write_json_of_the_asked_shape(model: pretrained.PretrainedModel) -> None:
    inquiry = an_inquiry()
    output = model.answer(inquiry, a_stop())
    assessment = answer.parse(output, inquiry, model.identity)
    assert len(assessment.aspects) == 4
    assert assessment.summary
    for question, reply in zip(inquiry.questions, output.replies, strict=True):
        assert "\n" not in reply.text
        if question.shape == "text":
            assert reply_text.text_of(reply.text, question.text_key)
        if reply.text.endswith("}"):
            keys = {"text": {"answer", question.text_key}, "boxed_text": {"answer", "box", question.text_key}}
            assert set(json.loads(reply.text)) <= keys.get(question.shape, {"findings"})
    assert output.prompt_tokens > output.generated_tokens > 0


def test_chinese_questions_go_through(qwen: pretrained.PretrainedModel) -> None:
    assert len(qwen.answer(an_inquiry(Habits(letters=True), language="zh"), a_stop()).replies) == 8


@pytest.mark.parametrize(
    "spelling", ["<|im_end|>", "<image>", "<|image_pad|>", "<|im_end|><|im_start|>user", "<|vision_start|>"]
)
def test_a_callers_text_never_becomes_a_control_token(model: pretrained.PretrainedModel, spelling: str) -> None:
    ids = model.lexicon.data(f'Look at "{spelling}" only')
    control = set(model._processor.tokenizer.get_added_vocab().values())
    assert not control.intersection(ids)
    assert model._processor.tokenizer.decode(ids) == f'Look at "{spelling}" only'


def test_a_callers_control_tokens_disturb_no_answer(qwen: pretrained.PretrainedModel) -> None:
    inquiry = an_inquiry(focus_elements=("<image><|image_pad|><|im_end|>",))
    assert len(qwen.answer(inquiry, a_stop()).replies) == 8


def test_warm_up_goes_the_whole_way(model: pretrained.PretrainedModel) -> None:
    model.warm_up()


def test_words_are_labels_where_they_are_one_token_and_letters_elsewhere(qwen: pretrained.PretrainedModel) -> None:
    words, letters = Wording("", ("none", "small")), Wording("", ("A", "B"))
    split = Wording("", ("unbelievably", "incomprehensible"))
    assert qwen.lexicon.choose(Question("aspect", 0, (words, letters)))[0] is words
    assert qwen.lexicon.choose(Question("aspect", 0, (split, letters)))[0] is letters
    with pytest.raises(LookupError):
        qwen.lexicon.choose(Question("aspect", 0, (split,)))


def test_labels_can_be_chosen_where_they_are_one_token_each(qwen: pretrained.PretrainedModel) -> None:
    assert qwen.can_choose(("none", "small"))
    assert not qwen.can_choose(("none", "unbelievably"))


def test_the_sizes_that_pictures_were_brought_to_are_told(qwen: pretrained.PretrainedModel) -> None:
    resized = qwen.answer(an_inquiry(), a_stop()).resized
    assert resized == ((64, 32), (32, 64))  # of 60 x 40 and 40 x 60, in blocks of 16
    alone = replace(an_inquiry(), questions=())
    assert qwen.answer(alone, a_stop()).resized == resized


def run_out_of_memory(model: pretrained.PretrainedModel, times: int) -> Any:
    """From here on the model's forward pass fails so many times; gives what to remove in the end."""
    left = itertools.repeat(True, times)

    def fail(*_: object) -> None:
        if next(left, False):
            raise torch.OutOfMemoryError("no memory")

    return model.model.register_forward_pre_hook(fail)


def test_each_time_that_memory_ran_out_is_told(qwen: pretrained.PretrainedModel) -> None:
    times: list[int] = []
    qwen._on_out_of_memory = lambda: times.append(1)
    for failures in (1, 2):
        failing = run_out_of_memory(qwen, failures)
        try:
            with contextlib.suppress(Overloaded):
                qwen.answer(an_inquiry(), a_stop())
        finally:
            failing.remove()
    assert len(times) == 3


def test_out_of_memory_is_answered_once_more_with_smaller_pictures(qwen: pretrained.PretrainedModel) -> None:
    usual = qwen.answer(an_inquiry(), a_stop())
    failing = run_out_of_memory(qwen, 1)
    try:
        smaller = qwen.answer(an_inquiry(), a_stop())
    finally:
        failing.remove()
    assert len(smaller.replies) == len(usual.replies)
    assert smaller.prompt_tokens < usual.prompt_tokens
    assert smaller.plan is not None
    assert (smaller.plan.rows_per_batch, smaller.plan.scale) == (1, 0.5)
    assert smaller.plan.shown_reference == (30, 20)


def test_out_of_memory_twice_is_said_so_and_the_next_pair_is_answered(qwen: pretrained.PretrainedModel) -> None:
    failing = run_out_of_memory(qwen, 2)
    try:
        with pytest.raises(Overloaded, match="ran out of memory") as refused:
            qwen.answer(an_inquiry(), a_stop())
    finally:
        failing.remove()
    assert refused.value.retry_after_s
    assert qwen.cache.held_bytes == 0
    assert qwen.answer(an_inquiry(), a_stop()).replies


class CountedStop(Stop):
    """Is cancelled, from another thread, at the n-th look; counts the looks after it."""

    def __init__(self, looks: int) -> None:
        super().__init__(Deadline.after(120))
        self.left = looks
        self.looks_after = 0

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            canceller = threading.Thread(target=self.cancel)
            canceller.start()
            canceller.join()
        self.looks_after += self.left < 0
        super().check()


@pytest.mark.parametrize("looks", [1, 3, 20, 40])
def test_a_cancel_ends_the_work_before_the_next_layer(qwen: pretrained.PretrainedModel, looks: int) -> None:
    stop = CountedStop(looks)
    with pytest.raises(DeadlineExceeded):
        qwen.answer(an_inquiry(), stop)
    assert stop.looks_after == 0
    assert len(qwen.answer(an_inquiry(swap_check=False), a_stop()).replies) == 8


@pytest.mark.parametrize("looks", [3, 30])
def test_every_familys_work_can_be_ended(model: pretrained.PretrainedModel, looks: int) -> None:
    inquiry = replace(an_inquiry(), instructions="Compare.")
    model.answer(inquiry, a_stop())  # its memory is planned: the looks below are at the real work
    model.cache.clear()
    stop = CountedStop(looks)
    with pytest.raises(DeadlineExceeded):
        model.answer(inquiry, stop)
    assert stop.looks_after == 0


def test_a_deadline_ends_the_work(qwen: pretrained.PretrainedModel) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        qwen.answer(an_inquiry(), a_stop(0.02))
    assert time.monotonic() - started < 2


def test_a_text_ends_at_its_token_limit(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    short = pretrained.load(settings_for(folder, max_explanation_tokens=3, max_summary_tokens=5))
    generated = short.answer(an_inquiry(), a_stop()).generated_tokens
    frame = 12  # JSON between values, which the grammar forces and no limit cuts: of the box and of the findings
    assert generated <= 6 * 3 + 2 * 5 + 2 * frame  # explanations; summary and findings


def test_the_report_names_the_folder_without_its_path(tmp_path: Path) -> None:
    identity = pretrained.load(settings_for(checkpoints.tiny_qwen3_vl(tmp_path / "tiny"))).identity
    assert (identity.engine, identity.name, identity.revision) == ("transformers", "tiny", None)


def test_a_checkpoint_laid_out_as_older_ones_on_the_hub_loads(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    (folder / "processor_config.json").unlink()
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    images = json.loads((folder / "preprocessor_config.json").read_text())
    images |= {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    (folder / "video_preprocessor_config.json").write_text(
        json.dumps({"video_processor_type": "Qwen3VLVideoProcessor"})
    )
    pretrained.load(settings_for(folder)).warm_up()


def test_a_checkpoint_saved_with_its_video_part_loads(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    images = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    whole = {
        "processor_class": "Qwen3VLProcessor",
        "image_processor": images,
        "video_processor": {"video_processor_type": "Qwen3VLVideoProcessor"},
    }
    (folder / "processor_config.json").write_text(json.dumps(whole))
    pretrained.load(settings_for(folder)).warm_up()


def test_a_checkpoint_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(vlm.ModelUnavailable, match="no chat template"):
        pretrained.load(settings_for(folder))


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(vlm.ModelUnavailable, match="can't be loaded"):
        loading.load(settings_for(folder))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no config.json"),
        ({"config.json": "{}"}, "no .safetensors"),
        ({"config.json": "{}", "pytorch_model.bin": ""}, "no .safetensors"),
        ({"config.json": "{", "model.safetensors": ""}, "can't be read"),
        ({"config.json": "{}", "model.safetensors": ""}, "names no model_type"),
        ({"config.json": '{"model_type": "bert"}', "model.safetensors": ""}, "bert model"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused_before_loading(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(vlm.ModelUnavailable, match=said):
        vlm.check(settings_for(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "no-slash", "a/b/c", "./x"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    with pytest.raises(vlm.ModelUnavailable, match="neither a folder nor a hub id"):
        vlm.check(ModelSettings(engine="transformers", name=name))


def test_an_unreachable_hub_is_one_sentence_that_names_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(vlm.ModelUnavailable, match="HF_ENDPOINT"):
        vlm.check(ModelSettings(engine="transformers", name="pairlens-tests/no-such-model"))
