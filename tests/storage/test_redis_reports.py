"""Reports in a real Redis: shared, forgotten in time, and missed by nobody for long when it goes away."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from contextlib import aclosing

import pytest
from redis.asyncio import Redis

from serve_app.storage.patience import AGAIN_AFTER_S
from serve_app.storage.redis_reports import RedisReports
from serve_app.storage.reports import Kept
from tests.rigs import redis_server
from tests.rigs.nodes import free_port

pytestmark = redis_server.needed


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def kept(report: bytes = b"{}\n\x00", seconds: float = 1000) -> Kept:
    return Kept(report, round(time.time() + seconds, 3))


async def test_what_one_replica_puts_in_another_gets() -> None:
    with redis_server.running() as port:
        async with (
            aclosing(RedisReports(redis_server.url(port))) as one,
            aclosing(RedisReports(redis_server.url(port))) as other,
        ):
            report = kept()
            assert await other.get("key") is None
            await one.put("key", report)
            assert await other.get("key") == report


async def test_redis_forgets_a_report_when_its_time_is_over() -> None:
    with redis_server.running() as port:
        reports = RedisReports(redis_server.url(port))
        raw = Redis.from_url(redis_server.url(port))
        async with aclosing(reports), aclosing(raw):
            report = kept()
            await reports.put("key", report)
            await reports.put("over", kept(seconds=-1))
            name = "pairlens:report:key"
            assert await raw.keys("*") == [name.encode()]
            assert await raw.pexpiretime(name) == int(report.until * 1000)
            await raw.set(name, b"a stranger's")
            assert await reports.get("key") is None


async def test_a_redis_that_goes_away_is_one_line_in_the_log_and_tried_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pairlens.cache")
    clock, port = Clock(), free_port()
    async with aclosing(RedisReports(redis_server.url(port), clock)) as reports:
        with redis_server.running(port):
            await reports.put("key", kept())
            assert await reports.get("key") is not None
        assert [await reports.get("key") for _ in range(3)] == [None] * 3
        await asyncio.gather(*(reports.put("key", kept()) for _ in range(3)))
        clock.now += AGAIN_AFTER_S
        assert await reports.get("key") is None, "it was asked again, in vain"
        with redis_server.running(port):
            assert await reports.get("key") is None
            await reports.put("key", kept())
            clock.now += AGAIN_AFTER_S / 2
            assert await reports.get("key") is None, "its pause is not over"
            clock.now += AGAIN_AFTER_S / 2
            await reports.put("key", kept())
            assert await reports.get("key") is not None
    said = [record.getMessage() for record in caplog.records]
    assert said == ["Redis is lost (ConnectionError): reports are kept in memory only", "Redis is back"]


async def test_a_redis_that_was_restarted_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    async with aclosing(RedisReports(redis_server.url(port))) as reports:
        with redis_server.running(port):
            await reports.put("key", kept())
        with redis_server.running(port):
            assert await reports.get("key") is None
            await reports.put("key", kept())
            assert await reports.get("key") is not None
    assert caplog.records == []


async def test_a_redis_that_hangs_refuses_or_is_full_costs_nobody_a_report(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = RedisReports(redis_server.url(silent.getsockname()[1]))
        async with aclosing(hanging):
            assert await hanging.get("key") is None
    with redis_server.running() as port:
        async with aclosing(RedisReports(redis_server.url(port, "wrong"))) as locked:
            await locked.put("key", kept())
            assert await locked.get("key") is None
    with redis_server.running(None, "--maxmemory", "1kb", "--maxmemory-policy", "noeviction") as port:
        async with aclosing(RedisReports(redis_server.url(port))) as full:
            await full.put("key", kept())
    kinds = [record.getMessage().split("(")[1].split(")")[0] for record in caplog.records]
    assert kinds == ["TimeoutError", "AuthenticationError", "OutOfMemoryError"]
    assert "wrong" not in caplog.text
