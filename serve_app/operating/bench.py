"""Load on a running service, and what its callers got: answers a second, latency by stage, refusals by type.
Knows no Ray and prints nothing: a URL is enough, and which one it may be, `may_be_loaded` says."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import httpx2
from PIL import Image, ImageDraw

from serve_app.client.asynchronous import AsyncClient
from serve_app.core.comparing import CantCompare, Comparing
from serve_app.errors import ComparisonError, RateLimited
from serve_app.schema import ImageComparisonConfig, TimingsReport

Pair = tuple[bytes, bytes]

MOST_CALLERS: Final = 64
MOST_SECONDS: Final = 600.0
DRAWN_SIZE: Final = (800, 600)
# After a refusal, where it names no time or a long one: the load is bounded, and a refusal costs the service little.
PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 1.0
NO_ANSWER: Final = "no answer"
# What a comparison takes beside its stages: HTTP on both sides, Serve's queues, the way.
ELSEWHERE: Final = "elsewhere"
STAGES: Final = tuple(name for name in TimingsReport.model_fields if name != "total")


class BenchRefused(Exception):
    """There is nothing to load, or nobody may: one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got. `at_s`: when, since the begin; of a refusal its type, and no stages."""

    at_s: float
    took_ms: float
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    refusal: str | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds that a half, nine tenths and 99 of a hundred stayed under."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Result:
    seconds: float
    callers: int
    answers: int
    per_second: float
    cached: int
    latency_ms: Spread | None
    stages_ms: Mapping[str, Spread]
    refusals: Mapping[str, int]


@dataclass(slots=True)
class Load:
    """Callers at work, each with the next request as soon as the last is answered; `answers` grows meanwhile.

    Whoever ends it early finds in it what came until then. `clock` gives seconds.
    """

    comparing: Comparing
    pairs: Sequence[Pair]
    callers: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    answers: list[Answer] = field(default_factory=list)
    began: float | None = None
    ended: float | None = None

    @property
    def elapsed_s(self) -> float:
        return 0.0 if self.began is None else (self.clock() if self.ended is None else self.ended) - self.began

    async def run(self) -> None:
        """One comparison that isn't counted, then the load; requests under way at its end may finish.

        Raises BenchRefused where the first one shows that none would be answered.
        """
        await self._first()
        self.began = began = self.clock()
        upcoming = itertools.cycle(self.pairs)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.callers):
                    group.create_task(self._call(upcoming, began))
        finally:
            self.ended = self.clock()

    async def _first(self) -> None:
        try:
            await self.comparing.compare(*self.pairs[0], ImageComparisonConfig())
        except CantCompare as exc:
            raise BenchRefused(str(exc)) from exc
        except ComparisonError as exc:
            if exc.status < 500 and not isinstance(exc, RateLimited):
                raise BenchRefused(f"The service refuses: {exc.detail} ({exc.status} {exc.type})") from exc

    async def _call(self, upcoming: Iterator[Pair], began: float) -> None:
        while (left := began + self.seconds - self.clock()) > 0:
            pause = await self._ask(next(upcoming), began)
            if pause:
                await asyncio.sleep(min(pause, left))

    async def _ask(self, pair: Pair, began: float) -> float:
        """Seconds to wait before the next one."""
        sent = self.clock()
        try:
            report = await self.comparing.compare(*pair, ImageComparisonConfig())
        except ComparisonError as exc:
            self._note(sent, began, refusal=exc.type)
            return min(LONGEST_PAUSE_S, exc.retry_after_s or PAUSE_S)
        except CantCompare:
            self._note(sent, began, refusal=NO_ANSWER)
            return PAUSE_S
        stages = {name: float(getattr(report.timings_ms, name)) for name in STAGES}
        total = report.timings_ms.total
        self._note(sent, began, stages=stages, total=total, cached=report.cached)
        return 0.0

    def _note(
        self,
        sent: float,
        began: float,
        *,
        stages: Mapping[str, float] | None = None,
        total: float = 0.0,
        refusal: str | None = None,
        cached: bool = False,
    ) -> None:
        now = self.clock()
        took_ms = (now - sent) * 1000
        by_stage = {} if stages is None else {**stages, ELSEWHERE: max(0.0, took_ms - total)}
        self.answers.append(Answer(now - began, took_ms, by_stage, refusal, cached))


class Uncached(httpx2.AsyncBaseTransport):
    """Has each report computed anew and kept for nobody: work is to be measured, the same pairs over and over."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=MOST_CALLERS))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Cache-Control"] = "no-store"
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def opened(server: str, api_key: str | None = None) -> AsyncClient:
    """Asks `server` directly, through no proxy that the environment names."""
    return AsyncClient(server, api_key=api_key, max_retries=0, transport=Uncached())  # a refusal is counted


