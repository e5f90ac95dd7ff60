"""Which page is which: pages put in, taken out and written anew, by how they look."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.imaging.pdf.alignment import Pages, aligned

PX = 64 * 64


def page(seed: int, changed: float = 0.0) -> bytes:
    """Other ink for each seed; `changed`: the share of it that is another's."""
    ink = np.random.default_rng(seed).integers(0, 256, PX, dtype=np.uint8)
    ink[: int(PX * changed)] = np.random.default_rng(seed + 1000).integers(0, 256, int(PX * changed), dtype=np.uint8)
    return ink.tobytes()


BLANK = bytes([255]) * PX


@pytest.mark.parametrize(
    ("reference", "candidate", "found"),
    [
        ("abc", "abc", [(1, 1), (2, 2), (3, 3)]),
        ("abc", "axbc", [(1, 1), (None, 2), (2, 3), (3, 4)]),
        ("abc", "xyabc", [(None, 1), (None, 2), (1, 3), (2, 4), (3, 5)]),
        ("abcd", "bcd", [(1, None), (2, 1), (3, 2), (4, 3)]),
        ("abc", "bcd", [(1, None), (2, 1), (3, 2), (None, 3)]),
        ("abc", "axc", [(1, 1), (2, 2), (3, 3)]),  # written anew
        ("abc", "axyc", [(1, 1), (None, 2), (2, 3), (3, 4)]),
        ("a", "x", [(1, 1)]),
        ("abc", "xyz", [(1, 1), (2, 2), (3, 3)]),
        ("ab", "a", [(1, 1), (2, None)]),
        ("a b", "a  b", [(1, 1), (None, 2), (2, 3), (3, 4)]),  # an empty page more
    ],
)
def test_pages_find_one_another(reference: str, candidate: str, found: list[Pages]) -> None:
    one, other = ([BLANK if name == " " else page(ord(name)) for name in names] for names in (reference, candidate))
    assert aligned(one, other) == found


def test_a_changed_page_is_still_itself() -> None:
    reference = [page(1), page(2), page(3)]
    candidate = [page(9), page(1), page(2, changed=0.2), page(3)]
    assert aligned(reference, candidate) == [(None, 1), (1, 2), (2, 3), (3, 4)]
    assert aligned(candidate, reference) == [(1, None), (2, 1), (3, 2), (4, 3)]


def test_pages_of_one_layout_are_not_taken_for_one_another() -> None:
    """Half of their ink is the same: two such pages are nearer than two pages of nothing in common."""
    form = page(0)[: PX // 2]
    one, two, three = (form + page(seed)[PX // 2 :] for seed in (1, 2, 3))
    assert aligned([one, two], [two, three]) == [(1, None), (2, 1), (None, 2)]


def test_the_most_alike_of_new_versions_is_paired() -> None:
    old = page(2)
    assert aligned([page(1), old, page(3)], [page(1), page(8), page(2, changed=0.5), page(3)])[1:3] == [
        (None, 2),
        (2, 3),
    ]


def test_every_page_is_told_once_and_in_order() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        one, other = ([page(int(seed)) for seed in random.integers(0, 6, int(random.integers(1, 9)))] for _ in range(2))
        told = aligned(one, other)
        for side, pages in ((0, one), (1, other)):
            assert [each[side] for each in told if each[side] is not None] == list(range(1, len(pages) + 1))
        assert (None, None) not in told
