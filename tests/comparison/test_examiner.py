"""The CPU stage on real pictures: planning, memory, masks, order of refusals."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest
from PIL import Image

from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pair_plan import masks_on_candidate, plan_pair
from serve_app.core.clock import Deadline
from serve_app.core.pictures import Box, PreparedImage, Upload
from serve_app.errors import DeadlineExceeded, ImageRejected, ImageTooLarge, UnsupportedImageType
from serve_app.settings import MIB, Limits, PreprocessingSettings
from tests.worlds.samples import card, config, encoded, noise, soon, upload, without_collection

LIMITS = Limits()
CONFIG = config()
BUDGET = 1536 * MIB


def examiner(*, shows_images: bool = True, limits: Limits = LIMITS) -> Examiner:
    return Examiner(limits, PreprocessingSettings(), shows_images=shows_images)


async def test_a_changed_square_is_found_where_it_is() -> None:
    found = (await examiner().examine(upload(), upload("red"), config(), soon())).measurement
    (difference,) = found.differences
    assert difference.candidate_box == Box(120, 60, 30, 30)
    assert not found.identical


async def test_the_model_is_shown_what_the_config_allows() -> None:
    asked = config(max_image_size=[100, 100], image_quality=100)
    found = await examiner().examine(upload(), upload("red"), asked, soon())
    assert found.shown_reference is not None
    assert (found.shown_reference.width, found.shown_reference.height) == (100, 60)
    assert (found.shown_reference.encoding, len(found.shown_reference.data)) == ("rgb", 100 * 60 * 3)
    assert (found.reference.shown_width, found.reference.shown_height) == (100, 60)


async def test_without_a_model_no_copy_is_made_for_one() -> None:
    found = await examiner(shows_images=False).examine(upload(), upload("red"), config(), soon())
    assert found.shown_reference is None
    assert found.reference.shown_width == 200


async def test_an_ignored_region_is_masked_before_anything_looks() -> None:
    asked = config(ignore_regions=[[120, 60, 30, 30]])
    found = await examiner().examine(upload(), upload("red"), asked, soon())
    assert found.measurement.identical
    assert found.shown_reference == found.shown_candidate


def large(square: str | None = None) -> Upload:
    """A card of 3000 x 1800 with a square of 30 pixels, which is 10 in the copy that the model is shown."""
    return Upload(encoded(card(square, size=(3000, 1800), place=(2000, 900)), compress_level=1))


async def test_a_small_change_in_a_large_picture_is_shown_to_the_model_as_it_is() -> None:
    found = await examiner().examine(large(), large("red"), config(image_quality=100), soon())
    (crop,) = found.crops
    assert (crop.index, crop.reference.width, crop.reference.height) == (0, 128, 128)
    assert crop.reference.data == bytes([255]) * 128 * 128 * 3
    assert crop.candidate.data.count(bytes([255, 0, 0])) == 30 * 30


async def test_ignored_regions_are_masked_in_crops_too() -> None:
    asked = config(image_quality=100, ignore_regions=[[1960, 880, 20, 20]])
    found = await examiner().examine(large(), large("red"), asked, soon())
    (crop,) = found.crops
    for shown in (crop.reference, crop.candidate):
        assert shown.data.count(bytes([128] * 3)) == 20 * 20


async def test_without_a_model_nothing_is_made_for_one() -> None:
    found = await examiner(shows_images=False).examine(large(), large("red"), config(), soon())
    assert (found.crops, found.measurement.charts) == ((), None)


async def test_for_a_model_there_are_charts_to_hold_its_findings_against() -> None:
    found = await examiner().examine(upload(), upload("red"), config(), soon())
    assert found.measurement.charts is not None
    assert found.crops == ()  # shown at their own size


async def test_measured_aspects_come_in_the_order_asked() -> None:
    asked = config(comparison_aspects=["content", "亮度", "color"])
    content, brightness, color = (await examiner().examine(upload(), upload("red"), asked, soon())).aspect_scores
    assert content is None
    assert brightness is not None
    assert color is not None


async def test_visuals_come_once_each_in_the_order_asked() -> None:
    asked = config(visuals=["heatmap", "overlay", "heatmap"])
    found = await examiner().examine(upload(), upload("red"), asked, soon())
    assert [visual.kind for visual in found.visuals] == ["heatmap", "overlay"]
    assert all(visual.data.startswith(b"\x89PNG") for visual in found.visuals)


@pytest.mark.parametrize(
    ("candidate", "refusal"),
    [(b"GIF89a", ImageRejected), (b"no image", UnsupportedImageType), (encoded(card())[:300], ImageRejected)],
)
async def test_a_bad_candidate_is_named_as_such(candidate: bytes, refusal: type[ImageRejected]) -> None:
    with pytest.raises(refusal) as caught:
        await examiner().examine(upload(), Upload(candidate), config(), soon())
    assert caught.value.image == "candidate"


REFUSED = {
    "damaged": encoded(noise())[:-5000],
    "another kind": b"%!PS-Adobe-3.0 EPSF-3.0",
    "nothing": b"",
}


PICTURES = (Image.Image, PreparedImage, Upload)


@pytest.mark.parametrize("role", ["reference", "candidate", "both"])
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_refused_picture_leaves_nothing_behind(kind: str, role: str) -> None:
    """Python's cyclic collection frees such things only now and then: 40 damaged pictures kept 6 GB."""
    shared, refused = examiner(), REFUSED[kind]
    with without_collection(*PICTURES) as kept:
        for _ in range(3):
            first = encoded(noise()) if role == "candidate" else refused
            second = encoded(noise()) if role == "reference" else refused
            with suppress(ImageRejected):
                await shared.examine(Upload(first), Upload(second), config(), soon())
        assert await kept.settle() == []


