"""Imaging beside the two versions of its predecessor: CPU time and peak memory for the same files.
Each cell runs in a fresh process; the inputs are drawn here. `--quick` leaves out what is over 12 MP.

    python benchmarks/bench_imaging.py [--quick] [--repeats 5] [--only NAME]

`same work`: decode, shrink to 1024x1024, JPEG quality 85, base64, as the predecessor; ours also checks the header,
hashes the file, turns it upright, converts colours and gives the shrunk pixels to the measurement.
`native`: besides, all pixels at native size for the measurement, which the predecessor didn't have.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import io
import json
import logging
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageDraw

from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.settings import Limits

MAX_SIZE = (1024, 1024)
QUALITY = 85
LIMITS = Limits(max_image_bytes=128 * 2**20, max_decode_bytes=2**32)
logger = logging.getLogger("seed")


class UploadFile:
    """What the predecessor read its files from."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self) -> bytes:
        return self.data


async def seed_first(file: UploadFile) -> str:
    """The predecessor's first version, of one file, word for word."""
    content = await file.read()
    img = Image.open(io.BytesIO(content))
    buffered = io.BytesIO()
    img.save(buffered, format="JPEG")
    return "data:image;base64," + base64.b64encode(buffered.getvalue()).decode("utf-8")


async def seed_second(file: UploadFile, max_size: tuple[int, int] = MAX_SIZE, quality: int = QUALITY) -> str | None:
    """The predecessor's second version, word for word."""
    try:
        content = await file.read()
        with Image.open(io.BytesIO(content)) as img:
            if img.mode != "RGB":
                img = img.convert("RGB")  # type: ignore[assignment]
            img.thumbnail(max_size, Image.Resampling.LANCZOS)
            buffered = io.BytesIO()
            img.save(buffered, format="JPEG", quality=quality, optimize=True)
            return "data:image;base64," + base64.b64encode(buffered.getvalue()).decode("utf-8")
    except Exception as e:  # noqa: BLE001 - the predecessor's own words
        logger.error(f"图像处理失败: {e!s}")  # noqa: TRY400
        return None


def ours(data: bytes, *, native: bool) -> str:
    upload = Upload(data)
    header = imaging.inspect(upload, LIMITS, "reference")
    scale = 1.0 if native else max(1.0, header.width / MAX_SIZE[0], header.height / MAX_SIZE[1])
    spec = imaging.ShownSpec(MAX_SIZE, QUALITY)
    prepared = imaging.prepare(upload, header, "reference", scale=scale, masks=(), shown=spec)
    assert prepared.shown is not None
    return "data:image/jpeg;base64," + base64.b64encode(prepared.shown.data).decode("ascii")


METHODS: dict[str, Callable[[bytes], str | None]] = {
    "seed 1": lambda data: asyncio.run(seed_first(UploadFile(data))),
    "seed 2": lambda data: asyncio.run(seed_second(UploadFile(data))),
    "same work": lambda data: ours(data, native=False),
    "native": lambda data: ours(data, native=True),
}


def photo(width: int, height: int) -> Image.Image:
    """A photograph-like picture: noise of falling strength over octaves, and the grain of a sensor."""
    random = np.random.default_rng(7)
    picture = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 10):
        side = 2**octave
        coarse = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 2 ** (octave - 1)
    grain = random.normal(0, 3, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8))


