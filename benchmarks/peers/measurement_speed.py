"""Speed and memory of the measurement beside odiff and pixelmatch, as the Markdown of results/measurement.md.
Knows nothing of scores: how well it measures is `bench_measurement`'s.

Contenders take turns, so that what else the machine does falls on all of them; each cell is a contender's best.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from serve_app import imaging, measurement
from serve_app.comparison.examiner import Examiner
from serve_app.core.clock import Deadline
from serve_app.core.pictures import Pixels, Raster, Upload
from serve_app.measurement import regions
from serve_app.measurement.tiles import Grid
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Limits, PreprocessingSettings
from tests.worlds.pairs import photographs, screenshot

SIZES: Mapping[str, tuple[int, int]] = {"1 MP": (1000, 1000), "12 MP": (4000, 3000), "37 MP": (3446, 10728)}
ROUNDS: Mapping[str, int] = {"1 MP": 15, "12 MP": 7, "37 MP": 5}
PEERS = ("odiff-bin@4.5.0", "pixelmatch@7.2.0", "pngjs@7.0.0")
PIXELMATCH = """
import fs from 'node:fs'; import {PNG} from 'pngjs'; import pixelmatch from 'pixelmatch';
const [a, b] = process.argv.slice(2, 4).map(f => PNG.sync.read(fs.readFileSync(f)));
let best = 1e9, n = 0;
for (let i = 0; i < 5; i++) {
  const t = performance.now();
  n = pixelmatch(a.data, b.data, null, a.width, a.height);
  best = Math.min(best, performance.now() - t);
}
console.log(JSON.stringify({ms: best, n}));
"""
Work = Callable[[], object]
Table = list[dict[str, object]]


def raster(pixels: Pixels) -> Raster:
    return Raster(np.ascontiguousarray(pixels), None, pixels.shape[1], pixels.shape[0])


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


def best_ms(work: Work, rounds: int, clock: Callable[[], float] = time.perf_counter) -> float:
    return interleaved({"": work}, rounds, clock)[""]


def interleaved(
    contenders: Mapping[str, Work], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Each contender's best of `rounds`, in milliseconds; the first round warms caches and isn't counted."""
    best = dict.fromkeys(contenders, float("inf"))
    for index in range(rounds + 1):
        for name, work in contenders.items():
            started = clock()
            work()
            if index:
                best[name] = min(best[name], clock() - started)
    return {name: round(seconds * 1000, 1) for name, seconds in best.items()}


