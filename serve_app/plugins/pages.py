"""A page or a locator of Playwright as a picture, once it stands still; and where things to be ignored are on it.
Imports no Playwright: the test did. Each way is a generator that yields what is to be called of Playwright, so that its
synchronous and its asynchronous interface are asked by one text.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

from serve_app.schema import BoxField

# Between two shots; the last goes on. As Playwright's own `toHaveScreenshot` waits: two shots at once are the same of
# every page that moves in steps.
_PAUSES_MS: Final = (100, 250, 500, 1000)
# After which a page that has never been the same twice is given up.
PATIENCE_S: Final = 5.0
_SHOT: Final[dict[str, Any]] = {"animations": "disabled", "caret": "hide", "scale": "css", "type": "png"}

Call = Callable[[], Any]
Asked = Generator[Call, Any, "Shot"]


@dataclass(frozen=True, slots=True)
class Shot:
    """`ignored`: boxes of it, in its pixels. `browser`: the name of the one that drew it."""

    content: bytes
    ignored: tuple[BoxField, ...]
    browser: str


class NeverStill(Exception):
    """A page went on changing: the last two shots of it, PNG."""

    def __init__(self, before: bytes, after: bytes) -> None:
        super().__init__(f"no two shots in a row were the same within {PATIENCE_S:g} s")
        self.before, self.after = before, after


def is_drawn(actual: object) -> bool:
    """Whether it is a page or a locator of Playwright, of either interface."""
    return any(
        kind.__module__.startswith("playwright.") and kind.__name__ in ("Page", "Locator")
        for kind in type(actual).__mro__
    )


def is_awaited(actual: object) -> bool:
    """Whether it is of the asynchronous interface."""
    return inspect.iscoroutinefunction(getattr(actual, "screenshot", None))


def shot(actual: Any, ignore: Sequence[Any], *, full_page: bool) -> Asked:
    """`ignore`: boxes, locators, or selectors; elements that aren't there are left out.

    Animations are ended and the caret is hidden. Raises `NeverStill`, what Playwright raises, and TypeError for what
    can't be ignored.
    """
    is_page = not hasattr(actual, "bounding_box")
    page = actual if is_page else actual.page
    content = yield from _still(actual, page, {**_SHOT, "full_page": True} if is_page and full_page else _SHOT)
    left, top = yield from _origin(actual, page, is_page=is_page, full_page=full_page)
    boxes: list[BoxField] = []
    for each in ignore:
        boxes += yield from _boxes(page, each, left, top)
    return Shot(content, tuple(boxes), page.context.browser.browser_type.name)


def pumped(asked: Asked) -> Shot:
    """By the synchronous interface."""
    call = next(asked)
    while True:
        try:
            call = asked.send(call())
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


async def awaited(asked: Asked) -> Shot:
    """By the asynchronous interface."""
    call = next(asked)
    while True:
        result = call()
        try:
            call = asked.send(await result if inspect.isawaitable(result) else result)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def _still(actual: Any, page: Any, options: dict[str, Any]) -> Generator[Call, Any, bytes]:
    """The first shot that is the same as the one before."""
    until = time.monotonic() + PATIENCE_S
    before: bytes = yield partial(actual.screenshot, **options)
    for pause in chain(_PAUSES_MS, repeat(_PAUSES_MS[-1])):
        yield partial(page.wait_for_timeout, pause)
        after: bytes = yield partial(actual.screenshot, **options)
        if after == before:
            break
        if time.monotonic() > until:
            raise NeverStill(before, after)
        before = after
    return before


def _origin(actual: Any, page: Any, *, is_page: bool, full_page: bool) -> Generator[Call, Any, tuple[float, float]]:
    """Where the picture's upper left corner is, in the coordinates of Playwright's boxes: those of the window."""
    if not is_page:
        box = yield actual.bounding_box
        return math.floor(box["x"]), math.floor(box["y"])
    if not full_page:
        return 0.0, 0.0
    x, y = yield partial(page.evaluate, "[scrollX, scrollY]")
    return -x, -y


def _boxes(page: Any, ignored: Any, left: float, top: float) -> Generator[Call, Any, list[BoxField]]:
    if not isinstance(ignored, str) and not hasattr(ignored, "bounding_box"):
        return [box_of(ignored)]
    elements = page.locator(ignored) if isinstance(ignored, str) else ignored
    boxes: list[BoxField] = []
    for element in (yield elements.all):
        box = yield element.bounding_box
        if box is not None and (whole := _whole(box, left, top)) is not None:
            boxes.append(whole)
    return boxes


def _whole(box: dict[str, float], left: float, top: float) -> BoxField | None:
    """The pixels that an element touches; None where all are left of or above the picture."""
    x, y = max(math.floor(box["x"] - left), 0), max(math.floor(box["y"] - top), 0)
    right, lower = math.ceil(box["x"] - left + box["width"]), math.ceil(box["y"] - top + box["height"])
    return (x, y, right - x, lower - y) if right > x and lower > y else None


def box_of(ignored: Any) -> BoxField:
    """Raises TypeError for what is no box."""
    try:
        x, y, width, height = (int(each) for each in ignored)
    except (TypeError, ValueError) as exc:
        raise TypeError(
            f"ignore takes boxes (x, y, width, height) and, for a page, locators or selectors, not {ignored!r}."
        ) from exc
    return x, y, width, height
