"""Thin lines and light text in another tone, and digits of a few pixels: found. Strokes drawn otherwise: not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from serve_app import measurement
from serve_app.core.pictures import Box, Pixels
from serve_app.measurement import strokes
from tests.measurement.test_measure import assert_lawful, raster
from tests.worlds.copied import digits, line, shifted, sun_and_say, words

TONES = [(255, 217, 207), (255, 217, 204), (255, 150, 170), (250, 235, 225), (18, 42, 58), (18, 60, 48), (128, 90, 102)]


def boxes(first: Pixels, second: Pixels) -> list[Box | None]:
    return [each.reference_box for each in measurement.measure(raster(first), raster(second)).differences]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize(("ground", "before", "after"), TONES)
def test_a_thin_line_in_another_tone_is_found(ground: int, before: int, after: int, width: int, down: bool) -> None:
    first, second = line(width, before, after, ground, down=down)
    truth = Box(40, 20, width, 80) if down else Box(40, 30, 160, width)
    found = boxes(first, second)
    assert len(found) == 1
    assert found[0] is not None
    assert found[0].fit(truth) > 0.85
    assert boxes(second, first) == found


@pytest.mark.parametrize(("before", "after"), [(170, 145), (170, 158), (145, 160), (90, 104)])
def test_text_in_another_tone_is_found(before: int, after: int) -> None:
    first, second = (words("Enter your email", 14, (tone,) * 3) for tone in (before, after))
    found = assert_lawful(first, second)
    assert len(found.differences) == 1
    box = found.differences[0].reference_box
    assert box is not None
    assert box.width > 80


def test_a_line_in_another_tone_is_lawful() -> None:
    assert assert_lawful(*line(1, 217, 204, 255)).differences


DIGITS = list(digits((8, 9, 10, 11, 12)))


@pytest.mark.parametrize(("name", "first", "second"), [pytest.param(*each, id=each[0]) for each in DIGITS])
def test_a_digit_of_small_text_is_found(name: str, first: Pixels, second: Pixels) -> None:
    found = boxes(first, second)
    assert len(found) == 1, name
    assert found == boxes(second, first)


@pytest.mark.parametrize("size", [12, 16])
def test_look_alike_strokes_are_found(size: int) -> None:
    found = boxes(*sun_and_say(size))
    assert len(found) == 1
    assert found[0] is not None
    assert 24 <= found[0].x <= 40


@pytest.mark.parametrize(("right", "down"), [(0.5, 0), (0, 0.5), (0.25, 0.25), (0.5, 0.5)])
@pytest.mark.parametrize("size", [11, 12, 14, 18])
def test_text_that_sits_a_part_of_a_pixel_elsewhere_is_the_same(size: int, right: float, down: float) -> None:
    assert boxes(shifted(size, 0, 0), shifted(size, right, down)) == []


@pytest.mark.parametrize("weight", [0.85, 1.2])
@pytest.mark.parametrize("size", [9, 11, 14, 20])
def test_bolder_and_thinner_text_is_the_same(size: int, weight: float) -> None:
    assert boxes(shifted(size, 0, 0), shifted(size, 0, 0, weight)) == []


@pytest.mark.parametrize(("right", "down"), [(0.5, 0), (0, 0.5), (0.5, 0.5)])
@pytest.mark.parametrize("size", [9, 12, 16])
def test_edges_that_jitter_together_are_not_drawn_anew(size: int, right: float, down: float) -> None:
    one, two = (np.ascontiguousarray(each[..., 0]) for each in (shifted(size, 0, 0), shifted(size, right, down)))
    assert not strokes.redrawn(one, two, cv2.absdiff(one, two)).any()
