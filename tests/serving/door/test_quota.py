"""Quotas with a clock of their own, and the operator's file of API keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serve_app.errors import ApiKeyRequired, NotAllowed, RateLimited
from serve_app.serving.admission import KeyRing, KeysUnreadable, Quota


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def takes(quota: Quota, caller: str, attempts: int) -> int:
    """How many of `attempts` are let in."""
    let_in = 0
    for _ in range(attempts):
        try:
            quota.take(caller)
        except RateLimited:
            continue
        let_in += 1
    return let_in


def test_a_burst_then_a_steady_rate() -> None:
    clock = Clock()
    quota = Quota(60, 5, clock=clock)
    assert takes(quota, "a", 10) == 5
    let_in = 0
    for second in range(1, 61):
        clock.now = float(second)
        let_in += takes(quota, "a", 3)
    assert let_in == 60


def test_a_refusal_tells_when_the_next_may_come() -> None:
    clock = Clock()
    quota = Quota(2, 1, clock=clock)
    quota.take("a")
    clock.now = 10.0
    with pytest.raises(RateLimited) as refusal:
        quota.take("a")
    assert refusal.value.retry_after_s == 20
    clock.now = 30.0
    quota.take("a")


def test_callers_are_counted_apart_and_few_are_remembered() -> None:
    quota = Quota(1, 1, max_callers=100, clock=Clock())
    assert sum(takes(quota, f"caller {number}", 2) for number in range(1000)) == 1000
    assert len(quota) == 100


def test_replicas_that_count_side_by_side_grant_their_share() -> None:
    clock = Clock()
    quotas = [Quota(60, 10, clock=clock) for _ in range(2)]
    for quota in quotas:
        quota.entrances = 2
    assert sum(takes(quota, "a", 20) for quota in quotas) == 10
    clock.now = 10.0
    assert sum(takes(quota, "a", 20) for quota in quotas) == 10


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_key_is_known_by_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{digest('one')} shop  # the shop\n{digest('two').upper()} press\n")
    keys = KeyRing.load(file)
    assert (keys.name_of("one"), keys.name_of("two")) == ("shop", "press")
    with pytest.raises(NotAllowed):
        keys.name_of("three")
    with pytest.raises(ApiKeyRequired):
        keys.name_of("")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "a-plain-key shop\n", f"{'0' * 64}\n", f"{'0' * 64} a\n{'1' * 64} a\n"]
)
def test_a_file_that_is_not_one_of_digests_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(KeysUnreadable) as refusal:
        KeyRing.load(file)
    assert "a-plain-key" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="FileNotFoundError"):
        KeyRing.load(tmp_path / "none")
