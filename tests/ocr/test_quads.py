"""Lines as four corners."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.core.pictures import Box
from serve_app.ocr import quads


def turned(width: float, height: float, degrees: float) -> quads.Quad:
    return quads.from_rectangle(((200, 200), (width, height), degrees))


@pytest.mark.parametrize("degrees", [0, 2, 7, -7, 30, -30])
def test_a_rectangle_begins_at_its_upper_left_whichever_way_it_leans(degrees: float) -> None:
    for quad in (turned(120, 20, degrees), turned(20, 120, degrees + 90 if degrees <= 0 else degrees - 90)):
        assert quads.lean(quad) == pytest.approx(degrees, abs=0.1)
        assert quads.size(quad) == pytest.approx((120, 20), abs=0.1)
        assert not quads.is_vertical(quad)
        assert quad[0][0] < quad[1][0]
        assert quad[0][1] < quad[3][1]


def test_a_line_that_is_read_downwards_is_laid_on_its_side() -> None:
    pixels = np.zeros((100, 60, 3), np.uint8)
    pixels[10:20, 20:40] = 255  # above
    quad = quads.quad_of(Box(20, 10, 20, 80))
    assert quads.is_vertical(quad)
    strip = quads.cut(pixels, quad)
    assert strip.shape == (20, 80, 3)
    assert strip[:, :10].min() == 255  # what is above comes first, as the network was taught
    assert strip[:, 10:].max() == 0


def test_what_is_cut_out_of_a_leaning_line_is_upright() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    quad = turned(200, 30, 10)
    middle = quads.part(quad, 0.4, 0.6)
    import cv2

    cv2.fillConvexPoly(pixels, np.round(middle).astype(np.int32), (255, 255, 255))
    strip = quads.cut(pixels, quad)
    assert strip.shape == (30, 200, 3)
    assert strip[15, 85:115].min() > 200
    assert strip[:, :70].max() < 50
    assert strip[:, 130:].max() < 50


def test_beyond_the_picture_its_edge_goes_on() -> None:
    pixels = np.full((20, 20, 3), 7, np.uint8)
    assert (quads.cut(pixels, quads.quad_of(Box(-5, -5, 40, 20))) == 7).all()


def test_parts_of_a_line_follow_its_lean() -> None:
    quad = turned(100, 20, 20)
    end = quads.part(quad, 0.5, 1.0)
    assert quads.size(end) == pytest.approx((50, 20), abs=0.1)
    assert np.allclose(end[1], quad[1], atol=1e-3)
    assert np.allclose(end[0], (quad[0] + quad[1]) / 2, atol=1e-3)
    down = quads.part(quads.quad_of(Box(0, 0, 10, 100)), 0.5, 1.0)
    assert quads.bounds(down) == (0, 50, 10, 50)


def test_a_line_is_made_longer_at_both_ends() -> None:
    assert quads.bounds(quads.longer(quads.quad_of(Box(50, 50, 100, 20)), 20)) == (30, 50, 140, 20)
    assert quads.bounds(quads.longer(quads.quad_of(Box(50, 50, 20, 100)), 20)) == (50, 30, 20, 140)


def test_pieces_of_one_row_are_one_line() -> None:
    pieces = [Box(100, 10, 60, 20), Box(10, 11, 85, 20), Box(300, 10, 50, 20), Box(10, 40, 80, 20)]
    lines = quads.joined([quads.quad_of(box) for box in pieces])
    assert sorted(quads.bounds(line) for line in lines) == [(10, 10, 150, 21), (10, 40, 80, 20), (300, 10, 50, 20)]


@pytest.mark.parametrize("other", [Box(70, 10, 60, 44), Box(70, 24, 60, 20)])
def test_other_heights_and_rows_are_other_lines(other: Box) -> None:
    assert len(quads.joined([quads.quad_of(Box(10, 10, 60, 20)), quads.quad_of(other)])) == 2


def test_the_union_keeps_the_first_ones_lean() -> None:
    quad = turned(100, 20, 15)
    whole = quads.union([quads.part(quad, 0, 0.6), quads.part(quad, 0.4, 1)])
    assert quads.size(whole) == pytest.approx((100, 20), abs=0.5)
    assert quads.lean(whole) == pytest.approx(15, abs=0.2)
