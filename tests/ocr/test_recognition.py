"""Letters from columns of probabilities, and the likelihood of a text: held against all paths, one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.core.pictures import Pixels
from serve_app.ocr.network import Numbers
from serve_app.ocr.recognition import AT_ONCE, FORGOTTEN, HEIGHT, LEAST_WIDTH, MOST_WIDTH, STEP, Read, read_lines

SYMBOLS = ("", "a", "b", "c", " ")


class Recorded:
    """A network that says the same columns of every line, and keeps what it was asked."""

    def __init__(self, columns: Numbers) -> None:
        self._columns = columns
        self.asked: list[Numbers] = []

    def __call__(self, batch: Numbers) -> Numbers:
        self.asked.append(batch)
        return np.repeat(self._columns[None], len(batch), axis=0)


def columns(*best: int, sure: float = 0.9) -> Numbers:
    found = np.full((len(best), len(SYMBOLS)), (1 - sure) / (len(SYMBOLS) - 1), np.float32)
    found[np.arange(len(best)), best] = sure
    return found


def read(said: Numbers, width: int = LEAST_WIDTH) -> Read:
    return read_lines(Recorded(said), SYMBOLS, [strip(width)])[0]


def strip(width: int, height: int = HEIGHT) -> Pixels:
    return np.full((height, width, 3), 200, np.uint8)


def test_repeated_columns_are_one_letter_and_a_blank_parts_two() -> None:
    said = read(columns(1, 1, 0, 1, 4, 2, 0, 0))
    assert said.text == "aa b"
    assert said.confidence == pytest.approx(0.9)  # the space doesn't count


def test_a_letters_place_is_a_share_of_the_line_and_not_of_what_was_filled_up() -> None:
    full = read(columns(*[0] * 10, 1, *[0] * 9))
    assert full.letters[0].middle == pytest.approx(10.5 / 20)
    half = read(columns(*[0] * 8, 1, *[0] * 11), width=LEAST_WIDTH // 2)
    assert half.letters[0].middle == pytest.approx(8.5 / 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=5),
    st.text("abc", max_size=3),
)
def test_the_likelihood_is_that_of_all_ways_to_write_a_text(rows: list[list[float]], text: str) -> None:
    table = np.array(rows, np.float32)
    table /= table.sum(axis=1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(4), repeat=len(table)):
        letters = "".join(SYMBOLS[key] for key, _ in itertools.groupby(path) if key)
        if letters == text:
            total += math.prod(float(table[i, symbol]) for i, symbol in enumerate(path))
    said = Read((), table, {"a": 1, "b": 2, "c": 3})
    if total > 0:
        assert said.log_likelihood(text) == pytest.approx(math.log(total), abs=1e-3)
    else:
        assert said.log_likelihood(text) == -math.inf


def test_a_letter_that_was_nowhere_likely_counts_as_very_unlikely() -> None:
    said = Read((), columns(1, 2), {"a": 1, "b": 2})
    assert said.log_likelihood("ab") - said.log_likelihood("az") == pytest.approx(math.log(0.9 / FORGOTTEN), abs=0.1)
    assert said.log_likelihood("xy") > -math.inf  # two of them are two, not one twice


def test_lines_are_read_in_small_batches_and_come_back_in_their_order() -> None:
    network = Recorded(columns(1, 0))
    widths = [300, 100, 200, 50, 400, 60]
    assert len(read_lines(network, SYMBOLS, [strip(width) for width in widths])) == 6
    assert [len(batch) for batch in network.asked] == [AT_ONCE, 2]
    assert [batch.shape[3] for batch in network.asked] == [200, 400]
    assert all(batch.shape[2] == HEIGHT and batch.shape[3] % STEP == 0 for batch in network.asked)


def test_of_long_lines_fewer_are_read_at_once() -> None:
    network = Recorded(columns(1, 0))
    read_lines(network, SYMBOLS, [strip(width) for width in (1500, 700, 600, 100)])
    assert [(len(batch), batch.shape[3]) for batch in network.asked] == [(2, 600), (1, 704), (1, 1504)]
    assert all(len(batch) * batch.shape[3] <= MOST_WIDTH for batch in network.asked)


def test_what_is_read_is_bounded() -> None:
    network = Recorded(columns(1, 0))
    read_lines(network, SYMBOLS, [strip(9000, 20)])
    assert network.asked[0].shape[3] == MOST_WIDTH
    read_lines(network, SYMBOLS, [strip(1, 4000)])
    assert network.asked[1].shape[3] == LEAST_WIDTH


def test_colours_go_in_blue_first_and_from_minus_one_to_one() -> None:
    network = Recorded(columns(1, 0))
    red = strip(LEAST_WIDTH)
    red[:] = (255, 0, 0)
    read_lines(network, SYMBOLS, [red])
    assert [float(plane.mean()) for plane in network.asked[0][0]] == [-1, -1, 1]
