"""Which pixels of a tile differ as a person would see it.
No regions, no scores: one tile of two pictures in, one mask out.

Three questions a pixel, each from a tool that answers it well alone:
- Is it more than an edge's jitter? A changed pixel is excused while the change stays under the local contrast of
  both pictures (3x3 range). This is the flat-3x3 rule of Playwright's ssim-cie94 comparator (a flat neighbourhood in
  either picture is never anti-aliasing) joined with the slope test of Vysniauskas (2009), which pixelmatch and odiff
  use: anti-aliased pixels lie between their neighbours, so a sub-pixel move changes them by part of the contrast.
  Colour along an edge that cancels along the row is the fringe of sub-pixel (LCD) text rendering.
- Is it noise? Dither and JPEG residue is dense and its mean over a neighbourhood vanishes (the eye averages it);
  what replaces content doesn't average out.
- Is it a tint? A mean over 8x8 pixels that is off in one direction counts from 2.5 levels on, however small each
  pixel's share: about one just noticeable difference (CIE dE 1). Clipping each pixel's share keeps edges out of it.
  Letters and lines cover too little for that: what is asked of them is whether the cores of their strokes changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core.pictures import Pixels
from serve_app.measurement import copies, strokes
from serve_app.measurement.copies import Leavings, Planes
from serve_app.measurement.tiles import CELL, HALO, REACH, TILE, by_cell, cell_means, spread, whole_cells

SLACK = (3, 4, 4)  # levels of Y, Cr, Cb: below one just noticeable difference on any ground
TINTS = ((1, 6.0), (3, 4.0), (9, 2.5))  # window in cells, levels of its mean from which a tint counts
TINT_CLIP = 8  # levels one pixel may add to a tint
FRINGE_SPAN = (19, 5)  # pixels across and pairs of rows: both edges of a letter's stroke, whose fringes cancel
FRINGE_LEFT = 5  # sixteenths of the colour's mean amplitude that may be left in its mean, beside a level of rounding
FRINGE_MOST = 8  # ... and with it
FRINGE_LIGHT = 0.3  # of the pixels of five cells around: with more of them visible in lightness, it isn't rendering
INK = 16  # levels of Y by which the darkest or lightest pixel around must differ
INK_WINDOW = (5, 5)  # cells: some stroke of a text of any size is fully covered there
INK_ONE_WAY = 0.85  # of what changed goes in one direction
INK_LEAST = 0.75  # levels, in the mean of the window
INK_PIXEL = 8  # levels from which a pixel shows it
SAMPLED = 0.8  # pixels: deviation of the mean that a picture resampled to meet the other is compared in
SAMPLED_SHARE = 0.33  # of the contrast around it may be off: a border of another rounded width is .31, a stroke .35
SAMPLED_MOST = 0.75  # ... and one pixel: half a pixel and another width together make .69
BOTH = 0.35  # of the contrast in one must be in the other too: a line stands in both
LINE = 24  # pixels: what is so long and straight is no letter
STEADY = 6  # levels that its change may vary from pixel to pixel
NOISE_DENSITY = 0.3  # of the pixels around are off: noise, where their mean isn't
NOISE_MEAN = 3.0  # levels of mean that noise may leave in a neighbourhood of 24 pixels
NOISE_SHARE = 0.1  # ... or this share of its mean amplitude
NOISE_PEAK = 10.0  # a pixel this many times the amplitude around it stands out of the noise
NOISE_FLOOR = 150.0  # levels squared: JPEG's own residue, deviation 12
EVERYWHERE = 0.6  # of the cells of a tile differ visibly: more is no matter of strokes
NOISE_EXCESS = 0.5  # of the poorer picture's variance: more means content replaced, not noise added

Mask = NDArray[np.bool_]
Cells = NDArray[np.float32]
_NEAR = np.ones((3, 3), np.uint8)
_MEAN = np.full(CELL * CELL, 1 / CELL**2, np.float32)
_TILE_PIXELS = (TILE + 2 * REACH) ** 2


def mask(first: Pixels, second: Pixels, jitter: int = 0, leavings: Leavings | None = None) -> tuple[Mask, Pixels]:
    """Pixels that differ visibly, and how far every pixel is off (largest channel, levels).

    `first`, `second`: (height, width, 3) uint8. `leavings`: of the encoder that made one a copy of the other. Symmetric
    in the two.
    """
    # Plane by plane: OpenCV's operations on one are two to five times faster than on a channel of three.
    one, two = (_planes(image, scratch) for image, scratch in zip((first, second), _scratch.both, strict=True))
    off = tuple(cv2.absdiff(*pair) for pair in zip(one, two, strict=True))
    strength = np.asarray(cv2.max(cv2.max(off[0], off[1]), off[2]), np.uint8)
    excused = _excused(one, two, jitter)
    # No scalars in OpenCV's operations: it takes a picture of 1x4 pixels for one.
    light, red, blue = (
        cv2.subtract(apart, least) > slack for apart, least, slack in zip(off, excused, SLACK, strict=True)
    )
    if jitter == 1:
        light = resampled(one[0], two[0])
    candidate = light | red | blue
    drift = np.stack([cell_means(b) - cell_means(a) for a, b in zip(one, two, strict=True)])
    amount = cell_means(off[0])
    inked = _inked(one[0], two[0], amount, drift[0])
    if inked.any():
        inks = spread(inked, candidate.shape) & (off[0] >= INK_PIXEL)
        light |= inks & ~_lines(off[0]) if jitter else inks
    if not jitter and _is_here_and_there(candidate):
        light |= strokes.toned(one[0], two[0], off[0], drift[0], amount)
        light |= strokes.redrawn(one[0], two[0], off[0])
    candidate |= light
    if leavings is not None and candidate.any():
        candidate &= copies.beyond(one, two, strength, leavings)
    if candidate.any():
        peak = _noise_peak(one[0], two[0], candidate, strength, drift)
        candidate &= strength > spread(peak, strength.shape)
        coloured = candidate & ~light
        coloured &= cv2.subtract(cv2.max(off[1], off[2]), excused[0]) <= SLACK[1]
        if coloured.any():
            candidate &= ~_fringed(one, two, coloured, light)
    tinted = _tint(one, two, drift, 1.0 if leavings is None else leavings.tinting)
    if tinted.any():
        candidate |= spread(tinted, candidate.shape) & (strength >= 2)
    return _grown(candidate, strength), strength


def _is_here_and_there(candidate: Mask) -> bool:
    """Strokes stand on something that stayed: what differs everywhere is no matter of theirs."""
    return float(by_cell(whole_cells(candidate.view(np.uint8)), np.maximum).mean()) <= EVERYWHERE


class _Scratch(threading.local):
    """Memory of the last tile's planes, which a core still has in its cache; fresh memory takes a tenth longer."""

    def __init__(self) -> None:
        self.both = [np.empty((2, 3 * _TILE_PIXELS), np.uint8) for _ in range(2)]


