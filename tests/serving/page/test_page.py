"""The page in a browser: two pictures in, stages, verdict, boxes and views out; what people do with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FilePayload, Page, expect

from serve_app.serving.api.pages.assets import VIEWS, asset
from serve_app.settings import ModelSettings, ScriptedSettings, Settings
from tests.rigs.browser import Complaints
from tests.rigs.http_server import served
from tests.serving.page.conftest import app_of
from tests.worlds.samples import card, encoded

MOST_BYTES = 80_000
VIEWER = "document.querySelector('pair-viewer')"


def file(name: str, image: Image.Image, kind: str = "PNG") -> FilePayload:
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": encoded(image, kind)}


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    opened.goto(url)
    expect(opened.locator("#compare")).to_have_text("Compare")
    yield opened
    context.close()


def compare(page: Page, first: Image.Image | None = None, second: Image.Image | None = None) -> None:
    page.set_input_files("[name=reference]", file("a.png", first or card()))
    page.set_input_files("[name=candidate]", file("b.png", second or card("red")))
    page.click("#compare")
    expect(page.locator(".badge")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()


def of_viewer(page: Page, expression: str) -> Any:
    return page.evaluate(f"(() => {{ const viewer = {VIEWER}; return {expression}; }})()")


def test_an_example_goes_all_the_way_and_nothing_else_is_loaded(browser: Browser, url: str) -> None:
    page = browser.new_page(locale="en-US")
    complaints = Complaints(page)
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto(url, wait_until="networkidle")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted > 0  # docs/page.md has how long it takes
    assert sum(sizes) - api_bytes(page) <= MOST_BYTES
    page.get_by_role("button", name="a dashboard").click()
    expect(page.locator(".badge")).to_be_visible()
    expect(page.locator("#stages li.done")).to_have_text([re.compile("sent"), re.compile("decoded and measured .*ms")])
    expect(page.locator(".difference").first).to_be_visible()
    # Batches are off here, which the browser notes.
    assert [each for each in complaints.told if "404" not in each] == []
    assert all(each.startswith((url, "blob:", "data:")) for each in complaints.requested)
    page.close()


def api_bytes(page: Page) -> int:
    found = "performance.getEntriesByType('resource').filter((each) => each.name.includes('/v1/'))"
    return int(page.evaluate(f"{found}.reduce((sum, each) => sum + each.encodedBodySize, 0)"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_small_in_either_language(language: str) -> None:
    names = ("index.html", "icon.svg", "page.css", "page.js", f"words_{language}.js")
    assert sum(len(asset(name).content) for name in names) <= MOST_BYTES


def test_both_languages_say_the_same_things() -> None:
    said = {}
    for language in ("en", "zh"):
        lines = (VIEWS / "viewer" / f"words_{language}.js").read_text("utf-8").splitlines()
        entries = [line.strip().partition(": ") for line in lines if line.startswith("\t")]
        said[language] = {
            name.strip('"'): sorted(re.findall(r"\{\w+\}", json.loads(told.rstrip(",")))) for name, _, told in entries
        }
    assert said["en"] == said["zh"]
    assert len(said["en"]) > 100


def test_one_zoom_and_place_for_all_views_and_the_bar_in_sight(page: Page) -> None:
    compare(page)
    page.keyboard.press("+")
    of_viewer(page, "viewer.pan(30, 10)")
    kept = of_viewer(page, "[viewer.zoom, viewer.x, viewer.y]")
    for key, view in enumerate(("slider", "onion", "side", "blink", "heat"), 1):
        page.keyboard.press(str(key))
        expect(page.locator(f"[data-view={view}]")).to_have_attribute("aria-pressed", "true")
        assert of_viewer(page, "[viewer.zoom, viewer.x, viewer.y]") == kept
    page.keyboard.press("0")
    assert of_viewer(page, "[viewer.zoom, viewer.x, viewer.y]") != kept
    page.locator(".viewer-stage").scroll_into_view_if_needed()
    page.mouse.wheel(0, 260)
    expect(page.locator(".viewer-bar")).to_be_in_viewport()


def test_a_wheel_zooms_about_the_pointer_once_the_viewer_was_clicked(page: Page) -> None:
    compare(page)
    page.locator("pair-viewer canvas").click(position={"x": 200, "y": 120})
    at = page.locator("pair-viewer canvas").bounding_box()
    assert at is not None
    spot = {"clientX": at["x"] + 200, "clientY": at["y"] + 120}
    before = of_viewer(page, f"viewer.point({json.dumps(spot)})")
    zoom = of_viewer(page, "viewer.zoom")
    page.mouse.move(spot["clientX"], spot["clientY"])
    page.mouse.wheel(0, -150)
    page.wait_for_function(f"{VIEWER}.zoom > {zoom} * 1.2")
    assert of_viewer(page, f"viewer.point({json.dumps(spot)})") == pytest.approx(before, abs=0.01)


def test_a_picture_at_rest_is_drawn_from_all_its_pixels_and_from_fewer_while_it_moves(page: Page) -> None:
    compare(page, card().resize((3000, 1800)), card("red").resize((3000, 1800)))
    page.wait_for_function(f"() => {VIEWER}.layers.candidate?.levels.length === 3")
    drawn = page.evaluate(
        f"""async () => {{
            const viewer = {VIEWER};
            const widths = [];
            const drawImage = viewer.context.drawImage.bind(viewer.context);
            viewer.context.drawImage = (image, ...at) => {{
                widths.push(image.width);
                drawImage(image, ...at);
            }};
            const ratio = viewer.canvas.width / viewer.canvas.clientWidth;
            viewer.see("onion");
            viewer.zoomTo(1600 / 3000 / ratio);
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const moving = widths.splice(0);
            await new Promise((done) => setTimeout(done, 400));
            const resting = widths.splice(0);
            [viewer.mix, viewer.isMoving] = [1, false];
            viewer.paint();
            return [moving, resting, widths];
        }}"""
    )
    assert drawn == [[1500, 1500], [3000, 3000], [3000]]


def test_pictures_of_unequal_size_are_both_there_to_the_end(page: Page) -> None:
    taller = Image.new("RGB", (200, 300), "white")
    taller.paste(card("red"), (0, 0))
    compare(page, card(), taller)
    assert of_viewer(page, "viewer.plane") == [0, 0, 200, 300]
    assert of_viewer(page, "viewer.zoom * 300 <= viewer.canvas.clientHeight")


def test_boxes_are_lit_from_the_list_to_the_picture_and_back(page: Page) -> None:
    second = card("red")
    ImageDraw.Draw(second).ellipse((20, 70, 50, 100), fill="green")
    compare(page, card(), second)
    rows = page.locator(".difference")
    expect(rows).to_have_count(2)
    rows.nth(1).hover()
    assert of_viewer(page, "viewer.hovered") == 1
    page.keyboard.press("n")
    expect(rows.nth(0)).to_have_class(re.compile("is-lit"))
    page.keyboard.press("n")
    expect(rows.nth(1)).to_have_class(re.compile("is-lit"))
    page.keyboard.press("p")
    expect(rows.nth(0)).to_have_attribute("aria-current", "true")
    page.keyboard.press("0")
    box = page.locator("pair-viewer canvas").bounding_box()
    assert box is not None
    x, y = of_viewer(
        page,
        "(([x, y, w, h]) => [(x + w / 2 - viewer.x) * viewer.zoom + viewer.canvas.clientWidth / 2,"
        "(y + h / 2 - viewer.y) * viewer.zoom + viewer.canvas.clientHeight / 2])(viewer.differences[1].candidate_box)",
    )
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(rows.nth(1)).to_have_class(re.compile("is-lit"))


def test_boxes_to_ignore_are_drawn_moved_deleted_and_asked_for(page: Page) -> None:
    compare(page)
    page.keyboard.press("i")
    page.locator("pair-viewer").scroll_into_view_if_needed()
    canvas = page.locator("pair-viewer canvas").bounding_box()
    assert canvas is not None

    def screen(x: float, y: float) -> tuple[float, float]:
        across, down = of_viewer(
            page,
            f"[({x} - viewer.x) * viewer.zoom + viewer.canvas.clientWidth / 2,"
            f"({y} - viewer.y) * viewer.zoom + viewer.canvas.clientHeight / 2]",
        )
        return canvas["x"] + across, canvas["y"] + down

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        page.mouse.move(*screen(*start))
        page.mouse.down()
        page.mouse.move(*screen(*end), steps=3)
        page.mouse.up()

    drag((20, 50), (60, 90))
    assert of_viewer(page, "viewer.ignored") == [[20, 50, 40, 40]]
    drag((40, 70), (135, 75))  # by its middle, on the square
    drag((155, 95), (160, 100))  # by its corner
    assert of_viewer(page, "viewer.ignored") == [[115, 55, 45, 45]]
    page.get_by_role("button", name="Copy config").click()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == {"ignore_regions": [[115, 55, 45, 45]]}
    page.click("#compare")
    expect(page.locator(".badge")).to_have_text("match")
    page.locator("pair-viewer canvas").focus()
    of_viewer(page, "viewer.chosen = 0")
    page.keyboard.press("Delete")
    assert of_viewer(page, "viewer.ignored") == []


def test_the_config_is_what_the_form_says(page: Page) -> None:
    page.click("#config summary")
    page.fill("[name=comparison_aspects]", "color，layout")
    page.fill("[name=focus_elements]", "the bar, a logo")
    page.check("[name=strict]")
    page.locator("[name=similarity_threshold]").fill("0.5")
    compare(page)
    expect(page.locator(".badge")).to_have_text("mismatch")
    expect(page.locator(".verdict strong")).to_contain_text("1 differences are more than were allowed")
    page.get_by_role("button", name="Copy curl").click()
    line = page.locator("#copied").inner_text()
    config = json.loads(line.split("config=")[1].split("' '")[0])
    assert config["comparison_aspects"] == ["color", "layout"]
    assert config["focus_elements"] == ["the bar", "a logo"]
    assert (config["max_differences"], config["similarity_threshold"]) == (0, 0.5)


def test_report_and_view_are_saved(page: Page, tmp_path: Path) -> None:
    compare(page)
    for name, begin in (("JSON", b"{"), ("PNG", b"\x89PNG"), ("HTML", b"<!doctype html>")):
        with page.expect_download() as waiting:
            page.locator("#takes").get_by_role("button", name=name, exact=True).click()
        waiting.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert json.loads((tmp_path / "JSON").read_text())["verdict"] == "mismatch"


def test_recent_ones_stay_in_the_browser_until_they_are_deleted(page: Page) -> None:
    compare(page)
    page.reload()
    expect(page.locator("#recent-list li")).to_have_count(1)
    page.locator("#recent-list button").first.click()
    expect(page.locator(".badge")).to_have_text("mismatch")
    page.wait_for_function(f"{VIEWER}.layers.candidate")
    page.locator("#recent-list").get_by_role("button", name="Delete").click()
    expect(page.locator("#recent")).to_be_hidden()


def test_what_is_left_as_a_job_is_listed_and_can_be_cancelled(page: Page) -> None:
    page.set_input_files("[name=reference]", file("a.png", card()))
    page.set_input_files("[name=candidate]", file("b.png", card("red")))
    page.click("#leave")
    expect(page.locator("#work-list")).to_contain_text("queued")
    page.locator("#work-list").get_by_role("button", name="Cancel").first.click()
    expect(page.locator("#work-list")).to_contain_text("cancelled")


def test_the_language_is_chosen_and_kept(page: Page) -> None:
    page.select_option("#language", "zh")
    expect(page.locator("#compare")).to_have_text("比较")
    page.reload()
    expect(page.locator("#compare")).to_have_text("比较")
    compare(page)
    expect(page.locator(".badge")).to_have_text("不一致")
    expect(page.locator(".report > p").nth(1)).to_contain_text("处可见差异")


def test_boxes_are_seen_while_a_slow_model_works(browser: Browser) -> None:
    slow = Settings(model=ModelSettings(engine="scripted", scripted=ScriptedSettings(delay_s=4, label=1)))
    with served(lambda: app_of(slow)) as address:
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(10_000)
        page.goto(address)
        page.set_input_files("[name=reference]", file("a.png", card()))
        page.set_input_files("[name=candidate]", file("b.png", card("red")))
        page.click("#compare")
        expect(page.locator(".difference")).to_have_count(1)
        expect(page.locator("#stages .working")).to_contain_text("model asked")
        expect(page.locator(".badge")).to_have_count(0)
        expect(page.locator("#stop")).to_be_visible()
        expect(page.locator(".badge")).to_be_visible()
        expect(page.locator(".mark")).to_have_text("✓ pixels and model")
        page.close()
