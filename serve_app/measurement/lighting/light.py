"""Another light on the whole of a pair: brightness, contrast, gamma, white balance, a light that falls off. Estimated
from few pixels, and taken out of one picture, so that what changed besides can be seen.
Knows two pictures on one grid, no places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.measured import Tone
from serve_app.core.pictures import MASK_GREY, Pixels
from serve_app.measurement.lighting.lit import POWERS, Light, Lit
from serve_app.measurement.tiles import Grid

LEAST_SIDE = 32  # pixels: a smaller picture is all place
SIDE = 64  # samples a side at most: 4,000, 40 for each hundredth of the frame
CELL_SIDE = 4  # samples a side of a cell, whose mean noise leaves alone
SEEN = 2.5  # levels that a flat place must be off to be seen: `visible.TINTS`
SEEN_SHARE = 0.03  # of the cells that must be off by as much, or there is nothing to look for
ROUNDS = 5  # of reweighting: settled to a tenth of a level; all but the last with each fifth sample, which scatters
EACH = 5  # ... over rows of 64
SCALE = 1.5  # levels: what rounding and an encoder leave, at least
LEFT = 0.5  # of the misfit may stay, or one light doesn't explain the pair
MOST_SEEN = 0.3  # of the pixels of flat places
FAR = 0.75  # of it left: what was clipped is not what is missing
LEVELS = 32.0  # between the darkest and the lightest tenth of what changes, where that is less
FLAT = 24  # levels to the next pixels: more is an edge, and where edges alone differ they are drawn otherwise
LEFT_UNEVEN = 0.42  # ... by a light that falls off, which a tint of one half resembles
UNEVEN_MOST = 6.0  # levels of a cell that count for this
MISFIT_MOST = 24.0  # levels of one sample: what was replaced is that, however different
EXPLAINED = 0.6  # of the samples must fit
SLOPES = (0.4, 2.5)  # of the curve: what is beyond, such as a dark theme, is another design
FALLS_OFF = 0.85  # of the misfit without: less must be left by a light that isn't the same everywhere
PLAIN = 4.0  # levels of deviation: less is one colour
LEAST = (0.006, 0.018, 0.03, 0.006)  # of brightness, contrast, gradient and cast
CLIPPED, MUCH_CLIPPED = 0.001, 0.004  # of the samples
NOTHING = 0.4  # levels left of a cell, in the mean
ROUNDING = 0.5  # levels squared left of a sample
ENDS = (3, 252)  # levels beyond which a sample may have been clipped

_Samples = NDArray[np.float32]  # (samples, 3), levels
_Terms = NDArray[np.float32]  # (samples, terms)


_SIZE = 9 + len(POWERS)
_SAME = Light(np.ones(3), np.ones(3), np.zeros(3), np.zeros(len(POWERS)))
# How far each term may stray for nothing: of few colours, the least change. Gains, gammas and offsets, then light.
_RIDGE = np.r_[np.full(3, 1e-5), np.full(3, 5e-5), np.full(3, 1e-5), np.full(len(POWERS), 1e-5)]


@dataclass(frozen=True, slots=True)
class Relit:
    """A pair under one light. `tone`: what was taken out, None where nothing was; `share`: of the frame that shows
    it."""

    grid: Grid
    tone: Tone | None = None
    share: float = 0.0


def relit(grid: Grid) -> Relit:
    """The pair as it is where no one light explains what differs, else one picture under the light of the other.

    The one that lost less is lit: what was clipped in one is clipped in both.
    """
    if grid.first_alpha is not None or grid.second_alpha is not None or min(grid.width, grid.height) < LEAST_SIDE:
        return Relit(grid)
    both = _sampled(grid)
    if both.is_plain or _seen(both.means(both.second - both.first, flat=True)) < SEEN_SHARE:
        return Relit(grid)
    found = _better(both)
    if found is None:
        return Relit(grid)
    fit, is_second = found
    source = both.second if is_second else both.first
    predicted = _predicted(fit, source, both.places)
    share = _seen(both.means(predicted - source, flat=True))
    if share < SEEN_SHARE or not _is_on_several(source[both.flat], predicted[both.flat]):
        return Relit(grid)
    tone = _tone(fit, source, predicted)
    if not _is_light(tone):
        return Relit(grid)
    if is_second:
        lit = cast(Pixels, Lit(grid.second, grid.first, fit))
        return Relit(replace(grid, second=lit), turned(tone), share)
    lit = cast(Pixels, Lit(grid.first, grid.second, fit))
    return Relit(replace(grid, first=lit), tone, share)


def strength(tone: Tone | None) -> float:
    """0..1: how much of a change it is, as a region as strong would be."""
    if tone is None:
        return 0.0
    levels = 255 * max(abs(tone.brightness), tone.gradient / 4, tone.cast, abs(tone.contrast) / 4)
    return levels / (levels + 40)


def _is_on_several(source: _Samples, predicted: _Samples) -> bool:
    """What it changes is most of the picture, or of several levels: of one level alone, it is that thing's own."""
    seen = np.abs(predicted - source) >= SEEN
    if np.count_nonzero(seen.any(axis=1)) >= MOST_SEEN * len(seen):
        return True
    levels = source[seen]  # of each channel by itself: a blue bar has several
    return len(levels) > 1 and float(np.ptp(np.quantile(levels, (0.1, 0.9)))) >= LEVELS


