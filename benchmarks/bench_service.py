"""What the service itself costs a request, beside the work of its stages: CPU seconds by process.

    python -m benchmarks.bench_service [--requests 300]

One Ray of its own, the default engine, one replica a deployment, requests one after another over one connection: a pair
of PNGs of about 70 kB. No report is taken from the cache. Each row is the CPU time of one kind of process, of the
kernel's work for it too, by request.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np
import psutil
from PIL import Image
from skimage import data

from tests.rigs.nodes import free_port

PARTS: Final = {"proxy": "ray::ProxyActor", "Ingress": ":Ingress", "Preprocessor": ":Preprocessor"}
WARM_UP: Final = 30
IDLE_S: Final = 10


def pair() -> tuple[bytes, bytes]:
    """A photograph of 190 x 190 pixels, 70 kB as a PNG, and the same with a patch."""
    picture = Image.fromarray(data.astronaut()).resize((190, 190))
    patched = np.asarray(picture).copy()
    patched[20:50, 20:50] = (255, 0, 0)
    return _png(picture), _png(Image.fromarray(patched))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def cpu_s() -> dict[str, float]:
    """By part, all processes of it together."""
    spent = dict.fromkeys(PARTS, 0.0)
    for process in psutil.Process().children(recursive=True):
        title = " ".join(process.cmdline())
        for part, mark in PARTS.items():
            if mark in title and title.startswith("ray::"):
                used = process.cpu_times()
                spent[part] += used.user + used.system
    return spent


def measure(url: str, num_requests: int) -> dict[str, Any]:
    one, two = pair()
    files = [("files", ("a.png", one)), ("files", ("b.png", two))]
    took = []
    with httpx2.Client(base_url=url, timeout=60, headers={"Cache-Control": "no-store"}) as client:
        for number in range(WARM_UP + num_requests):
            if number == WARM_UP:
                before = cpu_s()
            began = time.perf_counter()
            answer = client.post("/v1/compare", files=files)
            took.append(time.perf_counter() - began)
            assert answer.status_code == httpx2.codes.OK, answer.text
        after = cpu_s()
    time.sleep(IDLE_S)
    idle = cpu_s()
    stages = json.loads(answer.text)["data"]["timings_ms"]
    return {
        "upload_kb": (len(one) + len(two)) / 1000,
        "wall_ms": statistics.median(took[WARM_UP:]) * 1000,
        "stages_ms": stages["prepare"] + stages["measure"],
        "idle_ms_a_second": {part: (idle[part] - after[part]) / IDLE_S * 1000 for part in PARTS},
        "cpu_ms": {part: (after[part] - before[part]) / num_requests * 1000 for part in PARTS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    asked = parser.parse_args()
    from serve_app.operating.own_ray import SERVE_ENVIRONMENT

    os.environ.update(SERVE_ENVIRONMENT)
    os.environ.update({"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"})
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    row = served(asked.requests)
    print(
        f"load {os.getloadavg()[0]:.1f}; {row['upload_kb']:.0f} kB uploaded, median {row['wall_ms']:.0f} ms a request,"
    )
    print(f"of which its stages took {row['stages_ms']:.0f} ms\n")
    print("| process | CPU ms a request | CPU ms a second, idle |\n|---|---|---|")
    for part, spent_ms in row["cpu_ms"].items():
        print(f"| {part} | {spent_ms:.1f} | {row['idle_ms_a_second'][part]:.1f} |")
    print(json.dumps(row))


def served(num_requests: int) -> dict[str, Any]:
    import ray
    from ray import serve

    from serve_app.app import graph
    from serve_app.settings import JobSettings, Settings
    from tests.cluster.conftest import is_ready
    from tests.cluster.waiting import eventually

    port = free_port()
    ray.init(
        address="local", num_cpus=8, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        serve.run(graph(Settings(jobs=JobSettings(enabled=False))), name="bench", route_prefix="/bench")
        url = f"http://127.0.0.1:{port}/bench"
        eventually(lambda: is_ready(url), within_s=60)
        return measure(url, num_requests)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
