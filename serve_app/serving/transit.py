"""Bytes of request bodies that have come and are not answered yet, of all requests in one process together.
Knows no request: who reads a body tells of every piece, and gives back what it told."""

from __future__ import annotations

from serve_app.errors import Overloaded
from serve_app.settings import MIB


class Transit:
    """A count with a bound, without which the service's memory would be its callers' to fill.

    `part_of`: another count that whatever is counted here counts in as well.
    """

    def __init__(self, max_bytes: int, part_of: Transit | None = None) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._whole = part_of

    def take(self, num_bytes: int) -> None:
        """Count a piece that came. Raises `Overloaded`, and then counts nothing."""
        if self.num_bytes + num_bytes > self.max_bytes:
            raise Overloaded(f"Other requests' bodies fill the {self.max_bytes / MIB:g} MiB there is for them.")
        if self._whole is not None:
            self._whole.take(num_bytes)
        self.num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        self.num_bytes -= num_bytes
        if self._whole is not None:
            self._whole.give_back(num_bytes)
