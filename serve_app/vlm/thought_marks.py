"""What models write around a thought, by family.
Words only: no engine, no tokens.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Marks(NamedTuple):
    """Before a thought and behind it."""

    begins: str
    ends: str


THOUGHT_MARKS: Final = (Marks("<think>", "</think>"), Marks("◁think▷", "◁/think▷"))  # of most families, and of Kimi
