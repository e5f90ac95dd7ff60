"""Admission against a made-up cluster with a clock of its own: promises kept under ten times the load, and fair."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from serve_app.core.clock import Deadline
from serve_app.errors import DeadlineExceeded, Draining, Overloaded, Unavailable
from serve_app.serving.admission import Admission, Ticket
from serve_app.serving.admission.capacity import ENOUGH, WINDOW, Capacity
from serve_app.serving.admission.entrance import BACK_S
from serve_app.serving.admission.round_robin import RoundRobin
from serve_app.settings import Limits
from tests.worlds.admission import World


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("timeout_s", "spread"), [(1.5, 0.05), (3, 0.3), (20, 0.8)])
def test_promises_are_kept_at_ten_times_the_capacity(seed: int, timeout_s: float, spread: float) -> None:
    dice = random.Random(seed)
    world = World(replicas=2, job_s=lambda: 0.2 * dice.lognormvariate(-spread * spread / 2, spread))
    number = world.arrivals("a", rate_per_s=100, until=60, timeout_s=timeout_s, dice=dice)
    world.run()
    answered, late, refused = world.answered["a"], world.late["a"], world.refused["a"]
    assert answered + late + refused == number
    assert late <= 0.01 * (answered + late), f"{late} of {answered + late} promises were broken"
    assert answered > 0.9 * 10 * 60, f"{answered} answers where 600 were possible"


@pytest.mark.parametrize(("replicas", "entrances"), [(2, 2), (1, 2), (3, 2), (8, 3)])
def test_promises_are_kept_by_entrances_that_share_the_replicas(replicas: int, entrances: int) -> None:
    dice = random.Random(replicas)
    world = World(replicas, lambda: dice.uniform(0.3, 0.7), entrances)
    world.arrivals("a", rate_per_s=10 * 2 * replicas, until=60, timeout_s=6, dice=dice)
    world.run()
    assert world.late.total() <= 0.01 * world.answered.total()
    assert world.answered.total() > 0.9 * 2 * replicas * 60


@pytest.mark.parametrize("seed", range(5))
def test_a_greedy_caller_does_not_push_out_a_modest_one(seed: int) -> None:
    dice = random.Random(seed)
    world = World(replicas=2, job_s=lambda: dice.uniform(0.15, 0.25))
    world.arrivals("greedy", rate_per_s=100, until=60, timeout_s=3, dice=dice)
    modest = world.arrivals("modest", rate_per_s=3, until=60, timeout_s=3, dice=dice)
    world.run()
    assert world.answered["modest"] >= 0.97 * modest, "its 3 a second are less than half of the 10 there are"
    assert world.late.total() <= 0.01 * world.answered.total()
    assert world.answered.total() > 0.9 * 10 * 60


@pytest.mark.parametrize("seed", range(3))
def test_many_callers_get_alike(seed: int) -> None:
    dice = random.Random(seed)
    callers = [f"c{number}" for number in range(8)]
    world = World(replicas=2, job_s=lambda: dice.uniform(0.15, 0.25))
    for index, caller in enumerate(callers):
        world.arrivals(caller, rate_per_s=5 + 5 * index, until=60, timeout_s=4, dice=dice)
    world.run()
    shares = [world.answered[caller] for caller in callers]
    assert min(shares) > 0.7 * max(shares)
    assert world.late.total() <= 0.01 * world.answered.total()


def test_short_and_long_deadlines_share_the_queue() -> None:
    dice = random.Random(7)
    world = World(replicas=4, job_s=lambda: dice.uniform(0.3, 0.7))
    world.arrivals("hasty", rate_per_s=20, until=60, timeout_s=4, dice=dice)
    world.arrivals("patient", rate_per_s=20, until=60, timeout_s=30, dice=dice)
    world.run()
    assert world.late.total() <= 0.01 * world.answered.total()
    assert min(world.answered.values()) > 0.3 * world.answered.total()


def test_no_load_is_never_refused() -> None:
    dice = random.Random(3)
    world = World(replicas=2, job_s=lambda: 0.2)
    world.arrivals("a", rate_per_s=3, until=120, timeout_s=3, dice=dice)
    world.run()
    assert world.refused["a"] == 0


def test_an_estimate_far_too_high_heals() -> None:
    dice = random.Random(5)
    world = World(replicas=2, job_s=lambda: 0.2)
    for _ in range(WINDOW):
        world.stages[0].capacity.observe(50.0, 1)
    world.arrivals("a", rate_per_s=50, until=60, timeout_s=3, dice=dice)
    world.run()
    assert world.answered["a"] > 0.85 * 10 * 60


def test_a_slower_model_is_noticed() -> None:
    dice = random.Random(11)
    world = World(replicas=2, job_s=lambda: 0.2 if world.now < 30 else 0.6)
    world.arrivals("a", rate_per_s=100, until=120, timeout_s=6, dice=dice)
    world.run()
    assert world.late["a"] <= 20, "only what had been promised before"


def test_callers_take_turns() -> None:
    turns: RoundRobin[str] = RoundRobin()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.push(item[0], item)
    turns.remove("a", "a2")
    turns.remove("a", "a2")
    assert [turns.pop() for _ in range(len(turns))] == ["a1", "b1", "c1", "a3", "c2"]
    with pytest.raises(IndexError):
        turns.pop()


def test_jobs_side_by_side_cost_a_worker_less_than_they_take() -> None:
    capacity = Capacity(guess_s=9)
    capacity.workers = 2
    for _ in range(ENOUGH):
        capacity.observe(0.8, num_held=4)
    assert capacity.job_s == pytest.approx(0.4)
    assert capacity.wait_s(10) == pytest.approx(2.0)


def test_a_guess_holds_until_enough_was_seen() -> None:
    capacity = Capacity(guess_s=9)
    for _ in range(ENOUGH - 1):
        capacity.observe(0.1, 1)
    assert capacity.job_s == 9
    capacity.observe(0.1, 1)
    assert capacity.job_s == pytest.approx(0.1)


def test_one_cold_start_does_not_close_the_door() -> None:
    capacity = Capacity(guess_s=9)
    for took_s in (60.0, *[0.2] * 9):
        capacity.observe(took_s, 1)
    assert capacity.job_s < 1


def test_a_job_given_up_early_tells_nothing() -> None:
    capacity = Capacity(guess_s=9)
    for _ in range(ENOUGH):
        capacity.observe(2.0, 1)
    capacity.observe_unfinished(0.1, 1)
    assert capacity.job_s == pytest.approx(2.0)
    capacity.observe_unfinished(4.0, 1)
    assert capacity.job_s > 2.0


def entrance(**limits: int) -> Admission:
    admission = Admission(Limits.model_validate(limits), ("examine", "assess"))
    admission.resize("examine", 1, entrances=1, sent_to_each=1)
    admission.resize("assess", 1, entrances=1, sent_to_each=1)
    return admission


async def inside(ticket: Ticket, until: asyncio.Event, order: list[str]) -> None:
    deadline = Deadline.after(30)
    async with ticket.at("assess", deadline):
        order.append(ticket.caller)
        await until.wait()
    ticket.leave()


@pytest.mark.parametrize(("replicas", "entrances", "at_once"), [(1, 1, 2), (3, 1, 6), (1, 2, 2), (2, 2, 3), (4, 8, 5)])
async def test_one_entrance_of_several_keeps_all_replicas_at_work_and_shows_that_one_more_waits(
    replicas: int, entrances: int, at_once: int
) -> None:
    admission, done, order = Admission(Limits(), ("examine", "assess")), asyncio.Event(), list[str]()
    admission.resize("assess", replicas, entrances=entrances, sent_to_each=2)
    tickets = [admission.enter(f"caller {number}", Deadline.after(60)) for number in range(10)]
    asked = [asyncio.create_task(inside(ticket, done, order)) for ticket in tickets]
    await asyncio.sleep(0)
    assert len(order) == at_once
    done.set()
    await asyncio.gather(*asked)


async def test_a_stage_takes_callers_in_turn() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    tickets = [admission.enter(caller, Deadline.after(60)) for caller in ("a", "a", "a", "b")]
    asked = [asyncio.create_task(inside(ticket, done, order)) for ticket in tickets]
    await asyncio.sleep(0)
    assert order == ["a"]
    done.set()
    await asyncio.gather(*asked)
    assert order == ["a", "a", "b", "a"]
    assert admission.num_pending == 0


async def test_who_gives_up_waiting_leaves_no_trace() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    first, second, third = (admission.enter(caller, Deadline.after(60)) for caller in ("a", "b", "c"))
    asked = [asyncio.create_task(inside(ticket, done, order)) for ticket in (first, second, third)]
    await asyncio.sleep(0)
    asked[1].cancel()
    done.set()
    await asyncio.gather(*asked, return_exceptions=True)
    second.leave()
    assert order == ["a", "c"]
    assert (admission.num_pending, admission.expected_wait_s) == (0, 0.0)


async def test_a_deadline_that_passes_while_waiting_is_said_so() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    first = asyncio.create_task(inside(admission.enter("a", Deadline.after(60)), done, order))
    await asyncio.sleep(0)
    waiting = admission.enter("b", Deadline.after(60))
    with pytest.raises(DeadlineExceeded):
        async with waiting.at("assess", Deadline.after(0.02)):
            order.append("never")
    done.set()
    await first
    assert order == ["a"]


def test_the_wait_in_front_is_what_a_refused_caller_is_told() -> None:
    admission = entrance()
    admission.enter("a", Deadline.after(60)).promise(Deadline.after(60))
    admission.enter("b", Deadline.after(60)).promise(Deadline.after(60))
    late = admission.enter("c", Deadline.after(60))
    with pytest.raises(Overloaded) as refusal:
        late.promise(Deadline.after(3))
    assert refusal.value.retry_after_s == 4, "two jobs guessed at 2 s each"


def test_a_promise_given_up_makes_room() -> None:
    admission = entrance()
    first = admission.enter("a", Deadline.after(60))
    first.promise(Deadline.after(60))
    first.leave()
    first.leave()
    admission.enter("b", Deadline.after(60)).promise(Deadline.after(3))


def test_a_lost_stage_is_waited_for_a_while_by_those_who_have_the_time() -> None:
    now = time.time()
    admission = Admission(Limits(), ("examine", "assess"), clock=lambda: now)
    admission.resize("assess", 0, entrances=1, sent_to_each=2)
    admission.enter("a", Deadline.after(60)).promise(Deadline.after(60))
    with pytest.raises(Unavailable) as refusal:
        admission.enter("b", Deadline.after(60)).promise(Deadline.after(5))
    assert (refusal.value.type, refusal.value.retry_after_s) == ("not_ready", 5)
    now += BACK_S + 1
    late = admission.enter("c", Deadline.after(60))
    with pytest.raises(Unavailable):
        late.promise(Deadline.after(60))
    admission.resize("assess", 0, entrances=1, sent_to_each=2, rests=True)
    late.promise(Deadline.after(60))


def test_one_caller_never_takes_the_last_places() -> None:
    admission = entrance(max_pending_requests=8)
    for _ in range(6):
        admission.enter("a", Deadline.after(60))
    with pytest.raises(Overloaded):
        admission.enter("a", Deadline.after(60))
    for caller in ("b", "c"):
        admission.enter(caller, Deadline.after(60))
    with pytest.raises(Overloaded):
        admission.enter("d", Deadline.after(60))


def test_the_services_own_comparisons_are_never_refused() -> None:
    admission = entrance(max_pending_requests=1)
    admission.enter("a", Deadline.after(60))
    with pytest.raises(Overloaded):
        admission.enter("b", Deadline.after(60))
    own = admission.trusted("own")
    assert admission.num_pending == 1
    own.leave()
    assert admission.num_pending == 1


def test_work_that_several_wait_for_stands_in_the_queues_but_not_among_those_pending() -> None:
    admission = entrance(max_pending_requests=4)
    tickets = [admission.enter("a", Deadline.after(60)) for _ in range(2)]
    work = tickets[0].apart()
    work.promise(Deadline.after(60))
    tickets[0].leave()
    assert work.caller == "a"
    assert (admission.num_pending, admission.stages["assess"].num_promised) == (1, 1)
    work.leave()
    assert (admission.num_pending, admission.stages["assess"].num_promised) == (1, 0), "the other one is still here"


async def test_work_in_the_background_comes_after_all_that_somebody_waits_for() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    tickets = [
        admission.enter("a", Deadline.after(60)),
        *(admission.in_background(caller) for caller in ("x", "x", "x", "y")),
        *(admission.enter(caller, Deadline.after(60)) for caller in ("b", "c")),
    ]
    asked = [asyncio.create_task(inside(ticket, done, order)) for ticket in tickets]
    await asyncio.sleep(0)
    assert order == ["a"]
    done.set()
    await asyncio.gather(*asked)
    assert order == ["a", "b", "c", "job:x", "job:y", "job:x", "job:x"]


async def test_work_in_the_background_counts_as_nobodys_request_and_gives_up_without_a_trace() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    mine = admission.enter("a", Deadline.after(60))
    first, second = admission.in_background("a"), admission.in_background("a")
    asked = [asyncio.create_task(inside(ticket, done, order)) for ticket in (first, second)]
    await asyncio.sleep(0)
    assert admission.num_pending == 1
    asked[1].cancel()
    done.set()
    await asyncio.gather(*asked, return_exceptions=True)
    second.leave()
    assert (order, admission.num_pending, admission.expected_wait_s) == (["job:a"], 1, 0.0)
    mine.leave()
    assert admission.drain() == 0
    with pytest.raises(Draining):
        admission.in_background("a")


async def test_work_in_the_background_that_had_no_turn_may_try_again_but_not_for_ever() -> None:
    admission, done, order = entrance(), asyncio.Event(), list[str]()
    first = asyncio.create_task(inside(admission.enter("a", Deadline.after(60)), done, order))
    await asyncio.sleep(0)

    async def waited() -> None:
        async with admission.in_background("b").at("assess", Deadline.after(0.02)):
            order.append("never")

    with pytest.raises(Overloaded):
        await waited()
    for _ in range(4):
        admission.stages["assess"].capacity.observe(5.0, 1)
    with pytest.raises(DeadlineExceeded):  # it could not end in that time, whenever its turn came
        await waited()
    done.set()
    await first
    assert order == ["a"]


def test_who_wants_no_comparison_is_let_in_where_none_could_be_promised() -> None:
    admission = entrance(max_pending_requests=1)
    admission.now = lambda: 1e12
    admission.resize("examine", 0, entrances=1, sent_to_each=1)
    admission.now = lambda: 2e12
    with pytest.raises(Unavailable):
        admission.enter("a", Deadline.after(60))
    admission.enter("a", None)
    with pytest.raises(Overloaded):  # its place counts all the same
        admission.enter("a", None)
