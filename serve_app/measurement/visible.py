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

from collections.abc import Callable, Sequence
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core import Pixels
from serve_app.measurement.tiles import CELL

SLACK = (3, 4, 4)  # levels of Y, Cr, Cb: below one just noticeable difference on any ground
TINTS = ((1, 6.0), (3, 4.0), (9, 2.5))  # window in cells, levels of its mean from which a tint counts
TINT_CLIP = 8  # levels one pixel may add to a tint
FRINGE_SPAN = (19, 7)  # pixels across and down: both edges of a letter's stroke, whose fringes cancel
FRINGE_LEFT = 0.3  # of the colour's mean amplitude that may be left in its mean, beside a level of rounding
FRINGE_MOST = 0.5  # ... and with it
INK = 16  # levels of Y by which the darkest or lightest pixel around must differ
INK_WINDOW = (5, 5)  # cells: some stroke of a text of any size is fully covered there
INK_ONE_WAY = 0.85  # of what changed goes in one direction
INK_LEAST = 0.75  # levels, in the mean of the window
INK_PIXEL = 8  # levels from which a pixel shows it
NOISE_DENSITY = 0.3  # of the pixels around are off: noise, where their mean isn't
NOISE_MEAN = 3.0  # levels of mean that noise may leave in a neighbourhood of 24 pixels
NOISE_SHARE = 0.1  # ... or this share of its mean amplitude
NOISE_PEAK = 10.0  # a pixel this many times the amplitude around it stands out of the noise
NOISE_FLOOR = 150.0  # levels squared: JPEG's own residue, deviation 12
NOISE_EXCESS = 0.5  # of the poorer picture's variance: more means content replaced, not noise added

Mask = NDArray[np.bool_]
Cells = NDArray[np.float32]
Planes = tuple[Pixels, Pixels, Pixels]  # Y, Cr, Cb
_NEAR = np.ones((3, 3), np.uint8)


def mask(first: Pixels, second: Pixels, jitter: int = 0) -> tuple[Mask, Pixels]:
    """Pixels that differ visibly, and how far every pixel is off (largest channel, levels).

    `first`, `second`: (height, width, 3) uint8. Symmetric in the two.
    """
    # Plane by plane: OpenCV's operations on one are two to five times faster than on a channel of three.
    one, two = (_planes(image) for image in (first, second))
    off = tuple(cv2.absdiff(*pair) for pair in zip(one, two, strict=True))
    strength = np.asarray(cv2.max(cv2.max(off[0], off[1]), off[2]), np.uint8)
    excused = _excused(one, two, jitter)
    # No scalars in OpenCV's operations: it takes a picture of 1x4 pixels for one.
    light, red, blue = (
        cv2.subtract(apart, least) > slack for apart, least, slack in zip(off, excused, SLACK, strict=True)
    )
    candidate = light | red | blue
    gained = [cv2.subtract(b, a) for a, b in zip(one, two, strict=True)]
    lost = [cv2.subtract(a, b) for a, b in zip(one, two, strict=True)]
    up, down = ([_cells(plane) for plane in planes] for planes in (gained, lost))
    drift = np.dstack(up) - np.dstack(down)
    inked = _inked(one[0], two[0], up[0], down[0])
    if inked.any():
        light |= _spread(inked, candidate.shape) & (off[0] >= INK_PIXEL)
        candidate |= light
    if candidate.any():
        peak = _noise_peak(one[0], two[0], strength, drift)
        candidate &= strength > _spread(peak, strength.shape)
        if (candidate & ~light).any():
            candidate &= light | ~_fringed(one, two, off, excused[0])
    tinted = _tint(lost, gained, drift)
    if tinted.any():
        candidate |= _spread(tinted, candidate.shape) & (strength >= 2)
    return _grown(candidate, strength), strength


def _planes(image: Pixels) -> Planes:
    light, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    return np.asarray(light), np.asarray(red), np.asarray(blue)


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


def _contrast(plane: Pixels, window: Pixels) -> Pixels:
    return np.asarray(cv2.subtract(cv2.dilate(plane, window), cv2.erode(plane, window)), np.uint8)


def _least(one: Pixels, two: Pixels, jitter: int) -> Pixels:
    """The lesser contrast, and where neither picture was resampled not more than three quarters of the greater."""
    least = cv2.min(one, two)
    if not jitter:
        most = cv2.max(one, two)
        least = cv2.min(least, most - (most >> 2))
    return np.asarray(least, np.uint8)


def _fringed(one: Planes, two: Planes, off: Planes, contrast: Pixels) -> Mask:
    """Pixels whose colour is that of anti-aliasing by the thirds of a pixel, as on LCDs: beside an edge of both
    pictures as strong as the colour, and gone in the mean along the row, because such filters keep the sum
    (Gibson 1998; FreeType's FT_LCD_FILTER_DEFAULT).
    """
    fringed = cv2.subtract(cv2.max(off[1], off[2]), contrast) <= SLACK[1]
    for a, b, apart in zip(one[1:], two[1:], off[1:], strict=True):
        left = np.abs(_summed(cv2.subtract(a, b, dtype=cv2.CV_16S)))
        amplitude = _summed(apart)
        rounding = np.float32(FRINGE_SPAN[0] * FRINGE_SPAN[1])
        fringed &= left <= np.minimum(FRINGE_LEFT * amplitude + rounding, FRINGE_MOST * amplitude)
    return np.asarray(fringed)


