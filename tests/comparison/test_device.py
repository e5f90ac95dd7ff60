"""The exclusive device: with plain functions as jobs, no model."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve_app.comparison.device import Device
from serve_app.core.clock import Deadline, Stop
from serve_app.errors import DeadlineExceeded


class Jobs:
    """Counts how many of its jobs run at once, and obeys its stop or not."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.begun = threading.Event()
        self.release = threading.Event()

    def obedient(self, stop: Stop) -> str:
        return self._work(lambda: stop.reason is not None, stop)

    def deaf(self, stop: Stop) -> str:
        return self._work(lambda: False, stop)

    def quick(self, stop: Stop) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.running -= 1
        return "done"

    def _work(self, told: object, stop: Stop) -> str:
        assert callable(told)
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        while not told() and not self.release.wait(0.005):
            pass
        self.running -= 1
        stop.check()
        return "done"


async def test_a_job_returns_what_it_made() -> None:
    device = Device(grace_s=1)
    assert await device.run(Jobs().quick, Stop(Deadline.after(5))) == "done"
    device.close()


async def test_a_deadline_ends_the_job_and_frees_the_device() -> None:
    device = Device(grace_s=1)
    jobs = Jobs()
    with pytest.raises(DeadlineExceeded):
        await device.run(jobs.obedient, Stop(Deadline.after(0.05)))
    assert await device.run(jobs.quick, Stop(Deadline.after(5))) == "done"
    assert jobs.most == 1
    device.close()


async def test_a_caller_that_leaves_never_lets_two_jobs_meet() -> None:
    device = Device(grace_s=1)
    jobs = Jobs()
    first = asyncio.create_task(device.run(jobs.deaf, Stop(Deadline.after(30))))
    await asyncio.to_thread(jobs.begun.wait, 5)
    first.cancel()
    second = asyncio.create_task(device.run(jobs.quick, Stop(Deadline.after(30))))
    with pytest.raises(asyncio.CancelledError):
        await first
    assert jobs.running == 1  # its caller is gone, its thread is not: the second waits
    assert not second.done()
    jobs.release.set()
    assert await second == "done"
    assert jobs.most == 1
    device.close()


async def test_seconds_nobody_waited_for_are_counted() -> None:
    counted: list[float] = []
    device = Device(grace_s=1, on_abandoned=counted.append)
    jobs = Jobs()
    first = asyncio.create_task(device.run(jobs.deaf, Stop(Deadline.after(30))))
    await asyncio.to_thread(jobs.begun.wait, 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    jobs.release.set()
    await device.run(jobs.quick, Stop(Deadline.after(5)))
    assert len(counted) == 1
    assert counted[0] >= 0
    device.close()


async def test_a_deadline_that_passes_in_the_queue_never_runs_the_job() -> None:
    device = Device(grace_s=1)
    jobs = Jobs()
    first = asyncio.create_task(device.run(jobs.deaf, Stop(Deadline.after(30))))
    await asyncio.to_thread(jobs.begun.wait, 5)
    ran: list[int] = []

    def second(_: Stop) -> str:
        ran.append(1)
        return "done"

    with pytest.raises(DeadlineExceeded):
        await device.run(second, Stop(Deadline.after(0.05)))
    jobs.release.set()
    await first
    assert not ran
    device.close()


async def test_a_job_that_ignores_its_stop_makes_the_device_stuck() -> None:
    device = Device(grace_s=0.0)
    jobs = Jobs()
    with pytest.raises(DeadlineExceeded):
        await device.run(jobs.deaf, Stop(Deadline.after(0.05)))
    assert device.is_stuck
    jobs.release.set()
    await device.run(jobs.quick, Stop(Deadline.after(5)))
    assert not device.is_stuck
    device.close()


async def test_an_error_of_a_job_reaches_its_caller_and_frees_the_device() -> None:
    device = Device(grace_s=1)

    def broken(_: Stop) -> str:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await device.run(broken, Stop(Deadline.after(5)))
    assert await device.run(Jobs().quick, Stop(Deadline.after(5))) == "done"
    device.close()


async def test_where_it_takes_several_jobs_at_once_the_next_waits_for_one_to_end() -> None:
    device = Device(grace_s=1, jobs_at_once=2)
    jobs = [Jobs() for _ in range(3)]
    running = [asyncio.create_task(device.run(each.deaf, Stop(Deadline.after(30)))) for each in jobs[:2]]
    for each in jobs[:2]:
        assert await asyncio.to_thread(each.begun.wait, 5)
    third = asyncio.create_task(device.run(jobs[2].deaf, Stop(Deadline.after(30))))
    await asyncio.sleep(0)
    assert not jobs[2].begun.is_set()
    jobs[1].release.set()
    assert await running[1] == "done"
    assert await asyncio.to_thread(jobs[2].begun.wait, 5)
    for each in jobs:
        each.release.set()
    assert (await running[0], await third) == ("done", "done")
    device.close()


async def test_one_stuck_job_beside_others_is_noticed() -> None:
    device = Device(grace_s=0.0, jobs_at_once=2)
    good, bad = Jobs(), Jobs()
    working = asyncio.create_task(device.run(good.deaf, Stop(Deadline.after(30))))
    await asyncio.to_thread(good.begun.wait, 5)
    assert not device.is_stuck
    with pytest.raises(DeadlineExceeded):
        await device.run(bad.deaf, Stop(Deadline.after(0.05)))
    good.release.set()
    assert await working == "done"
    assert device.is_stuck
    bad.release.set()
    await device.run(Jobs().quick, Stop(Deadline.after(5)))
    await device.run(Jobs().quick, Stop(Deadline.after(5)))
    device.close()
