"""Pairs of pictures with text whose truth is known: what became of each line; and how statements are held to it."""

from tests.worlds.wording.groups import GROUP_NAMES, GROUPS, HARD, ORDINARY, drawn, pairs
from tests.worlds.wording.scoring import Scored, score
from tests.worlds.wording.truth import Event, Placed, TextPair

__all__ = [
    "GROUPS",
    "GROUP_NAMES",
    "HARD",
    "ORDINARY",
    "Event",
    "Placed",
    "Scored",
    "TextPair",
    "drawn",
    "pairs",
    "score",
]
