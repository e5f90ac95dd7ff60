"""A load against comparers that do as told: what is counted, when it ends, whom it may load."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve_app.core.comparing import CantCompare
from serve_app.errors import ApiKeyRequired, DeadlineExceeded, Overloaded, RateLimited
from serve_app.operating import bench, bench_plot
from serve_app.operating.bench import Answer, BenchRefused, Load, Pair, Spread
from serve_app.schema import ComparisonReport, Envelope, ImageComparisonConfig, TimingsReport
from serve_app.views import axes
from tests.rigs.http_server import served
from tests.worlds.jobs import made_report

PAIRS: list[Pair] = [(b"a%d" % number, b"b%d" % number) for number in range(4)]
TIMINGS = TimingsReport(queue=1, prepare=2, measure=3, read=4, assess=5, total=15)
REPORT = made_report().model_copy(update={"timings_ms": TIMINGS})


class Comparer:
    """Takes a while, counts who is inside, and raises what it is told to, one fault a call."""

    def __init__(self, *faults: Exception | None, takes_s: float = 0.002) -> None:
        self.faults = list(faults)
        self.takes_s = takes_s
        self.asked: list[Pair] = []
        self.inside = self.most_inside = 0
        self.is_warm = asyncio.Event()

    async def compare(self, reference: bytes, candidate: bytes, config: ImageComparisonConfig) -> ComparisonReport:
        self.asked.append((reference, candidate))
        if len(self.asked) > 10:
            self.is_warm.set()
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.inside -= 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return REPORT


async def test_as_many_ask_at_once_as_there_are_callers_and_all_is_counted_but_the_first() -> None:
    comparer = Comparer()
    load = Load(comparer, PAIRS, callers=3, seconds=0.2)
    await load.run()

    assert comparer.most_inside == 3
    assert len(load.answers) == len(comparer.asked) - 1 > 10
    assert comparer.asked[:5] == [PAIRS[0], *PAIRS]
    assert 0.2 <= load.elapsed_s < 1.0
    assert all(answer.took_ms >= 2 for answer in load.answers)
    for answer in load.answers:
        elsewhere = max(0.0, answer.took_ms - 15)
        assert answer.stages_ms == {
            "queue": 1, "prepare": 2, "measure": 3, "read": 4, "assess": 5, bench.ELSEWHERE: elsewhere
        }  # fmt: skip


async def test_refusals_are_counted_by_type_and_the_load_goes_on() -> None:
    faults = (
        None,
        Overloaded("Full.", retry_after_s=1),
        RateLimited("Slow."),
        DeadlineExceeded("Late."),
        CantCompare("Gone."),
    )
    load = Load(Comparer(*faults), PAIRS, callers=4, seconds=0.3)
    await load.run()
    found = bench.result(load.answers, seconds=load.elapsed_s, callers=4)

    assert found.refusals == {"overloaded": 1, "rate_limited": 1, "deadline_exceeded": 1, "no answer": 1}
    assert found.answers == len(load.answers) - 4 > 0
    assert found.per_second == pytest.approx(found.answers / load.elapsed_s, rel=0.01)


async def test_a_refused_caller_waits_before_it_asks_again() -> None:
    comparer = Comparer(*[Overloaded("Full.")] * 1000, takes_s=0.0)
    await Load(comparer, PAIRS, callers=1, seconds=0.5).run()
    assert len(comparer.asked) <= 1 + 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [(ApiKeyRequired("A key is wanted."), "A key is wanted. (401 api_key"), (CantCompare("Gone."), "Gone.")],
)
async def test_what_will_not_be_answered_is_not_loaded(fault: Exception, words: str) -> None:
    comparer = Comparer(fault)
    with pytest.raises(BenchRefused) as refused:
        await Load(comparer, PAIRS, callers=4, seconds=5).run()
    assert words in str(refused.value)
    assert len(comparer.asked) == 1


async def test_a_service_that_is_full_at_first_is_loaded() -> None:
    load = Load(Comparer(Overloaded("Full.")), PAIRS, callers=1, seconds=0.05)
    await load.run()
    assert load.answers


async def test_ended_early_it_has_what_came_and_leaves_nobody_asking() -> None:
    comparer = Comparer(takes_s=0.01)
    load = Load(comparer, PAIRS, callers=2, seconds=60)
    running = asyncio.create_task(load.run())
    await comparer.is_warm.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert comparer.inside == 0
    assert load.ended is not None
    assert bench.result(load.answers, seconds=load.elapsed_s, callers=2).answers == len(load.answers) >= 5


@pytest.mark.parametrize(
    "server",
    ["http://127.0.0.1:8000", "http://localhost", "https://[::1]:8000/", "http://127.3.2.1", "http://LOCALHOST:1"],
)
def test_this_machine_may_be_loaded(server: str) -> None:
    bench.may_be_loaded(server, is_owned=False)


@pytest.mark.parametrize(
    "server",
    [
        "http://example.com", "http://127.0.0.1@example.com", "http://127.0.0.1.example.com", "http://10.0.0.1",
        "http://localhost.example.com", "http://0.0.0.0", "http://example.com#127.0.0.1", "http://localhost:pass@10.0.0.1",
    ],
)  # fmt: skip
def test_another_machine_only_by_whom_it_belongs_to(server: str) -> None:
    with pytest.raises(BenchRefused, match=r"is not this machine.*--i-own-this"):
        bench.may_be_loaded(server, is_owned=False)
    bench.may_be_loaded(server, is_owned=True)


@pytest.mark.parametrize(
    "server", ["", "127.0.0.1:8000", "file:///etc/passwd", "ftp://127.0.0.1", "http://", "http://[::1"]
)
def test_what_is_no_url_of_http_is_refused_to_its_owner_too(server: str) -> None:
    with pytest.raises(BenchRefused, match="is no URL"):
        bench.may_be_loaded(server, is_owned=True)


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert bench.spread([]) is None
    assert bench.spread([5.0]) == Spread(5.0, 5.0, 5.0)
    assert bench.spread([float(value) for value in range(100, -1, -1)]) == Spread(50.0, 90.0, 99.0)


def test_only_what_was_answered_has_a_latency() -> None:
    answers = [
        Answer(1.0, 100.0, {"queue": 10.0, "assess": 50.0}),
        Answer(2.0, 300.0, {"queue": 30.0, "assess": 70.0}, cached=True),
        Answer(3.0, 9000.0, refusal="overloaded"),
    ]
    found = bench.result(answers, seconds=4.0, callers=2)
    assert (found.answers, found.per_second, found.cached) == (2, 0.5, 1)
    assert found.latency_ms == Spread(200.0, 280.0, 298.0)
    assert found.stages_ms == {"queue": Spread(20.0, 28.0, 29.8), "assess": Spread(60.0, 68.0, 69.8)}
    assert bench.line(answers, seconds=4.0, callers=2) == "4 s: 0.5 answers/s, p50 200 ms, p99 298 ms, 1 refused"
    assert bench.result([], seconds=0.0, callers=2).per_second == 0.0


def test_drawn_pairs_differ_from_each_other_and_within() -> None:
    pairs = bench.drawn_pairs(4)
    assert len({picture for pair in pairs for picture in pair}) == 8
    assert Image.open(io.BytesIO(pairs[0][1])).size == bench.DRAWN_SIZE
    assert pairs == bench.drawn_pairs(4)


async def test_each_request_asks_for_a_report_that_nobody_keeps() -> None:
    seen: list[str] = []

    async def compare(request: Request) -> Response:
        seen.append(request.headers["cache-control"])
        await request.body()
        envelope = Envelope[ComparisonReport](code=200, msg="ok", data=REPORT, error=None, request_id="r-1")
        return Response(envelope.model_dump_json(), media_type="application/json")

    make: Callable[[], Any] = lambda: Starlette(routes=[Route("/v1/compare", compare, methods=["POST"])])  # noqa: E731
    with served(make) as url:
        async with bench.opened(url) as client:
            load = Load(client, bench.drawn_pairs(2), callers=2, seconds=0.3)
            await load.run()
    assert set(seen) == {"no-store"}
    assert len(seen) == len(load.answers) + 1
    assert {answer.refusal for answer in load.answers} == {None}


def test_a_plot_has_a_point_where_the_latency_was() -> None:
    answers = [Answer(5.0, 100.0), Answer(9.0, 40.0), Answer(7.0, 1.0, refusal="overloaded")]
    image = bench_plot.plot(answers, 10.0, "a load")
    frame = axes.Axes((70, 60, 690, 420), 10.0, 100.0)
    assert image.size == bench_plot.SIZE
    assert image.getpixel(_pixel(frame.at(5.0, 100.0))) == (31, 111, 235)
    assert image.getpixel(_pixel(frame.at(9.0, 40.0))) == (31, 111, 235)
    assert image.getpixel(_pixel(frame.at(7.0, 1.0))) == (209, 36, 47)
    assert image.getpixel(_pixel(frame.at(3.0, 50.0))) == (255, 255, 255)
    assert bench_plot.plot([], 0.0, "nothing came").size == bench_plot.SIZE


def _pixel(at: tuple[float, float]) -> tuple[int, int]:
    return round(at[0]), round(at[1])


def test_a_histogram_holds_every_value() -> None:
    counts = bench_plot.histogram([0.0, 99.9, 100.0, 50.0], 100.0)
    assert (counts[0], counts[-1], counts[15], sum(counts)) == (1, 2, 1, 4)


@pytest.mark.parametrize("most", [4, 7, 13, 55, 130, 999])
def test_ticks_of_counts_are_whole_numbers_up_to_the_end_of_the_axis(most: int) -> None:
    end = axes.ceiling(most)
    marks = list(axes.ticks(end))
    assert end >= most
    assert marks[-1] == end
    assert all(mark == round(mark) for mark in marks)
