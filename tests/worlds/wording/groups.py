"""The groups of pairs, and the pairs of a seed.
Draws nothing itself."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.worlds.wording import hard, ordinary, packaging, untouched
from tests.worlds.wording.faces import has_chinese
from tests.worlds.wording.truth import TextPair
from tests.worlds.wording.vocabulary import Chance


@dataclass(frozen=True)
class Group:
    """`count` pairs a seed. `needs_chinese`: nothing of it can be drawn without a Chinese typeface; what others have of
    Chinese is then drawn in Latin letters."""

    name: str
    count: int
    make: Callable[[str, str, Chance], TextPair]
    needs_chinese: bool = False

    @property
    def is_hard(self) -> bool:
        return self.name.startswith("h_")


GROUPS: Final = (
    Group("label", 8, ordinary.labels),
    Group("dashboard", 5, ordinary.dashboards),
    Group("small", 6, ordinary.small),
    Group("chinese", 6, ordinary.one_character, needs_chinese=True),
    Group("dark", 4, ordinary.dark),
    Group("jpeg60", 5, ordinary.compressed),
    Group("twice", 4, ordinary.twice),
    Group("turned2", 3, ordinary.slanted),
    Group("photo", 3, ordinary.over_photograph),
    Group("moved", 4, ordinary.moved),
    Group("removed", 4, ordinary.removed),
    Group("added", 4, ordinary.added),
    Group("recoloured", 4, ordinary.recoloured),
    Group("picture", 4, untouched.other_picture),
    Group("barcode", 3, untouched.other_barcode),
    Group("chart", 3, untouched.other_chart),
    Group("curve", 3, untouched.other_chart),
    Group("icon", 3, untouched.other_icon),
    Group("shapes", 4, untouched.letter_like),
    Group("noise", 4, untouched.noise_beside),
    Group("h_alike", 8, hard.look_alike),
    Group("h_tiny", 5, hard.tiny),
    Group("h_blur", 4, hard.soft),
    Group("h_jpeg20", 4, hard.squeezed),
    Group("h_faint", 3, hard.faint),
    Group("h_tilt", 4, hard.tilt),
    Group("h_turned7", 2, hard.seven_degrees),
    Group("h_inserted", 3, hard.inserted),
    Group("h_long", 2, hard.long_line),
    Group("h_vertical", 2, hard.vertical, needs_chinese=True),
    Group("h_display", 2, hard.display),
    Group("h_same", 6, hard.same_words),
    Group("h_packaging", 8, packaging.photographed),
)
GROUP_NAMES: Final = tuple(group.name for group in GROUPS)
ORDINARY: Final = tuple(group.name for group in GROUPS if not group.is_hard)
HARD: Final = tuple(group.name for group in GROUPS if group.is_hard)


def drawn(seed: int, names: Collection[str] | None = None, most: int | None = None) -> Iterator[TextPair]:
    """The pairs of a seed, one by one; of some groups only, and of each the first `most`. A pair is the same whatever
    else is drawn."""
    for group in GROUPS:
        if (names is None or group.name in names) and (has_chinese() or not group.needs_chinese):
            for number in range(group.count if most is None else min(most, group.count)):
                chance = np.random.default_rng([seed, zlib.crc32(group.name.encode()), number])
                yield group.make(f"{group.name}-{seed}-{number}", group.name, chance)


def pairs(seed: int) -> list[TextPair]:
    """All of them: 84 ordinary and 53 hard ones, with a Chinese typeface."""
    return list(drawn(seed))
