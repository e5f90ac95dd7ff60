"""Lossy copies of pages show no difference but what was changed; what people change is never taken for a copy."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app import measurement
from serve_app.core.measured import Measurement
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement import copies
from serve_app.measurement.cells import collect
from serve_app.measurement.tiles import Grid
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.copied import INKS, Codec, copied, page
from tests.worlds.pairs import blurred, clipped, photographs

COPIES: list[tuple[Codec, int]] = [("JPEG", 75), ("JPEG", 90), ("WEBP", 75), ("WEBP", 90), ("AVIF", 75)]


def measured(first: Pixels, second: Pixels) -> Measurement:
    return measurement.measure(raster(first), raster(second))


def place(first: Pixels, second: Pixels) -> Box:
    rows, columns = np.nonzero((first != second).any(axis=2))
    left, top = int(columns.min()), int(rows.min())
    return Box(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)


@pytest.mark.parametrize(("codec", "quality"), COPIES)
@pytest.mark.parametrize("ink", list(INKS))
def test_a_lossy_copy_of_a_page_shows_no_difference(ink: str, codec: Codec, quality: int) -> None:
    size = 11 + 2 * (list(INKS).index(ink) % 3)
    found = measured(page(size, ink), copied(page(size, ink), codec, quality))
    assert found.differences == ()
    assert found.similarity >= 0.97


@pytest.mark.parametrize(("codec", "quality"), COPIES)
@pytest.mark.parametrize("ink", list(INKS))
def test_a_digit_changed_in_a_lossy_copy_is_one_tight_box(ink: str, codec: Codec, quality: int) -> None:
    first, second = page(13, ink), page(13, ink, price="1,294.50")
    truth, found = place(first, second), measured(first, copied(second, codec, quality))
    assert len(found.differences) == 1
    box = found.differences[0].candidate_box
    assert box is not None
    assert box.overlap(truth) >= 0.5 * truth.area
    assert box.area <= 6 * truth.area


def test_a_copy_is_lawful_and_ranks_above_any_pair_with_a_difference() -> None:
    first, changed = page(13, "black"), page(13, "black", price="1,294.50")
    copy = assert_lawful(first, copied(first, "JPEG", 75))
    assert copy.similarity > assert_lawful(first, copied(changed, "WEBP", 80)).similarity
    assert copy.similarity > measured(first, changed).similarity


@pytest.mark.parametrize("name", ["another ink", "a softer copy", "grain on a part", "few places", "coarse noise"])
def test_what_no_encoder_did_is_not_taken_for_a_copy(name: str) -> None:
    first = page(13, "grey")
    others: dict[str, Pixels] = {
        "another ink": page(13, "black"),
        "a softer copy": blurred(first, 1.5),
        "grain on a part": grained_part(first),
        "few places": page(13, "grey", price="1,294.50"),
        "coarse noise": clipped(first + np.random.default_rng(1).normal(0, 30, first.shape)),
    }
    grid = Grid(first, others[name])
    assert copies.estimate(grid, collect(grid)) is None


def grained_part(picture: Pixels) -> Pixels:
    """A faint texture on a third of a page, and all else as it was."""
    out = picture.astype(int)
    out[100:200] += np.random.default_rng(3).integers(-9, 10, out[100:200].shape)
    return clipped(out)


def test_a_patch_in_a_copied_photograph_is_found() -> None:
    first = photographs()["coffee"]
    second = first.copy()
    second[150:170, 200:230] = (60, 90, 160)
    found = measured(first, copied(second, "JPEG", 60))
    assert len(found.differences) == 1
    box = found.differences[0].candidate_box
    assert box is not None
    assert box.overlap(Box(200, 150, 30, 20)) > 450


def test_what_rings_around_a_change_is_not_its_extent() -> None:
    first = page(13, "red")
    second = first.copy()
    second[63:93, 380:382] = (200, 0, 0)
    found = measured(first, copied(second, "JPEG", 75))
    box = found.differences[0].candidate_box
    assert box is not None
    assert box.width <= 6
    assert box.height <= 34


@pytest.mark.parametrize("size", [(32, 45), (48, 64), (64, 90), (320, 450)])
@pytest.mark.parametrize("step", [4, 6, 9])
def test_a_tint_beside_a_change_is_no_encoders(size: tuple[int, int], step: int) -> None:
    """Few places differ in a small picture, and each by one step: a tint, whatever is drawn beside it."""
    first = np.full((*size, 3), 90, np.uint8)
    second = first.copy()
    second[size[0] // 10 :, : size[1] * 2 // 3] += step
    second[size[0] // 6 : size[0] // 2, size[1] * 3 // 4 :] -= 36
    for one, two in ((first, second), (second, first)):
        found = measurement.measure(raster(one), raster(two)).differences
        boxes = [each.reference_box for each in found if each.reference_box is not None]
        covered = np.zeros(size, bool)
        for box in boxes:
            covered[box.y : box.bottom, box.x : box.right] = True
        assert covered[(first != second).any(axis=2)].mean() > 0.95
