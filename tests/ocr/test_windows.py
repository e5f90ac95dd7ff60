"""Where text is looked for."""

from __future__ import annotations

import itertools

import pytest

from serve_app.core.pictures import Box
from serve_app.ocr import windows
from serve_app.ocr.detection import MOST_PIXELS
from serve_app.ocr.quads import quad_of
from serve_app.ocr.windows import Window

SIZE = (1000, 800)


def test_a_window_reaches_along_the_line_more_than_across_it() -> None:
    (window,) = windows.around([Box(500, 400, 10, 30)], SIZE)
    assert window.box == (500 - 240, 400 - 24, 10 + 480, 30 + 48)
    assert window.scale == 1


def test_small_differences_are_looked_at_enlarged() -> None:
    assert windows.around([Box(500, 400, 6, 9)], SIZE)[0].scale == 2
    assert windows.around([Box(500, 400, 6, 9), Box(520, 400, 6, 40)], SIZE)[0].scale == 2


def test_a_window_stays_in_the_picture() -> None:
    (window,) = windows.around([Box(0, 790, 1000, 10)], SIZE)
    assert (window.box.x, window.box.right, window.box.bottom) == (0, 1000, 800)


def test_windows_that_overlap_are_one_also_through_a_third() -> None:
    found = windows.around([Box(20, 20, 10, 20), Box(900, 20, 10, 20), Box(20, 600, 10, 20)], SIZE)
    assert len(found) == 3
    joined = windows.around([Box(20, 20, 10, 20), Box(900, 20, 10, 20), Box(180, 20, 570, 20)], SIZE)
    assert len(joined) == 1


@pytest.mark.parametrize("box", [Box(0, 0, 1000, 800), Box(0, 0, 4000, 3000), Box(5, 7, 200, 9000), Box(0, 0, 90, 40)])
@pytest.mark.parametrize("scale", [1, 2])
def test_strips_hold_all_of_a_window_and_overlap(box: Box, scale: int) -> None:
    strips = windows.strips(Window(box, scale))
    assert all(strip.width * strip.height * scale**2 <= MOST_PIXELS for strip in strips)
    assert all(box.overlap(strip) == strip.area for strip in strips)
    covered = {(x, y) for x in range(box.x, box.right, 13) for y in range(box.y, box.bottom, 13)}
    for strip in strips:
        covered -= {(x, y) for x, y in covered if strip.x <= x < strip.right and strip.y <= y < strip.bottom}
    assert not covered
    for one, two in itertools.pairwise(sorted(strips, key=lambda each: (each.x, each.y))):
        assert one.x != two.x or one.bottom - two.y >= min(windows.OVERLAP, one.height)


def test_a_window_grows_where_a_line_that_differs_runs_out_of_it() -> None:
    box, spot = Box(300, 300, 200, 60), Box(400, 320, 10, 20)
    assert windows.grown(box, [quad_of(Box(320, 320, 100, 20))], [spot], SIZE) is None
    assert windows.grown(box, [quad_of(Box(320, 320, 180, 20))], [spot], SIZE) == (300, 300, 300, 60)
    assert windows.grown(box, [quad_of(Box(300, 301, 120, 59))], [spot], SIZE) == (200, 270, 300, 120)
    assert windows.grown(box, [quad_of(Box(300, 340, 200, 20))], [spot], SIZE) is None  # another line's matter
    assert windows.grown(Box(0, 0, *SIZE), [quad_of(Box(0, 320, 1000, 20))], [spot], SIZE) is None
