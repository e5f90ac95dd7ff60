"""What `pairlens eval` costs beside its comparisons: seconds and memory for many labelled pairs, whole, ended half way
and gone on with, and once more with nothing left to ask. A table and a line of JSON.

    python -m benchmarks.jobs.bench_evaluation --pairs 1000
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.evaluation.labelled import write

ROOT = Path(__file__).parents[2]
POLL_S = 0.05
# A shell's background job begins with Ctrl-C ignored, and so does what it starts.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from serve_app.cli.main import app; app()"
)


@dataclass(frozen=True)
class Cost:
    """Of one command: its own process and those it started."""

    what: str
    seconds: float
    cpu_s: float
    peak_mib: float
    rows: int
    code: int


def cost(what: str, folder: Path, *options: str, until_rows: int | None = None) -> Cost:
    """Run it; with `until_rows`, end it by Ctrl-C once so many are kept."""
    kept = folder / "pairs.results.jsonl"
    command = [sys.executable, "-c", PROGRAM, "eval", "pairs.csv", *options]
    began, peak, cpu_s, is_told = time.perf_counter(), 0, 0.0, False
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    ) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                peak = max(peak, process.memory_full_info().uss)
                cpu_s = sum(process.cpu_times()[:2])
            except psutil.Error:
                break
            if until_rows is not None and not is_told and rows(kept) >= until_rows:
                running.send_signal(signal.SIGINT)
                is_told = True
            time.sleep(POLL_S)
    return Cost(what, time.perf_counter() - began, cpu_s, peak / 2**20, rows(kept), running.returncode)


def rows(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=(160, 120))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, asked.pairs, size=tuple(asked.size), wrong=0.02)
        options = ("--config", '{"read_text": false}', "--precision", "0.99", "--html", "out.html", "--plots", "plots")
        half = cost("ended half way", folder, *options, until_rows=asked.pairs // 2)
        rest = cost("gone on with", folder, *options)
        again = cost("once more", folder, *options)
        results_mib = (folder / "pairs.results.jsonl").stat().st_size / 2**20
        page_kib = (folder / "out.html").stat().st_size / 2**10
    print("| run | seconds | CPU seconds | peak MiB (USS) | rows kept | exit code |\n|---|---|---|---|---|---|")
    for each in (half, rest, again):
        print(
            f"| {each.what} | {each.seconds:.1f} | {each.cpu_s:.1f} | {each.peak_mib:.0f} | {each.rows} | {each.code} |"
        )
    told = {"pairs": asked.pairs, "results_mib": round(results_mib, 2), "page_kib": round(page_kib)}
    print(json.dumps({**told, "runs": [asdict(each) for each in (half, rest, again)]}))


if __name__ == "__main__":
    main()
