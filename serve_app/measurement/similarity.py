"""One number from explained factors, each 1 where its quality is untouched.
No pixels: it weighs what the other measures found. All constants of the score are in this file."""

from __future__ import annotations

from collections.abc import Mapping

QUIET = 0.9  # where nothing visible differs the score lies between this and 1
_WEIGHTS = {"color": 0.55, "brightness": 0.45, "contrast": 0.4, "layout": 1.0, "texture": 0.35, "sharpness": 0.5}
LOCAL = 0.5  # of the score that a change of full strength all over the picture takes, by the root of its share
UNCERTAINTY = 0.03  # half width of the interval at similarity .5: of the pairs tuned on, how far neighbours swap


def score(aspects: Mapping[str, float], changed: float, geometry: float, *, differs: bool) -> float:
    """Similarity 0..1: layout x color x brightness x contrast x texture x sharpness x local x geometry."""
    value = geometry * (1 - LOCAL * float(min(1.0, changed) ** 0.5))
    for name, weight in _WEIGHTS.items():
        value *= 1 - weight * (1 - aspects[name])
    value = min(1.0, max(0.0, value))
    return value if differs else QUIET + (1 - QUIET) * value


def interval(value: float) -> tuple[float, float]:
    """Where the score may lie had the weights been chosen otherwise: widest in the middle, closed at 0 and 1."""
    half = UNCERTAINTY * 4 * value * (1 - value)
    return max(0.0, value - half), min(1.0, value + half)
