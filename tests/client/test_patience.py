"""When a request is sent again, and what is said of failures: values in, values out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serve_app import errors
from serve_app.client.failures import (
    CutOff,
    Failure,
    NoAnswerInTime,
    NoSuchServer,
    NotUnderstood,
    ServerFailed,
    Unreachable,
    may_pass,
    refusal,
    seconds,
    stranger,
)
from serve_app.client.patience import LONGEST_PAUSE_S, Deadline, Patience
from serve_app.errors import ComparisonError
from serve_app.schema import ErrorReport


def test_each_pause_is_twice_as_long_and_somewhere_in_its_upper_half() -> None:
    for chance, pauses in (1.0, [0.5, 1, 2, 4, 8, 8]), (0.0, [0.25, 0.5, 1, 2, 4, 4]):
        patience = Patience(max_retries=2000, chance=lambda chance=chance: chance)  # type: ignore[misc]
        found = [patience.pause_s(Unreachable(""), tries, 100, is_safe=True) for tries in range(1, 7)]
        assert found == pauses
        assert patience.pause_s(Unreachable(""), 2000, 100, is_safe=True) in (LONGEST_PAUSE_S, LONGEST_PAUSE_S / 2)


def test_what_a_service_asks_for_is_waited_for_and_a_little_more() -> None:
    busy = errors.Overloaded("Full.", retry_after_s=10)
    assert Patience(2, lambda: 0.0).pause_s(busy, 1, 100, is_safe=True) == 10
    assert Patience(2, lambda: 1.0).pause_s(busy, 1, 100, is_safe=True) == pytest.approx(11)


def test_it_is_given_up_after_so_many_tries_and_where_it_would_be_too_late() -> None:
    patience = Patience(2, lambda: 0.0)
    assert [patience.pause_s(Unreachable(""), tries, 100, is_safe=True) is None for tries in (1, 2, 3)] == [
        False,
        False,
        True,
    ]
    assert Patience(0).pause_s(Unreachable(""), 1, 100, is_safe=True) is None
    busy = errors.RateLimited("Slow.", retry_after_s=10)
    assert patience.pause_s(busy, 1, 10, is_safe=True) is None
    assert patience.pause_s(busy, 1, 10.1, is_safe=True) == 10


@pytest.mark.parametrize(
    ("failure", "safe", "unsafe"),
    [
        (Unreachable(""), True, True),
        (CutOff(""), True, False),
        (NoAnswerInTime(""), True, False),
        (NoSuchServer(""), False, False),
        (NotUnderstood("", status=502), True, False),
        (NotUnderstood("", status=500), True, False),
        (NotUnderstood("", status=200), False, False),
        (NotUnderstood("", status=301), False, False),
        (errors.RateLimited(""), True, True),
        (errors.Draining(""), True, True),
        (errors.WorkerLost(""), True, True),
        (errors.DeadlineExceeded(""), False, False),
        (errors.ModelFailed(""), False, False),
        (errors.StorageFull(""), False, False),
        (errors.BodyTooLarge(""), False, False),
        (errors.IdempotencyConflict(""), False, False),
    ],
)
def test_only_what_may_pass_by_itself_is_sent_again(failure: Failure, safe: bool, unsafe: bool) -> None:
    assert (may_pass(failure, is_safe=True), may_pass(failure, is_safe=False)) == (safe, unsafe)


def test_one_end_is_for_all_tries() -> None:
    now = [100.0]
    deadline = Deadline.after(5, lambda: now[0])
    assert deadline.left_s == 5
    now[0] = 104
    assert deadline.left_s == 1
    now[0] = 200
    assert deadline.left_s == 0


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("²", None),
        ("9" * 400, 999_999_999),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(written: str, found: int | None) -> None:
    assert seconds(written, datetime(2026, 1, 1, tzinfo=UTC)) == found


def kinds(of: type[ComparisonError]) -> list[type[ComparisonError]]:
    return [of, *(each for kind in of.__subclasses__() if kind.__module__ == of.__module__ for each in kinds(kind))]


@pytest.mark.parametrize("kind", kinds(ComparisonError))
def test_every_refusal_comes_back_as_its_class(kind: type[ComparisonError]) -> None:
    told = ErrorReport(type=kind.type, detail="Why.", image="candidate", field="/a", faults=("one",))
    found = refusal(told, "r", "3", kind.status)
    assert isinstance(found, ComparisonError)
    assert (found.type, found.status, str(found)) == (kind.type, kind.status, "Why.")
    assert (found.image, found.field, found.faults) == ("candidate", "/a", ("one",))
    assert (found.request_id, found.retry_after_s) == ("r", 3)
    assert issubclass(kind, type(found))  # of several with one type it is the first


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 429, 503, 504, 507])
def test_a_type_that_is_not_known_falls_back_to_its_status(status: int) -> None:
    found = refusal(ErrorReport(type="of_a_later_version", detail="Why."), None, "", status)
    assert type(found) is not ComparisonError
    assert (found.type, found.status) == ("of_a_later_version", status)
    assert type(found).type != "of_a_later_version"


def test_failures_have_what_refusals_have() -> None:
    failure = stranger("http://host", 502, "9", "r")
    assert isinstance(failure, ServerFailed)
    assert (failure.type, failure.status, failure.retry_after_s, failure.request_id) == ("not_understood", 502, 9, "r")
    assert (failure.image, failure.field) == (None, None)
    assert isinstance(NoAnswerInTime(""), TimeoutError)
