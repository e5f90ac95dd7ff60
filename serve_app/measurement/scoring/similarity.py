"""One number from explained factors, each 1 where its quality is untouched.
No pixels: it weighs what the other measures found. All constants of the score are in this file.

What explains a pair's change decides how much it costs: an encoder's residue almost nothing, a frame that slid by a
pixel 3 %, one change of tone on everything little (8 levels brighter: .94), lost sharpness more, content that is
another most; then how much of the frames is shared. What is left of two pictures that share nothing but palette and
grain is their kind, at most `KIND`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

QUIET = 0.1  # where nothing visible differs, this part of what the other factors take
SOFT = 0.85  # ... but for what a blur takes, which may be this far from 1
ALIKE = 0.97  # from here on nothing visible differs: every lossy copy ranks above any pair with a difference
UNSEEN = 0.8  # what a pair in which nothing differs has at least by the rest: spread over what is above `ALIKE`
KNEE = 0.93  # from here on a pair with a difference is brought under `ALIKE`
BELOW = 0.9695  # ... and this is the most that it may have: one change on the longest page
_WEIGHTS = {"hue": 0.4, "brightness": 0.3, "contrast": 0.4, "texture": 0.3, "sharpness": 0.25}
CONTENT = 0.5  # of the score that other content all over the picture takes, by the root of its share
STRUCTURE = 0.8  # of the score that another layout takes; other words in one layout take the share they cover
FRAME = 1.3  # power of the frames' shared part: a fifth off each side costs more than a twentieth replaced
KIND = 0.12  # what two pictures of one palette and grain share without showing the same
UNCERTAINTY = 0.03  # half width of the interval at similarity .5: of the pairs tuned on, how far neighbours swap


@dataclass(frozen=True, slots=True)
class Factors:
    """What a pair was measured to share, each 0..1: aspect scores; the share of the picture that one change of tone
    doesn't explain; the share of its detail that is another; palette and grain; `geometry`, 1 for one frame; and
    `plain`, how far a colour is another where nothing but the colour is there to be compared."""

    aspects: Mapping[str, float]
    replaced: float
    exchanged: float
    kinship: float
    geometry: float
    plain: float = 0.0


def score(found: Factors, *, differs: bool) -> float:
    """Similarity 0..1: geometry x content x structure x every aspect's factor, and what kind leaves."""
    factors = {name: 1 - weight * (1 - found.aspects[name]) for name, weight in _WEIGHTS.items()}
    sharpness = factors.pop("sharpness")
    content = 1 - CONTENT * float(min(1.0, found.replaced) ** 0.5)
    structure = 1 - max(STRUCTURE * (1 - found.aspects["layout"]), found.exchanged)
    value = found.geometry**FRAME * content * structure * math.prod(factors.values())
    if not differs:
        value = 1 - QUIET * (1 - value)
        sharpness = max(SOFT, sharpness)  # a soft copy of a fine texture differs nowhere by itself, and yet as a whole
        value = max(value * sharpness, UNSEEN)
        return float(min(1.0, ALIKE + (1 - ALIKE) * (value - UNSEEN) / (1 - UNSEEN)))
    value *= sharpness * (1 - found.plain)
    value += KIND * found.kinship * (1 - value) ** 2
    value = float(min(1.0, max(0.0, value)))
    return value if value <= KNEE else KNEE + (BELOW - KNEE) * (value - KNEE) / (1 - KNEE)


def interval(value: float) -> tuple[float, float]:
    """Where the score may lie had the weights been chosen otherwise: widest in the middle, closed at 0 and 1."""
    half = UNCERTAINTY * 4 * value * (1 - value)
    return max(0.0, value - half), min(1.0, value + half)
