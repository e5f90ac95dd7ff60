"""The contract's laws of a measurement, as properties and as small worlds."""

from __future__ import annotations

import io
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import color, data, metrics

from serve_app import measurement
from serve_app.core.measured import Measurement
from serve_app.core.pictures import Box, Pixels, Raster
from serve_app.measurement import colour, regions, visible
from serve_app.measurement.placing import align
from serve_app.measurement.scoring import aspects, similarity, ssim
from serve_app.schema import VisualKind

GREY = 128


def raster(pixels: Pixels, alpha: Pixels | None = None) -> Raster:
    return Raster(np.ascontiguousarray(pixels), alpha, pixels.shape[1], pixels.shape[0])


def flat(width: int, height: int, level: int = 240) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


@st.composite
def pictures(draw: st.DrawFn, sides: tuple[int, int] = (1, 90)) -> Pixels:
    """Flat ground, gradient or noise, with a few rectangles on it."""
    width, height = draw(st.integers(*sides)), draw(st.integers(*sides))
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    ground = draw(st.sampled_from(["flat", "gradient", "noise"]))
    image = np.full((height, width, 3), random.integers(0, 256, 3), np.uint8)
    if ground == "gradient":
        image[...] = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
    if ground == "noise":
        image[...] = random.integers(0, 256, image.shape)
    for _ in range(draw(st.integers(0, 6))):
        x, y = random.integers(0, width), random.integers(0, height)
        image[y : y + random.integers(1, 30), x : x + random.integers(1, 30)] = random.integers(0, 256, 3)
    return image


@st.composite
def edits(draw: st.DrawFn) -> tuple[Pixels, Pixels]:
    """Two pictures of one size: the second has some rectangles, noise or a tint of its own."""
    first = draw(pictures())
    second = first.copy()
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    for _ in range(draw(st.integers(0, 5))):
        y, x = random.integers(0, first.shape[0]), random.integers(0, first.shape[1])
        part = second[y : y + random.integers(1, 40), x : x + random.integers(1, 40)]
        part[...] = np.clip(part.astype(int) + random.integers(-60, 60), 0, 255)
    if draw(st.booleans()):
        second = np.clip(second + random.normal(0, 6, second.shape), 0, 255).astype(np.uint8)
    return first, second


def masked(pixels: Pixels, boxes: list[Box]) -> Pixels:
    out = pixels.copy()
    for box in boxes:
        out[box.y : box.bottom, box.x : box.right] = GREY
    return out


def ignored(first: Pixels, second: Pixels, found: Measurement) -> Measurement:
    """Measured again with every difference ignored: its places in the reference, in both pictures relatively."""
    boxes = [box for each in found.differences for box in (each.reference_box,) if box is not None]
    if first.shape == second.shape:
        boxes += [each.candidate_box for each in found.differences if each.candidate_box is not None]
    across, down = second.shape[1] / first.shape[1], second.shape[0] / first.shape[0]
    there = []
    for box in boxes:
        left, top = int(np.floor(box.x * across)), int(np.floor(box.y * down))
        right, bottom = int(np.ceil(box.right * across)), int(np.ceil(box.bottom * down))
        there.append(Box(left, top, right - left, bottom - top))
    return measurement.measure(raster(masked(first, boxes)), raster(masked(second, there)))


def assert_lawful(first: Pixels, second: Pixels) -> Measurement:
    found = measurement.measure(raster(first), raster(second))
    back = measurement.measure(raster(second), raster(first))
    assert (found.similarity, found.ssim, found.changed_ratio, found.color_delta_e) == (
        back.similarity,
        back.ssim,
        back.changed_ratio,
        back.color_delta_e,
    )
    assert [(d.reference_box, d.candidate_box) for d in found.differences] == [
        (d.candidate_box, d.reference_box) for d in back.differences
    ]
    exchanged = {"added": "removed", "removed": "added"}
    assert [d.kind for d in found.differences] == [exchanged.get(d.kind, d.kind) for d in back.differences]
    assert len(found.differences) <= 50
    for each in found.differences:
        for box, image in ((each.reference_box, first), (each.candidate_box, second)):
            if box is not None:
                assert box.x >= 0 <= box.y
                assert box.right <= image.shape[1]
                assert box.bottom <= image.shape[0]
                assert box.area > 0
    low, high = found.similarity_interval
    assert 0 <= low <= found.similarity <= high <= 1
    assert all(0 <= score <= 1 for score in found.aspects.values())
    again = ignored(first, second, found)
    assert not again.differences
    assert again.similarity_interval[0] > 0.8
    return found


