"""`assert_images_match`: how long it takes in process, and how often it cries over two equal screenshots.

    python -m benchmarks.faces.bench_plugin --shots 200

Pictures of 1280 x 720: the same bytes, the same pixels in other bytes, and with a changed rectangle, each held against
its baseline as a test does it; then pages of several kinds are opened twice in Chromium and held against themselves.
Prints a table and a last line of JSON. Needs Chromium for the second part.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from serve_app.plugins.comparer import Comparer
from serve_app.plugins.matching import Matching, Wish
from serve_app.plugins.results import Results
from tests.rigs.browser import launched
from tests.worlds.samples import encoded as png

SIZE = (1280, 720)
PAGES = (
    "<h1>Tea</h1><p>The quick brown fox jumps over the lazy dog.</p>" * 8,
    "<style>div{width:90px;height:90px;display:inline-block;border-radius:20px;margin:4px;box-shadow:0 2px 9px #0008;"
    "background:linear-gradient(#36f,#f63)}</style>" + "<div></div>" * 40,
    "<svg viewBox='0 0 200 100'>"
    + "".join(f"<circle cx={x} cy={x % 90} r=9.5 fill='#0a8{x % 9}'/>" for x in range(190)),
    "<style>@keyframes a{to{rotate:1turn}}b{display:inline-block;animation:a 1s infinite}</style><b>spins</b>"
    "<input autofocus value=caret>",
    "<table>" + "<tr><td>商品<td>¥ 193.50<td>库存" * 20 + "</table>",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--shots", type=int, default=200)
    options = parser.parse_args()
    rows = {name: measured(*pair, options.repeats) for name, pair in pairs().items()}
    for name, took in rows.items():
        print(f"{name:32} median {statistics.median(took):7.1f} ms   first {took[0]:7.1f} ms")
    with launched() as browser:
        alarms, shot_ms = screenshots(browser, options.shots)
    print(f"{options.shots} pages against themselves: {alarms} alarms, {shot_ms:.0f} ms each, opened and stilled")
    conditions = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    told = {name: {"median": statistics.median(took), "first": took[0]} for name, took in rows.items()}
    print(json.dumps({"bench": "plugin", **conditions, "ms": told, "shots": options.shots, "alarms": alarms}))


def pairs() -> dict[str, tuple[bytes, bytes]]:
    """Baseline and picture."""
    page = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(page)
    for place in range(30):
        draw.text(
            (40 + place % 5 * 240, 40 + place // 5 * 100), f"Product {place} costs {place * 3}", "black", font_size=18
        )
    changed, read = page.copy(), page.copy()
    ImageDraw.Draw(changed).rectangle((500, 320, 560, 350), fill="red")
    ImageDraw.Draw(read).rectangle((280, 140, 500, 170), fill="white")
    ImageDraw.Draw(read).text((280, 140), "Product 6 costs 19", "black", font_size=18)
    other = io.BytesIO()
    page.save(other, "PNG", compress_level=9)
    return {
        "the same bytes": (png(page), png(page)),
        "the same pixels, other bytes": (png(page), other.getvalue()),
        "a rectangle was added": (png(page), png(changed)),
        "a digit was changed": (png(page), png(read)),
    }


def measured(baseline: bytes, actual: bytes, repeats: int) -> list[float]:
    """Milliseconds of each; the first opens what compares."""
    took = []
    with matching() as own:
        held(own, baseline, update="missing")
        for _ in range(repeats):
            began = time.perf_counter()
            held(own, actual)
            took.append((time.perf_counter() - began) * 1000)
    return took


@contextmanager
def matching() -> Iterator[dict[str, Matching]]:
    with tempfile.TemporaryDirectory() as folder, Comparer(None) as comparer:
        kept = Results(Path(folder) / "results", 0)  # a failure's report is for people, and not timed
        file = Path(folder) / "test_shop.py"
        yield {
            "none": Matching("test_shop", file, comparer, kept),
            "missing": Matching("test_shop", file, comparer, kept, update="missing"),
        }


def held(own: dict[str, Matching], actual: object, update: str = "none") -> bool:
    test = own[update]
    try:
        test.hold(test.see(actual, (), full_page=False), "shot", Wish())
    except AssertionError:
        return False
    return True


def screenshots(browser: Browser, shots: int) -> tuple[int, float]:
    """False alarms, and milliseconds a page."""
    alarms, began = 0, time.perf_counter()
    for number in range(shots):
        with matching() as own:
            for update in ("missing", "none"):
                page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
                page.set_content(PAGES[number % len(PAGES)])
                if not held(own, page, update):
                    alarms += 1
                    print(f"alarm: page {number % len(PAGES)}", file=sys.stderr)
                page.close()
    return alarms, (time.perf_counter() - began) * 1000 / shots / 2


if __name__ == "__main__":
    main()
