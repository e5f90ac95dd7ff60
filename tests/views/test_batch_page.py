"""The index of a batch in a browser: filtered, thumbnails loaded when they are seen, 10,000 rows usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from serve_app.schema import ComparisonReport, ErrorReport, PairReport
from serve_app.views.batch_table import batch_html
from serve_app.views.html_report import html_report
from tests.rigs.browser import Complaints, launched
from tests.serving.page import told
from tests.serving.page.payloads import PAYLOADS
from tests.worlds.samples import card, encoded

PAIRS = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


def opened(browser: Browser, folder: Path, rows: list[PairReport]) -> tuple[Page, Complaints]:
    (folder / "index.html").write_text(batch_html(rows, folder), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(20_000)
    complaints = Complaints(page)
    page.goto((folder / "index.html").as_uri(), wait_until="load")
    return page, complaints


def test_ten_thousand_rows_can_be_used(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "r.png").write_bytes(encoded(card()))
    (tmp_path / "c.png").write_bytes(encoded(card("red")))
    report = ComparisonReport.model_validate(told.report())
    error = ErrorReport(type="image_unreadable", detail="The candidate can't be read.")
    files = {"reference": str(tmp_path / "r.png"), "candidate": str(tmp_path / "c.png")}
    rows = [PairReport(name=f"page {number}", outcome="match", report=report, **files) for number in range(PAIRS - 3)]
    (tmp_path / "last.png").write_bytes(encoded(card("green")))
    rows += [PairReport(name="~", outcome="match", report=report, reference=None, candidate=str(tmp_path / "last.png"))]
    rows += [PairReport(name="broken", outcome="failed", error=error, **files)]
    rows += [PairReport(name="other", outcome="mismatch", report=report, **files)]
    page, complaints = opened(browser, tmp_path, rows)
    expect(page.locator("tbody tr").nth(0)).to_contain_text("broken")
    expect(page.locator("tbody tr").nth(1)).to_contain_text("other")
    expect(page.locator("tbody img").first).to_have_js_property("complete", True)
    assert page.evaluate("document.querySelector('tbody img').naturalWidth") == 200
    last = (tmp_path / "last.png").as_uri()
    assert last not in complaints.requested
    page.locator("tbody tr").last.scroll_into_view_if_needed()
    expect(page.locator("tbody tr").last.locator("img")).to_have_js_property("naturalWidth", 200)
    assert last in complaints.requested
    page.uncheck("input[value=match]")
    expect(page.locator("#count")).to_have_text(f"2 of {PAIRS}")
    page.check("input[value=match]")
    page.fill("#words", "PAGE 42")
    expect(page.locator("#count")).to_have_text(f"111 of {PAIRS}")
    assert complaints.told == []
    page.close()


def test_names_of_strangers_do_not_run(browser: Browser, tmp_path: Path) -> None:
    hostile = ComparisonReport.model_validate(told.report(*PAYLOADS))
    rows = []
    for each in PAYLOADS:
        path = f"/x/{each}.png"
        rows.append(PairReport(name=each, outcome="mismatch", report=hostile, reference=path, candidate=path))
    page, complaints = opened(browser, tmp_path, rows)
    page.on("dialog", lambda dialog: complaints.told.append(dialog.message))
    names = page.locator("tbody tr td:first-child").evaluate_all("(cells) => cells.map((each) => each.textContent)")
    assert sorted(names) == sorted(PAYLOADS)
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert [each for each in complaints.told if "ERR_FILE_NOT_FOUND" not in each] == []  # these pictures aren't there
    page.close()


def test_the_name_of_a_pair_opens_its_report(browser: Browser, tmp_path: Path) -> None:
    report = ComparisonReport.model_validate(told.report())
    own = tmp_path / "reports" / "1.html"
    own.parent.mkdir()
    own.write_text(html_report(report, "en", title="a pair"), encoding="utf-8")
    row = PairReport(
        name="a pair", outcome="mismatch", report=report, reference=None, candidate=str(tmp_path / "c.png")
    )
    index = batch_html([row], tmp_path, {"a pair": own}.get, note=" Some are left out.")
    (tmp_path / "index.html").write_text(index, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    expect(page.locator("p").first).to_have_text("1 mismatch. Some are left out.")
    page.click("text=a pair")
    expect(page).to_have_title("a pair")
    page.close()
