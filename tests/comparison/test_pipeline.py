"""The contract's laws through the whole pipeline, files in and report out, on photographs and on a drawn page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from serve_app.comparison import identity
from serve_app.comparison.dialogue import prompt
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline
from serve_app.core.habits import CONVENTIONS
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import Examination
from serve_app.core.pictures import Box, Upload
from serve_app.core.reading import Reading
from serve_app.errors import DeadlineExceeded, ModelFailed
from serve_app.local import open_pipeline
from serve_app.schema import ComparisonReport
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.worlds.samples import assessed, card, config, encoded, examined, measured, upload

Photo = Callable[[], Any]
PHOTOS = [data.astronaut, data.coffee, data.chelsea, data.rocket]


@pytest.fixture
async def local() -> AsyncIterator[Pipeline]:
    async with open_pipeline(Settings()) as opened:
        yield opened


async def compare(pipeline: Pipeline, first: bytes, second: bytes, **fields: Any) -> ComparisonReport:
    asked = config(**fields)
    return await pipeline.compare(Upload(first), Upload(second), asked, pipeline.deadline(asked))


def scripted(**behaviour: Any) -> Settings:
    return Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(**behaviour)))


def photograph(photo: Photo) -> Image.Image:
    return Image.fromarray(photo()).resize((320, 240))


def edited(image: Image.Image) -> Image.Image:
    """Three changes: a square, a line, a patch moved in brightness."""
    changed = image.copy()
    draw = ImageDraw.Draw(changed)
    draw.rectangle((40, 50, 79, 89), fill="red")
    draw.line((200, 20, 200, 120), fill="lime", width=2)
    patch = changed.crop((240, 180, 300, 220)).point(lambda value: min(255, value + 60))
    changed.paste(patch, (240, 180))
    return changed


@pytest.mark.parametrize("photo", PHOTOS)
async def test_a_file_against_itself_is_the_same(local: Pipeline, photo: Photo) -> None:
    file = encoded(photograph(photo), "JPEG")
    report = await compare(local, file, file, similarity_threshold=1.0)
    assert (report.verdict, report.similarity, report.differences) == ("match", 1.0, ())
    assert report.measurement.identical


@pytest.mark.parametrize(
    ("kind", "options"), [("BMP", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {}), ("PNG", {})]
)
async def test_a_lossless_copy_is_the_same(local: Pipeline, kind: str, options: dict[str, Any]) -> None:
    image = photograph(data.coffee)
    report = await compare(local, encoded(image), encoded(image, kind, **options))
    assert report.measurement.identical


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
async def test_an_orientation_tag_is_the_same_as_turned_pixels(
    local: Pipeline, orientation: int, turn: Image.Transpose
) -> None:
    image = photograph(data.chelsea)
    exif = Image.Exif()
    exif[0x0112] = orientation
    tagged = encoded(image.transpose(turn), exif=exif)
    assert (await compare(local, encoded(image), tagged)).measurement.identical


@pytest.mark.parametrize("photo", PHOTOS)
async def test_both_directions_measure_the_same(local: Pipeline, photo: Photo) -> None:
    image = photograph(photo)
    there = await compare(local, encoded(image), encoded(edited(image)))
    back = await compare(local, encoded(edited(image)), encoded(image))
    assert there.similarity == back.similarity
    assert [each.reference_box for each in there.differences] == [each.candidate_box for each in back.differences]


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("threshold", [0.8, 0.95])
async def test_ignoring_what_was_found_gives_a_match(local: Pipeline, photo: Photo, threshold: float) -> None:
    first, second = encoded(photograph(photo)), encoded(edited(photograph(photo)))
    found = (await compare(local, first, second)).differences
    assert found
    boxes = [list(box) for each in found for box in (each.reference_box, each.candidate_box) if box is not None]
    left = await compare(local, first, second, ignore_regions=boxes, similarity_threshold=threshold)
    assert (left.verdict, left.differences) == ("match", ())


@pytest.mark.parametrize(
    "sizes", [((1, 1), (500, 3)), ((64, 64), (65, 64)), ((300, 200), (200, 300)), ((2, 900), (9, 9))]
)
async def test_images_of_any_two_sizes_compare(local: Pipeline, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    noise = np.random.default_rng(5)
    files = [encoded(Image.fromarray(noise.integers(0, 255, (h, w, 3), dtype=np.uint8))) for w, h in sizes]
    report = await compare(local, *files)
    assert 0 <= report.similarity <= 1
    assert (report.images.candidate.width, report.images.candidate.height) == sizes[1]


async def test_hidden_colours_under_full_transparency_are_no_difference(local: Pipeline) -> None:
    first, second = (Image.new("RGBA", (80, 60), colour) for colour in ((255, 0, 0, 0), (0, 0, 255, 0)))
    assert (await compare(local, encoded(first), encoded(second))).verdict == "match"


async def test_a_change_of_alpha_alone_is_a_difference(local: Pipeline) -> None:
    first = Image.new("RGBA", (80, 60), (255, 255, 255, 255))  # white on white: only another ground shows it
    second = first.copy()
    second.paste((255, 255, 255, 0), (20, 20, 40, 40))
    assert (await compare(local, encoded(first), encoded(second))).differences


async def test_the_model_is_off_about_equal_pixels() -> None:
    async with open_pipeline(scripted(fails=True)) as failing:
        report = await compare(failing, encoded(card()), encoded(card(), "BMP"))
    assert (report.model.status, report.verdict) == ("skipped", "match")


async def test_a_model_out_of_time_is_a_deadline_or_the_measurement_alone() -> None:
    async with open_pipeline(scripted(delay_s=60)) as slow:
        asked = config(processing_timeout=1.0)
        with pytest.raises(DeadlineExceeded):
            await slow.compare(upload(), upload("red"), asked, Deadline.after(1.0))
        report = await compare(
            slow, encoded(card()), encoded(card("red")), processing_timeout=1.5, on_model_failure="measurement"
        )
    assert report.model.status == "timed_out"


async def test_a_model_that_fails_is_an_error_or_the_measurement_alone() -> None:
    async with open_pipeline(scripted(fails=True)) as failing:
        with pytest.raises(ModelFailed):
            await compare(failing, encoded(card()), encoded(card("red")))
        report = await compare(failing, encoded(card()), encoded(card("red")), on_model_failure="measurement")
    assert report.model.status == "failed"


async def test_a_report_has_the_same_id_whether_the_model_managed_to_answer_or_not() -> None:
    ids = []
    for fails in (True, False):
        async with open_pipeline(scripted(fails=fails)) as model:
            asked = {"on_model_failure": "measurement"}
            ids.append((await compare(model, encoded(card()), encoded(card("red")), **asked)).report_id)
    assert ids[0] == ids[1]


async def test_the_prompts_version_tells_what_may_be_written_first_also_where_no_model_answered() -> None:
    class Model:
        async def assess(self, *_: object) -> Assessment:
            raise ModelFailed("It failed.")

    settings = Settings(model=ModelSettings(engine="transformers", name="a/model", thought_tokens=64))
    served = Pipeline(Examiner(settings.limits, settings.preprocessing, shows_images=False), Model(), settings)
    report = await compare(served, encoded(card()), encoded(card("red")), on_model_failure="measurement")
    assert report.model.prompt_version == f"{prompt.VERSION}+thought64"


async def test_the_revision_that_was_loaded_is_part_of_the_id() -> None:
    """Where none is pinned the hub's `main` changes under us, and a report from the cache would be another model's."""
    loaded = ModelIdentity("transformers", "a/model", "the commit")

    class Model:
        async def assess(self, *_: object) -> Assessment:
            return assessed(model=loaded)

    settings = Settings(model=ModelSettings(engine="transformers", name="a/model"))
    examiner = Examiner(settings.limits, settings.preprocessing, shows_images=False)
    served = Pipeline(examiner, Model(), settings)
    told = [(await compare(served, encoded(card()), encoded(card("red")))).report_id for _ in range(2)]
    known = identity.report_id(upload(), upload("red"), config(), loaded)
    assert told == [known, known], "the first answer, before which the commit wasn't known, too"
    assert served.report_id(upload(), upload("red"), config()) == known


async def test_bad_answers_are_degraded_fields_not_errors() -> None:
    async with open_pipeline(scripted(answers_badly=True)) as bad:
        report = await compare(bad, encoded(card()), encoded(card("red")), focus_elements=["square"])
    assert report.model.status == "answered"
    assert report.focus_elements[0].status == "unassessed"


# Of the card of 200 x 120 pixels, in thousandths: where its red square is, and where nothing is.
ON_THE_SQUARE = (600, 500, 750, 750)
ON_NOTHING = (0, 700, 300, 1000)


async def test_a_finding_where_pixels_changed_is_confirmed_and_one_where_none_did_is_refuted() -> None:
    findings = [
        {"box": ON_THE_SQUARE, "description": "A red square."},
        {"box": ON_NOTHING, "description": "A ghost.", "kind": "removed"},
    ]
    async with open_pipeline(scripted(label=0, findings=findings)) as model:
        report = await compare(model, encoded(card()), encoded(card("red")))
    (found,) = report.differences
    assert (found.evidence, found.description) == ("confirmed", "A red square.")
    assert any("A ghost." in warning for warning in report.warnings)


async def test_a_finding_where_pixels_cannot_tell_is_listed_as_the_models_alone() -> None:
    whole = photograph(data.astronaut)
    part = edited(whole).crop((60, 40, 320, 240))
    findings = [{"box": (0, 0, 100, 100), "description": "A flag.", "kind": "removed"}]
    async with open_pipeline(scripted(label=1, findings=findings)) as model:
        report = await compare(model, encoded(whole), encoded(part))
    found = report.differences[-1]
    assert (found.evidence, found.reference_box, found.candidate_box) == ("model_only", (0, 0, 32, 24), None)


@pytest.mark.parametrize(
    ("box", "status", "place"),
    [(ON_THE_SQUARE, "changed", (120, 60, 30, 30)), (ON_NOTHING, "unchanged", (0, 84, 60, 36))],
)
async def test_an_element_is_as_the_model_says_unless_no_pixel_changed_there(
    box: tuple[int, ...], status: str, place: tuple[int, ...]
) -> None:
    async with open_pipeline(scripted(label=1, box=box)) as model:
        report = await compare(model, encoded(card()), encoded(card("red")), focus_elements=["square"])
    (element,) = report.focus_elements
    assert (element.status, element.boxes) == (status, (place,))


@pytest.mark.parametrize("boxes", [convention.name for convention in CONVENTIONS])
async def test_boxes_are_understood_in_every_convention(boxes: str) -> None:
    findings = [{"box": ON_THE_SQUARE, "description": "A red square."}]
    asked: dict[str, Any] = {"focus_elements": ["square"], "max_image_size": [128, 128]}
    async with open_pipeline(scripted(label=1, box=ON_THE_SQUARE, findings=findings, boxes=boxes)) as model:
        report = await compare(model, encoded(card()), encoded(card("red")), **asked)
    (element,) = report.focus_elements
    assert (element.status, report.model.boxes) == ("changed", boxes)
    ((left, top, width, height),) = element.boxes
    assert Box(left, top, width, height).fit(Box(120, 60, 30, 30)) > 0.8
    assert not report.warnings


async def test_a_model_that_finds_no_mark_places_nothing_and_no_box_of_its_refutes_anything() -> None:
    findings = [{"box": ON_NOTHING, "description": "A ghost."}]
    async with open_pipeline(scripted(label=1, box=ON_NOTHING, findings=findings, boxes=None)) as model:
        report = await compare(model, encoded(card()), encoded(card("red")), focus_elements=["square"])
    (element,) = report.focus_elements
    assert (element.status, element.boxes, report.model.boxes) == ("changed", (), None)
    assert [each.evidence for each in report.differences] == ["confirmed"]
    assert not report.warnings


async def test_a_model_that_rates_all_pictures_alike_is_known_from_its_start() -> None:
    async with open_pipeline(scripted(label=1, anchors=(2, 2))) as model:
        report = await compare(model, encoded(card()), encoded(card("red")))
    assert report.model.anchors is not None
    assert report.model.anchors.same == report.model.anchors.unrelated
    assert any("can't tell an equal picture" in warning for warning in report.warnings)
    assert report.verdict == "uncertain"


@pytest.mark.parametrize(("sees", "evidence"), [(False, "confirmed"), (True, "measured_only")])
async def test_a_model_that_says_yes_to_everything_confirms_nothing(sees: bool, evidence: str) -> None:
    """It is asked about one place more, on which the pixels show no change."""
    async with open_pipeline(scripted(label=1, sees_ghosts=sees)) as model:
        report = await compare(model, encoded(card()), encoded(card("red")))
    assert (report.model.sees_ghosts, report.differences[0].evidence) == (sees, evidence)


async def test_a_score_lies_between_the_models_own_ends() -> None:
    async with open_pipeline(scripted(label=1, anchors=(1, 3))) as model:
        report = await compare(model, encoded(card()), encoded(card("red")))
    assert {aspect.score for aspect in report.aspects} == {1.0}


async def test_a_chinese_report_of_a_model_that_answers_badly_is_chinese() -> None:
    async with open_pipeline(scripted(answers_badly=True)) as bad:
        report = await compare(bad, encoded(card()), encoded(card("red")), focus_elements=["方块"], language="zh")
    assert report.warnings
    assert all(any("一" <= letter <= "鿿" for letter in warning) for warning in report.warnings)


async def test_a_checkpoint_with_crops_boxes_and_findings_goes_the_whole_way(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra [vl]")
    from tests.worlds import checkpoints

    folder = checkpoints.tiny_qwen3_vl(tmp_path)
    tiny = ModelSettings(
        engine="transformers", name=str(folder), device="cpu", max_explanation_tokens=24, max_summary_tokens=48
    )
    first, second = (
        encoded(card(square, size=(1500, 900), place=(1000, 400)), compress_level=1) for square in (None, "red")
    )
    async with open_pipeline(Settings(model=tiny)) as model:
        report = await compare(model, first, second, focus_elements=["square"], max_image_size=[128, 128])
        whole = await compare(model, first, second, max_image_size=[1500, 900])
    assert report.model.status == "answered"
    assert report.model.tokens is not None
    assert report.model.memory is not None
    assert whole.model.memory is not None
    assert report.model.memory.visual_tokens > whole.model.memory.visual_tokens  # the crops'
    assert report.summary
    assert {found.evidence for found in report.differences} <= {"measured_only", "confirmed", "model_only"}
    # Random weights put next to nothing on any label: no score, no anchors, and the measurement stands.
    assert (report.model.anchors, report.focus_elements[0].status) == (None, "unassessed")


async def test_without_a_swap_check_there_is_no_order_gap() -> None:
    async with open_pipeline(scripted(label=1)) as model:
        once = await compare(model, encoded(card()), encoded(card("red")), swap_check=False)
        twice = await compare(model, encoded(card()), encoded(card("red")), swap_check=True)
    assert once.model.order_gap is None
    assert twice.model.order_gap is not None


async def test_every_field_of_the_config_changes_what_is_done(local: Pipeline) -> None:
    """The report id leaves time out; each other field enters it."""
    more: dict[str, Any] = {"save_all": True, "append_images": [card("blue")]}
    first, second = encoded(card(), **more), encoded(card("red"), **more)
    plain = (await compare(local, first, second)).report_id
    others: dict[str, Any] = {
        "focus_elements": ["x"],
        "comparison_aspects": ["color"],
        "similarity_threshold": 0.5,
        "max_differences": 3,
        "max_changed_ratio": 0.5,
        "max_image_size": [64, 64],
        "image_quality": 50,
        "ignore_regions": [[0, 0, 5, 5]],
        "language": "zh",
        "on_model_failure": "measurement",
        "swap_check": False,
        "visuals": ["overlay"],
        "frame": 1,
        "read_text": False,
        "text_changes": "mismatch",
    }
    # A profile is nothing but the thresholds that it stands for.
    assert {*others, "processing_timeout", "profile"} == type(config()).model_fields.keys()
    for name, value in others.items():
        assert (await compare(local, first, second, **{name: value})).report_id != plain


async def test_time_spent_reading_is_work_and_no_waiting() -> None:
    class Reads:
        async def examine(self, *asked: Any) -> Examination:
            await asyncio.sleep(0.03)
            found = examined(measured(0.5), (None,) * 4)
            return replace(found, prepare_ms=1.0, measure_ms=2.0, reading=Reading("read", read_ms=20.0))

        async def assess(self, *asked: Any) -> Assessment:
            raise AssertionError("there is no model")

    made = await compare(Pipeline(Reads(), Reads(), Settings()), encoded(card()), encoded(card("red")))
    spent = made.timings_ms
    assert (spent.prepare, spent.measure, spent.read, spent.assess) == (1.0, 2.0, 20.0, 0.0)
    assert spent.queue == pytest.approx(spent.total - 23.0, abs=0.1)
    assert spent.queue > 0
