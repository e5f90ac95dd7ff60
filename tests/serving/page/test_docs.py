"""`/docs` and `/redoc` in a browser: they show the API, ask nobody else, and an example can be sent."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.rigs.browser import Complaints


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_api_is_shown_and_no_other_host_is_asked(browser: Browser, url: str, path: str) -> None:
    page = browser.new_page()
    complaints = Complaints(page)
    page.goto(url + path)
    expect(page.get_by_text("Compare two images").first).to_be_visible()
    # The small logo of Redoc's makers, which the policy keeps away.
    blocked = [each for each in complaints.told if "cdn.redoc.ly/redoc/logo-mini.svg" not in each]
    assert blocked == []
    page.close()


def test_the_example_is_sent_from_the_page(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.set_default_timeout(8000)
    page.goto(f"{url}/docs")
    page.get_by_text("Compare two images", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table").get_by_text('"mismatch"').first).to_be_visible()
    page.close()