def _summed(plane: NDArray[Any]) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], cv2.boxFilter(plane, cv2.CV_32F, FRINGE_SPAN, normalize=False))


def _cells(plane: NDArray[Any]) -> Cells:
    """Means over cells; a ragged edge is filled with its mirror image."""
    height, width = plane.shape
    down, right = -height % CELL, -width % CELL
    if down or right:
        plane = cv2.copyMakeBorder(plane, 0, down, 0, right, cv2.BORDER_REFLECT)
    # By halves, where nothing is rounded on the way: twice as fast.
    for factor in (2, 2, 2) if plane.dtype == np.float32 else (CELL,):
        size = (plane.shape[1] // factor, plane.shape[0] // factor)
        plane = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA)).reshape(size[::-1])
    return plane.astype(np.float32, copy=False)


def _tint(lost: Sequence[Pixels], gained: Sequence[Pixels], drift: Cells) -> Mask:
    """Cells off in one direction. The plain mean must agree with the clipped one: dither keeps only the plain one."""
    signed = [
        cv2.addWeighted(np.minimum(up, TINT_CLIP), 15, np.minimum(down, TINT_CLIP), -15, 128)
        for up, down in zip(gained, lost, strict=True)
    ]
    clipped = (np.dstack([_cells(plane) for plane in signed]) - 128) / 15
    agreed = np.where(clipped * drift > 0, np.minimum(np.abs(clipped), np.abs(drift)) * np.sign(drift), 0)
    tinted = np.zeros(agreed.shape[:2], bool)
    here = np.abs(agreed)
    for window, level in TINTS:
        off = np.abs(cv2.blur(agreed, (window, window)) if window > 1 else agreed)
        tinted |= ((off >= level) & (here >= level / 2)).any(axis=2)
    return tinted


def _inked(one: Pixels, two: Pixels, up: Cells, down: Cells) -> Mask:
    """Cells where thin things, such as letters, have another lightness: all that changed did so in one direction, and
    the darkest or lightest of the surroundings is another. Where edges only sit or are weighted otherwise, what one
    pixel loses another gains, or the core of the strokes stays as it was. `up`, `down`: mean gain and loss of cells.
    """
    total = cv2.blur(up + down, INK_WINDOW)
    inked = (total >= INK_LEAST) & (np.abs(cv2.blur(up - down, INK_WINDOW)) >= INK_ONE_WAY * total)
    if inked.any():
        darkest, lightest = ([_extreme(plane, end) for plane in (one, two)] for end in (cv2.erode, cv2.dilate))
        inked &= cv2.max(cv2.absdiff(*darkest), cv2.absdiff(*lightest)) >= INK
    return np.asarray(inked)


def _extreme(plane: Pixels, end: Callable[..., Any]) -> Pixels:
    """The darkest (`cv2.erode`) or lightest (`cv2.dilate`) pixel of each cell's surroundings."""
    cell = np.ones((CELL, CELL), np.uint8)
    found = end(plane, cell, anchor=(0, 0))[::CELL, ::CELL]
    return cast(Pixels, end(np.ascontiguousarray(found), np.ones(INK_WINDOW, np.uint8)))


def _noise_peak(one: Pixels, two: Pixels, strength: Pixels, drift: Cells) -> Pixels:
    """Per cell the strength up to which a changed pixel is noise; 0 where there is none. `one`, `two`: lightness."""
    density = cv2.blur(_cells(cv2.threshold(strength, 0, 255, cv2.THRESH_BINARY)[1]) / 255, (3, 3))
    amplitude = cv2.blur(_cells(strength), (3, 3))
    allowed = NOISE_MEAN + NOISE_SHARE * amplitude
    near = np.abs(cv2.blur(drift, (3, 3))).max(axis=2)
    here = np.abs(drift).max(axis=2)
    noisy = (density > NOISE_DENSITY) & (near < allowed) & (here < 3 * allowed)
    if not noisy.any():
        return np.zeros(noisy.shape, np.uint8)
    noisy &= ~_replaced(one, two)
    return cast(Pixels, np.where(noisy, np.minimum(NOISE_PEAK * amplitude + SLACK[0], 255), 0).astype(np.uint8))


def _replaced(one: Pixels, two: Pixels) -> Mask:
    """Cells where the pictures vary without each other: var(difference) far above the difference of the variances."""
    first, second = (plane.astype(np.float32) for plane in (one, two))
    means = [_cells(first), _cells(second)]
    means.append(means[0] - means[1])
    variances = [
        np.maximum(_cells(x * x) - mean**2, 0) for x, mean in zip((first, second, first - second), means, strict=True)
    ]
    excess = variances[2] - np.abs(variances[0] - variances[1])
    return cast(Mask, excess > NOISE_EXCESS * np.minimum(variances[0], variances[1]) + NOISE_FLOOR)


def _spread(cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: shape[0], : shape[1]]


def _grown(candidate: Mask, strength: Pixels) -> Mask:
    """Add the excused rim: pixels beside a real change that are off themselves."""
    if not candidate.any():
        return candidate
    grown = cv2.dilate(candidate.view(np.uint8), _NEAR)
    return np.asarray((grown > 0) & (strength > SLACK[0]) | candidate)
