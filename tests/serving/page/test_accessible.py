"""The page for people who can't see or point: nothing that axe-core calls serious, all of it by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")  # 4.14.1, as on the npm registry
RULES = (
    "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"
)


def findings(page: Page) -> list[tuple[str, Any]]:
    """What is serious or critical, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(f"axe.run({RULES})")
    return [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    ("scheme", "locale", "width"), [("light", "en-US", 1280), ("dark", "en-US", 1280), ("light", "zh-CN", 390)]
)
def test_nothing_serious_is_found(
    browser: Browser, url: str, scheme: Literal["light", "dark"], locale: str, width: int
) -> None:
    # Trusted Types would keep axe itself out; what it looks at is the same.
    context = browser.new_context(
        color_scheme=scheme, locale=locale, viewport={"width": width, "height": 900}, bypass_csp=True
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(url)
    expect(page.locator("#compare")).not_to_be_empty()
    assert findings(page) == []
    page.locator("#config summary").click()
    page.locator("#examples button").nth(1).click()
    expect(page.locator(".badge")).to_be_visible()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    context.close()


def test_all_of_it_is_reached_by_keyboard(browser: Browser, url: str) -> None:
    page = browser.new_page(locale="en-US")
    page.set_default_timeout(10_000)
    page.goto(url)
    page.locator("#examples button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".badge")).to_be_visible()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className + document.activeElement.tagName"))
    assert "CANVAS" in reached
    assert any("difference" in each for each in reached)
    page.close()
