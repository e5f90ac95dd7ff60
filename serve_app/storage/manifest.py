"""Pairs of pictures by name: listed in a CSV or JSONL file, or found in two folders.
Opens no picture. All that is wrong with a list is told at once, and then none of it is used.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_PAIRS: Final = 100_000
MOST_FAULTS: Final = 50  # of a list, told one by one
SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mpo"}  # looked for in folders
)
_COLUMNS: Final = ("name", "reference", "candidate")


@dataclass(frozen=True, slots=True)
class NamedPair:
    """Two files to compare; one of them None where a name is on one side only."""

    name: str
    reference: Path | None
    candidate: Path | None


class ManifestWrong(Exception):
    """What is wrong with a list of pairs, a sentence each, with its line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def listed(path: Path) -> list[NamedPair]:
    """The pairs that a `.csv` or `.jsonl` file names, paths relative to its folder and never above it.

    CSV has a header; the columns are `reference`, `candidate` and, if wanted, `name`. JSONL has an object a line with
    the same members. Raises `ManifestWrong` with all faults, and OSError.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    faults: list[str] = []
    rows = _csv_rows(text, faults) if path.suffix.lower() == ".csv" else _json_rows(text, faults)
    pairs: dict[str, NamedPair] = {}
    for line, row in rows:
        if len(pairs) >= MOST_PAIRS:
            faults.append(f"line {line}: more than {MOST_PAIRS} pairs.")
            break
        pair = _pair(row, path.parent, line, faults)
        if pair is None:
            continue
        if pair.name in pairs:
            faults.append(f"line {line}: the name {pair.name!r} stands twice.")
        pairs[pair.name] = pair
    if not pairs and not faults:
        faults.append("It names no pair.")
    if faults:
        more = len(faults) - MOST_FAULTS
        raise ManifestWrong(faults[:MOST_FAULTS] + ([f"and {more} more."] if more > 0 else []))
    return list(pairs.values())


def matched(references: Path, candidates: Path) -> list[NamedPair]:
    """Pictures of two folders by relative name, those on one side only too, in the order of their names.

    Raises `ManifestWrong` where there is none, or too many.
    """
    ours, theirs = (_pictures(folder) for folder in (references, candidates))
    names = sorted(ours | theirs)
    if not names:
        raise ManifestWrong([f"Neither {references} nor {candidates} has a picture in it."])
    if len(names) > MOST_PAIRS:
        raise ManifestWrong([f"The folders have {len(names)} pictures; at most {MOST_PAIRS} are compared."])
    return [
        NamedPair(
            name,
            references / name if name in ours else None,
            candidates / name if name in theirs else None,
        )
        for name in names
    ]


def _pictures(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }


def _csv_rows(text: str, faults: list[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(text.splitlines())
    named = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = named
    wrong = [column for column in named if column not in _COLUMNS]
    missing = [column for column in _COLUMNS[1:] if column not in named]
    if wrong or missing:
        told = [f"there is no column {column}" for column in missing] + [f"{column!r} is no column" for column in wrong]
        faults.append(f"line 1: {', '.join(told)}; the columns are reference, candidate and, if wanted, name.")
        return
    for row in reader:
        if None in row or None in row.values():
            faults.append(f"line {reader.line_num}: it has not {len(named)} fields.")
            continue
        yield reader.line_num, row


def _json_rows(text: str, faults: list[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            faults.append(f"line {number}: it is no JSON object.")
        elif wrong := [name for name in row if name not in _COLUMNS]:
            faults.append(f"line {number}: it has members other than reference, candidate, name: {', '.join(wrong)}.")
        else:
            yield number, row


def _pair(row: Mapping[str, object], folder: Path, line: int, faults: list[str]) -> NamedPair | None:
    files = []
    for side in ("reference", "candidate"):
        said = row.get(side)
        if not isinstance(said, str) or not said.strip():
            faults.append(f"line {line}: it names no {side}.")
            continue
        path = (folder / said.strip()).resolve()
        if not path.is_relative_to(folder.resolve()):
            faults.append(f"line {line}: the {side} {said.strip()!r} lies outside the list's own folder.")
        elif not path.is_file():
            faults.append(f"line {line}: the {side} {said.strip()!r} does not exist.")
        else:
            files.append(path)
    if len(files) < 2:
        return None
    name = row.get("name")
    return NamedPair(name if isinstance(name, str) and name else str(row["candidate"]).strip(), files[0], files[1])
