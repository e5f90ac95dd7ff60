"""The memory budget: who gets in, who waits, who gives up."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.comparison.budget import MemoryBudget
from serve_app.core.clock import Deadline
from serve_app.errors import DeadlineExceeded


async def test_what_fits_gets_in_at_once() -> None:
    budget = MemoryBudget(100)
    await budget.reserve(60, Deadline.after(1))
    await budget.reserve(40, Deadline.after(1))
    assert budget.free_bytes == 0


async def test_what_does_not_fit_waits_for_a_release() -> None:
    budget = MemoryBudget(100)
    await budget.reserve(60, Deadline.after(5))
    waiting = asyncio.create_task(budget.reserve(50, Deadline.after(5)))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.release(60)
    await waiting
    assert budget.free_bytes == 50


async def test_a_large_pair_is_not_starved_by_small_ones() -> None:
    budget = MemoryBudget(100)
    await budget.reserve(60, Deadline.after(5))
    large = asyncio.create_task(budget.reserve(90, Deadline.after(5)))
    await asyncio.sleep(0)
    small = asyncio.create_task(budget.reserve(10, Deadline.after(5)))
    await asyncio.sleep(0)
    assert not small.done()
    budget.release(60)
    await asyncio.gather(large, small)
    assert budget.free_bytes == 0


async def test_waiting_ends_with_the_deadline_and_takes_nothing() -> None:
    budget = MemoryBudget(100)
    await budget.reserve(60, Deadline.after(5))
    with pytest.raises(DeadlineExceeded):
        await budget.reserve(50, Deadline.after(0.02))
    budget.release(60)
    assert budget.free_bytes == 100


async def test_a_caller_that_leaves_lets_the_next_one_in() -> None:
    budget = MemoryBudget(100)
    await budget.reserve(60, Deadline.after(5))
    large = asyncio.create_task(budget.reserve(90, Deadline.after(5)))
    await asyncio.sleep(0)
    small = asyncio.create_task(budget.reserve(40, Deadline.after(5)))
    await asyncio.sleep(0)
    large.cancel()
    await small
    assert budget.free_bytes == 0


async def test_more_than_the_whole_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="101 bytes"):
        await MemoryBudget(100).reserve(101, Deadline.after(1))
