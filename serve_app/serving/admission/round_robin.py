"""Callers take turns: who sends a hundred requests at once waits behind himself, not others behind him.
Knows nothing of what waits."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """A queue that is first come first served for each caller, and round robin between them."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def push(self, caller: str, item: T) -> None:
        self._waiting.setdefault(caller, deque()).append(item)

    def pop(self) -> T:
        """The next one. Raises IndexError when nothing waits."""
        if not self._waiting:
            raise IndexError("nothing waits")
        caller, line = next(iter(self._waiting.items()))
        item = line.popleft()
        if line:
            self._waiting.move_to_end(caller)
        else:
            del self._waiting[caller]
        return item

    def remove(self, caller: str, item: T) -> None:
        """Take out one that gave up; nothing happens if it no longer waits."""
        line = self._waiting.get(caller)
        if line is None or item not in line:
            return
        line.remove(item)
        if not line:
            del self._waiting[caller]
