"""The plan of the model's memory: predicted before the work, held against what was really alive."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")

import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from serve_app.core.inquiry import Inquiry
from serve_app.core.pictures import Upload
from serve_app.errors import ImageTooLarge
from serve_app.local import open_pipeline
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import MIB, Limits, Settings
from serve_app.vlm.local import free_memory, loading, picture_bytes, pretrained
from serve_app.vlm.local.planning import footprint, measuring, plan
from serve_app.vlm.local.planning.allocation import Allocations
from tests.vlm.local.test_pretrained import FAMILIES, a_picture, a_stop, an_inquiry, settings_for
from tests.worlds import checkpoints

# A processor of transformers' own, GLM's, makes arrays of tensors in a way that numpy will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def measured_peak(model: pretrained.PretrainedModel, inquiry: Inquiry) -> tuple[int, int]:
    """Bytes predicted, and bytes really alive at most in a run that remembers nothing and plans nothing new."""
    model.answer(inquiry, a_stop())
    model.cache.clear()
    with Allocations([*model.model.parameters(), *model.model.buffers()]) as watch:
        output = model.answer(inquiry, a_stop())
    assert output.plan is not None
    return output.plan.predicted_bytes, watch.peak_bytes


def held_to_its_word(model: pretrained.PretrainedModel, inquiry: Inquiry) -> tuple[int, int]:
    predicted, measured = measured_peak(model, inquiry)
    assert measured <= predicted <= 1.2 * measured
    return predicted, measured


@pytest.mark.parametrize("family", FAMILIES)
def test_ratio_of_predicted_to_held_is_at_least_one_and_not_much_more(family: str, tmp_path: Path) -> None:
    model = pretrained.load(settings_for(FAMILIES[family](tmp_path)))
    whole = an_inquiry()
    one = replace(whole, questions=whole.questions[:1], swapped_questions=(), crops=(), captions=())
    for name, asked in (("whole", whole), ("one question", one)):
        predicted, measured = held_to_its_word(model, asked)
        print(f"| {family} | {name} | {predicted} | {measured} | {predicted / measured:.3f} |")  # noqa: T201 - with -s


def with_pixels(folder: Path, most: int) -> Path:
    """The checkpoint's pictures may have that many pixels, as real ones have."""
    described = json.loads((folder / "preprocessor_config.json").read_text())
    described["size"] = {"shortest_edge": 256, "longest_edge": most}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="module")
def large_qwen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = with_pixels(checkpoints.tiny_qwen3_vl(tmp_path_factory.mktemp("large"), layers=5), 4096 * 4096)
    return loading.load(settings_for(folder))


def labels_only(width: int, height: int, rows: int = 1) -> Inquiry:
    """Large pictures and few questions: what reading takes weighs most."""
    inquiry = an_inquiry(swap_check=False)
    return replace(
        inquiry,
        shown_reference=a_picture(width, height, 1),
        shown_candidate=a_picture(height, width, 2),
        questions=inquiry.questions[:rows],
        crops=(),
        captions=(),
        instructions="Compare.",
    )


@pytest.mark.parametrize(("width", "height"), [(160, 96), (330, 200), (512, 512), (700, 333)])
def test_prediction_holds_over_sizes(large_qwen: Any, width: int, height: int) -> None:
    model = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny"), cache_bytes=0))
    held_to_its_word(model, labels_only(width, height))


@pytest.mark.parametrize("rows", [2, 5])
def test_prediction_holds_over_questions(large_qwen: Any, rows: int) -> None:
    model = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny")))
    held_to_its_word(model, labels_only(256, 256, rows))


def test_plan_counts_the_tokens_that_the_processor_makes(large_qwen: Any) -> None:
    model = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny")))
    sizes = large_qwen.processor._get_num_multimodal_tokens(image_sizes=[(200, 330), (330, 200)])
    output = model.answer(labels_only(330, 200), a_stop())
    assert output.plan is not None
    assert output.plan.visual_tokens == sum(sizes.num_image_tokens)
    assert output.plan.prompt_tokens > output.plan.visual_tokens


def with_budget(loaded: Any, budget: int, **more: object) -> pretrained.PretrainedModel:
    return pretrained.PretrainedModel(loaded, settings_for(Path("tiny"), memory_budget_bytes=budget, **more))


