"""A report that is looked at: the file, the frame in a notebook, and what is drawn where pictures are gone."""

from __future__ import annotations

import asyncio
import base64
import io
import pickle
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

import pairlens
from pairlens import ComparisonReport, Report
from serve_app.client.report import MOST_SHOWN_BYTES
from tests.rigs.browser import Complaints, launched
from tests.worlds.samples import card, encoded


@pytest.fixture(scope="module")
def report() -> Report:
    return pairlens.compare(card(), card("red"))


def pictures(page: str) -> list[str]:
    """Kinds of the pictures in a page."""
    return re.findall(r'<img src="data:image/\w+;base64,[^"]+" alt="(\w+)"', page)


def test_it_is_a_report_like_any_other(report: Report) -> None:
    plain = ComparisonReport.model_validate_json(report.model_dump_json())
    assert report == plain
    assert plain == report
    assert hash(report) == hash(plain)
    assert report != plain.model_copy(update={"summary": "Another."})
    assert report != "a report"
    assert report.model_dump() == plain.model_dump()
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert pictures(again._repr_html_()) == pictures(report._repr_html_())


def test_the_file_has_both_pictures_and_says_where_it_lies(report: Report, tmp_path: Path) -> None:
    written = report.save_html(tmp_path / "report.html", title="Two <cards>")
    page = written.read_text(encoding="utf-8")
    assert written == tmp_path / "report.html"
    assert pictures(page) == ["reference", "candidate"]
    assert "<title>Two &lt;cards&gt;</title>" in page
    with pytest.raises(FileNotFoundError):
        report.save_html(tmp_path / "no" / "folder.html")


def test_a_notebook_whose_event_loop_runs_compares_as_any_program(report: Report) -> None:
    async def cell() -> Report:
        return pairlens.compare(card(), card("red"))

    assert asyncio.run(cell()).report_id == report.report_id


def test_a_picture_that_is_gone_or_has_changed_is_left_out(tmp_path: Path) -> None:
    paths = (tmp_path / "a.png", tmp_path / "b.png")
    for path in paths:
        path.write_bytes(encoded(card()))
    report = pairlens.compare(*paths)
    assert pictures(report.save_html(tmp_path / "r.html").read_text()) == ["reference", "candidate"]
    paths[0].unlink()
    paths[1].write_bytes(encoded(card("red")))
    assert pictures(report.save_html(tmp_path / "r.html").read_text()) == []
    found = report.save_html(tmp_path / "r.html", reference=encoded(card()), candidate=card("red")).read_text()
    assert pictures(found) == ["reference"]  # the other one is not what was compared


def test_a_report_whose_pictures_are_not_known_is_shown_without(report: Report, tmp_path: Path) -> None:
    bare = Report.of(report, None)
    assert pictures(bare.save_html(tmp_path / "r.html").read_text()) == []
    assert bare._repr_html_().startswith("<iframe ")
    given = bare.save_html(tmp_path / "r.html", reference=card(), candidate=card("red"))
    assert len(pictures(given.read_text())) in (0, 2)  # Pillow may write the same pixels as other bytes


def test_it_speaks_the_language_that_was_asked_for(tmp_path: Path) -> None:
    report = pairlens.compare(card(), card("red"), {"language": "zh"})
    assert '<html lang="zh">' in report.save_html(tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_frame_of_a_notebook_is_bounded_whatever_the_pictures() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1500, 1600, 3)).astype(np.uint8)
    shown = pairlens.compare(noise, noise[::-1], {"read_text": False})._repr_html_()
    assert pictures(unescape(shown)) == ["reference", "candidate"]
    assert len(shown) < 4 * MOST_SHOWN_BYTES * 4 / 3 + 150_000


class Sanitised(HTMLParser):
    """What is left where a notebook is not trusted: text, no frames and no scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_without_its_frame_a_sentence_is_left(report: Report) -> None:
    hostile = Report.of(report.model_copy(update={"summary": 'A "<script>alert(1)</script>" & more.'}), None)
    left = Sanitised()
    left.feed(hostile._repr_html_())
    assert left.tags == ["iframe"]
    assert unescape(left.text).startswith(f"{report.verdict.upper()}, similarity {report.similarity:.2f}. A ")
    assert "<script>alert" not in hostile._repr_html_()


@pytest.fixture(scope="module")
def browser() -> object:
    with launched() as opened:
        yield opened


def test_the_frame_draws_itself_in_a_browser_and_reaches_nothing_of_the_notebook(
    browser: Browser, report: Report
) -> None:
    page = browser.new_page()
    complaints = Complaints(page)
    page.set_content(f"<!doctype html><title>notebook</title><body>{report._repr_html_()}</body>")
    frame = page.frame_locator("iframe")
    frame.locator("html[data-drawn]").wait_for(state="attached", timeout=20_000)
    assert frame.locator("html").get_attribute("data-drawn") == report.verdict
    assert frame.locator("pair-viewer").count() == 1
    assert complaints.told == []
    assert [url for url in complaints.requested if not url.startswith(("data:", "blob:", "about:"))] == []
    reached = page.frames[1].evaluate("(() => { try { return parent.document.title } catch { return null } })()")
    assert reached is None


def test_a_frame_of_an_image_is_the_one_that_was_compared(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (200, 150), colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    report = pairlens.compare(tmp_path / "a.gif", tmp_path / "a.gif", {"frame": 1})
    visual = next(iter(report._visuals(None, None)))
    with Image.open(io.BytesIO(base64.b64decode(visual.image.partition(",")[2]))) as drawn:
        assert np.asarray(drawn.convert("L")).max() < 20
