"""What the page says where there is no report, and what it does next; pictures that a browser can't show."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from serve_app.settings import Limits, Settings
from tests.rigs.http_server import served
from tests.serving.page import told
from tests.serving.page.conftest import app_of
from tests.serving.page.test_page import VIEWER, file
from tests.worlds.samples import card, noise

STREAM = "**/v1/compare/stream"
SSE = "text/event-stream"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    opened = browser.new_page(locale="en-US")
    opened.set_default_timeout(10_000)
    opened.goto(url)
    opened.clock.install()  # seconds until the next try pass when the test says so
    opened.set_input_files("[name=reference]", file("a.png", card()))
    opened.set_input_files("[name=candidate]", file("b.png", card("red")))
    yield opened
    opened.close()


def report() -> str:
    return told.stream(("report", told.enveloped(told.report())))


def refused(status: int, kind: str, detail: str) -> str:
    return json.dumps(told.enveloped(None, status, {"type": kind, "detail": detail, "image": None, "field": None}))


def answering(page: Page, *answers: dict[str, object] | None) -> list[int]:
    """The stream's answers, one after the other: None is no answer at all. The number of each asked for."""
    asked: list[int] = []

    def answer(route: Route) -> None:
        asked.append(len(asked))
        what = answers[min(len(asked), len(answers)) - 1]
        if what is None:
            route.abort("connectionrefused")
        else:
            route.fulfill(**what)  # type: ignore[arg-type]

    page.route(STREAM, answer)
    return asked


def passing(page: Page, seconds: int) -> None:
    for _ in range(seconds):
        page.clock.run_for(1000)
        page.wait_for_timeout(5)


def test_a_dead_server_is_asked_again_until_it_answers(page: Page) -> None:
    asked = answering(page, None, None, {"body": report(), "content_type": SSE})
    page.click("#compare")
    expect(page.locator("#trouble")).to_contain_text("The service can't be reached.Tried again by itself in 2 s.")
    passing(page, 3)
    expect(page.locator("#trouble")).to_contain_text("Tried again by itself in")
    passing(page, 6)
    expect(page.locator(".badge")).to_be_visible()
    expect(page.locator("#trouble")).to_be_hidden()
    assert len(asked) == 3


def test_who_is_asked_to_wait_waits_that_long(page: Page) -> None:
    busy = refused(429, "rate_limited", "More than 60 requests a minute came from this caller.")
    answers = {"status": 429, "body": busy, "headers": {"Retry-After": "7"}, "content_type": "application/json"}
    asked = answering(page, answers, {"body": report(), "content_type": SSE})
    page.click("#compare")
    expect(page.locator("#trouble")).to_contain_text("Too many requests came from here.")
    expect(page.locator("#trouble")).to_contain_text("More than 60 requests a minute")
    expect(page.locator("#trouble")).to_contain_text("in 7 s")
    passing(page, 3)
    assert len(asked) == 1
    passing(page, 5)
    expect(page.locator(".badge")).to_be_visible()
    assert len(asked) == 2


def test_a_stream_that_is_cut_keeps_what_was_measured_and_is_asked_for_again(page: Page) -> None:
    found = told.report()
    measured = {name: found[name] for name in ("similarity", "similarity_interval", "similarity_threshold", "summary")}
    measured |= {name: found[name] for name in ("differences", "measurement", "images")}
    cut = told.stream(("progress", {"stage": "examine", "state": "done", "elapsed_ms": 5}), ("measurement", measured))
    asked = answering(page, {"body": cut, "content_type": SSE}, {"body": report(), "content_type": SSE})
    page.click("#compare")
    expect(page.locator("#trouble")).to_contain_text("The connection broke off before the report was there.")
    expect(page.locator(".difference")).to_have_count(1)
    expect(page.locator(".badge")).to_have_count(0)
    passing(page, 3)
    expect(page.locator(".badge")).to_be_visible()
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (504, "deadline_exceeded", "It took longer than allowed"),
        (500, "internal", "The comparison failed. It is not tried again by itself."),
        (418, "teapot", "The service refuses this."),
    ],
)
def test_what_would_not_help_is_not_tried_again(page: Page, status: int, kind: str, said: str) -> None:
    event = json.loads(refused(status, kind, "A sentence of the service."))
    asked = answering(page, {"body": told.stream(("error", event)), "content_type": SSE})
    page.click("#compare")
    expect(page.locator("#trouble")).to_contain_text(said)
    expect(page.locator("#trouble")).to_contain_text("A sentence of the service.")
    passing(page, 8)
    assert len(asked) == 1
    expect(page.locator("#stop")).to_be_hidden()


def test_who_stops_is_off_for_again(page: Page) -> None:
    asked = answering(page, None)
    page.click("#compare")
    expect(page.locator("#trouble")).to_contain_text("can't be reached")
    page.click("#stop")
    passing(page, 5)
    expect(page.locator("#trouble")).to_contain_text("Stopped")
    assert len(asked) == 1


def test_too_large_and_wrong_files_are_said_in_words(browser: Browser) -> None:
    with served(lambda: app_of(Settings(limits=Limits(max_body_bytes=60_000)))) as address:
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(10_000)
        page.goto(address)
        page.set_input_files("[name=reference]", file("a.png", noise()))
        page.set_input_files("[name=candidate]", file("b.png", noise()))
        page.click("#compare")
        expect(page.locator("#trouble")).to_contain_text("too large for this service. Send smaller files.")
        page.set_input_files("[name=reference]", file("a.png", card()))
        page.set_input_files("[name=candidate]", {"name": "x.png", "mimeType": "image/png", "buffer": b"<svg></svg>"})
        page.click("#compare")
        expect(page.locator("#trouble")).to_contain_text("This kind of file is not taken.")
        page.close()


def test_a_picture_that_the_browser_can_not_show_is_shown_as_the_service_sees_it(browser: Browser, url: str) -> None:
    page = browser.new_page(locale="en-US")
    page.set_default_timeout(10_000)
    page.goto(url)
    page.set_input_files("[name=reference]", file("a.tif", card(), "TIFF"))
    page.set_input_files("[name=candidate]", file("b.tif", card("red"), "TIFF"))
    page.click("#compare")
    expect(page.locator(".badge")).to_have_text("mismatch")
    page.wait_for_function(f"{VIEWER}.layers.candidate && {VIEWER}.layers.reference")
    square, bar = page.evaluate(
        f"""(() => {{
            const pen = new OffscreenCanvas(200, 120).getContext("2d");
            pen.drawImage({VIEWER}.layers.candidate.levels[0].image, 0, 0);
            return [[130, 70], [100, 20]].map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data.slice(0, 3)]);
        }})()"""
    )
    assert (square, bar) == ([255, 0, 0], [0, 0, 128])
    page.close()