_scratch = _Scratch()


def _planes(image: Pixels, scratch: NDArray[np.uint8]) -> Planes:
    """Y, Cr, Cb, in `scratch` where they fit."""
    if image.size > scratch.shape[1]:
        scratch = np.empty((2, image.size), np.uint8)
    mixed = scratch[0, : image.size].reshape(image.shape)
    light, red, blue = scratch[1, : image.size].reshape(3, *image.shape[:2])
    cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb, dst=mixed), (light, red, blue))
    return light, red, blue


def _excused(one: Planes, two: Planes, jitter: int) -> Planes:
    """Levels of each plane that a pixel may be off for the sake of the edges around it.

    Edges within a pixel (and `jitter`); of colour within two, because 4:2:0 keeps it in blocks of two.
    """
    near, far = (np.ones((side + 2 * jitter, side + 2 * jitter), np.uint8) for side in (3, 5))
    light, red, blue = (
        _least(_contrast(a, window), _contrast(b, window), jitter)
        for a, b, window in zip(one, two, (near, far, far), strict=True)
    )
    return light, red, blue


def resampled(one: Pixels, two: Pixels) -> Mask:
    """Pixels whose lightness differs by more than sampling explains, where one picture was resampled to meet the other.

    An edge that sits a fraction of a pixel further, or is softer, loses on one side what it gains on the other: in a
    mean over what two pixels cover almost nothing is left of it, while a stroke that came or went stays.
    """
    window = np.ones((5, 5), np.uint8)
    contrast = np.asarray(cv2.max(_contrast(one, window), _contrast(two, window)), np.float32)
    apart = two.astype(np.float32) - one
    mean = np.abs(cv2.GaussianBlur(apart, (0, 0), SAMPLED))
    differs = (mean > SLACK[0] + SAMPLED_SHARE * contrast) | (np.abs(apart) > SLACK[0] + SAMPLED_MOST * contrast)
    if differs.any():
        least = np.asarray(cv2.min(_contrast(one, window), _contrast(two, window)), np.float32)
        differs &= ~(_lines(cv2.absdiff(one, two)) & (least >= BOTH * contrast))
    return np.asarray(differs)


