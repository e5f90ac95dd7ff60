"""How pictures come into the page without a chooser of files: dropped on a side, dropped anywhere, pasted."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.worlds.samples import card, encoded

# What a browser hands over when a person drops or pastes files: names and what is in them, and where.
GIVE = """
([kind, where, files]) => {
    const given = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
        given.items.add(new File([bytes], name, { type: "image/png" }));
    }
    const more = kind === "paste" ? { clipboardData: given } : { dataTransfer: given };
    const kindOf = kind === "paste" ? ClipboardEvent : DragEvent;
    const event = new kindOf(kind, { bubbles: true, cancelable: true, ...more });
    document.querySelector(where).dispatchEvent(event);
    return event.defaultPrevented;
}
"""
SIDE = ".drop[data-side={}]"


@pytest.fixture
def page(browser: Browser, url: str) -> Page:
    opened = browser.new_page(locale="en-US")
    opened.set_default_timeout(10_000)
    opened.goto(url)
    expect(opened.locator("#compare")).to_have_text("Compare")
    return opened


def give(page: Page, kind: str, where: str, *names: str) -> bool:
    """Whether the browser is kept from opening the files itself."""
    content = base64.b64encode(encoded(card("red"))).decode()
    kept: bool = page.evaluate(GIVE, [kind, where, [[name, content] for name in names]])
    return kept


def told(page: Page, side: str) -> str:
    return page.locator(f"{SIDE.format(side)} .drop-told").inner_text()


def test_a_picture_dropped_on_a_side_is_of_that_side(page: Page) -> None:
    assert give(page, "drop", SIDE.format("candidate"), "b.png")
    expect(page.locator(f"{SIDE.format('candidate')} .drop-told")).to_contain_text("b.png")
    assert "Drop, paste or choose" in told(page, "reference")
    page.close()


def test_two_dropped_anywhere_are_a_pair_and_are_compared(page: Page) -> None:
    assert give(page, "drop", "main", "first.png", "second.png")
    expect(page.locator(f"{SIDE.format('reference')} .drop-told")).to_contain_text("first.png")
    expect(page.locator(f"{SIDE.format('candidate')} .drop-told")).to_contain_text("second.png")
    page.click("#compare")
    expect(page.locator(".badge")).to_have_text("match")
    page.close()


def test_a_pasted_picture_is_the_reference_and_the_next_one_the_candidate(page: Page) -> None:
    give(page, "paste", "main", "shot.png")
    expect(page.locator(f"{SIDE.format('reference')} .drop-told")).to_contain_text("shot.png")
    give(page, "paste", "main", "again.png")
    expect(page.locator(f"{SIDE.format('candidate')} .drop-told")).to_contain_text("again.png")
    assert "shot.png" in told(page, "reference")
    page.close()


def test_text_that_is_pasted_chooses_nothing(page: Page) -> None:
    give(page, "paste", "main")
    assert "Drop, paste or choose" in told(page, "reference")
    page.close()
