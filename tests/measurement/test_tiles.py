"""What is left out for speed changes nothing: tiles around their changes only, bytes compared by words."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from skimage import data

from serve_app import measurement
from serve_app.core.pictures import Pixels, Raster
from serve_app.measurement import tiles, visible
from serve_app.measurement.cells import collect
from serve_app.measurement.tiles import CELL, TILE, Grid


def raster(pixels: Pixels) -> Raster:
    return Raster(np.ascontiguousarray(pixels), None, pixels.shape[1], pixels.shape[0])


def scattered(picture: Pixels, seed: int, edits: int) -> Pixels:
    """Patches, tints and single pixels here and there."""
    random = np.random.default_rng(seed)
    out = picture.copy()
    for _ in range(edits):
        y, x = random.integers(0, picture.shape[0]), random.integers(0, picture.shape[1])
        part = out[y : y + random.choice([1, 2, 40]), x : x + random.choice([1, 3, 60])]
        part[...] = np.clip(part.astype(int) + random.integers(-50, 50, 3), 0, 255)
    return out


@pytest.mark.parametrize(("seed", "edits"), [(1, 1), (2, 2), (3, 4), (4, 9), (5, 60)])
@pytest.mark.parametrize("size", [(512, 512), (301, 453)])
def test_a_tile_read_around_its_changes_gives_the_mask_of_the_whole(
    size: tuple[int, int], seed: int, edits: int
) -> None:
    first = np.ascontiguousarray(data.astronaut()[: size[0], : size[1]])
    second = scattered(first, seed, edits)
    whole, _ = visible.mask(first, second)
    whole = np.pad(whole, ((0, -size[0] % CELL), (0, -size[1] % CELL)))

    counted = collect(Grid(first, second)).count

    assert max(size) <= TILE, "one tile"
    assert counted.tolist() == whole.reshape(counted.shape[0], CELL, -1, CELL).sum(axis=(1, 3)).tolist()


def test_few_changes_leave_most_of_a_tile_out() -> None:
    first = np.full((512, 512, 3), 200, np.uint8)
    second = first.copy()
    second[40:60, 40:60] = second[400:420, 450:470] = 0

    read = list(tiles.differing(Grid(first, second), "white"))

    assert len(read) == 2
    assert sum(tile.first.shape[0] * tile.first.shape[1] for tile in read) < 512 * 512 / 5


@pytest.mark.parametrize("at", [0, 7, 8, -1])
@pytest.mark.parametrize("shape", [(3, 3, 3), (70, 41, 3), (500, 1), (2_100_003,)])
def test_equality_sees_every_byte(shape: tuple[int, ...], at: int) -> None:
    first = np.zeros(shape, np.uint8)
    second = first.copy()
    assert tiles.same(first, second)
    assert tiles.same(first[1:], second[1:])

    second.reshape(-1)[at] = 1

    assert not tiles.same(first, second)
    assert not tiles.same(first[::-1], second[::-1])


def test_threads_beside_change_no_result() -> None:
    first = data.astronaut()
    second = scattered(first, 7, 5)
    alone = measurement.measure(raster(first), raster(second))
    with ThreadPoolExecutor(1) as pool:
        assert measurement.measure(raster(first), raster(second), beside=pool) == alone


def test_busy_threads_beside_are_not_waited_for() -> None:
    first = data.astronaut()
    second = scattered(first, 8, 3)
    free = Event()
    with ThreadPoolExecutor(1) as pool:
        held: Future[bool] = pool.submit(free.wait, 60)
        found = measurement.measure(raster(first), raster(second), beside=pool)
        was_held = not held.done()
        free.set()

    assert was_held
    assert found == measurement.measure(raster(first), raster(second))