def test_fewer_questions_at_once_come_before_smaller_pictures(large_qwen: Any) -> None:
    inquiry = replace(an_inquiry(), crops=(), captions=())
    ample = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny"))).answer(inquiry, a_stop())
    assert ample.plan is not None
    scarce = with_budget(large_qwen, ample.plan.predicted_bytes // 2).answer(inquiry, a_stop())
    assert scarce.plan is not None
    assert scarce.plan.rows_per_batch < ample.plan.rows_per_batch
    assert scarce.plan.scale == 1
    assert [reply.text for reply in scarce.replies] == [reply.text for reply in ample.replies]


def test_both_pictures_shrink_by_one_factor_until_they_fit(large_qwen: Any) -> None:
    ample = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny"))).answer(labels_only(600, 400), a_stop())
    assert ample.plan is not None
    model = with_budget(large_qwen, ample.plan.predicted_bytes // 3, cache_bytes=0)
    predicted, measured = measured_peak(model, labels_only(600, 400))
    shrunk = model.answer(labels_only(600, 400), a_stop()).plan
    assert shrunk is not None
    assert measured <= predicted <= shrunk.available_bytes == ample.plan.predicted_bytes // 3
    assert shrunk.scale < 0.9
    width, height = shrunk.shown_reference
    assert shrunk.shown_candidate == (height, width)
    assert width / 600 == pytest.approx(shrunk.scale, abs=0.01)
    assert shrunk.visual_tokens < ample.plan.visual_tokens


def test_what_fits_in_no_size_is_refused_with_the_numbers(large_qwen: Any) -> None:
    with pytest.raises(ImageTooLarge, match=r"needs about \d+\.\d MiB .* at \d+x\d+ .* has 0\.1 MiB") as refused:
        with_budget(large_qwen, 100_000).answer(labels_only(300, 200), a_stop())
    assert refused.value.status == 422


def test_the_operators_share_is_of_what_is_free(large_qwen: Any) -> None:
    settings = settings_for(Path("tiny"), memory_share=0.5)
    model = pretrained.PretrainedModel(large_qwen, settings, lambda _: 1000 * MIB)
    output = model.answer(labels_only(64, 64), a_stop())
    assert output.plan is not None
    assert output.plan.available_bytes == 500 * MIB


def test_what_is_remembered_counts_as_free_and_goes_when_the_work_needs_its_place(large_qwen: Any) -> None:
    kept = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny")), lambda _: 1000 * MIB)
    kept.answer(labels_only(128, 128), a_stop())
    held, asked = kept.cache.held_bytes, labels_only(126, 126)
    assert held > 0
    output = kept.answer(asked, a_stop())
    assert output.plan is not None
    assert output.plan.available_bytes == int((1000 * MIB + held) * 0.9)
    assert kept.cache.held_bytes == 2 * held
    assert kept._planner is not None
    needed = output.plan.predicted_bytes
    kept._planner._free_bytes = lambda: int(needed / 0.9) + 16 - kept.cache.held_bytes
    kept.answer(asked, a_stop())
    assert kept.cache.held_bytes == held  # the others went


def random_work(seed: int) -> plan.Work:
    """Two pictures and up to eight crops of random sizes, and as many questions as that makes."""
    drawn = random.Random(seed)
    count = 2 + 2 * drawn.randrange(5)
    rows = 11 + count
    return plan.Work(
        text_tokens=drawn.randrange(300, 900),
        sizes=tuple((drawn.randrange(64, 1500), drawn.randrange(64, 1500)) for _ in range(count)),
        orders=(tuple(range(count)), tuple(i ^ 1 for i in range(count))),
        places=(0,) * 11 + (1,) * count,
        num_writing=11,
        lengths=tuple(drawn.randrange(20, 90) for _ in range(rows)),
        longest_text=96,
    )


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch does."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("budget", [1 << 40, 24 * MIB])
def test_planning_is_arithmetic(large_qwen: Any, budget: int) -> None:
    """Sizes never seen before, also where pictures must shrink: torch does nothing."""
    planner = with_budget(large_qwen, budget)._planner
    assert planner is not None
    planner._free_bytes = lambda: budget
    with Operations() as operations:  # type: ignore[no-untyped-call]
        plans = [planner.decide(random_work(seed))[0] for seed in range(20)]
        assert operations.count == 0
        torch.zeros(1)
    assert operations.count == 1
    assert (min(one.scale for one in plans) < 1) == (budget == 24 * MIB)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_of_pictures_are_those_of_the_prompt(family: str, tmp_path: Path) -> None:
    """Told without pixels; and without a blank picture where the processor has a count of its own."""
    model = pretrained.PretrainedModel(loading.load(settings_for(FAMILIES[family](tmp_path))), settings_for(tmp_path))
    assert model._planner is not None
    without = {"llava_onevision", "smolvlm", "lfm2_vl", "minicpmv4_6"}
    assert model._planner._picture_tokens.is_arithmetic == (family not in without)
    for sizes in (((60, 40), (40, 60)), ((300, 200), (77, 131))):
        shown = [a_picture(*size, 1) for size in sizes]
        inquiry = replace(an_inquiry(), shown_reference=shown[0], shown_candidate=shown[1], crops=(), captions=())
        before, _ = model.prompt(inquiry.instructions)
        work = model._work(inquiry, before, [])
        pictures = [picture_bytes.opened(one) for one in shown]
        assert model._planner.need(replace(work, places=(0,), lengths=(1,)), 1).prompt_tokens == pytest.approx(
            model.inputs(before, pictures)["input_ids"].shape[1], abs=2
        )


def test_a_model_that_can_not_be_measured_answers_without_a_plan(
    large_qwen: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("a kernel that is not there")

    monkeypatch.setattr(measuring, "measure", refuse)
    model = pretrained.PretrainedModel(large_qwen, settings_for(Path("tiny")))
    for _ in range(2):
        assert model.answer(labels_only(64, 64), a_stop()).plan is None
    assert [record.message for record in caplog.records if "memory" in record.message] == [
        "memory is not planned with this model: NotImplementedError"
    ]


def test_bytes_that_grow_with_the_square_of_tokens_are_foretold_so() -> None:
    scores = footprint.Curve(((10, 100.0), (20, 400.0), (30, 900.0)), is_square=True)
    straight = footprint.Curve(((10, 100.0), (20, 200.0), (30, 300.0)), is_square=True)
    assert [scores.at(60), straight.at(60), straight.at(15)] == pytest.approx([3600, 600, 150])
    read = footprint.Sum.fitted(
        [footprint.reading_parts(v, t) for v, t in ((4, 64), (4, 256), (4, 512), (90, 512))],
        [3 * v + 50 * t + 2 * t * t for v, t in ((4, 64), (4, 256), (4, 512), (90, 512))],
    )
    assert read.of(footprint.reading_parts(1000, 4000)) == pytest.approx(3000 + 200_000 + 32_000_000, rel=0.01)


def test_no_measured_point_is_foretold_too_low() -> None:
    drawn = random.Random(1)
    parts = [(1, drawn.randrange(1, 50), drawn.randrange(1, 500)) for _ in range(8)]
    found = [drawn.randrange(1000, 100_000) for _ in parts]
    fitted = footprint.Sum.fitted(parts, found)
    assert min(fitted.factors) >= 0
    assert all(fitted.of(part) >= one * 0.999 for part, one in zip(parts, found, strict=True))


def test_a_container_leaves_its_limit_less_what_is_used(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert free_memory.left_in_container(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.left_in_container(tmp_path) > 1 << 60
    assert free_memory.free_bytes(torch.device("cpu")) > 0


def a_jpeg(width: int, height: int, shade: int) -> Upload:
    small = Image.linear_gradient("L").resize((1500, 1125)).point(lambda value: (value + shade) % 256)
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.NEAREST).convert("RGB").save(file, "JPEG", quality=70)
    return Upload(file.getvalue())


def a_service(folder: Path, budget: int) -> Settings:
    model = settings_for(folder, memory_budget_bytes=budget, max_explanation_tokens=4, max_summary_tokens=4)
    return Settings(model=model, limits=Limits(max_processing_timeout_s=280))


async def test_two_pictures_of_108_megapixels_get_an_answer_in_bounded_memory(
    tmp_path: Path,
) -> None:
    """12,000 x 9,000: what its predecessor asked 254 GB of GPU memory for."""
    pair = a_jpeg(12_000, 9_000, 0), a_jpeg(12_000, 9_000, 60)
    folder = with_pixels(checkpoints.tiny_qwen3_vl(tmp_path), 4096 * 4096)
    config = ImageComparisonConfig(
        max_image_size=(4096, 4096),
        processing_timeout=280,
        comparison_aspects=("color",),
        swap_check=False,
        read_text=False,  # of so many pixels that is a minute, and nothing to the model
    )
    async with open_pipeline(a_service(folder, 96 * MIB)) as service:
        report = await service.compare(*pair, config, service.deadline(config))
    assert report.model.status == "answered"
    planned = report.model.memory
    assert planned is not None
    assert planned.predicted_bytes <= planned.available_bytes == 96 * MIB
    assert planned.scale < 0.5
    shown = report.images.reference
    assert shown.shown_width == pytest.approx(4096 * planned.scale, abs=1)
    assert shown.shown_width / shown.shown_height == pytest.approx(4 / 3, abs=0.02)


async def test_a_pair_that_fits_in_no_size_is_refused_through_the_whole_pipeline(tmp_path: Path) -> None:
    pair = a_jpeg(1_600, 1_200, 0), a_jpeg(1_600, 1_200, 60)
    folder = with_pixels(checkpoints.tiny_qwen3_vl(tmp_path), 4096 * 4096)
    config = ImageComparisonConfig(processing_timeout=280, swap_check=False)
    settings = a_service(folder, 96 * MIB)
    async with open_pipeline(settings) as service:
        service._assessor.model._planner._settings = settings_for(folder, memory_budget_bytes=50_000)  # type: ignore[attr-defined]
        with pytest.raises(ImageTooLarge, match="MiB"):
            await service.compare(*pair, config, service.deadline(config))
        lenient = config.model_copy(update={"on_model_failure": "measurement"})
        report = await service.compare(*pair, lenient, service.deadline(lenient))
    assert (report.model.status, report.model.memory) == ("failed", None)
