"""The report as one file: small, whole without a network, and nothing in it runs but the viewer."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

import pairlens
from serve_app.cli.main import app
from serve_app.schema import ComparisonReport, VisualReport
from serve_app.views.html_report import html_report, wanted
from tests.rigs.browser import Complaints, launched
from tests.serving.page import told
from tests.serving.page.payloads import PAYLOADS
from tests.worlds.samples import card, config, encoded, noise, photograph

VIEWER = "document.querySelector('pair-viewer')"


T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """In a thread of its own: the browser's has a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def compared(first: bytes, second: bytes, **fields: Any) -> ComparisonReport:
    return apart(lambda: pairlens.compare(first, second, wanted(config(**fields))))


@pytest.fixture(scope="module")
def report() -> ComparisonReport:
    return compared(encoded(card()), encoded(card("red")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


def parts(page: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)


def opened(browser: Browser, folder: Path, page: str, **options: Any) -> tuple[Page, Complaints]:
    """The file, opened from the disk without a network, once it is drawn."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, **options)
    shown = context.new_page()
    shown.set_default_timeout(15_000)
    complaints = Complaints(shown)
    shown.goto(path.as_uri())
    shown.wait_for_selector("html[data-drawn]")
    return shown, complaints


def test_its_policy_names_what_runs_by_hash_and_nothing_else(report: ComparisonReport) -> None:
    page = html_report(report, "en")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    for tag, kind in (("script", "script-src"), ("style", "style-src")):
        (inline,) = parts(page, tag)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind} &#39;sha256-{digest}&#39;;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]
    assert "require-trusted-types-for" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in page.replace("http-equiv", "")


def test_it_says_the_same_as_the_report(report: ComparisonReport) -> None:
    page = html_report(report, "en")
    data = re.search(r'<script type="application/json" id="told">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    found = json.loads(data[1])
    assert ComparisonReport.model_validate(found) == report.model_copy(update={"visuals": ()})
    drawn = re.findall(r'<img src="(data:image/[^"]+)" alt="(\w+)"', page)
    assert [name for _, name in drawn] == ["reference", "candidate", "heat"]
    assert [page.count(url) for url, _ in drawn] == [1, 1, 1]


def test_it_opens_offline_and_shows_pictures_and_boxes(
    browser: Browser, report: ComparisonReport, tmp_path: Path
) -> None:
    page, complaints = opened(browser, tmp_path, html_report(report, "en", title="a.png – b.png"))
    expect(page.locator(".badge")).to_have_text(report.verdict)
    expect(page.locator("h1")).to_have_text("a.png – b.png")
    expect(page.locator(".difference")).to_have_count(1)
    pixel = page.evaluate(
        f"""(() => {{
            const pen = new OffscreenCanvas(200, 120).getContext("2d");
            pen.drawImage({VIEWER}.layers.candidate.levels[0].image, 0, 0, 200, 120);
            return [...pen.getImageData(135, 75, 1, 1).data];
        }})()"""
    )
    assert pixel[0] > 240
    assert max(pixel[1:3]) < 20
    page.keyboard.press("n")
    expect(page.locator(".difference")).to_have_class(re.compile("is-lit"))
    page.keyboard.press("5")
    expect(page.locator("[data-view=heat]")).to_have_attribute("aria-pressed", "true")
    assert complaints.told == []
    assert [each for each in complaints.requested if not each.startswith(("file:", "data:", "blob:"))] == []
    page.context.close()


def test_in_chinese(browser: Browser, tmp_path: Path) -> None:
    found = compared(encoded(card()), encoded(card("red")), language="zh")
    page, _ = opened(browser, tmp_path, html_report(found, "zh"))
    expect(page.locator(".badge")).to_have_text({"match": "一致", "mismatch": "不一致"}[found.verdict])
    page.context.close()


def test_without_scripts_the_findings_are_there(browser: Browser, report: ComparisonReport, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(html_report(report, "en"), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("main li")).to_have_count(1)
    expect(page.locator("main")).to_contain_text(report.differences[0].description)
    for image in page.locator("main img").all():
        expect(image).to_be_visible()
    expect(page.locator("main img")).to_have_count(3)
    context.close()


def test_none_of_forty_strings_runs(browser: Browser, tmp_path: Path) -> None:
    hostile = ComparisonReport.model_validate(told.report(*PAYLOADS))
    page, complaints = opened(browser, tmp_path, html_report(hostile, "en", title="".join(PAYLOADS)))
    page.on("dialog", lambda dialog: complaints.told.append(dialog.message))
    said = page.locator("#report").evaluate("(each) => each.textContent")
    assert [payload for payload in PAYLOADS if said.count(payload) < 10] == []
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert complaints.told == []
    page.context.close()


def test_two_photographs_of_12_megapixels_are_3_mb_and_drawn(browser: Browser, tmp_path: Path) -> None:
    found = told_of(photograph(), photograph(True))
    page = html_report(found, "en")
    assert len(page.encode()) <= 3_000_000
    shown, _ = opened(browser, tmp_path, page)
    drawn = shown.evaluate("performance.now()")
    assert drawn > 0  # how long it takes: benchmarks/results/page.md
    shown.context.close()


def told_of(first: Image.Image, second: Image.Image) -> ComparisonReport:
    return compared(encoded(first, "JPEG", quality=92), encoded(second, "JPEG", quality=92), read_text=False)


def test_nothing_but_noise_is_made_small_too(report: ComparisonReport) -> None:
    buffer = io.BytesIO()
    noise(2400, 1600).save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    kinds: tuple[Any, ...] = ("reference", "candidate", "heatmap")
    noisy = report.model_copy(update={"visuals": tuple(VisualReport(kind=kind, image=url) for kind in kinds)})
    assert len(html_report(noisy, "en")) <= 3_000_000


def test_the_command_line_writes_it(tmp_path: Path) -> None:
    for name, square in (("a.png", None), ("b.png", "red")):
        (tmp_path / name).write_bytes(encoded(card(square)))
    names = [str(tmp_path / name) for name in ("a.png", "b.png")]
    command = ["compare", *names, "--html", str(tmp_path / "out.html"), "--json", "--strict"]
    done = apart(lambda: CliRunner().invoke(app, command))
    assert done.exit_code == 22
    assert json.loads(done.stdout)["visuals"] == []  # asked for by nobody but the page
    page = (tmp_path / "out.html").read_text("utf-8")
    assert "<title>a.png – b.png</title>" in page
    command[4] = str(tmp_path / "no" / "out.html")
    denied = apart(lambda: CliRunner().invoke(app, command))
    assert denied.exit_code == 1
    assert "can't be written" in denied.stderr