async def test_a_pair_given_up_that_turns_out_to_be_refused_leaves_nothing_behind() -> None:
    one_by_one = Examiner(LIMITS, PreprocessingSettings(threads=1), shows_images=False)
    large = encoded(noise(2000, 1500), compress_level=0)
    with without_collection(*PICTURES) as kept:
        with suppress(DeadlineExceeded):
            await one_by_one.examine(Upload(large), Upload(large[:-5000]), config(), Deadline.after(0.02))
        await one_by_one.examine(upload(), upload(), config(), soon())  # begins once the one before has ended
        assert await kept.settle() == []


async def test_a_deadline_that_has_passed_does_no_work() -> None:
    with pytest.raises(DeadlineExceeded):
        await examiner().examine(upload(), upload("red"), config(), Deadline.after(-1))


async def test_many_pairs_at_once_all_get_their_memory_back() -> None:
    shared = examiner()
    pairs = [shared.examine(upload(), upload("red"), config(), soon()) for _ in range(8)]
    found = await asyncio.gather(*pairs)
    assert len({each.measurement.similarity for each in found}) == 1
    assert shared.budget.free_bytes == BUDGET


async def test_closing_ends_a_pair_whose_second_picture_still_waits() -> None:
    stage = examiner(shows_images=False)
    release = threading.Event()
    for _ in range(PreprocessingSettings().threads):
        stage._seconds.submit(release.wait)
    pair = asyncio.ensure_future(stage.examine(upload(), upload("red"), config(), soon()))
    while stage._seconds._work_queue.qsize() == 0:  # noqa: ASYNC110 (a pool tells nobody)
        await asyncio.sleep(0.01)
    stage.close()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(pair, 20)


def test_a_pair_inside_the_budget_decodes_together() -> None:
    plan = plan_pair(upload(), upload("red"), CONFIG, LIMITS, BUDGET)
    assert plan.decodes_together
    assert plan.scale == 1.0


def test_a_pair_that_fits_only_in_turn_decodes_in_turn() -> None:
    large = Upload(encoded(Image.new("RGB", (3000, 2000)), "WEBP", lossless=True))
    together = plan_pair(large, large, CONFIG, LIMITS, BUDGET)
    plan = plan_pair(large, large, CONFIG, LIMITS, together.reserved_bytes - 1)
    assert not plan.decodes_together
    assert plan.reserved_bytes < together.reserved_bytes


def test_a_pair_over_the_budget_is_refused_with_the_numbers() -> None:
    large = Upload(encoded(Image.new("RGB", (3000, 2000)), compress_level=1))
    with pytest.raises(ImageTooLarge, match=r"about \d+ MiB .* gives a pair 10 MiB"):
        plan_pair(large, large, CONFIG, LIMITS, 10 * MIB)


def test_a_pair_too_large_to_decode_finely_is_measured_coarser() -> None:
    large = Upload(encoded(Image.new("RGB", (4000, 3000)), "JPEG"))
    plan = plan_pair(large, large, CONFIG, Limits(max_decode_bytes=40 * MIB), BUDGET)
    assert plan.scale in (2.0, 4.0, 8.0)


def test_both_images_are_measured_at_the_scale_of_the_larger() -> None:
    large = Upload(encoded(Image.new("RGB", (400, 400))))
    plan = plan_pair(upload(), large, CONFIG, Limits(max_measured_pixels=40_000), BUDGET)
    assert plan.scale == 2.0


def test_masks_follow_the_candidates_size() -> None:
    plan = plan_pair(upload(), Upload(encoded(card(size=(100, 60)))), CONFIG, LIMITS, BUDGET)
    assert masks_on_candidate([Box(11, 10, 30, 30)], plan) == [Box(5, 5, 16, 15)]
