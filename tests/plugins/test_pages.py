"""Real pages in Chromium: they are stilled, and what is to be ignored on them is where it is."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

import serve_app
from serve_app.plugins import pages
from serve_app.plugins.pages import NeverStill, Shot
from tests.rigs.browser import executable, launched

pytest_plugins = ["pytester"]

PLAIN = "<body style='margin:0;background:white'>"
CLOCK = "<div class=clock style='position:absolute;left:{}px;top:{}px;width:80.5px;height:20px;background:red'></div>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 400, "height": 300}, device_scale_factor=2)
    yield page
    page.close()


def shot(actual: Any, ignore: Sequence[Any] = (), *, full_page: bool = False) -> Shot:
    return pages.pumped(pages.shot(actual, ignore, full_page=full_page))


def image(taken: Shot) -> Image.Image:
    return Image.open(io.BytesIO(taken.content)).convert("RGB")


def colours(taken: Shot) -> dict[object, int]:
    return {colour: number for number, colour in image(taken).getcolors() or ()}


def test_pages_and_locators_are_known_by_their_kind_and_nothing_else_is(page: Page) -> None:
    assert pages.is_drawn(page)
    assert pages.is_drawn(page.locator("body"))
    assert not pages.is_awaited(page)
    assert not pages.is_drawn(Path())
    assert not pages.is_drawn(b"")


def test_a_page_is_a_pixel_a_css_pixel_on_every_screen(page: Page) -> None:
    page.set_content(PLAIN)

    taken = shot(page)

    assert image(taken).size == (400, 300)
    assert taken.browser == "chromium"


def test_animations_are_ended_and_the_caret_is_hidden(page: Page) -> None:
    page.set_content(
        f"{PLAIN}<style>@keyframes a {{ to {{ background: lime }} }}"
        "#a {{ width: 50px; height: 50px; background: red; animation: a 9s infinite alternate }}"
        "#b {{ width: 50px; height: 50px; background: blue; transition: background 99s }}</style>"
        "<div id=a></div><div id=b></div><input id=c style='margin:30px'>".replace("{{", "{").replace("}}", "}")
    )
    page.locator("#c").focus()
    page.locator("#b").evaluate("each => each.style.background = 'lime'")

    first, second = shot(page), shot(page)

    assert first.content == second.content
    assert colours(first)[(0, 255, 0)] == 2500  # the transition has come to its end
    assert colours(first)[(255, 0, 0)] == 2500  # what never ends is at its beginning


def test_a_page_is_waited_for_until_it_stands_still(page: Page) -> None:
    page.set_content(
        f"{PLAIN}<div id=a style='width:10px;height:50px;background:red'></div>"
        "<script>let n = 0; const t = setInterval(() => {"
        "  a.style.width = `${10 + 10 * ++n}px`; if (n === 20) clearInterval(t); }, 25)</script>"
    )

    assert colours(shot(page))[(255, 0, 0)] == 210 * 50


def test_no_two_shots_are_taken_at_once() -> None:
    """They would be the same however the page moves: its next step comes some ms later."""
    asked: list[str] = []
    shots = iter((b"one", b"two", b"two"))

    class Recorded:
        def screenshot(self) -> bytes:
            asked.append("shot")
            return next(shots)

        def wait_for_timeout(self, pause_ms: int) -> None:
            asked.append(f"{pause_ms} ms")

    def taken() -> bytes:
        steps = pages._still(Recorded(), Recorded(), {})
        call = next(steps)
        while True:
            try:
                call = steps.send(call())
            except StopIteration as ended:
                return bytes(ended.value)

    assert taken() == b"two"
    assert asked == ["shot", "100 ms", "shot", "250 ms", "shot"]


def test_a_page_that_never_stands_still_is_given_up_with_its_last_two_shots(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PATIENCE_S", 0.0)
    page.set_content(
        f"{PLAIN}<canvas id=a></canvas><script>const p = a.getContext('2d'); let n = 0;"
        "setInterval(() => { p.fillStyle = `rgb(${n++ % 256} ${n % 7} 0)`; p.fillRect(0, 0, 99, 99); }, 1)</script>"
    )

    with pytest.raises(NeverStill, match="no two shots in a row were the same") as told:
        shot(page)

    assert told.value.before != told.value.after


@pytest.mark.parametrize("scrolled", [0, 130])
def test_what_is_ignored_is_where_it_is_in_the_picture(page: Page, scrolled: int) -> None:
    """The window shows the red box at another height once it is scrolled; the whole page doesn't."""
    page.set_content(f"{PLAIN}<div style='height:900px'></div>{CLOCK.format(30, 200)}{CLOCK.format(50, 700)}")
    page.evaluate(f"scrollTo(0, {scrolled})")

    seen = shot(page, [".clock"])
    whole = shot(page, [page.locator(".clock"), (1, 2, 3, 4)], full_page=True)

    assert seen.ignored == ((30, 200 - scrolled, 81, 20), (50, 700 - scrolled, 81, 20))
    assert image(seen).getpixel((31, 201 - scrolled)) == (255, 0, 0)
    assert whole.ignored == ((30, 200, 81, 20), (50, 700, 81, 20), (1, 2, 3, 4))
    assert image(whole).size == (400, 900)
    assert image(whole).getpixel((51, 719)) == (255, 0, 0)


