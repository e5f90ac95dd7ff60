"""What the cache of reports costs and saves, end to end in this process: HTTP in, HTTP out, no Ray and no socket.

    python -m benchmarks.bench_cache [--hits 200] [--redis URL]

Each row is a pair of pictures. A hit: the whole way from the request's first byte to the answer's last, hashing of both
files included. Then 50 equal requests at once, by how many computations they cost. `--redis`: the same hits out of a
Redis, as they are after a replica's start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import time
from typing import Any, Final

import httpx2

from serve_app.comparison.remembered import Lookup, Remembered
from serve_app.local import open_pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Limits, Settings
from serve_app.storage.redis_reports import RedisReports
from serve_app.storage.reports import InMemory, Reports
from tests.worlds.samples import card, encoded, noise

AT_ONCE: Final = 50
BYTES: Final = 256 * 2**20


def pairs() -> dict[str, tuple[bytes, bytes, dict[str, Any]]]:
    """Name to pictures and config."""
    photo = [encoded(noise(size, 700)) for size in (1000, 1001)]
    visuals = {"visuals": ["overlay", "heatmap", "side_by_side"]}
    small = encoded(card()), encoded(card("red"))
    return {
        "drawn cards": (*small, {}),
        "drawn cards, three visuals": (*small, visuals),
        "two pictures of noise": (photo[0], photo[1], {}),
        "the same, three visuals": (photo[0], photo[1], visuals),
    }


class Asked:
    """One service with an empty cache, and what became of each look into it."""

    def __init__(self, pipeline: Any, settings: Settings, reports: Reports) -> None:
        self.looked: list[Lookup] = []
        remembered = Remembered(pipeline, settings, reports, on_lookup=self.looked.append)
        app = create_app(
            pipeline, settings, readiness=AlwaysReady(), logger=logging.Logger("bench"), remembered=remembered
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://bench", timeout=120)

    async def ask(self, pair: tuple[bytes, bytes, dict[str, Any]]) -> tuple[float, int]:
        """Milliseconds and bytes of one answer."""
        files = [("files", ("a", pair[0])), ("files", ("b", pair[1]))]
        request = self.client.build_request("POST", "/v1/compare", files=files, data={"config": json.dumps(pair[2])})
        await request.aread()
        began = time.perf_counter()
        response = await self.client.send(request)
        took_ms = (time.perf_counter() - began) * 1000
        assert response.status_code == 200, response.text
        return took_ms, len(response.content)


async def row(name: str, pair: tuple[bytes, bytes, dict[str, Any]], hits: int, reports: Reports) -> dict[str, Any]:
    settings = Settings(limits=Limits(max_pending_requests=2 * AT_ONCE))  # one caller may have three quarters
    async with open_pipeline(settings) as pipeline:
        service = Asked(pipeline, settings, reports)
        async with service.client:
            await asyncio.gather(*(service.ask(pair) for _ in range(AT_ONCE)))
            computations = service.looked.count("miss")
            answers = [await service.ask(pair) for _ in range(hits)]
            took = [each_ms for each_ms, _ in answers]
            assert set(service.looked[AT_ONCE:]) == {"hit"}
            missed = Asked(pipeline, settings, InMemory(BYTES))
            async with missed.client:
                miss_ms, _ = await missed.ask(pair)
    return {
        "pair": name,
        "upload_kb": (len(pair[0]) + len(pair[1])) / 1000,
        "answer_kb": answers[-1][1] / 1000,
        "miss_ms": miss_ms,
        "hit_ms": statistics.median(took),
        "hit_p95_ms": statistics.quantiles(took, n=20)[-1],
        "computations": computations,
    }


async def rows(hits: int, redis: str | None) -> list[dict[str, Any]]:
    measured = []
    for name, pair in pairs().items():
        reports: Reports = InMemory(BYTES) if redis is None else RedisReports(redis)
        measured.append(await row(name, pair, hits, reports))
        await reports.aclose()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hits", type=int, default=200, help="timed a pair")
    parser.add_argument("--redis", help="URL of an empty Redis, asked for each hit")
    options = parser.parse_args()
    measured = asyncio.run(rows(options.hits, options.redis))
    print(f"| pair | sent KB | answer KB | computed, ms | hit, ms | hit, p95 | {AT_ONCE} at once: computations |")
    print("|---|---|---|---|---|---|---|")
    for each in measured:
        print(
            f"| {each['pair']} | {each['upload_kb']:.0f} | {each['answer_kb']:.0f} | {each['miss_ms']:.0f} | "
            f"{each['hit_ms']:.2f} | {each['hit_p95_ms']:.2f} | {each['computations']} |"
        )
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
