"""What was computed once and may be wanted again, under its content's hash, bounded in bytes.
No model, no pictures: the oldest goes first; whoever puts a value in says what it weighs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["vision"]
Outcome = Literal["hit", "miss"]
OnLookup = Callable[[Kind, Outcome], None]


def uncounted(kind: Kind, outcome: Outcome) -> None:
    """Default of `on_lookup`: nobody counts."""


class ByteCache:
    """Least recently used values go when the sum of their bytes would pass `capacity_bytes`; 0 keeps nothing."""

    def __init__(self, capacity_bytes: int, on_lookup: OnLookup = uncounted) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._on_lookup = on_lookup
        self._entries: OrderedDict[tuple[Kind, str], tuple[Any, int]] = OrderedDict()

    def get(self, kind: Kind, key: str) -> Any | None:
        if not self.capacity_bytes:
            return None
        entry = self._entries.get((kind, key))
        self._on_lookup(kind, "miss" if entry is None else "hit")
        if entry is None:
            return None
        self._entries.move_to_end((kind, key))
        return entry[0]

    def put(self, kind: Kind, key: str, value: Any, num_bytes: int) -> None:
        """Keep `value`, unless it alone is over the capacity."""
        if num_bytes > self.capacity_bytes:
            return
        self._drop((kind, key))
        while self.held_bytes + num_bytes > self.capacity_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[kind, key] = (value, num_bytes)
        self.held_bytes += num_bytes

    def clear(self) -> None:
        self._entries.clear()
        self.held_bytes = 0

    def _drop(self, key: tuple[Kind, str]) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.held_bytes -= entry[1]
