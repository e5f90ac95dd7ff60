"""Measures the measurement: speed and memory beside odiff and pixelmatch, scores by distortion, the hard pairs.

Run from the repository: `python -m benchmarks.bench_measurement [--peers] [--quick] [--speed] [--cpu]`. `--peers` and
`--cpu` install odiff-bin and pixelmatch with npm into a temporary folder. Prints Markdown; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in replicas, where Ray sees to it

import cv2

from benchmarks.peers import measurement_speed
from benchmarks.peers.measurement_speed import raster
from serve_app import measurement
from tests.measurement.test_similarity import DISTORTED, PICTURES
from tests.worlds.pairs import distortions, hard_pairs, photographs, screenshot


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


def matrix() -> list[dict[str, object]]:
    """Every aspect's score under each aspect's own distortion."""
    rows: list[dict[str, object]] = []
    for name, picture in PICTURES.items():
        for aspect, distorted in DISTORTED.items():
            found = measurement.measure(raster(picture), raster(distorted(picture)))
            rows.append({"picture": name, "distorted": aspect, **found.aspects})
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:10}" for v in rows[-1].values()))
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
    parser.add_argument("--peers", action="store_true", help="Run odiff and pixelmatch beside")
    parser.add_argument("--quick", action="store_true", help="No picture above one megapixel")
    parser.add_argument(
        "--cpu", action="store_true", help="Beside odiff and pixelmatch by CPU time alone: a shared machine"
    )
    parser.add_argument("--speed", action="store_true", help="Speed and memory only")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        speed = measurement_speed.report(Path(name), peers=options.peers, quick=options.quick, by_cpu=options.cpu)
    result: dict[str, object] = {
        "speed": speed,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    if not options.speed and not options.cpu:
        result |= {"exam": exam(), "scores": scores(), "aspects": matrix()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
