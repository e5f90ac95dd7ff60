"""Pages of a batch on disk, one a pair at most, all of them together within a bound in bytes.
Knows no report: a pair's name and what is to lie there are handed in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


class Pages:
    """One folder of them. Names of pairs may be any text: a file is called by its digest. All raise OSError."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._sizes = {path.name: path.stat().st_size for path in folder.glob("*.html")}
        self.left_out: set[str] = set()

    @property
    def used_bytes(self) -> int:
        return sum(self._sizes.values())

    @property
    def is_full(self) -> bool:
        """Whether one was left out: the next one might fit, but pages then depended on the order of the pairs."""
        return bool(self.left_out)

    def path(self, pair: str) -> Path | None:
        """Where the page of this pair lies; None where there is none."""
        name = _named(pair)
        return self._folder / name if name in self._sizes else None

    def put(self, pair: str, page: bytes) -> None:
        """In place of what was there; where it has no room nothing is, and `left_out` names the pair."""
        name = _named(pair)
        if self.used_bytes - self._sizes.get(name, 0) + len(page) > self._most:
            self.drop(pair)
            self.left_out.add(pair)
            return
        self._folder.mkdir(exist_ok=True)
        beside = self._folder / f"{name}.tmp"
        beside.write_bytes(page)
        os.replace(beside, self._folder / name)
        self._sizes[name] = len(page)

    def drop(self, pair: str) -> None:
        if self._sizes.pop(_named(pair), None) is not None:
            (self._folder / _named(pair)).unlink(missing_ok=True)

    def settle(self, pairs: Iterable[str]) -> None:
        """Those of other pairs go."""
        for name in self._sizes.keys() - {_named(pair) for pair in pairs}:
            del self._sizes[name]
            (self._folder / name).unlink(missing_ok=True)


def _named(pair: str) -> str:
    return f"{hashlib.sha256(pair.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.html"