class Service:
    """The CPU stage as it runs in a replica, without the hops to it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._examiner = Examiner(Limits(), PreprocessingSettings(), shows_images=False)
        self._pool = ThreadPoolExecutor(1)

    def everything(self, paths: tuple[Path, Path]) -> object:
        """From files: header checks, both decodes at once, regions, alignment, aspects, score."""
        reference, candidate = (Upload(path.read_bytes()) for path in paths)
        config = ImageComparisonConfig()
        return self._runner.run(self._examiner.examine(reference, candidate, config, Deadline.after(60)))

    def boxes(self, paths: tuple[Path, Path]) -> object:
        """From files to what odiff answers: whether and where they differ."""
        other: Future[Raster] = self._pool.submit(decoded, paths[1])
        first = decoded(paths[0])
        return regions.find(Grid(first.pixels, other.result().pixels))


def decoded(path: Path) -> Raster:
    upload = Upload(path.read_bytes())
    header = imaging.inspect(upload, Limits(), "reference")
    return imaging.prepare(upload, header, "reference", scale=1.0, masks=[], shown=None).raster


class OdiffServer:
    """`odiff --server`: one line of JSON a pair. It has no answer without a picture of the difference."""

    def __init__(self, program: str, picture: Path) -> None:
        self.process = subprocess.Popen([program, "--server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._picture = picture
        self._read()

    def compare(self, paths: tuple[Path, Path]) -> None:
        request = {"requestId": 1, "base": str(paths[0]), "compare": str(paths[1]), "output": str(self._picture)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**request, "options": {}}) + "\n")
        self.process.stdin.flush()
        assert "match" in self._read(), "odiff answers with whether they match"

    def _read(self) -> dict[str, object]:
        assert self.process.stdout is not None
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def odiff_server(program: str, picture: Path) -> Iterator[OdiffServer]:
    server = OdiffServer(program, picture)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def installed_peers(folder: Path) -> Path:
    """odiff and pixelmatch from npm, in a folder of their own."""
    npm = shutil.which("npm") or sys.exit("npm is needed for --peers")
    subprocess.run([npm, "install", "--silent", *PEERS], cwd=folder, check=True)
    (folder / "bench.mjs").write_text(PIXELMATCH)
    return folder


def process(command: list[str]) -> Work:
    return lambda: subprocess.run(command, capture_output=True, check=False, timeout=300)


def pairs(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, int, tuple[Path, Path]]]:
    """Name, rounds and files of every pair."""
    for name, (width, height) in sizes.items():
        first = page(width, height)
        pictures = (first, edited(first))
        for extension in ("png", "jpg"):
            paths = folder / f"a.{extension}", folder / f"b.{extension}"
            for picture, path in zip(pictures, paths, strict=True):
                Image.fromarray(picture).save(path, compress_level=3, quality=90)
            yield f"{name} {extension}", ROUNDS[name], paths


def cpu_s() -> float:
    """Of this process and of its children that have ended: what other programs leave of the machine hardly counts."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def from_files_by_cpu(folder: Path, peers: Path, sizes: Mapping[str, tuple[int, int]]) -> Table:
    """CPU milliseconds from PNG files to the answer, best of a third of the rounds, for a machine that is shared. No
    text is read; `odiff --server` stays alive, so its time isn't told."""
    rows: Table = []
    odiff = str(next((peers / "node_modules/@odiff").glob("*/odiff")))
    with asyncio.Runner() as runner:
        service = Service(runner)
        for name, rounds, paths in pairs(folder, sizes):
            if not name.endswith("png"):
                continue
            files = [str(path) for path in paths]
            command = "from serve_app.cli.main import app; app()"
            contenders: dict[str, Work] = {
                "service: boxes": lambda paths=paths: service.boxes(paths),  # type: ignore[misc]
                "service: everything": lambda paths=paths: service.everything(paths),  # type: ignore[misc]
                "`pairlens compare`": process([sys.executable, "-c", command, "compare", *files, "--no-read-text"]),
                "odiff process": process([odiff, *files, str(folder / "d.png")]),
                "odiff process, no picture": process([odiff, *files]),
                "pixelmatch process": process(["node", str(peers / "bench.mjs"), *files]),
            }
            rows.append({"pair": name, **interleaved(contenders, max(2, rounds // 3), cpu_s)})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def from_files(folder: Path, peers: Path | None, sizes: Mapping[str, tuple[int, int]]) -> Table:
    """Wall milliseconds from files to the answer, in a running service and as a process of its own."""
    rows: Table = []
    with ExitStack() as stack:
        service = Service(stack.enter_context(asyncio.Runner()))
        # The program itself, without the JavaScript that starts it.
        odiff = "" if peers is None else str(next((peers / "node_modules/@odiff").glob("*/odiff")))
        server = stack.enter_context(odiff_server(odiff, folder / "d.png")) if odiff else None
        for name, rounds, paths in pairs(folder, sizes):
            files = [str(path) for path in paths]
            command = "from serve_app.cli.main import app; app()"
            contenders: dict[str, Work] = {
                "service: boxes": lambda paths=paths: service.boxes(paths),  # type: ignore[misc]
                "service: everything": lambda paths=paths: service.everything(paths),  # type: ignore[misc]
                "`pairlens compare`": process([sys.executable, "-c", command, "compare", *files, "--json"]),
            }
            if server is not None:
                contenders |= {
                    "odiff --server": lambda paths=paths: server.compare(paths),  # type: ignore[misc]
                    "odiff process": process([odiff, *files, str(folder / "d.png")]),
                    "odiff process, no picture": process([odiff, *files]),
                }
            if peers is not None and name.endswith("png"):
                contenders["pixelmatch process"] = process(["node", str(peers / "bench.mjs"), *files])
            rows.append({"pair": name, **interleaved(contenders, rounds)})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def in_memory(folder: Path, peers: Path | None, sizes: Mapping[str, tuple[int, int]]) -> Table:
    """Wall milliseconds of decoded pairs."""
    rows: Table = []
    with ThreadPoolExecutor(1) as pool:
        for name, rounds, paths in pairs(folder, sizes):
            one, two = (decoded(path) for path in paths)
            works: dict[str, Work] = {
                "boxes": lambda one=one, two=two: regions.find(Grid(one.pixels, two.pixels)),  # type: ignore[misc]
                "everything, one thread": lambda one=one, two=two: measurement.measure(one, two),  # type: ignore[misc]
                "everything, two": lambda one=one, two=two: measurement.measure(one, two, beside=pool),  # type: ignore[misc]
                "decode one": lambda path=paths[0]: decoded(path),  # type: ignore[misc]
            }
            row: dict[str, object] = {"pair": name, **interleaved(works, rounds)}
            if peers is not None and name.endswith("png"):
                command = ["node", str(peers / "bench.mjs"), *map(str, paths)]
                out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=peers)
                row["pixelmatch, decoded"] = round(json.loads(out.stdout)["ms"], 1)
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


def megapixel() -> Table:
    """One 1024x1024 pair on one core, decoded: CPU milliseconds by what happened to it."""
    photo = cv2.resize(photographs()["astronaut"], (1024, 1024), interpolation=cv2.INTER_CUBIC)
    encoded = io.BytesIO()
    Image.fromarray(photo).save(encoded, "JPEG", quality=85)
    made = {
        "identical": photo.copy(),
        "local edits": edited(photo),
        "JPEG 85": np.asarray(Image.open(encoded).convert("RGB")),
        "8 levels brighter": np.clip(photo.astype(int) + 8, 0, 255).astype(np.uint8),
        "blur 1.5": cv2.GaussianBlur(photo, (0, 0), 1.5),
        "shift 9, 5": np.roll(photo, (5, 9), (0, 1)),
        "turned 3 degrees": cv2.warpAffine(photo, cv2.getRotationMatrix2D((512, 512), 3, 1), (1024, 1024)),
        "another picture": cv2.resize(photographs()["chelsea"], (1024, 1024)),
    }
    rows: Table = []
    for name, other in made.items():
        one, two = raster(photo), raster(other)
        works: dict[str, Work] = {
            "same or different, with boxes": lambda one=one, two=two: regions.find(Grid(one.pixels, two.pixels)),  # type: ignore[misc]
            "everything": lambda one=one, two=two: measurement.measure(one, two),  # type: ignore[misc]
        }
        rows.append({"pair": name, **interleaved(works, 9, time.process_time)})
    return rows


def memory() -> Table:
    """Peak MiB above the two rasters for 3446x10728, each in a process of its own."""
    code = (
        "import numpy as np, sys; from benchmarks.peers.measurement_speed import page, edited, raster;"
        "from serve_app import measurement; measurement.measure(raster(page(64,64)), raster(page(64,64)//2));"
        "a = page(3446, 10728); b = {'edit': edited, 'bit': lambda a: a ^ 1}.get(sys.argv[1], lambda a: 255 - a)(a);"
        "open('/proc/self/clear_refs', 'w').write('5');"  # the peak starts again from what is held now
        "p = lambda: int([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]) / 1024;"
        "before = p(); measurement.measure(raster(a), raster(b)); print(p() - before)"
    )
    rows: Table = []
    for kind in ("edit", "bit", "inverted"):
        done = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True)
        rows.append({"3446x10728": kind, "peak above the rasters, MiB": round(float(done.stdout), 1)})
    return rows


def markdown(rows: Table) -> str:
    """A table with the columns of its longest row, empty cells where a row has none."""
    longest = max(rows, key=len)
    columns = list(longest)
    lines = [columns, ["---"] * len(columns), *([str(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(folder: Path, *, peers: bool, quick: bool, by_cpu: bool = False) -> dict[str, Table]:
    """Print the speed and memory sections and give their numbers. `by_cpu`: the one for a machine that is shared."""
    sizes = {"1 MP": SIZES["1 MP"]} if quick else SIZES
    where = installed_peers(folder) if peers or by_cpu else None
    if by_cpu and where is not None:
        return _printed({"From files to the answer, CPU ms": from_files_by_cpu(folder, where, sizes)})
    sections = {
        "One 1024x1024 pair on one core, decoded, CPU ms": megapixel(),
        "Decoded pairs, wall ms": in_memory(folder, where, sizes),
        "From files to the answer, wall ms": from_files(folder, where, sizes),
    }
    if not quick:
        sections["Memory at native resolution"] = memory()
    return _printed(sections)


def _printed(sections: dict[str, Table]) -> dict[str, Table]:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, OpenCV {cv2.__version__} on one thread, load at the end {load}.")
    for title, rows in sections.items():
        print(f"\n## {title}\n\n{markdown(rows)}")
    return sections