def _lines(off: Pixels) -> Mask:
    """Pixels of long straight runs that are off by the same all along: borders, whole pixels at any scale, so that one
    is bolder. With the corners where they meet."""
    found = np.zeros(off.shape, np.uint8)
    for shape in ((1, LINE), (LINE, 1)):
        beside = np.ones((min(shape[0], 3), min(shape[1], 3)), np.uint8)
        steady = (off >= INK_PIXEL) & (_contrast(off, beside) <= STEADY)
        found |= cv2.morphologyEx(steady.view(np.uint8), cv2.MORPH_OPEN, np.ones(shape, np.uint8))
    return np.asarray(cv2.dilate(found, np.ones((5, 5), np.uint8)) > 0)


def _contrast(plane: Pixels, window: Pixels) -> Pixels:
    lightest = cv2.dilate(plane, window)
    return cast(Pixels, cv2.subtract(lightest, cv2.erode(plane, window), dst=lightest))


def _least(one: Pixels, two: Pixels, jitter: int) -> Pixels:
    """The lesser contrast, and where neither picture was resampled not more than three quarters of the greater."""
    least = cv2.min(one, two)
    if not jitter:
        most = cv2.max(one, two)
        most -= most >> 2
        cv2.min(least, most, dst=least)
    return np.asarray(least, np.uint8)


def _fringed(one: Planes, two: Planes, coloured: Mask, light: Mask) -> Mask:
    """Which of the `coloured` pixels, beside edges as strong as their colour, show anti-aliasing by the thirds of a
    pixel, as on LCDs: colour that is gone in the mean along the row, because such filters keep the sum (Gibson 1998;
    FreeType's FT_LCD_FILTER_DEFAULT), where lightness stayed. Every other row is looked at, for both.
    """
    fringed = np.zeros(coloured.shape, bool)
    cells = cv2.blur(cell_means(light.view(np.uint8)), (5, 5)) < FRINGE_LIGHT
    cells &= by_cell(whole_cells(coloured.view(np.uint8)), np.maximum) > 0
    if not cells.any():
        return fringed
    left, top, wide, high = (each * CELL for each in cv2.boundingRect(cells.view(np.uint8)))
    rows, columns = slice(max(0, top - HALO), top + high + HALO), slice(max(0, left - HALO), left + wide + HALO)
    rounding = np.uint16(FRINGE_SPAN[0] * FRINGE_SPAN[1])
    fringed[rows, columns] = True
    for plane, other in zip(one[1:], two[1:], strict=True):
        a, b = plane[rows, columns][::2], other[rows, columns][::2]
        gained, lost = _summed(cv2.subtract(b, a)), _summed(cv2.subtract(a, b))
        rest, sixteenth = cv2.absdiff(gained, lost), (gained + lost) >> 4
        found = (rest <= sixteenth * FRINGE_LEFT + rounding) & (rest <= sixteenth * FRINGE_MOST)
        fringed[rows, columns] &= found.repeat(2, axis=0)[: plane[rows].shape[0]]
    return np.asarray(fringed & coloured & spread(cells, coloured.shape))


def _summed(plane: Pixels) -> NDArray[np.uint16]:
    return cast(NDArray[np.uint16], cv2.boxFilter(plane, cv2.CV_16U, FRINGE_SPAN, normalize=False))


def _tint(one: Planes, two: Planes, drift: Cells, times: float) -> Mask:
    """Cells off in one direction, by so many `times` what is seen. The plain mean must agree with the clipped one:
    dither keeps only the plain one."""
    tinted = np.zeros(drift.shape[1:], bool)
    for a, b, plain in zip(one, two, drift, strict=True):
        amount = np.abs(plain)
        if all(cv2.blur(amount, (window, window)).max() < times * level for window, level in TINTS):
            continue  # what is clipped is less
        clipped = cell_means(_clipped(a, b)) - TINT_CLIP
        here = np.minimum(np.abs(clipped), amount)
        here[clipped * plain <= 0] = 0
        agreed = np.copysign(here, plain)
        for window, level in TINTS:
            off = np.abs(cv2.blur(agreed, (window, window))) if window > 1 else here
            tinted |= (off >= times * level) & (here >= times * level / 2)
    return tinted