@given(pictures())
@settings(max_examples=40, deadline=None)
def test_a_picture_is_identical_to_itself(picture: Pixels) -> None:
    found = measurement.measure(raster(picture), raster(picture.copy()))
    assert found.identical
    assert (found.similarity, found.similarity_interval) == (1.0, (1.0, 1.0))
    assert found.differences == ()
    assert set(found.aspects.values()) == {1.0}


@given(edits())
@settings(max_examples=120, deadline=None)
def test_the_laws_hold_for_edits(pair: tuple[Pixels, Pixels]) -> None:
    assert_lawful(*pair)


@given(edits())
@settings(max_examples=120, deadline=None)
def test_what_is_visible_does_not_depend_on_the_order(pair: tuple[Pixels, Pixels]) -> None:
    there, back = visible.mask(*pair), visible.mask(pair[1], pair[0])
    assert np.array_equal(there[0], back[0])
    assert np.array_equal(there[1], back[1])


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10), st.booleans())
def test_a_pair_in_which_nothing_differs_is_a_match_whatever_else_was_measured(
    values: list[float], differs: bool
) -> None:
    evidence = similarity.Factors(dict(zip(aspects.NAMES, values, strict=False)), *values[6:])
    low, high = similarity.interval(similarity.score(evidence, differs=differs))
    assert 0 <= low <= high <= 1
    assert differs or low > 0.8


@given(pictures(), pictures())
@settings(max_examples=120, deadline=None)
def test_the_laws_hold_for_any_two_sizes(first: Pixels, second: Pixels) -> None:
    assert_lawful(first, second)


@pytest.mark.parametrize(
    ("size", "other"),
    [
        ((4, 1), (4, 1)),
        ((1, 4), (1, 4)),
        ((1, 1), (1, 1)),
        ((1, 1), (300, 200)),
        ((1, 5000), (40, 30)),
        ((5000, 1), (1, 5000)),
    ],
)
def test_the_laws_hold_at_the_extremes(size: tuple[int, int], other: tuple[int, int]) -> None:
    assert_lawful(flat(*size, level=10), flat(*other, level=200))


def test_one_changed_pixel_is_found_where_it_is() -> None:
    first = flat(2000, 1100)
    second = first.copy()
    second[777, 1234] = 0
    found = assert_lawful(first, second)
    assert [d.reference_box for d in found.differences] == [Box(1234, 777, 1, 1)]
    assert found.similarity > 0.9


def test_eight_levels_everywhere_are_a_difference() -> None:
    first = data.astronaut()
    second = np.clip(first.astype(int) + 8, 0, 255).astype(np.uint8)
    found = assert_lawful(first, second)
    assert found.changed_ratio > 0.9


def test_what_only_shows_on_black_is_a_difference() -> None:
    white = flat(64, 64, 255)
    opaque = np.full((64, 64), 255, np.uint8)
    holed = opaque.copy()
    holed[20:30, 10:40] = 0
    found = measurement.measure(raster(white, opaque), raster(white, holed))
    assert not found.identical
    assert [d.reference_box for d in found.differences] == [Box(10, 20, 30, 10)]
    assert found.color_delta_e > 1
    assert measurement.measure(raster(white), raster(white, opaque)).identical


def test_a_reencoded_photograph_shows_no_difference() -> None:
    first = data.coffee()
    out = io.BytesIO()
    Image.fromarray(first).save(out, "JPEG", quality=75)
    second = np.asarray(Image.open(out).convert("RGB"))
    found = assert_lawful(first, second)
    assert found.differences == ()
    assert not found.identical
    assert found.similarity > 0.95


def test_boxes_are_in_original_pixels_when_measured_scaled() -> None:
    first = flat(100, 80)
    second = first.copy()
    second[10:30, 20:50] = 0
    found = measurement.measure(Raster(first, None, 250, 200), Raster(second, None, 250, 200))
    assert [d.candidate_box for d in found.differences] == [Box(50, 25, 75, 50)]
    assert found.smallest_visible_px == 2.5


def test_ssim_agrees_with_scikit_image() -> None:
    first = np.asarray(Image.fromarray(data.astronaut()).convert("L"))
    second = np.clip(first + np.random.default_rng(1).normal(0, 12, first.shape), 0, 255).astype(np.uint8)
    oracle = metrics.structural_similarity(first, second, win_size=7)
    assert ssim.mean_ssim(first.astype(np.float32), second.astype(np.float32)) == pytest.approx(oracle, abs=0.02)


def test_lab_agrees_with_scikit_image_and_keeps_grey_neutral() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(colour.lab(pixels) - color.rgb2lab(pixels)).max() < 0.01
    assert np.abs(colour.lab(greys)[..., 1:]).max() < 1e-3


