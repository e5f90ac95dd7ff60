"""The page of an evaluation: it runs nothing, loads nothing from elsewhere, and what others wrote stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from serve_app.views.evaluation_page import WrongPair, evaluation_html
from serve_app.views.tables import Table
from tests.rigs.browser import Complaints, launched
from tests.worlds.samples import card, encoded

EVIL = '"><script>window.evil = 1</script><img src=x onerror="window.evil = 1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


def test_it_opens_from_a_disk_with_plots_tables_and_thumbnails(browser: Browser, tmp_path: Path) -> None:
    for name in ("r.png", "c c.png"):
        (tmp_path / name).write_bytes(encoded(card()))
    wrong = WrongPair(EVIL, EVIL, "match", "mismatch", 0.5, EVIL, str(tmp_path / "r.png"), str(tmp_path / "c c.png"))
    table = Table(EVIL, ("kind", "right"), ((EVIL, "0.9"),), (EVIL,))
    page_text = evaluation_html(EVIL, EVIL, [table], {"roc": encoded(card())}, [wrong], tmp_path)
    (tmp_path / "out.html").write_text(page_text, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints = Complaints(page)
    page.goto((tmp_path / "out.html").as_uri(), wait_until="load")
    expect(page.locator("h1")).to_have_text(EVIL)
    expect(page.locator(".files img")).to_have_count(2)
    page.locator(".files img").last.scroll_into_view_if_needed()
    expect(page.locator(".files img").last).to_have_js_property("naturalWidth", 200)
    expect(page.locator(".plots img")).to_have_js_property("naturalWidth", 200)
    assert page.evaluate("window.evil") is None
    assert all(url.startswith(("file:", "data:")) for url in complaints.requested)
    assert complaints.told == []
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in page_text
    page.close()
