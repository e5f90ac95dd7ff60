"""The results of a batch on disk, a line of JSON a pair: what was written stays, whatever ends the batch.
Knows no pictures but by their digests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import ValidationError

from serve_app.schema import PairReport

_ASKED: Final = "batch.json"
_ROWS: Final = "results.jsonl"


class OtherBatch(Exception):
    """The folder holds results of another question: one sentence."""


class Results:
    """Rows of one folder, by name; of several with one name the last counts."""

    def __init__(self, folder: Path, asked: dict[str, object]) -> None:
        """`asked`: what was asked of every pair. Raises `OtherBatch` where the folder's rows answer something else,
        and OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / _ASKED
        wanted = json.dumps(asked, sort_keys=True, ensure_ascii=False)
        self.path = folder / _ROWS
        self.rows: dict[str, PairReport] = _read(self.path)
        if self.rows and known.exists() and known.read_text(encoding="utf-8") != wanted:
            raise OtherBatch(f"{folder} holds results of another config or model: name another folder, or empty it.")
        known.write_text(wanted, encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def append(self, row: PairReport) -> None:
        """Written before it returns."""
        self.rows[row.name] = row
        self._file.write(row.model_dump_json() + "\n")
        self._file.flush()

    def has(self, name: str, reference: Callable[[], str], candidate: Callable[[], str]) -> bool:
        """Whether this very pair, byte for byte, was compared already. `reference`, `candidate` tell the SHA-256 of
        theirs, and are asked only where there is something to compare it with."""
        row = self.rows.get(name)
        if row is None or row.report is None:
            return False
        shown = row.report.images
        return reference() == shown.reference.sha256 and candidate() == shown.candidate.sha256

    def settle(self, names: Iterable[str]) -> list[PairReport]:
        """The rows of these names in their order, and the file with them alone."""
        rows = [self.rows[name] for name in names if name in self.rows]
        self._file.close()
        beside = self.path.with_suffix(".tmp")
        beside.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
        os.replace(beside, self.path)
        return rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _read(path: Path) -> dict[str, PairReport]:
    """The whole lines of the file; a torn one at its end, which a kill leaves, is cut off."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    rows = {}
    for line in whole.splitlines():
        try:
            row = PairReport.model_validate_json(line)
        except ValidationError:  # of another version
            continue
        rows[row.name] = row
    return rows
