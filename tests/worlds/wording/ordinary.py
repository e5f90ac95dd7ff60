"""Pairs as most people bring them: one thing of the text changed, and nothing in the way of reading it.
Knows nothing of scores."""

from __future__ import annotations

from tests.worlds.wording import edits
from tests.worlds.wording.designs import dashboard, dialog, notice, poster
from tests.worlds.wording.lettering import in_chinese
from tests.worlds.wording.packages import label, package
from tests.worlds.wording.shots import PLAIN, Shot, paired, turned
from tests.worlds.wording.truth import TextPair
from tests.worlds.wording.vocabulary import Chance, one, recharactered


def labels(name: str, group: str, chance: Chance) -> TextPair:
    design = package(chance)
    return paired(name, group, design, edits.changed(chance, design, int(chance.integers(1, 4))))


def dashboards(name: str, group: str, chance: Chance) -> TextPair:
    design = dashboard(chance)
    return paired(name, group, design, edits.changed(chance, design, int(chance.integers(1, 3))))


def small(name: str, group: str, chance: Chance) -> TextPair:
    design = dialog(chance)
    return paired(name, group, design, edits.changed(chance, design))


def one_character(name: str, group: str, chance: Chance) -> TextPair:
    """One Chinese character is another, in whatever bears Chinese."""
    make = one(chance, (package, dashboard, dialog, dialog, poster))
    for _ in range(50):
        design = make(chance, chinese=True)
        if any(recharactered(chance, line.text) for line in design.lines if line.role != "set"):
            break
    return paired(name, group, design, edits.changed(chance, design, 1, recharactered))


def dark(name: str, group: str, chance: Chance) -> TextPair:
    design = one(chance, (dashboard, dialog))(chance, dark=True)
    return paired(name, group, design, edits.changed(chance, design))


def compressed(name: str, group: str, chance: Chance) -> TextPair:
    design = one(chance, (package, dashboard, dialog))(chance)
    return paired(name, group, design, edits.changed(chance, design), (PLAIN, Shot(quality=60)))


def twice(name: str, group: str, chance: Chance) -> TextPair:
    """The candidate drawn at twice the size, as screens of high density show it."""
    design = one(chance, (dashboard, dialog, package))(chance)
    return paired(name, group, design, edits.changed(chance, design), (PLAIN, Shot(scale=2)))


def slanted(name: str, group: str, chance: Chance) -> TextPair:
    design = one(chance, (label, notice))(chance)
    degrees = float(one(chance, (-2.0, 2.0)))
    return paired(name, group, design, edits.changed(chance, design), (PLAIN, Shot(matrix=turned(design, degrees))))


def over_photograph(name: str, group: str, chance: Chance) -> TextPair:
    design = poster(chance)
    return paired(name, group, design, edits.changed(chance, design))


def moved(name: str, group: str, chance: Chance) -> TextPair:
    design = notice(chance, chinese=in_chinese(chance))
    return paired(name, group, design, edits.moved(chance, design))


def removed(name: str, group: str, chance: Chance) -> TextPair:
    design = one(chance, (notice, notice, poster))(chance)
    bare = edits.without(chance, design)
    return paired(name, group, design, bare)


def added(name: str, group: str, chance: Chance) -> TextPair:
    design = notice(chance)
    return paired(name, group, design, edits.with_another(chance, design))


def recoloured(name: str, group: str, chance: Chance) -> TextPair:
    """The same words in another ink: nothing to say about wording."""
    design = one(chance, (package, dashboard, dialog, notice))(chance)
    return paired(name, group, design, edits.recoloured(chance, design))
