"""What one change of tone explains of a pair, and what it leaves: content.
Knows small Lab pictures of one size, not places."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_app.measurement.colour import Lab

SIDE = 64  # blocks a side: finer detail is sharpness or texture, and a letter still moves its block
ROUNDS = 3  # of reweighting: the fit settles to 1 % on photographs with a fifth replaced
NOTICED = 1.0  # levels of Lab that a block may be off: about one just noticeable difference
REPLACED = 25.0  # ... and from which on it shows something else

PROOF = 0.2  # of the colour difference: as much deviation in both shows that the same thing is there
ANOTHER = 45.0  # colour difference at which two thirds of a colour's likeness are gone

_Blocks = NDArray[np.float64]  # (blocks, 3)


def unexplained(first: Lab, second: Lab) -> float:
    """Share of the picture, 0..1, that shows something else after one affine change of all colours.

    The change is fitted by iteratively reweighted least squares with Cauchy's weights (Holland and Welsch 1977), so
    that a part that was replaced doesn't bend it; exposure, contrast, a cast or a hue turn then leave nothing.
    Fitted both ways: symmetric.
    """
    one, two = blocks(first), blocks(second)
    apart = np.abs(one - two).max(axis=1)
    rest = np.minimum(apart, (_residual(one, two) + _residual(two, one)) / 2)
    return float(np.clip((rest - NOTICED) / REPLACED, 0, 1).mean())


def plain(first: Lab, second: Lab, delta_e: float) -> float:
    """0..1: how much another colour takes of two pictures of which hardly more than a colour is there.

    One change of tone explains any flat picture by any other, and proves nothing by it: what is kept proves it, and is
    little beside the change. `delta_e`: mean colour difference.
    """
    kept = min(float(blocks(image)[:, 0].std()) for image in (first, second))
    proof = min(1.0, kept / max(PROOF * delta_e, 1e-6))
    return (1 - proof) * (1 - math.exp(-delta_e / ANOTHER))


def blocks(image: Lab) -> _Blocks:
    """Mean colours of at most 64x64 blocks."""
    size = (min(SIDE, image.shape[1]), min(SIDE, image.shape[0]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float64).reshape(-1, 3)


def _residual(one: _Blocks, two: _Blocks) -> NDArray[np.float64]:
    """Largest channel of what an affine change of `one` leaves of `two`, per block."""
    terms = np.column_stack([one, np.ones(len(one))])
    change = two - one
    ridge = np.diag([1e-3, 1e-3, 1e-3, 1e-9]) * len(one)  # of few colours, the least change
    rest = np.zeros(len(one))
    weight = np.ones(len(one))
    for _ in range(ROUNDS):
        weighted = terms * weight[:, None]
        fitted = np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ change)
        rest = np.abs(change - terms @ fitted).max(axis=1)
        weight = 1 / (1 + np.square(rest / max(NOTICED, 2 * float(np.median(rest)))))
    return rest
