"""Jobs and batches on the page: progress while they run, and what came of them, with the pictures that were left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.serving.page import told
from tests.serving.page.test_page import VIEWER, file
from tests.worlds.samples import card

BATCH = "0d9c3f0c6f0e4b6a9a1b7f3f6f1f2a10"


class Batches:
    """A service's batches: each look sees one pair more done, of three."""

    def __init__(self, page: Page) -> None:
        self.bodies: list[bytes] = []
        self.is_cancelled = False
        self.looks = 0
        page.route("**/v1/batches**", self.answer)
        page.route("**/v1/batches/**", self.answer)

    def answer(self, route: Route) -> None:
        request = route.request
        if request.method == "POST":
            self.bodies.append(request.post_data_buffer or b"")
            return self.told(route, self.batch(0), 202)
        if request.method == "DELETE":
            self.is_cancelled = True
            return self.told(route, self.batch(1))
        if "/results" in request.url:
            return self.told(route, {"results": self.results(), "next_cursor": None})
        if not self.bodies:
            return self.told(route, {"batches": [], "next_cursor": None})
        self.looks += 1
        return self.told(route, {"batches": [self.batch(min(3, self.looks))], "next_cursor": None})

    def batch(self, done: int) -> dict[str, Any]:
        status = "cancelled" if self.is_cancelled else "succeeded" if done == 3 else "running"
        outcomes = {"match": 0, "mismatch": done, "uncertain": 0, "added": 0, "removed": 0, "failed": 0}
        found = {"id": BATCH, "status": status, "num_pairs": 3, "num_done": done, "outcomes": outcomes}
        return found | {"position": None, "error": None}

    def results(self) -> list[dict[str, Any]]:
        report = told.report()
        names = [f"c{number}.png" for number in range(2)]
        pairs = [
            {"name": name, "outcome": "mismatch", "candidate": name, "report": report, "error": None} for name in names
        ]
        error = {"type": "image_unreadable", "detail": "The candidate can't be read."}
        return [*pairs, {"name": "c2", "outcome": "failed", "candidate": "c2.png", "report": None, "error": error}]

    def told(self, route: Route, data: Any, code: int = 200) -> None:
        route.fulfill(body=json.dumps(told.enveloped(data, code)), status=code, content_type="application/json")


@pytest.fixture
def page(browser: Browser, url: str) -> Any:
    opened = browser.new_page(locale="en-US")
    opened.set_default_timeout(10_000)
    opened.clock.install()
    yield opened
    opened.close()


def left(page: Page, url: str) -> Batches:
    """One reference and three candidates, left as a batch."""
    batches = Batches(page)
    page.goto(url)
    page.set_input_files("[name=reference]", file("a.png", card()))
    page.set_input_files(
        "[name=candidate]", [file(f"c{each}.png", card(("red", "green", "blue")[each])) for each in range(3)]
    )
    page.click("#compare")
    expect(page.locator("#work-list")).to_contain_text("1/3")
    return batches


def test_many_candidates_are_a_batch_with_progress_and_results(page: Page, url: str) -> None:
    batches = left(page, url)
    assert batches.bodies[0].count(b'name="candidate"') == 3
    expect(page.locator("#work-list progress")).to_have_attribute("value", "0.3333333333333333")
    page.clock.run_for(2000)
    expect(page.locator("#work-list")).to_contain_text("2/3")
    page.clock.run_for(2000)
    expect(page.locator("#work-list")).to_contain_text("done")
    expect(page.locator("#work-list")).to_contain_text("3 mismatch")
    page.locator("#work-list").get_by_role("button", name="Show").click()
    expect(page.locator("#work-results tr")).to_have_count(3)
    expect(page.locator("#work-results tr").nth(2)).to_contain_text("The candidate can't be read.")
    page.locator("#work-results").get_by_role("button", name="Show").nth(1).click()
    expect(page.locator(".badge")).to_have_text("mismatch")
    pixel = page.evaluate_handle(f"{VIEWER}")
    page.wait_for_function("(viewer) => viewer.layers.candidate", arg=pixel)
    colour = page.evaluate(
        f"""(() => {{
            const pen = new OffscreenCanvas(200, 120).getContext("2d");
            pen.drawImage({VIEWER}.layers.candidate.levels[0].image, 0, 0);
            return [...pen.getImageData(135, 75, 1, 1).data.slice(0, 3)];
        }})()"""
    )
    assert colour == [0, 128, 0]  # of the second candidate: its own picture


def test_a_batch_is_cancelled(page: Page, url: str) -> None:
    batches = left(page, url)
    page.locator("#work-list").get_by_role("button", name="Cancel").click()
    expect(page.locator("#work-list")).to_contain_text("cancelled")
    assert batches.is_cancelled


def test_a_report_without_its_pictures_says_so(page: Page, url: str) -> None:
    left(page, url)
    page.reload()
    page.locator("#work-list").get_by_role("button", name="Show").click()
    page.locator("#work-results").get_by_role("button", name="Show").first.click()
    expect(page.locator(".badge")).to_be_visible()
    assert page.evaluate(f"[{VIEWER}.layers.reference, {VIEWER}.layers.candidate]") == [None, None]