def _is_light(tone: Tone) -> bool:
    """More than an encoder does to the mean of a page."""
    parts = (tone.brightness, tone.contrast, tone.gradient, tone.cast)
    return any(abs(part) >= least for part, least in zip(parts, LEAST, strict=True))


def turned(tone: Tone) -> Tone:
    """The same, seen from the other picture."""
    return Tone(-tone.brightness + 0.0, -tone.contrast + 0.0, tone.gradient, tone.cast)


@dataclass(frozen=True, slots=True)
class _Both:
    """Pixels of both pictures, levels.

    `flat`: those beside no edge in either; `places`: `POWERS` of their places; `cells`: which of `num_cells` each is
    in.
    """

    first: _Samples
    second: _Samples
    flat: NDArray[np.bool_]
    places: _Terms
    cells: NDArray[np.intp]
    num_cells: int

    @property
    def is_plain(self) -> bool:
        """Of one colour: any other is the light of it. Or nothing is left to look at."""
        few = len(self.first) < LEAST_SIDE
        return few or min(float(each.std(axis=0).max()) for each in (self.first, self.second)) < PLAIN

    def means(self, rest: _Samples, *, flat: bool = False) -> _Samples:
        """(cells, 3): what noise leaves of `rest`; nothing where nothing was sampled, or nothing `flat`."""
        cells, rest = (self.cells[self.flat], rest[self.flat]) if flat else (self.cells, rest)
        counts = np.maximum(1, np.bincount(cells, minlength=self.num_cells))
        sums = [np.bincount(cells, rest[:, channel], self.num_cells) for channel in range(3)]
        return np.asarray(np.stack(sums, axis=1) / counts[:, None], np.float32)


