"""Measures the measurement: speed beside odiff and pixelmatch, memory, scores by distortion, the hard pairs.

Run from the repository: `python -m benchmarks.bench_measurement [--peers] [--quick]`. `--peers` installs
odiff-bin and pixelmatch with npm into a temporary folder. Prints tables; the last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from serve_app import measurement
from serve_app.core import Pixels, Raster
from serve_app.measurement import regions
from serve_app.measurement.tiles import Grid
from tests.measurement_pairs import distortions, hard_pairs, photographs, screenshot

PEERS = ("odiff-bin@4.5.0", "pixelmatch@7.2.0", "pngjs@7.0.0")
NODE = """
import fs from 'node:fs'; import {PNG} from 'pngjs'; import pixelmatch from 'pixelmatch';
const [a, b] = process.argv.slice(2, 4).map(f => PNG.sync.read(fs.readFileSync(f)));
let best = 1e9, n = 0;
for (let i = 0; i < 3; i++) {
  const t = performance.now();
  n = pixelmatch(a.data, b.data, null, a.width, a.height);
  best = Math.min(best, performance.now() - t);
}
console.log(JSON.stringify({ms: best, n}));
"""


def raster(pixels: Pixels) -> Raster:
    return Raster(np.ascontiguousarray(pixels), None, pixels.shape[1], pixels.shape[0])


def best_ms(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    times = []
    for _ in range(repeats):
        started = clock()
        work()
        times.append(clock() - started)
    return round(min(times) * 1000, 1)


def page(width: int, height: int) -> Pixels:
    """A long page: screenshots above each other, beside them a photograph."""
    tile, photo = screenshot(), photographs()["coffee"]
    across, down = -(-width // tile.shape[1]), -(-height // tile.shape[0])
    out = np.tile(tile, (down, across, 1))[:height, :width].copy()
    for y in range(0, height - photo.shape[0], 1700):
        out[y : y + photo.shape[0], width - photo.shape[1] :] = photo[:, -min(photo.shape[1], width) :]
    return out


def edited(picture: Pixels) -> Pixels:
    out = picture.copy()
    height, width = picture.shape[:2]
    for y, x in ((0.1, 0.2), (0.5, 0.6), (0.9, 0.1)):
        top, left = int(y * height), int(x * width)
        out[top : top + 40, left : left + 120] = (200, 30, 60)
    return out


def decoded(path: Path) -> Raster:
    with Image.open(path) as image:
        return raster(np.asarray(image.convert("RGB")))


def service_ms(paths: tuple[Path, Path], repeats: int) -> float:
    """Both decodes at once, then the measurement: what a running service does."""
    with ThreadPoolExecutor(2) as pool:
        return best_ms(lambda: measurement.measure(*pool.map(decoded, paths)), repeats)


CLI = (
    "import sys; from PIL import Image; import numpy as np; from concurrent.futures import ThreadPoolExecutor as T;"
    "from serve_app import measurement; from serve_app.core import Raster;"
    "load = lambda f: (lambda p: Raster(p, None, p.shape[1], p.shape[0]))(np.asarray(Image.open(f).convert('RGB')));"
    "m = measurement.measure(*T(2).map(load, sys.argv[1:3])); print(len(m.differences))"
)


def process_ms(command: list[str], repeats: int) -> float:
    return best_ms(lambda: subprocess.run(command, capture_output=True, check=False, timeout=300), repeats)


def speed(folder: Path, peers: Path | None, sizes: dict[str, tuple[int, int]]) -> list[dict[str, object]]:
    rows = []
    for name, (width, height) in sizes.items():
        first = page(width, height)
        second = edited(first)
        for extension in ("png", "jpg"):
            paths = folder / f"a.{extension}", folder / f"b.{extension}"
            for picture, path in zip((first, second), paths, strict=True):
                Image.fromarray(picture).save(
                    path, **({"compress_level": 3} if extension == "png" else {"quality": 90})
                )
            one, two = (decoded(path) for path in paths)
            repeats = 5 if width * height < 2_000_000 else 2
            row: dict[str, object] = {
                "pair": f"{name} {extension}",
                "measure": best_ms(lambda one=one, two=two: measurement.measure(one, two), repeats),  # type: ignore[misc]
                "boxes": best_ms(lambda one=one, two=two: regions.find(Grid(one.pixels, two.pixels)), repeats),  # type: ignore[misc]
                "decode both + measure": service_ms(paths, repeats),
                "our process": process_ms([sys.executable, "-c", CLI, *map(str, paths)], repeats),
            }
            if peers is not None:
                # The program itself, without the JavaScript that starts it.
                odiff = str(next((peers / "node_modules/@odiff").glob("*/odiff")))
                row["odiff process"] = process_ms([odiff, *map(str, paths), str(folder / "d.png")], repeats)
                row["odiff --antialiasing"] = process_ms(
                    [odiff, "--antialiasing", *map(str, paths), str(folder / "d.png")], repeats
                )
                if extension == "png":
                    script = peers / "bench.mjs"
                    script.write_text(NODE)
                    command = ["node", str(script), *map(str, paths)]
                    row["pixelmatch process"] = process_ms(command, 1)
                    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=peers)
                    row["pixelmatch in process"] = round(json.loads(out.stdout)["ms"], 1)
            rows.append(row)
            print(row, flush=True)
    return rows


def megapixel() -> dict[str, float]:
    """One 1024x1024 pair on one core, decoded: CPU milliseconds by what happened to it."""
    photo = cv2.resize(photographs()["astronaut"], (1024, 1024), interpolation=cv2.INTER_CUBIC)
    turned = cv2.warpAffine(photo, cv2.getRotationMatrix2D((512, 512), 3, 1), (1024, 1024))
    encoded = io.BytesIO()
    Image.fromarray(photo).save(encoded, "JPEG", quality=85)
    pairs = {
        "identical": photo.copy(),
        "local edits": edited(photo),
        "JPEG 85": np.asarray(Image.open(encoded).convert("RGB")),
        "8 levels brighter": np.clip(photo.astype(int) + 8, 0, 255).astype(np.uint8),
        "blur 1.5": cv2.GaussianBlur(photo, (0, 0), 1.5),
        "shift 9, 5": np.roll(photo, (5, 9), (0, 1)),
        "turned 3 degrees": turned,
        "another picture": cv2.resize(photographs()["chelsea"], (1024, 1024)),
    }
    times: dict[str, float] = {}
    for name, other in pairs.items():
        one, two = raster(photo), raster(other)
        boxes = best_ms(lambda one=one, two=two: regions.find(Grid(one.pixels, two.pixels)), 7, time.process_time)  # type: ignore[misc]
        times[f"{name}: same or different with boxes"] = boxes
        times[f"{name}: all"] = best_ms(lambda one=one, two=two: measurement.measure(one, two), 7, time.process_time)  # type: ignore[misc]
    for name, value in times.items():
        print(f"{name:55s}{value:8.1f} ms")
    return times


def memory() -> dict[str, float]:
    """Peak above the two rasters for 3446x10728, in a process of its own."""
    code = (
        "import numpy as np, sys; from benchmarks.bench_measurement import page, edited, raster;"
        "from serve_app import measurement; measurement.measure(raster(page(64,64)), raster(page(64,64)//2));"
        "a = page(3446, 10728); b = {'edit': edited, 'bit': lambda a: a ^ 1}.get(sys.argv[1], lambda a: 255 - a)(a);"
        "open('/proc/self/clear_refs', 'w').write('5');"  # the peak starts again from what is held now
        "p = lambda: int([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]) / 1024;"
        "before = p();"
        "m = measurement.measure(raster(a), raster(b)); print(before, p(), len(m.differences))"
    )
    out = {}
    for kind in ("edit", "bit", "inverted"):
        done = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True)
        before, after, _ = map(float, done.stdout.split())
        out[kind] = round(after - before, 1)
        print(f"3446x10728 {kind:9s} peak above before: {after - before:6.1f} MiB", flush=True)
    return out


def scores() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, picture in [*photographs().items(), ("screenshot", screenshot())]:
        for distortion, strength, other in distortions(picture):
            found = measurement.measure(raster(picture), raster(other))
            row = {
                "picture": name,
                "distortion": distortion,
                "strength": strength,
                "similarity": found.similarity,
                "regions": len(found.differences),
                "alignment": found.alignment.kind,
                **found.aspects,
            }
            rows.append(row)
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:10}" for v in row.values()))
    return rows


def exam() -> dict[str, bool]:
    out = {}
    for name, first, second, differs in hard_pairs():
        found = measurement.measure(raster(first), raster(second))
        out[name] = bool(found.differences) == differs
        print(f"{'right' if out[name] else 'WRONG':6s}{name}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--quick", action="store_true", help="No picture above one megapixel")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sizes = (
        {"1 MP": (1000, 1000)}
        if options.quick
        else {"1 MP": (1000, 1000), "12 MP": (4000, 3000), "37 MP": (3446, 10728)}
    )
    with tempfile.TemporaryDirectory() as name:
        folder, peers = Path(name), None
        if options.peers:
            npm = shutil.which("npm") or sys.exit("npm is needed for --peers")
            subprocess.run([npm, "install", "--silent", *PEERS], cwd=folder, check=True)
            peers = folder
        result = {
            "megapixel_ms": megapixel(),
            "speed_ms": speed(folder, peers, sizes),
            "memory_mib": {} if options.quick else memory(),
            "exam": exam(),
            "scores": scores(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "own_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