def test_colour_difference_agrees_with_scikit_image() -> None:
    random = np.random.default_rng(3)
    first, second = (random.uniform([0, -90, -90], [100, 90, 90], (4000, 3)).astype(np.float32) for _ in range(2))
    first[:40, 1:] = 0
    second[20:60, 1:] = 0
    oracle = color.deltaE_ciede2000(first, second)
    assert np.abs(colour.delta_e(first, second) - oracle).max() < 1e-3


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ("Colour", "color"),
        (" color ", "color"),
        ("颜色", "color"),
        ("色彩", "color"),
        ("亮度", "brightness"),
        ("Contrast", "contrast"),
        ("对比度", "contrast"),
        ("布局", "layout"),
        ("纹理", "texture"),
        ("清晰度", "sharpness"),
        ("锐度", "sharpness"),
    ],
)
def test_aspects_are_known_by_their_names(asked: str, canonical: str) -> None:
    found = measurement.measure(raster(flat(9, 9)), raster(flat(9, 9, 100)))
    assert measurement.aspect_score(found, asked) == found.aspects[canonical]


@pytest.mark.parametrize("asked", ["content", "style", "内容", ""])
def test_what_pixels_cannot_tell_has_no_score(asked: str) -> None:
    found = measurement.measure(raster(flat(9, 9)), raster(flat(9, 9, 100)))
    assert measurement.aspect_score(found, asked) is None


@pytest.mark.parametrize("kind", ["overlay", "heatmap", "side_by_side"])
@pytest.mark.parametrize("sizes", [((300, 200), (300, 200)), ((1, 1), (40, 700)), ((3, 4000), (3, 4000))])
def test_every_picture_can_be_drawn(kind: VisualKind, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    first, second = flat(*sizes[0]), flat(*sizes[1], level=30)
    rasters = raster(first), raster(second)
    pair = measurement.place(*rasters)
    drawn = pair.draw(kind, pair.measure())
    assert drawn.kind == kind
    with Image.open(io.BytesIO(drawn.data)) as image:
        image.load()
        assert image.format == "PNG"


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize(("width", "height"), [(400, 300), (3000, 2400)])
def test_what_changed_is_tinted_where_it_lies_in_the_candidate(width: int, height: int, is_turned: bool) -> None:
    """Also where the panel is smaller than the picture, and where the content lies elsewhere in both."""
    ground = np.random.default_rng(0).integers(90, 160, (height + 40, width + 40, 3), np.uint8)
    first, second = ground[:-40, :-40].copy(), ground[12:-28, 20:-20].copy()
    place = (slice(height // 2, height * 3 // 4), slice(width // 2, width * 3 // 4))
    second[place] = 240
    rasters = (raster(second), raster(first)) if is_turned else (raster(first), raster(second))
    pair = measurement.place(*rasters)
    measured = pair.measure()
    assert measured.alignment.kind == "shift"
    shown = {}
    kinds: tuple[VisualKind, ...] = ("overlay", "heatmap")
    for kind in kinds:
        with Image.open(io.BytesIO(pair.draw(kind, measured).data)) as image:
            shown[kind] = np.asarray(image.convert("RGB")).astype(int)
    drawn = shown["heatmap" if is_turned else "overlay"]  # that on the picture with the square
    scale = drawn.shape[1] / width
    rows, columns = (slice(int(each.start * scale) + 9, int(each.stop * scale) - 9) for each in place)
    quiet = drawn[: int(height * scale / 3), : int(width * scale / 3)]
    strong = np.ptp(drawn[rows, columns], axis=2)
    assert (strong > 60).mean() > 0.9
    assert (np.ptp(quiet, axis=2) > 75).mean() < 0.02


def test_a_pair_is_placed_once_whatever_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned, collected = Mock(wraps=align.align), Mock(wraps=regions.drawn)
    monkeypatch.setattr(align, "align", aligned)
    monkeypatch.setattr(regions, "drawn", collected)
    ground = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    first, second = ground[:, :-30].copy(), ground[:, 30:].copy()
    second[50:90, 60:90] = 0
    pair = measurement.place(raster(first), raster(second))
    measured = pair.chart(pair.measure())
    kinds: tuple[VisualKind, ...] = ("overlay", "heatmap", "side_by_side")
    for kind in kinds:
        pair.draw(kind, measured)
    assert measured.charts is not None
    assert (aligned.call_count, collected.call_count) == (1, 1)


def test_a_long_page_is_drawn_wide_enough_to_read() -> None:
    page = flat(640, 12_000)
    edited = page.copy()
    edited[9000:9020, 300:360] = 0
    rasters = raster(page), raster(edited)
    pair = measurement.place(*rasters)
    with Image.open(io.BytesIO(pair.draw("overlay", pair.measure()).data)) as image:
        assert image.width > 400
        assert image.width * image.height <= 4_100_000