def _clipped(one: Pixels, two: Pixels) -> Pixels:
    """What each pixel gains above -TINT_CLIP levels, at most TINT_CLIP."""
    gained, lost = cv2.subtract(two, one), cv2.subtract(one, two)
    for plane in (gained, lost):
        cv2.threshold(plane, TINT_CLIP, TINT_CLIP, cv2.THRESH_TRUNC, dst=plane)
    gained += np.uint8(TINT_CLIP)
    gained -= lost
    return cast(Pixels, gained)


def _inked(one: Pixels, two: Pixels, off: Cells, drift: Cells) -> Mask:
    """Cells where thin things, such as letters, have another lightness: all that changed did so in one direction, and
    the darkest or lightest of the surroundings is another. Where edges only sit or are weighted otherwise, what one
    pixel loses another gains, or the core of the strokes stays as it was. `off`, `drift`: means of the cells'
    differences, without and with their signs.
    """
    total = cv2.blur(off, INK_WINDOW)
    inked = (total >= INK_LEAST) & (np.abs(cv2.blur(drift, INK_WINDOW)) >= INK_ONE_WAY * total)
    if inked.any():
        darkest, lightest = ([_extreme(plane, end) for plane in (one, two)] for end in (cv2.erode, cv2.dilate))
        inked &= cv2.max(cv2.absdiff(*darkest), cv2.absdiff(*lightest)) >= INK
    return np.asarray(inked)


def _extreme(plane: Pixels, end: Callable[..., Any]) -> Pixels:
    """The darkest (`cv2.erode`) or lightest (`cv2.dilate`) pixel of each cell's surroundings."""
    cells = by_cell(whole_cells(plane), np.minimum if end is cv2.erode else np.maximum)
    return cast(Pixels, end(cells, np.ones(INK_WINDOW, np.uint8)))


def _noise_peak(one: Pixels, two: Pixels, candidate: Mask, strength: Pixels, drift: Cells) -> Pixels:
    """Per cell the strength up to which a changed pixel is noise; 0 where there is none. `one`, `two`: lightness."""
    density = cv2.blur(cell_means((strength > 0).view(np.uint8)), (3, 3))
    amplitude = cv2.blur(cell_means(strength), (3, 3))
    allowed = NOISE_MEAN + NOISE_SHARE * amplitude
    near = np.max([np.abs(cv2.blur(plane, (3, 3))) for plane in drift], axis=0)
    here = np.abs(drift).max(axis=0)
    noisy = (density > NOISE_DENSITY) & (near < allowed) & (here < 3 * allowed)
    noisy &= by_cell(whole_cells(candidate.view(np.uint8)), np.maximum) > 0
    if not noisy.any():
        return np.zeros(noisy.shape, np.uint8)
    noisy[noisy] = ~_replaced(*(_blocks(plane, noisy) for plane in (one, two)))
    return cast(Pixels, np.where(noisy, np.minimum(NOISE_PEAK * amplitude + SLACK[0], 255), 0).astype(np.uint8))


def _blocks(plane: Pixels, chosen: Mask) -> NDArray[np.float32]:
    """(cells, pixels of a cell) of the chosen ones."""
    plane = whole_cells(plane)
    cells = plane.reshape(plane.shape[0] // CELL, CELL, -1, CELL).swapaxes(1, 2)
    return cells[chosen].reshape(-1, CELL * CELL).astype(np.float32)


def _replaced(first: NDArray[np.float32], second: NDArray[np.float32]) -> Mask:
    """Cells where the pictures vary without each other: var(difference) far above the difference of the variances."""
    one, two, apart = (_variance(each) for each in (first, second, first - second))
    excess = apart - np.abs(one - two)
    return cast(Mask, excess > NOISE_EXCESS * np.minimum(one, two) + NOISE_FLOOR)


def _variance(cells: NDArray[np.float32]) -> Cells:
    means, squares = cells @ _MEAN, np.einsum("ij,ij->i", cells, cells) / np.float32(len(_MEAN))
    return cast(Cells, np.maximum(squares - means * means, 0))


def _grown(candidate: Mask, strength: Pixels) -> Mask:
    """Add the excused rim: pixels beside a real change that are off themselves."""
    if not candidate.any():
        return candidate
    grown = cv2.dilate(candidate.view(np.uint8), _NEAR)
    return np.asarray((grown > 0) & (strength > SLACK[0]) | candidate)