def test_of_an_element_it_is_told_from_its_own_corner(page: Page) -> None:
    page.set_content(
        f"{PLAIN}<div style='height:800px'></div><div id=card style='position:absolute;left:20.5px;top:500px;"
        f"width:200px;height:100px;background:lime'>{CLOCK.format(30, 40)}</div>"
    )

    taken = shot(page.locator("#card"), [".clock"])

    (box,) = taken.ignored
    assert box[1:] == (40, 81, 20) or box[1:] == (40, 82, 20)
    assert image(taken).getpixel((box[0] + 2, 42)) == (255, 0, 0)
    assert image(taken).size[1] == 100


def test_what_is_not_there_or_not_shown_is_not_ignored(page: Page) -> None:
    hidden = CLOCK.format(30, 40).replace("<div", "<div hidden")
    page.set_content(f"{PLAIN}{hidden}{CLOCK.format(-200, 40)}{CLOCK.format(-40, 40)}")

    assert shot(page, [".clock", "#nowhere"]).ignored == ((0, 40, 41, 20),)


TESTS = """
import pytest
from playwright.sync_api import sync_playwright
from pairlens import assert_images_match

HTML = "<body style='font:20px serif'><h1>Tea</h1><p id=price>{price}</p><p class=clock>{clock}</p>"

@pytest.fixture(scope="module")
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path={chromium!r}, args=["--no-sandbox"])
        yield browser.new_page(viewport={{"width": 500, "height": 300}})
        browser.close()

def test_shop(page):
    page.set_content(HTML.format(price="{price}", clock="{clock}"))
    assert_images_match(page, ignore=[".clock"])
    assert_images_match(page.locator("h1"), "title")
"""
ASYNC = """
import asyncio
from playwright.async_api import async_playwright
from pairlens import assert_images_match, assert_images_match_async

def test_shop():
    async def shop():
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path={chromium!r}, args=["--no-sandbox"])
            page = await browser.new_page(viewport={{"width": 500, "height": 300}})
            await page.set_content("<p style='font:20px serif'>{price}</p><p class=clock>{clock}</p>")
            try:
                assert_images_match(page)
            except Exception as exc:
                assert "assert_images_match_async" in str(exc)
            else:
                raise AssertionError("a page that nobody awaited has passed")
            await assert_images_match_async(page, ignore=[".clock"])
            await browser.close()
    asyncio.run(shop())
"""


@pytest.mark.parametrize("source", [TESTS, ASYNC])
def test_a_page_is_held_against_its_baseline_by_both_interfaces(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    if (chromium := executable()) is None:
        pytest.skip("no Chromium here: apt install chromium")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(serve_app.__file__).parent.parent))

    def run(price: str, clock: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_look=source.format(price=price, clock=clock, chromium=chromium))
        return pytester.runpytest_subprocess("-p", "serve_app.plugins.pytest_plugin", *options)

    run("4.90", "10:59", "--pairlens-update=missing").assert_outcomes(passed=1)
    run("4.90", "11:00").assert_outcomes(passed=1)  # the clock is ignored
    changed = run("4.98", "11:00")
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(
        ["*test_shop is not baselines/test_look/test_shop-chromium-*.png: mismatch*", "*  1. *"]
    )
