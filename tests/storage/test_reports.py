"""Where finished reports lie: bounds in bytes and in time, nearest first."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from serve_app.settings import CacheSettings
from serve_app.storage.report_stores import open_reports, redis_url
from serve_app.storage.reports import ENTRY_BYTES, CacheUnavailable, InMemory, Kept, Layered

LATER = time.time() + 1000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_least_recently_used_go_when_the_bytes_are_full() -> None:
    room_for_two = InMemory(2 * (ENTRY_BYTES + 1000))
    for key in "ab":
        await room_for_two.put(key, Kept(bytes(1000), LATER))
    assert await room_for_two.get("a") is not None
    await room_for_two.put("c", Kept(bytes(1000), LATER))
    assert [await room_for_two.get(key) is not None for key in "abc"] == [True, False, True]
    assert room_for_two.held_bytes == 2 * (ENTRY_BYTES + 1000)


async def test_what_is_over_the_capacity_is_not_kept_and_replaces_nothing_silently() -> None:
    reports = InMemory(ENTRY_BYTES + 1000)
    await reports.put("a", Kept(bytes(1000), LATER))
    await reports.put("b", Kept(bytes(1001), LATER))
    assert await reports.get("a") is not None
    await reports.put("a", Kept(bytes(1001), LATER))
    assert await reports.get("a") is None, "it is older than what was to take its place"
    assert reports.held_bytes == 0


async def test_each_is_told_until_its_own_time_and_then_weighs_nothing() -> None:
    clock = Clock()
    reports = InMemory(100_000, clock)
    await reports.put("short", Kept(b"a", clock.now + 10))
    await reports.put("long", Kept(b"b", clock.now + 20))
    await reports.put("over", Kept(b"c", clock.now))
    assert await reports.get("over") is None
    clock.now += 10
    assert await reports.get("short") is None
    assert await reports.get("long") == Kept(b"b", clock.now + 10)
    assert reports.held_bytes == ENTRY_BYTES + 1
    clock.now += 10
    assert reports.held_bytes == 0


async def test_what_comes_from_far_is_held_near_for_as_long_as_it_would_have_been_there() -> None:
    clock = Clock()
    near, far = InMemory(100_000, clock), InMemory(100_000, clock)
    both = Layered(near, far)
    await far.put("a", Kept(b"a", clock.now + 10))
    assert await both.get("a") == await near.get("a") == Kept(b"a", clock.now + 10)
    await far.aclose()
    assert await both.get("a") is not None
    clock.now += 10
    assert await both.get("a") is None
    await both.put("b", Kept(b"b", clock.now + 10))
    assert await near.get("b") == await far.get("b") is not None
    assert both.held_bytes == 2 * (ENTRY_BYTES + 1)


async def test_settings_say_which_stores_there_are() -> None:
    assert open_reports(CacheSettings(report_cache_bytes=0)) is None
    assert isinstance(open_reports(CacheSettings()), InMemory)
    shared = InMemory(100_000)
    opened = open_reports(CacheSettings(), shared=shared)
    assert opened is not None
    await opened.put("a", Kept(b"a", LATER))
    assert await shared.get("a") is not None


def test_the_url_of_redis_comes_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("redis://:secret@host\n")
    monkeypatch.setenv("A_URL", "rediss://host")
    assert redis_url(CacheSettings()) is None
    assert redis_url(CacheSettings(redis_file=str(tmp_path / "url"))) == "redis://:secret@host"
    assert redis_url(CacheSettings(redis_env="A_URL")) == "rediss://host"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"redis_file": "a", "redis_env": "B"}, "not both"),
        ({"redis_env": "B", "report_cache_bytes": 0}, "no report would be kept"),
        ({"report_cache_bytes": -1}, "greater than or equal to 0"),
        ({"ttl_s": 0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        CacheSettings.model_validate(fields)


def test_a_url_that_is_missing_or_none_is_told_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_URL", "http://:secret@host")
    monkeypatch.setenv("EMPTY", " ")
    cases = {"redis_file": str(tmp_path / "none")}, {"redis_env": "EMPTY"}, {"redis_env": "NO_URL"}
    said = []
    for case in cases:
        with pytest.raises(CacheUnavailable) as refusal:
            open_reports(CacheSettings.model_validate(case))
        said.append(str(refusal.value))
    assert "FileNotFoundError" in said[0]
    assert "variable EMPTY" in said[1]
    assert "redis://host:6379/0" in said[2]
    assert "secret" not in said[2]


def test_the_service_needs_no_redis_client_until_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "import serve_app.serving.api.app\n"
        "from serve_app.settings import CacheSettings\n"
        "from serve_app.storage.report_stores import open_reports\n"
        "assert open_reports(CacheSettings())\n"
        "try: open_reports(CacheSettings(redis_env='A_URL'))\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    monkeypatch.setenv("A_URL", "redis://host")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("CacheUnavailable A Redis is named, but not its client: pip install 'pairlens[redis]'.")