def screenshot() -> Image.Image:
    """A 3840x2160 page of flat cards and lines of small text."""
    image = Image.new("RGB", (3840, 2160), "#f4f5f7")
    draw = ImageDraw.Draw(image)
    for row in range(5):
        for column in range(8):
            x, y = 40 + 475 * column, 40 + 425 * row
            draw.rounded_rectangle((x, y, x + 440, y + 390), 12, fill="white", outline="#c9ccd3")
            for line in range(18):
                draw.text(
                    (x + 20, y + 15 + 20 * line), f"Order {row * 8 + column:03d}.{line} total 1,284.50", fill="#222"
                )
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def inputs(quick: bool, only: str | None) -> dict[str, Callable[[], bytes]]:
    """Name to maker; the 12 MP picture is drawn once."""
    large = photo(4000, 3000)
    turned = Image.Exif()
    turned[0x112] = 6
    translucent = large.copy()
    translucent.putalpha(Image.linear_gradient("L").resize(large.size))
    deep = Image.fromarray(np.asarray(large.convert("L")).astype(np.uint16) * 257)
    makers: dict[str, Callable[[], bytes]] = {
        "JPEG 1 MP": lambda: saved(large.resize((1155, 866)), "JPEG", quality=90),
        "JPEG 12 MP": lambda: saved(large, "JPEG", quality=90),
        "JPEG 12 MP progressive": lambda: saved(large, "JPEG", quality=90, progressive=True),
        "JPEG 12 MP grey": lambda: saved(large.convert("L"), "JPEG", quality=90),
        "JPEG 12 MP CMYK": lambda: saved(large.convert("CMYK"), "JPEG", quality=90),
        "JPEG 12 MP EXIF 6": lambda: saved(large, "JPEG", quality=90, exif=turned.tobytes()),
        "JPEG 48 MP": lambda: saved(large.resize((8000, 6000), Image.Resampling.BICUBIC), "JPEG", quality=90),
        "PNG 12 MP": lambda: saved(large, "PNG", compress_level=3),
        "PNG 4K screenshot": lambda: saved(screenshot(), "PNG"),
        "PNG 12 MP RGBA": lambda: saved(translucent, "PNG", compress_level=3),
        "PNG 12 MP 16-bit grey": lambda: saved(deep, "PNG", compress_level=3),
        "WebP 12 MP": lambda: saved(large, "WEBP", quality=85, method=0),
    }
    if quick:
        del makers["JPEG 48 MP"]
    return {name: make for name, make in makers.items() if only is None or only in name}


@dataclass(frozen=True, slots=True)
class Cell:
    cpu_ms: float | None  # None: it failed
    peak_mib: float
    error: str | None


def measure_here(method: str, path: Path, repeats: int) -> dict[str, Any]:
    """One cell: peak memory of the first run over what the process had before, least CPU time of all runs."""
    work, data = METHODS[method], path.read_bytes()
    warm = saved(Image.linear_gradient("L").convert("RGB"), "JPEG")
    work(warm)  # imports and tables, which are no part of any file's cost
    Image.init()
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    times: list[float] = []
    peak = 0
    for _ in range(repeats):
        started = time.process_time()
        try:
            failed = work(data) is None
        except OSError as exc:
            return {"cpu_ms": None, "peak_mib": 0, "error": type(exc).__name__}
        times.append(time.process_time() - started)
        peak = peak or _status("VmHWM")
        if failed:
            return {"cpu_ms": None, "peak_mib": 0, "error": "None"}
    return {"cpu_ms": min(times) * 1000, "peak_mib": (peak - before) / 2**20, "error": None}


def _status(name: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def run_cell(method: str, path: Path, repeats: int) -> Cell:
    command = [sys.executable, __file__, "--cell", method, "--file", str(path), "--repeats", str(repeats)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return Cell(**json.loads(result.stdout.splitlines()[-1]))


def _text(cell: Cell) -> str:
    return f"{cell.error}" if cell.cpu_ms is None else f"{cell.cpu_ms:.0f} / {cell.peak_mib:.0f}"


def table(quick: bool, repeats: int, only: str | None) -> dict[str, dict[str, Cell]]:
    print(f"CPU ms (least of {repeats}) / peak MiB over the process before, one fresh process a cell")
    print(
        f"Pillow {PIL.__version__}, numpy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs\n"
    )
    print(f"| file | KiB | {' | '.join(METHODS)} |\n|---|---|{'---|' * len(METHODS)}", flush=True)
    rows: dict[str, dict[str, Cell]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in inputs(quick, only).items():
            path = Path(folder) / "input"
            path.write_bytes(make())
            row = rows[name] = {method: run_cell(method, path, repeats) for method in METHODS}
            cells = " | ".join(_text(cell) for cell in row.values())
            print(f"| {name} | {math.ceil(path.stat().st_size / 1024)} | {cells} |", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="part of a file's name")
    parser.add_argument("--cell", choices=list(METHODS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure_here(options.cell, options.file, options.repeats)))
        return
    rows = table(options.quick, options.repeats, options.only)
    print(json.dumps({name: {m: [c.cpu_ms, c.peak_mib] for m, c in row.items()} for name, row in rows.items()}))


if __name__ == "__main__":
    main()
