"""Hard pairs with a person's answer, boxes against the truth, what moved, came and went."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data

from serve_app import measurement
from serve_app.core.measured import Measurement
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.placing import features
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.pages import bar, card, photo, stacked, table
from tests.worlds.pairs import cropped, distortions, encoded, hard_pairs, photographs, screenshot, turned

PICTURES = {**photographs(), "screenshot": screenshot()}


def measured(first: Pixels, second: Pixels) -> Measurement:
    return measurement.measure(raster(first), raster(second))


def overlap(box: Box | None, truth: Box) -> float:
    """Intersection over union."""
    if box is None:
        return 0.0
    width = min(box.right, truth.right) - max(box.x, truth.x)
    height = min(box.bottom, truth.bottom) - max(box.y, truth.y)
    shared = max(0, width) * max(0, height)
    return shared / (box.area + truth.area - shared)


@pytest.mark.parametrize(("name", "first", "second", "differs"), [pytest.param(*p, id=p[0]) for p in hard_pairs()])
def test_same_or_different_as_a_person_would_say(name: str, first: Pixels, second: Pixels, differs: bool) -> None:
    found = measured(first, second)
    assert bool(found.differences) == differs, name
    assert not found.identical


@pytest.mark.parametrize("name", list(PICTURES))
def test_the_laws_hold_for_every_distortion(name: str) -> None:
    for distortion, strength, other in distortions(PICTURES[name]):
        assert_lawful(PICTURES[name], other), (distortion, strength)


def test_boxes_are_what_a_person_would_draw() -> None:
    random = np.random.default_rng(11)
    scores = []
    for _ in range(60):
        picture = list(PICTURES.values())[random.integers(len(PICTURES))]
        height, width = picture.shape[:2]
        box = Box(*(int(v) for v in random.integers(8, (width // 2, height // 2, width // 3, height // 3))))
        second = picture.copy()
        content = random.integers(0, 256, (box.height // 8 + 1, box.width // 8 + 1, 3), dtype=np.uint8)
        second[box.y : box.bottom, box.x : box.right] = content.repeat(8, 0).repeat(8, 1)[: box.height, : box.width]
        found = measured(picture, second)
        scores.append(max((overlap(each.candidate_box, box) for each in found.differences), default=0.0))
    assert np.mean(scores) > 0.9
    assert min(scores) >= 0.8, sorted(scores)[:5]


@pytest.mark.parametrize("shift", [(1, 0), (7, -4), (38, 25)])
def test_a_shift_is_reported_in_reference_pixels(shift: tuple[int, int]) -> None:
    for picture in (data.coffee(), screenshot()):
        moved = np.roll(picture, shift, (1, 0))
        found = assert_lawful(picture, moved)
        assert (found.alignment.kind, found.alignment.shift) == ("shift", shift)
        assert measured(moved, picture).alignment.shift == (-shift[0], -shift[1])


def test_a_turn_and_a_zoom_are_reported() -> None:
    picture = data.astronaut()
    found = assert_lawful(picture, turned(picture, 3))
    assert found.alignment.kind == "features"
    assert found.alignment.rotation_deg == pytest.approx(-3, abs=0.2)
    zoomed = cropped(picture, 0.6).repeat(2, 0).repeat(2, 1)
    assert assert_lawful(picture, zoomed).alignment.scale == pytest.approx(2, abs=0.03)


def test_an_inserted_band_is_added_and_the_rest_moved() -> None:
    page = screenshot()
    longer = np.concatenate([page[:90], np.full((50, 640, 3), (200, 230, 180), np.uint8), page[90:]])
    for other in (longer, longer[:400]):
        found = assert_lawful(page, other)
        assert found.alignment.kind == "bands"
        assert [each.kind for each in found.differences] == ["added", "moved"]
        assert found.differences[0].candidate_box == Box(0, 90, 640, 50)
    assert assert_lawful(longer, page).differences[0].kind == "removed"


@pytest.mark.parametrize("qualities", [(None, 80), (85, 75)])
def test_a_card_inserted_into_a_page_is_found_through_its_jpegs(qualities: tuple[int | None, int]) -> None:
    above, below = (bar("Northwind"), card(1)), (card(2, 7), photo(1), card(3, 3), table(1), card(4, 5))
    page, longer = stacked(*above, *below), stacked(*above, card(9, 4), *below)
    height, at = len(longer) - len(page), len(stacked(*above))
    one = page if qualities[0] is None else encoded(page, qualities[0])
    for other in (longer, longer[: len(page)]):
        found = assert_lawful(one, encoded(other, qualities[1]))
        assert found.alignment.kind == "bands"
        assert found.alignment.shift == (0, height)
        inserted = next(each.candidate_box for each in found.differences if each.kind == "added")
        assert inserted is not None
        # Flat rows, and what two headings have in common, may belong to either card.
        assert abs(inserted.y - at) <= 24
        assert inserted.height == height


def test_what_moved_is_told_from_what_came_and_went() -> None:
    page, button = screenshot(), screenshot()[20:81, 20:301]
    for right in (24, 320):
        moved = page.copy()
        moved[20:81, 20:301] = 250
        moved[20:81, 20 + right : 301 + right] = button
        found = assert_lawful(page, moved)
        assert [(d.kind, d.reference_box, d.candidate_box) for d in found.differences] == [
            ("moved", Box(20, 20, 281, 61), Box(20 + right, 20, 281, 61))
        ]
    gone = page.copy()
    gone[20:81, 20:301] = 250
    assert [each.kind for each in measured(page, gone).differences] == ["removed"]
    assert [each.kind for each in measured(gone, page).differences] == ["added"]


def test_a_37_megapixel_pair_is_measured_at_native_size_in_little_memory() -> None:
    """In a process of its own: the peak above the two rasters, against what the budget is told."""
    code = """
import numpy as np
from serve_app import measurement
from serve_app.core.pictures import Raster
def held(field):
    return int([line for line in open('/proc/self/status') if line.startswith(field)][0].split()[1]) * 1024
def raster(pixels):
    return Raster(pixels, None, pixels.shape[1], pixels.shape[0])
first = np.full((10728, 3446, 3), 240, np.uint8)
first[::40, ::3] = 20
second = first ^ 9
second[9999, 3333] = (255, 0, 0)
measurement.measure(raster(first[:64, :64]), raster(second[:64, :64]))
open('/proc/self/clear_refs', 'w').write('5')
before = held('VmRSS')
found = measurement.measure(raster(first), raster(second))
assert found.differences and found.smallest_visible_px == 1.0
print(held('VmHWM') - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    peak = int(done.stdout)
    assert peak < 96 * 1024 * 1024
    assert peak < measurement.working_bytes(3446, 10728)


def test_corners_are_matched_as_by_brute_force() -> None:
    random = np.random.default_rng(5)
    words, others = (random.integers(0, 256, (count, 32), dtype=np.uint8) for count in (300, 260))
    others[:100] = words[100:200] ^ random.integers(0, 2, (100, 32), dtype=np.uint8)
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words, others)
    chosen, other, distance = features._matches(words, others)
    assert {(m.queryIdx, m.trainIdx, m.distance) for m in matches} >= {
        (int(i), int(j), float(d)) for i, j, d in zip(chosen, other, distance, strict=True) if d < 32
    }
    assert np.count_nonzero(distance < 32) == 100
