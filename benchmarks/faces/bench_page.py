"""What somebody at a browser waits for: the page's first paint, a report of two large pictures, frames while one looks.

    python -m benchmarks.faces.bench_page [--url http://127.0.0.1:8000] [--runs 9]

`--url`: a service that runs already, `pairlens serve`; every run is a browser profile of its own, so nothing is cached.
Two photographs of 12 megapixels are compared there once, and made a report in a file. Frames: 100 of each kind of
moving, and the CPU time that the page's main thread had for one, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx2
from playwright.sync_api import Browser

from tests.rigs.browser import launched
from tests.worlds.samples import encoded, photograph

WINDOW: Final[Any] = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"}
VIEWS: Final = ("slider", "onion", "side", "blink", "heat")
WHEN: Final = """() => {
    const at = (name) => performance.getEntriesByName(name)[0].startTime;
    const files = performance.getEntriesByType("resource").filter((each) => !each.name.includes("/v1/"));
    return {
        html_ms: performance.getEntriesByType("navigation")[0].responseStart,
        style_ms: Math.max(...files.filter((each) => each.name.endsWith(".css")).map((each) => each.responseEnd)),
        paint_ms: at("first-contentful-paint"),
        usable_ms: window.usable,
        requests: new Set(files.map((each) => each.name)).size + 1,
        sent_kb: files.reduce((sum, each) => sum + each.encodedBodySize, 0) / 1000,
    };
}"""
# Notes when a condition is first true, by the page's own clock.
NOTING: Final = """new MutationObserver((_, watch) => {
    if (!(%s)) return;
    window.%s = performance.now();
    watch.disconnect();
}).observe(document, { attributes: true, childList: true, subtree: true });"""
MOVED: Final = """async ([view, isZoom]) => {
    const viewer = document.querySelector("pair-viewer");
    viewer.see(view);
    viewer.fit();
    if (!isZoom) viewer.zoomTo(viewer.zoom * 2);
    const began = performance.now();
    for (let at = 0; at < 100; at += 1) {
        const sign = at % 80 < 40 ? 1 : -1;
        if (isZoom) viewer.zoomTo(viewer.zoom * Math.exp(sign * 0.06));
        else viewer.pan(sign * 9, sign * 5);
        await new Promise(requestAnimationFrame);
    }
    return 100000 / (performance.now() - began);
}"""


def first_paint(browser: Browser, url: str) -> dict[str, float]:
    context = browser.new_context(**WINDOW)
    context.add_init_script(NOTING % ("document.querySelector('#compare')?.textContent", "usable"))
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("() => window.usable && performance.getEntriesByName('first-contentful-paint').length")
    found: dict[str, float] = page.evaluate(WHEN)
    context.close()
    return found


def drawn(browser: Browser, report: Path) -> dict[str, float]:
    context = browser.new_context(offline=True, **WINDOW)
    context.add_init_script(NOTING % ("document.documentElement?.dataset.drawn", "drawn"))
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_function("() => window.drawn")
    found: dict[str, float] = page.evaluate(
        "({ paint_ms: performance.getEntriesByName('first-contentful-paint')[0].startTime, drawn_ms: window.drawn })"
    )
    context.close()
    return found


def frames(browser: Browser, url: str, pictures: list[Path]) -> dict[str, dict[str, float]]:
    context = browser.new_context(**WINDOW)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    for side, file in zip(("reference", "candidate"), pictures, strict=True):
        page.set_input_files(f"[name={side}]", file)
    page.click("#compare")
    page.wait_for_selector(".badge")
    page.wait_for_function("() => document.querySelector('pair-viewer').layers.candidate?.levels.length > 2")
    clock = context.new_cdp_session(page)
    clock.send("Performance.enable", {"timeDomain": "threadTicks"})
    found = {}
    for view in VIEWS:
        for name in ("zoom", "drag"):
            before = _main_thread_ms(clock)
            rate = page.evaluate(MOVED, [view, name == "zoom"])
            found[f"{view}, {name}"] = {"frames_s": rate, "cpu_ms": (_main_thread_ms(clock) - before) / 100}
    context.close()
    return found


def _main_thread_ms(clock: Any) -> float:
    metrics = {each["name"]: each["value"] for each in clock.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1000


def reported(url: str, pictures: list[Path], folder: Path) -> Path:
    """The report as one file, as the service sends it."""
    with pictures[0].open("rb") as one, pictures[1].open("rb") as two:
        files = {"reference": ("a.jpg", one, "image/jpeg"), "candidate": ("b.jpg", two, "image/jpeg")}
        answer = httpx2.post(f"{url}/v1/compare", files=files, headers={"Accept": "text/html"}, timeout=120)
    answer.raise_for_status()
    path = folder / "report.html"
    path.write_bytes(answer.content)
    return path


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--runs", type=int, default=9)
    asked = parser.parse_args()
    url = asked.url.rstrip("/")
    with tempfile.TemporaryDirectory() as made, launched() as browser:
        folder = Path(made)
        pictures = [folder / "a.jpg", folder / "b.jpg"]
        for is_other, path in enumerate(pictures):
            path.write_bytes(encoded(photograph(bool(is_other)), "JPEG", quality=92))
        report = reported(url, pictures, folder)
        first_paint(browser, url)  # the browser's own first page takes longer
        found: dict[str, Any] = {
            "page": medians([first_paint(browser, url) for _ in range(asked.runs)]),
            "report": medians([drawn(browser, report) for _ in range(asked.runs)]),
            "frames": frames(browser, url, pictures),
            "load": os.getloadavg()[0],
        }
        found["report"]["mb"] = report.stat().st_size / 1e6
    tell(found)


def tell(found: dict[str, Any]) -> None:
    print(f"load {found['load']:.1f}, {os.cpu_count()} cores\n\n| what | median |\n|---|---|")
    for part in ("page", "report"):
        for name, value in found[part].items():
            print(f"| {part}: {name} | {value:.1f} |")
    print("\n| moving two pictures of 12 megapixels | frames/s | main thread, ms a frame |\n|---|---|---|")
    for name, row in found["frames"].items():
        print(f"| {name} | {row['frames_s']:.0f} | {row['cpu_ms']:.1f} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
