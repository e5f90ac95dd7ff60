"""What an encoder leaves all over a copy: how much, read from the pair itself, and what is more than that.
Knows no file and no regions.

JPEG, WebP and AVIF err by what their quantisation leaves of a block, and by colours kept at half size. In pages of
text that is dense, the same all over, and bounded: lightness is off by 3 to 9 levels of deviation where there are
letters (JPEG 75 to WebP 95), nowhere by twice that. Another digit, of 9 px and grey, is off by 30. So the deviations
of the places that differ are read, and a place must be far beyond most of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Box, Pixels
from serve_app.measurement.tiles import CELL, Grid

SPREAD = 1024  # places looked at, evenly
SHOWS = 24  # levels that a place of words or texture goes apart
EVERYWHERE = 0.85  # of those
LEAST_PLACES = 12  # that differ: fewer are no picture of an encoder
MOST_PLACES = 400  # read: 2 ms
DENSE = 0.3  # of the pixels of a place, in the median, differ: what people change leaves most as it was
AMOUNT = 1.0  # levels of deviation from which a place counts
COARSEST = 12.0  # levels that nine in ten are below, or it is no encoder that anybody would use for words
COARSEST_COLOUR = 18.0  # ... and of colours at half size: red letters at JPEG 75 are off by 12
ONE_WAY = 0.8  # of what lightness is off goes in one direction: another ink; an encoder's is .7 where white clips it
FLAT = 0.9  # of a place's deviation is one step of all that differs in it, in the median: a tint, and no encoder's
EVEN = 3.5  # times the median that they are below
BEYOND, MARGIN = 1.6, 4.0  # times what nine in ten are below, and levels: the limit of deviation
PEAK = 3.5  # times the limit, for one pixel
COLOUR_LEAST = 16.0  # levels: the limit of colours, which are kept at half size, is never less
TINTING = 9.0  # levels of the limit up to which an encoder tints nothing that is seen
RINGING = 0.2  # of the change nearby: what an encoder rings around it is not its extent
RING = np.ones((17, 17), np.uint8)  # pixels around, an encoder's block

Planes = tuple[Pixels, Pixels, Pixels]  # Y, Cr, Cb
Mask = NDArray[np.bool_]


class Where(Protocol):
    """Pixels of each cell that differ at all."""

    @property
    def off(self) -> Pixels: ...


@dataclass(frozen=True, slots=True)
class Leavings:
    """Limits of the deviation of a cell, levels: of lightness, and of colours at half size."""

    light: float
    colour: float

    @property
    def tinting(self) -> float:
        """Times what is seen of a tint that the encoder leaves: what rings beyond white is clipped, on one side."""
        return max(1.0, self.light / TINTING)


def estimate(grid: Grid, cells: Where) -> Leavings | None:
    """Limits for a pair of which one picture is an encoder's copy of the other; None where it isn't.

    `cells`: of this grid.
    """
    if grid.jitter or grid.first_alpha is not None or grid.second_alpha is not None:
        return None
    whole = cells.off[: grid.height // CELL, : grid.width // CELL]
    places = np.argwhere(whole)
    if len(places) < LEAST_PLACES:
        return None
    places = places[:: -(-len(places) // MOST_PLACES)]
    read = _read(grid, places)
    counted = read.light >= AMOUNT
    if np.count_nonzero(counted) < LEAST_PLACES or float(np.median(read.dense[counted])) < DENSE:
        return None
    if float(np.median(read.step[counted] / (read.light * np.sqrt(read.dense))[counted])) > FLAT:
        return None
    median, most = (float(value) for value in np.quantile(read.light[counted], (0.5, 0.9)))
    if most > min(COARSEST, EVEN * median) or read.one_way > ONE_WAY:
        return None
    if not _is_everywhere(grid, whole):
        return None
    coloured = float(np.quantile(read.colour[counted], 0.9))
    if coloured > COARSEST_COLOUR:
        return None
    return Leavings(BEYOND * most + MARGIN, max(COLOUR_LEAST, BEYOND * coloured + MARGIN))


def _is_everywhere(grid: Grid, off: Pixels) -> bool:
    """Hardly a place that shows anything is the same to the last level: people change some and leave the rest."""
    step = max(1, math.isqrt(off.size // SPREAD))
    places = np.stack(np.meshgrid(*(np.arange(0, side, step) for side in off.shape), indexing="ij"), axis=-1)
    places = places.reshape(-1, 2)
    views = np.stack([_views(grid, place)[0] for place in places])
    shows = np.ptp(views, axis=(1, 2)).max(axis=1) >= SHOWS
    differs = off[places[:, 0], places[:, 1]] > 0
    return bool(np.count_nonzero(shows & differs) >= EVERYWHERE * np.count_nonzero(shows))


def beyond(one: Planes, two: Planes, strength: Pixels, leavings: Leavings) -> Mask:
    """Pixels that no such encoder put off so far, and not what it rings around them. `strength`: levels that each is
    off."""
    shape = strength.shape
    strong = _over(cv2.absdiff(one[0], two[0]), leavings.light, CELL)
    for a, b in zip(one[1:], two[1:], strict=True):
        found = _over(cv2.absdiff(_halved(a), _halved(b)), leavings.colour, CELL // 2)
        strong |= found.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    if not strong.any():
        return strong
    nearby = cv2.dilate(np.where(strong, strength, np.uint8(0)), RING)
    return np.asarray((nearby > 0) & (strength >= np.maximum(RINGING * nearby, leavings.light)))


def _over(off: Pixels, limit: float, side: int) -> Mask:
    """Pixels of places of `side` that deviate by more than the limit, or that alone do by `PEAK` times as much."""
    places = np.sqrt(_means(np.square(off.astype(np.float32)), side)) > limit
    found = places.repeat(side, axis=0).repeat(side, axis=1)[: off.shape[0], : off.shape[1]]
    return np.asarray(found | (off > PEAK * limit))


def _means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Of places of `side` pixels; a ragged edge is filled with its mirror image."""
    down, right = (-length % side for length in values.shape)
    whole = cv2.copyMakeBorder(values, 0, down, 0, right, cv2.BORDER_REFLECT)
    size = (whole.shape[1] // side, whole.shape[0] // side)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.float32).reshape(size[::-1])


def _halved(plane: Pixels) -> Pixels:
    """Means of 2x2 pixels, from the corner as encoders take them; a ragged edge is repeated."""
    whole = cv2.copyMakeBorder(plane, 0, plane.shape[0] % 2, 0, plane.shape[1] % 2, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // 2, whole.shape[0] // 2)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[::-1])


@dataclass(frozen=True, slots=True)
class _Read:
    """Of each cell read: deviation of lightness, how far its mean is off, deviation of the colour that is farther off,
    share of the pixels that differ. `one_way`: the part of what lightness is off that goes in one direction."""

    light: NDArray[np.float32]
    step: NDArray[np.float32]
    colour: NDArray[np.float32]
    dense: NDArray[np.float32]
    one_way: float


def _read(grid: Grid, places: NDArray[np.intp]) -> _Read:
    strips = [np.concatenate(views) for views in zip(*(_views(grid, place) for place in places), strict=True)]
    one, two = (cv2.split(cv2.cvtColor(strip, cv2.COLOR_RGB2YCrCb)) for strip in strips)
    pairs = [(one[0], two[0]), *((_halved(a), _halved(b)) for a, b in zip(one[1:], two[1:], strict=True))]
    light, red, blue = (
        np.sqrt(_means(np.square(cv2.absdiff(*pair).astype(np.float32)), side)).ravel()
        for pair, side in zip(pairs, (CELL, CELL // 2, CELL // 2), strict=True)
    )
    dense = _means((cv2.absdiff(*strips).max(axis=2) > 0).astype(np.float32), CELL).ravel()
    step = np.abs(_means(two[0].astype(np.float32) - one[0], CELL)).ravel()
    return _Read(light, step, np.maximum(red, blue), dense, _one_way(one[0], two[0]))


def _one_way(one: Pixels, two: Pixels) -> float:
    gained, lost = (float(cv2.subtract(*pair).sum(dtype=np.int64)) for pair in ((two, one), (one, two)))
    return abs(gained - lost) / (gained + lost + one.size * AMOUNT / 4)


def _views(grid: Grid, place: NDArray[np.intp]) -> tuple[Pixels, Pixels]:
    return grid.window(Box(int(place[1]) * CELL, int(place[0]) * CELL, CELL, CELL), "white")
