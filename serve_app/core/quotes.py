"""Texts side by side: what a sentence quotes, and whether two strings name the same letters.
No pixels, no report."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import Final

# An apostrophe inside a word is no quotation mark.
_QUOTES: Final = re.compile(
    r"""“([^“”]+)”|"([^"]+)"|「([^「」]+)」|『([^『』]+)』|(?<!\w)‘([^‘’]+)’(?!\w)|(?<!\w)'([^']+)'(?!\w)"""
)


def quotes(text: str) -> tuple[str, ...]:
    """What stands in quotation marks of any kind, without them."""
    found = (next(group for group in match.groups() if group is not None) for match in _QUOTES.finditer(text))
    return tuple(each.strip() for each in found if each.strip())


def folded(text: str) -> str:
    """As texts are compared: widths alike, no spaces, no case."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def likeness(one: str, other: str) -> float:
    """Of two folded strings, 0..1."""
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