def may_be_loaded(server: str, *, is_owned: bool) -> None:
    """Raises BenchRefused for what is no URL of http, and for another machine that the caller hasn't said is theirs.

    Read by what will connect: two readers of one URL can see two hosts in it.
    """
    try:
        url = httpx2.URL(server)
    except httpx2.InvalidURL as exc:
        raise BenchRefused(f"{server} is no URL, such as http://127.0.0.1:8000.") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise BenchRefused(f"{server} is no URL of http or https, such as http://127.0.0.1:8000.")
    if not is_owned and not _is_loopback(url.host):
        raise BenchRefused(f"{url.host} is not this machine. If it is yours to load, say so: --i-own-this.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def drawn_pairs(number: int, size: tuple[int, int] = DRAWN_SIZE) -> list[Pair]:
    """Different pairs of PNGs; in each a square has come that wasn't there."""
    return [_drawn(seed, size) for seed in range(number)]


def _drawn(seed: int, size: tuple[int, int]) -> Pair:
    chosen = random.Random(seed)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = chosen.randrange(size[0] - 20), chosen.randrange(size[1] - 20)
        colour = chosen.choice(("navy", "teal", "grey", "black", "orange"))
        draw.rectangle((x, y, x + chosen.randrange(10, size[0] // 5), y + 12), fill=colour)
    reference = _encoded(image)
    x, y = chosen.randrange(size[0] - 80), chosen.randrange(size[1] - 80)
    draw.rectangle((x, y, x + 60, y + 60), fill="red")
    return reference, _encoded(image)


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def result(answers: Sequence[Answer], *, seconds: float, callers: int) -> Result:
    """Latency and stages of what was answered; refusals are counted apart."""
    good = [answer for answer in answers if answer.refusal is None]
    refusals = Counter(answer.refusal for answer in answers if answer.refusal is not None)
    stages = {}
    for name in (*STAGES, ELSEWHERE):
        found = spread([answer.stages_ms[name] for answer in good if name in answer.stages_ms])
        if found is not None:
            stages[name] = found
    return Result(
        seconds=round(seconds, 3),
        callers=callers,
        answers=len(good),
        per_second=round(len(good) / seconds, 3) if seconds > 0 else 0.0,
        cached=sum(answer.cached for answer in good),
        latency_ms=spread([answer.took_ms for answer in good]),
        stages_ms=stages,
        refusals=dict(refusals.most_common()),
    )


def line(answers: Sequence[Answer], *, seconds: float, callers: int) -> str:
    """How it goes, in less than 80 columns; before the begin, that."""
    if seconds <= 0:
        return "waiting for the first comparison, which isn't counted ..."
    found = result(answers, seconds=seconds, callers=callers)
    latency = (
        "" if found.latency_ms is None else f", p50 {found.latency_ms.p50:,.0f} ms, p99 {found.latency_ms.p99:,.0f} ms"
    )
    refused = sum(found.refusals.values())
    return f"{seconds:.0f} s: {found.per_second:.1f} answers/s{latency}{f', {refused} refused' if refused else ''}"


def spread(values: Sequence[float]) -> Spread | None:
    """None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(*(round(percentile(ordered, share), 1) for share in (0.5, 0.9, 0.99)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest values of a sorted sequence, as numpy has it by default.

    >>> percentile([1, 2, 3, 4], 0.5), percentile([7], 0.99)
    (2.5, 7.0)
    """
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