def _sampled(grid: Grid) -> _Both:
    """Pixels, not means: between two levels a mean lies on a line, and a gamma bends."""
    down, across = (max(1, -(-side // SIDE)) for side in (grid.height, grid.width))
    one, two = (image[down // 2 : -1 : down, across // 2 : -1 : across] for image in (grid.first, grid.second))
    edge = [_edges(image, down, across) for image in (grid.first, grid.second)]
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in one.shape[:2])
    places = np.stack([np.outer(y**j, x**i).ravel() for i, j in POWERS], axis=1)
    row, column = (np.arange(side) // CELL_SIDE for side in one.shape[:2])
    cells = (row[:, None] * (column[-1] + 1) + column).ravel()
    first, second = one.reshape(-1, 3), two.reshape(-1, 3)
    looked_at = ((first != MASK_GREY) | (second != MASK_GREY)).any(axis=1)
    first, second = (each[looked_at].astype(np.float32) for each in (first, second))
    flat = (np.maximum(*edge) <= FLAT).ravel()[looked_at]
    return _Both(first, second, flat, places[looked_at], cells[looked_at], int(cells[-1]) + 1)


def _edges(image: Pixels, down: int, across: int) -> Pixels:
    """How far each pixel sampled is from the next one right and below, levels of its channel that goes farthest."""
    here = image[down // 2 : -1 : down, across // 2 : -1 : across]
    right = image[down // 2 : -1 : down, across // 2 + 1 :: across][:, : here.shape[1]]
    below = image[down // 2 + 1 :: down, across // 2 : -1 : across][: here.shape[0]]
    return np.asarray(np.maximum(cv2.absdiff(here, right), cv2.absdiff(here, below)).max(axis=2), np.uint8)


def _seen(means: _Samples) -> float:
    """Share of the cells that are off by what is seen of a flat place."""
    return float((np.abs(means).max(axis=1) >= SEEN).mean())


def _predicted(fit: Light, source: _Samples, places: _Terms) -> _Samples:
    light = 1 + places @ fit.falls_off
    return np.asarray(np.clip(fit.curve(source / 255.0) * light[:, None], 0, 1) * 255, np.float32)


def _better(both: _Both) -> tuple[Light, bool] | None:
    """The light that explains the pair, and whether the second picture is to be lit; None where none does.

    What was clipped has lost what it was: the picture with more of it is the one that the other is lit for. The other
    way is tried where that leaves something, or fails though much was clipped.
    """
    clipped = _clipped_alone(both.first, both.second), _clipped_alone(both.second, both.first)
    found: list[tuple[float, bool, Light]] = []
    for is_second in (True, False) if clipped[0] > clipped[1] else (False, True):
        source, target = (both.second, both.first) if is_second else (both.first, both.second)
        fit, rest, left = _fitted(source, target, both)
        if fit is not None:
            found.append((rest, is_second, fit))
        elif left > FAR or max(clipped) < MUCH_CLIPPED:
            break
        if max(clipped) < CLIPPED or (found and rest < ROUNDING):
            break
    if not found:
        return None
    _, is_second, fit = min(found, key=lambda each: each[0])
    return fit, is_second


def _clipped_alone(one: _Samples, two: _Samples) -> float:
    """Share of the samples of `one` at an end of the range where `two` isn't."""
    clipped = [((each < ENDS[0]) | (each > ENDS[1])).any(axis=1) for each in (one, two)]
    return float((clipped[0] & ~clipped[1]).mean())


def _fitted(source: _Samples, target: _Samples, both: _Both) -> tuple[Light | None, float, float]:
    """The light, what it leaves in levels squared, and its share of the misfit; no light where it explains too little
    of the pair, or isn't light."""
    fit = flat = _settled(_SAME, source, target, both.places, terms=9)
    rest = least = _misfit(target - _predicted(flat, source, both.places), both)
    if float(rest.mean()) > NOTHING:
        fit = _settled(flat, source, target, both.places, terms=_SIZE)
        least = _misfit(target - _predicted(fit, source, both.places), both)
    before = _misfit(target - source, both)
    most, uneven = (float(np.minimum(each, UNEVEN_MOST).mean()) for each in (before, least))
    if float(least.mean()) > FALLS_OFF * float(rest.mean()) or uneven > LEFT_UNEVEN * most:
        fit, least = flat, rest
    slope, seen = fit.gain * fit.gamma, before >= SEEN
    explained = np.count_nonzero(seen & (least <= np.maximum(SCALE, LEFT * before)))
    is_light = float(slope.min()) >= SLOPES[0] and float(slope.max()) <= SLOPES[1]
    left = float(least.mean()) / max(1e-6, float(before.mean()))
    is_little = left <= LEFT
    fits = is_light and is_little and bool(explained >= EXPLAINED * np.count_nonzero(seen))
    rest = np.abs(target - _predicted(fit, source, both.places)).max(axis=1)
    return fit if fits else None, float(np.square(np.minimum(rest, MISFIT_MOST)).mean()), left


def _misfit(rest: _Samples, both: _Both) -> NDArray[np.float32]:
    return np.asarray(np.minimum(np.abs(both.means(rest)).max(axis=1), MISFIT_MOST), np.float32)


def _settled(fit: Light, source: _Samples, target: _Samples, places: _Terms, terms: int) -> Light:
    """Gauss and Newton's steps of the first `terms`, reweighted by Cauchy's weights (Holland and Welsch 1977), so that
    what was replaced doesn't bend it."""
    few = slice(None, None, EACH)
    parts = [(source[few], target[few], places[few])] * (ROUNDS - 1) + [(source, target, places)]
    for source, target, places in parts:
        predicted = _predicted(fit, source, places)
        rest = target - predicted
        off = np.abs(rest).max(axis=1)
        scale = max(SCALE, 2 * float(np.median(off)))
        # What is clipped where it should be tells nothing of how far beyond the end it lies.
        clipped = [(each < ENDS[0]) | (each > ENDS[1]) for each in (target, predicted)]
        weight = (~(clipped[0] & clipped[1])) / (1 + np.square(off / scale))[:, None]
        fit = _moved(fit, _step(fit, source / np.float32(255), rest / np.float32(255), places, weight, terms))
    return fit


def _step(fit: Light, values: _Terms, rest: _Terms, places: _Terms, weight: _Terms, terms: int) -> NDArray[np.float64]:
    """The change of all parameters that leaves least of `rest`, in the order of `_RIDGE`."""
    light = 1 + places @ fit.falls_off
    normal, right = np.zeros((_SIZE, _SIZE)), np.zeros(_SIZE)
    for channel in range(3):
        value = np.maximum(values[:, channel], 1e-3)
        power = value ** fit.gamma[channel] * light
        bend = fit.gain[channel] * power * np.log(value)
        curve = fit.gain[channel] * power + fit.offset[channel] * light  # x light: the light's terms are relative
        slopes = np.column_stack([power, bend, light, places * curve[:, None]])
        weighted = slopes * weight[:, channel : channel + 1]
        own = np.r_[channel, 3 + channel, 6 + channel, 9:_SIZE]
        normal[np.ix_(own, own)] += weighted.T @ slopes
        right[own] += weighted.T @ rest[:, channel]
    ridge = _RIDGE * len(values)
    strayed = np.r_[fit.gain - 1, fit.gamma - 1, fit.offset, fit.falls_off]
    change = np.zeros(_SIZE)
    change[:terms] = np.linalg.solve((normal + np.diag(ridge))[:terms, :terms], (right - ridge * strayed)[:terms])
    return change


def _moved(fit: Light, change: NDArray[np.float64]) -> Light:
    return Light(
        np.clip(fit.gain + change[:3], 0.2, 4),
        np.clip(fit.gamma + change[3:6], 0.3, 3),
        np.clip(fit.offset + change[6:9], -0.6, 0.6),
        np.clip(fit.falls_off + change[9:], -0.8, 0.8),
    )


def _tone(fit: Light, source: _Samples, predicted: _Samples) -> Tone:
    luma = np.array((0.299, 0.587, 0.114))
    before, after = (np.asarray(each, np.float64) for each in (source, predicted))
    moved = (after - before).mean(axis=0) / 255
    light, lit = before @ luma, (np.clip(fit.curve(before / 255.0), 0, 1) * 255) @ luma
    spread = float(light.std())
    contrast = float(np.log(max(1.0, lit.std()) / max(1.0, spread)))
    edge = np.linspace(-1, 1, 9)
    x, y = (each.ravel() for each in np.meshgrid(edge, edge))
    across = np.stack([x**i * y**j for i, j in POWERS], axis=1) @ fit.falls_off
    return Tone(
        round(float(moved @ luma), 4),
        round(contrast, 4),
        round(float(np.ptp(across)), 4),
        round(float(np.abs(moved - moved @ luma).max()), 4),
    )
