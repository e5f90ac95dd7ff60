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

from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core import Pixels
from serve_app.measurement.tiles import CELL, by_cell

SLACK = (3, 4, 4)  # levels of Y, Cr, Cb: below one just noticeable difference on any ground
TINTS = ((1, 6.0), (3, 4.0), (9, 2.5))  # window in cells, levels of its mean from which a tint counts
TINT_CLIP = 8  # levels one pixel may add to a tint
TINT_STEPS = 15  # of a level: 2 * TINT_CLIP of them just fit a byte
FRINGE_SPAN = (19, 5)  # pixels across and pairs of rows: both edges of a letter's stroke, whose fringes cancel
FRINGE_LEFT = 5  # sixteenths of the colour's mean amplitude that may be left in its mean, beside a level of rounding
FRINGE_MOST = 8  # ... and with it
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
    means = [np.stack([_cells(plane) for plane in planes]) for planes in (one, two)]
    drift = means[1] - means[0]
    inked = _inked(one[0], two[0], _cells(off[0]), drift[0])
    if inked.any():
        light |= _spread(inked, candidate.shape) & (off[0] >= INK_PIXEL)
        candidate |= light
    if candidate.any():
        peak = _noise_peak(one[0], two[0], off[0], strength, drift)
        candidate &= strength > _spread(peak, strength.shape)
        coloured = candidate & ~light
        coloured &= cv2.subtract(cv2.max(off[1], off[2]), excused[0]) <= SLACK[1]
        if coloured.any():
            candidate &= ~(coloured & _fringed(one, two))
    tinted = _tint(one, two, drift)
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


def _fringed(one: Planes, two: Planes) -> Mask:
    """Pixels whose colour may be that of anti-aliasing by the thirds of a pixel, as on LCDs: gone in the mean along
    the row, because such filters keep the sum (Gibson 1998; FreeType's FT_LCD_FILTER_DEFAULT). It is where it
    stands beside an edge of both pictures as strong as the colour. Every other row is looked at, for both.
    """
    rounding = np.uint16(FRINGE_SPAN[0] * FRINGE_SPAN[1])
    fringed = np.ones(one[0][::2].shape, bool)
    for a, b in zip(one[1:], two[1:], strict=True):
        gained, lost = (_summed(cv2.subtract(*pair)) for pair in ((b[::2], a[::2]), (a[::2], b[::2])))
        left, sixteenth = cv2.absdiff(gained, lost), (gained + lost) >> 4
        fringed &= (left <= sixteenth * FRINGE_LEFT + rounding) & (left <= sixteenth * FRINGE_MOST)
    return fringed.repeat(2, axis=0)[: one[0].shape[0]]


def _summed(plane: Pixels) -> NDArray[np.uint16]:
    return cast(NDArray[np.uint16], cv2.boxFilter(plane, cv2.CV_16U, FRINGE_SPAN, normalize=False))


def _cells(plane: Pixels) -> Cells:
    """Means over cells; a ragged edge is filled with its mirror image."""
    total: Cells = by_cell(_whole_cells(plane), np.add, np.uint16).astype(np.float32)
    return total / np.float32(CELL * CELL)


def _rough_cells(plane: NDArray[Any]) -> Cells:
    """Means over cells by halves, each rounded: three times as fast, up to half a unit too high."""
    plane = _whole_cells(plane)
    for _ in range(3):
        size = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA)).reshape(size[::-1])
    return plane.astype(np.float32)


def _whole_cells(plane: NDArray[Any]) -> NDArray[Any]:
    down, right = (-side % CELL for side in plane.shape)
    return np.asarray(cv2.copyMakeBorder(plane, 0, down, 0, right, cv2.BORDER_REFLECT)) if down or right else plane


def _tint(one: Planes, two: Planes, drift: Cells) -> Mask:
    """Cells off in one direction. The plain mean must agree with the clipped one: dither keeps only the plain one."""
    tinted = np.zeros(drift.shape[1:], bool)
    for a, b, plain in zip(one, two, drift, strict=True):
        clipped = _rough_cells(_clipped(a, b)) / TINT_STEPS - TINT_CLIP
        here = np.minimum(np.abs(clipped), np.abs(plain))
        here[clipped * plain <= 0] = 0
        agreed = np.copysign(here, plain)
        for window, level in TINTS:
            off = np.abs(cv2.blur(agreed, (window, window))) if window > 1 else here
            tinted |= (off >= level) & (here >= level / 2)
    return tinted


def _clipped(one: Pixels, two: Pixels) -> Pixels:
    """What each pixel gains, in steps above -TINT_CLIP levels, at most TINT_CLIP."""
    gained, lost = (
        cv2.threshold(cv2.subtract(*pair), TINT_CLIP, TINT_CLIP, cv2.THRESH_TRUNC)[1]
        for pair in ((two, one), (one, two))
    )
    return cast(Pixels, (gained + np.uint8(TINT_CLIP) - lost) * np.uint8(TINT_STEPS))


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
    cells = by_cell(_whole_cells(plane), np.minimum if end is cv2.erode else np.maximum)
    return cast(Pixels, end(cells, np.ones(INK_WINDOW, np.uint8)))


def _noise_peak(one: Pixels, two: Pixels, off: Pixels, strength: Pixels, drift: Cells) -> Pixels:
    """Per cell the strength up to which a changed pixel is noise; 0 where there is none.

    `one`, `two`, `off`: the pictures' lightness and how far it is apart.
    """
    density = cv2.blur(_rough_cells(cv2.threshold(strength, 0, 255, cv2.THRESH_BINARY)[1]) / 255, (3, 3))
    amplitude = cv2.blur(_cells(strength), (3, 3))
    allowed = NOISE_MEAN + NOISE_SHARE * amplitude
    near = np.max([np.abs(cv2.blur(plane, (3, 3))) for plane in drift], axis=0)
    here = np.abs(drift).max(axis=0)
    noisy = (density > NOISE_DENSITY) & (near < allowed) & (here < 3 * allowed)
    if not noisy.any():
        return np.zeros(noisy.shape, np.uint8)
    noisy &= ~_replaced(one, two, off)
    return cast(Pixels, np.where(noisy, np.minimum(NOISE_PEAK * amplitude + SLACK[0], 255), 0).astype(np.uint8))


def _replaced(one: Pixels, two: Pixels, off: Pixels) -> Mask:
    """Cells where the pictures vary without each other: var(difference) far above the difference of the variances."""
    means = [_cells(one), _cells(two)]
    squares = [_rough_cells(np.square(plane, dtype=np.uint16)) for plane in (one, two, off)]
    variances = [
        np.maximum(square - mean**2, 0) for square, mean in zip(squares, (*means, means[0] - means[1]), strict=True)
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
