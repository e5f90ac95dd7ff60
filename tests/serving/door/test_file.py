"""The operator's file of keys while the service runs: what is new, what is withdrawn, what can't be read."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

import pytest

from serve_app.errors import NotAllowed
from serve_app.serving.admission import KeyFile, KeyRing, KeysUnreadable
from serve_app.serving.admission.keys import LOOK_EVERY_S


def lines(*names: str) -> str:
    """A file in which each name's key is the name itself."""
    return "".join(f"{hashlib.sha256(name.encode()).hexdigest()} {name}\n" for name in names)


class Kept:
    """A file of keys and a clock that only a test moves."""

    def __init__(self, path: Path, *names: str) -> None:
        self.path = path
        path.write_text(lines(*names))
        self.now = 100.0
        self.file = KeyFile(path, now=lambda: self.now)

    async def later(self, by_s: float = LOOK_EVERY_S) -> KeyRing:
        self.now += by_s
        return await self.file.ring()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "keys", "alice")


def knows(ring: KeyRing, key: str) -> bool:
    try:
        return ring.name_of(key) == key
    except NotAllowed:
        return False


async def test_a_new_key_is_known_and_a_withdrawn_one_is_not_within_a_second(kept: Kept) -> None:
    kept.path.write_text(lines("bob"))
    ring = await kept.later()
    assert (knows(ring, "alice"), knows(ring, "bob")) == (False, True)


async def test_the_file_is_looked_at_once_a_second_at_most(kept: Kept) -> None:
    kept.path.write_text(lines("bob"))
    assert knows(await kept.later(LOOK_EVERY_S * 0.9), "alice")
    assert knows(await kept.later(LOOK_EVERY_S * 0.1), "bob")


async def test_a_file_put_in_its_place_is_seen_though_size_and_time_are_the_same(kept: Kept) -> None:
    before = kept.path.stat()
    other = kept.path.with_suffix(".new")
    other.write_text(lines("carol"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(kept.path)
    assert knows(await kept.later(), "carol")


async def test_a_link_that_leads_elsewhere_is_followed_as_kubernetes_swaps_it(tmp_path: Path) -> None:
    for version, name in (("..v1", "alice"), ("..v2", "bobby")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys").write_text(lines(name))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "keys").symlink_to("..data/keys")
    clock = [0.0]
    file = KeyFile(tmp_path / "keys", now=lambda: clock[0])
    assert knows(await file.ring(), "alice")
    (tmp_path / "..new").symlink_to("..v2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    clock[0] = LOOK_EVERY_S
    ring = await file.ring()
    assert (knows(ring, "alice"), knows(ring, "bobby")) == (False, True)


@pytest.mark.parametrize("wrong", [None, "", "# none\n", "a-plain-key shop\n", lines("bob") + lines("bob"), b"\xff"])
async def test_a_file_that_is_wrong_keeps_the_old_keys_and_is_told_once_without_a_key(
    kept: Kept, wrong: str | bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept.path.unlink()
    if wrong is not None:
        kept.path.write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    for _ in range(5):
        assert knows(await kept.later(), "alice")
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage().startswith("new API keys were not taken: ")
    assert told.getMessage().endswith("The 1 known before hold on.")
    assert "a-plain-key" not in told.getMessage()
    assert hashlib.sha256(b"bob").hexdigest() not in told.getMessage()


async def test_a_file_that_is_mended_is_read_and_another_fault_is_told_again(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.path.write_text("wrong\n")
    await kept.later()
    kept.path.write_text(lines("alice", "bob"))
    assert knows(await kept.later(), "bob")
    kept.path.write_text("wrong\n")
    assert knows(await kept.later(), "bob")
    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == [logging.ERROR] * 2


async def test_a_disk_that_does_not_answer_holds_nobody_up_for_long(kept: Kept) -> None:
    kept.path.unlink()
    os.mkfifo(kept.path)  # reading it waits until somebody writes
    asked = asyncio.create_task(kept.later())
    await asyncio.sleep(0)
    turns = 0
    while not asked.done():  # the event loop goes on meanwhile
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 3
    assert knows(asked.result(), "alice")
    assert knows(await kept.later(10), "alice")  # no second look while the first one hangs
    with kept.path.open("w") as disk:  # now it answers
        kept.path.unlink()
        kept.path.write_text(lines("carol"))
        disk.write(lines("bob"))
    for _ in range(500):
        if knows(await kept.later(), "carol"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("what the file says now was not read")


def test_a_service_does_not_start_with_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="FileNotFoundError"):
        KeyFile(tmp_path / "none")
