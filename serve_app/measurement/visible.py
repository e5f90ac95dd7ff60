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
"""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.core import Pixels
from serve_app.measurement.tiles import CELL

SLACK = (3, 4, 4, 0)  # levels of Y, Cr, Cb: below one just noticeable difference on any ground
TINTS = ((1, 6.0), (3, 4.0), (9, 2.5))  # window in cells, levels of its mean from which a tint counts
TINT_CLIP = 8  # levels one pixel may add to a tint
FRINGE_SPAN = (19, 7)  # pixels across and down: both edges of a letter's stroke, whose fringes cancel
FRINGE_LEFT, FRINGE_MOST = (
    0.3,
    0.5,
)  # of the colour's mean amplitude left in its mean: beside a level of rounding, at most
NOISE_DENSITY = 0.3  # of the pixels around are off: noise, where their mean isn't
NOISE_MEAN = 3.0  # levels of mean that noise may leave in a neighbourhood of 24 pixels
NOISE_SHARE = 0.1  # ... or this share of its mean amplitude
NOISE_PEAK = 10.0  # a pixel this many times the amplitude around it stands out of the noise
NOISE_FLOOR = 150.0  # levels squared: JPEG's own residue, deviation 12
NOISE_EXCESS = 0.5  # of the poorer picture's variance: more means content replaced, not noise added

Mask = NDArray[np.bool_]
Cells = NDArray[np.float32]
_NEAR = np.ones((3, 3), np.uint8)


def mask(first: Pixels, second: Pixels, jitter: int = 0) -> tuple[Mask, Pixels]:
    """Pixels that differ visibly, and how far every pixel is off (largest channel, levels).

    `first`, `second`: (height, width, 3) uint8. Symmetric in the two.
    """
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb) for image in (first, second))
    off = cv2.absdiff(first, second)
    strength = _largest(off)
    lost, gained = cv2.subtract(first, second), cv2.subtract(second, first)
    candidate = _beyond_edges(first, second, off, jitter)
    drift = _cells(gained) - _cells(lost)
    if candidate.any():
        peak = _noise_peak(first, second, strength, drift)
        candidate &= strength > _spread(peak, strength.shape)
    tinted = _spread(_tint(lost, gained, drift), candidate.shape)
    if tinted.any():
        candidate |= tinted & (strength >= 2)
    return _grown(candidate, strength), strength


def _largest(channels: Pixels) -> Pixels:
    red, green, blue = cv2.split(channels)
    return cast(Pixels, cv2.max(cv2.max(red, green), blue))


def _beyond_edges(first: Pixels, second: Pixels, off: Pixels, jitter: int) -> Mask:
    near = np.ones((3 + 2 * jitter, 3 + 2 * jitter), np.uint8)
    one, two = _contrast(first, near), _contrast(second, near)
    least = cv2.min(one, two)
    if not jitter:
        most = cv2.max(one, two)
        least = cv2.min(least, most - (most >> 2))
    beyond = cv2.subtract(cv2.subtract(off, least), SLACK)
    if beyond[..., 1:].any():
        beyond[..., 1:] *= ~_fringed(first, second, off, least[..., 0])[..., None]
    return np.asarray(_largest(beyond) > 0)


def _fringed(first: Pixels, second: Pixels, off: Pixels, contrast: Pixels) -> Mask:
    """Pixels whose colour is that of anti-aliasing by the thirds of a pixel, as on LCDs: beside an edge of both
    pictures as strong as the colour, and gone in the mean along the row, because such filters keep the sum
    (Gibson 1998; FreeType's FT_LCD_FILTER_DEFAULT).
    """
    signed = cv2.subtract(first[..., 1:], second[..., 1:], dtype=cv2.CV_16S)
    left = np.abs(cv2.blur(signed.astype(np.float32), FRINGE_SPAN))
    amplitude = cv2.blur(off[..., 1:].astype(np.float32), FRINGE_SPAN)
    gone = (left <= np.minimum(FRINGE_MOST * amplitude, FRINGE_LEFT * amplitude + 1)).all(axis=2)
    return np.asarray(gone & (cv2.subtract(cv2.max(off[..., 1], off[..., 2]), SLACK[1]) <= contrast))


def _contrast(image: Pixels, near: Pixels) -> Pixels:
    """Range of Y in the neighbourhood, of Cr and Cb one pixel further: 4:2:0 keeps colour in blocks of two."""
    high, low = cv2.dilate(image, near), cv2.erode(image, near)
    far = cv2.subtract(cv2.dilate(high, _NEAR), cv2.erode(low, _NEAR))
    far[..., 0] = cv2.subtract(high[..., 0], low[..., 0])
    return np.asarray(far)


def _cells(image: NDArray[Any]) -> NDArray[np.float32]:
    """Means over cells; a ragged edge is filled with its mirror image."""
    height, width = image.shape[:2]
    down, right = -height % CELL, -width % CELL
    if down or right:
        image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REFLECT)
    # By halves, where nothing is rounded on the way: twice as fast.
    for factor in (2, 2, 2) if image.dtype == np.float32 else (CELL,):
        size = (image.shape[1] // factor, image.shape[0] // factor)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return image.astype(np.float32, copy=False)


def _tint(lost: Pixels, gained: Pixels, drift: Cells) -> Mask:
    """Cells off in one direction. The plain mean must agree with the clipped one: dither keeps only the plain one."""
    most = (TINT_CLIP,) * 3
    signed = cv2.addWeighted(cv2.min(gained, most), 15, cv2.min(lost, most), -15, 128)
    clipped = (_cells(signed) - 128) / 15
    agreed = np.where(clipped * drift > 0, np.minimum(np.abs(clipped), np.abs(drift)) * np.sign(drift), 0)
    tinted = np.zeros(agreed.shape[:2], bool)
    for window, level in TINTS:
        off = np.abs(cv2.blur(agreed, (window, window)) if window > 1 else agreed)
        tinted |= ((off >= level) & (np.abs(agreed) >= level / 2)).any(axis=2)
    return tinted


def _noise_peak(first: Pixels, second: Pixels, strength: Pixels, drift: Cells) -> Pixels:
    """Per cell the strength up to which a changed pixel is noise; 0 where there is none."""
    density = cv2.blur(_cells(cv2.min(strength, 1) * np.uint8(255)) / 255, (3, 3))
    amplitude = cv2.blur(_cells(strength), (3, 3))
    allowed = NOISE_MEAN + NOISE_SHARE * amplitude
    near = np.abs(cv2.blur(drift, (3, 3))).max(axis=2)
    here = np.abs(drift).max(axis=2)
    noisy = (density > NOISE_DENSITY) & (near < allowed) & (here < 3 * allowed)
    if not noisy.any():
        return np.zeros(noisy.shape, np.uint8)
    noisy &= ~_replaced(first, second)
    return cast(Pixels, np.where(noisy, np.minimum(NOISE_PEAK * amplitude + SLACK[0], 255), 0).astype(np.uint8))


def _replaced(first: Pixels, second: Pixels) -> Mask:
    """Cells where the pictures vary without each other: var(difference) far above the difference of the variances."""
    one, two = (image[..., 0].astype(np.float32) for image in (first, second))
    variances = [np.maximum(_cells(x * x) - _cells(x) ** 2, 0) for x in (one, two, one - two)]
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
