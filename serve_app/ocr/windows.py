"""Where text is looked for: around what differs, wide enough for the line that it is a part of.
Knows boxes only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from serve_app.core.pictures import Box
from serve_app.ocr.detection import MOST_PIXELS
from serve_app.ocr.quads import Quad, bounds

SMALL: Final = 14  # pixels high: such a difference may be in letters that are found when enlarged
ENLARGED: Final = 2
OVERLAP: Final = 64  # rows that two strips share: a line is whole in one of them
EDGE: Final = 2  # pixels: a line that comes so near may go on outside
LOWEST: Final = 32  # rows of a strip


class Window(NamedTuple):
    box: Box
    scale: int


def around(spots: Sequence[Box], size: tuple[int, int]) -> list[Window]:
    """Windows on a grid of `size` that hold all spots, each with what is beside it; those that overlap as one."""
    windows: list[Window] = []
    for spot in sorted(spots):
        window = _window(spot, size)
        for other in [each for each in windows if each.box.overlap(window.box)]:
            windows.remove(other)
            window = Window(_union(window.box, other.box), max(window.scale, other.scale))
        windows.append(window)
    return [_affordable(window) for window in _settled(windows)]


def _affordable(window: Window) -> Window:
    """Enlarged only where one call takes it: on a whole page, specks would make it four times as dear."""
    return window if window.box.area * window.scale**2 <= MOST_PIXELS else window._replace(scale=1)


def _window(spot: Box, size: tuple[int, int]) -> Window:
    down = round(min(64, max(14, 0.8 * spot.height)))
    across = round(min(320, max(160, 8 * spot.height)))
    wide = Box(spot.x - across, spot.y - down, spot.width + 2 * across, spot.height + 2 * down)
    return Window(_inside(wide, size), scale_for(spot))


def scale_for(spot: Box) -> int:
    """How many times as large it is looked at."""
    return ENLARGED if spot.height < SMALL else 1


def _settled(windows: list[Window]) -> list[Window]:
    """What became one may overlap a third."""
    for i, one in enumerate(windows):
        for other in windows[i + 1 :]:
            if one.box.overlap(other.box):
                rest = [each for each in windows if each not in (one, other)]
                return _settled([*rest, Window(_union(one.box, other.box), max(one.scale, other.scale))])
    return windows


def strips(window: Window) -> list[Box]:
    """The window in parts that the detection takes at once, the whole width each where that leaves enough rows."""
    box, most = window.box, MOST_PIXELS // window.scale**2
    width = min(box.width, max(1, most // (4 * LOWEST)))
    columns = _starts(box.x, box.width, width)
    height = max(LOWEST, most // width)
    rows = _starts(box.y, box.height, height)
    return [Box(x, y, min(width, box.right - x), min(height, box.bottom - y)) for y in rows for x in columns]


def _starts(start: int, length: int, most: int) -> list[int]:
    if length <= most:
        return [start]
    step = max(1, most - OVERLAP)
    return list(range(start, start + length - OVERLAP, step))


def grown(box: Box, lines: Sequence[Quad], spots: Sequence[Box], size: tuple[int, int]) -> Box | None:
    """The window doubled on each side where a line over a spot runs out of it; None where none does."""
    left = right = up = down = 0
    for line in map(bounds, lines):
        if not any(line.overlap(spot) for spot in spots):
            continue
        left = max(left, box.width // 2 if line.x <= box.x + EDGE else 0)
        right = max(right, box.width // 2 if line.right >= box.right - EDGE else 0)
        up = max(up, box.height // 2 if line.y <= box.y + EDGE else 0)
        down = max(down, box.height // 2 if line.bottom >= box.bottom - EDGE else 0)
    wider = Box(box.x - left, box.y - up, box.width + left + right, box.height + up + down)
    wider = _inside(wider, size)
    return None if wider == box else wider


def _inside(box: Box, size: tuple[int, int]) -> Box:
    left, top = max(0, box.x), max(0, box.y)
    return Box(left, top, min(size[0], box.right) - left, min(size[1], box.bottom) - top)


def _union(one: Box, two: Box) -> Box:
    left, top = min(one.x, two.x), min(one.y, two.y)
    return Box(left, top, max(one.right, two.right) - left, max(one.bottom, two.bottom) - top)
