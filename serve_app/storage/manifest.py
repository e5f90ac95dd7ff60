"""Pairs of pictures by name: listed in CSV or JSONL, or found in two folders.
Opens no picture. All that is wrong with a list is told at once, and then none of it is used.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

MOST_PAIRS: Final = 100_000
MOST_FAULTS: Final = 50  # of a list, told one by one
MOST_TOLD: Final = 400  # characters of one of them
MOST_CHARACTERS: Final = 1000  # of the name of a pair or a file
SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mpo"}  # looked for in folders
)
_UNKEEPABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NEEDED: Final = ("reference", "candidate")
_WANTED: Final = ("name",)

File = TypeVar("File", covariant=True)


@dataclass(frozen=True)  # without slots: `NamedPair(...)` notes in the value what it is of
class Named(Generic[File]):
    """Two files to compare, however they are found; one of them None where a name is on one side only."""

    name: str
    reference: File | None
    candidate: File | None


class ManifestWrong(Exception):
    """What is wrong with a list of pairs, a sentence each, with its line."""

    def __init__(self, faults: list[str]) -> None:
        more = len(faults) - MOST_FAULTS
        self.faults = [_short(fault) for fault in faults[:MOST_FAULTS]] + ([f"and {more} more."] if more > 0 else [])
        super().__init__("\n".join(self.faults))


def _short(fault: str) -> str:
    """It may quote a line, which may be the whole list."""
    return fault if len(fault) <= MOST_TOLD else fault[:MOST_TOLD] + "…"


class NoSuchFile(Exception):
    """A list names a file that can't be had; why, as the end of a sentence."""


NamedPair = Named[Path]


def listed(path: Path) -> list[NamedPair]:
    """The pairs that a `.csv` or `.jsonl` file names, paths relative to its folder and never above it.

    Raises `ManifestWrong` with all faults, and OSError.
    """
    return pairs_of(text_of(path), beside(path), is_csv=is_csv_file(path))


def text_of(path: Path) -> str:
    """Of a list. Raises OSError."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def is_csv_file(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def beside(path: Path) -> Callable[[str], Path]:
    """Finds files relative to a list's folder, and never above it."""
    folder = path.parent.resolve()

    def find(said: str) -> Path:
        found = (path.parent / said).resolve()
        if not found.is_relative_to(folder):
            raise NoSuchFile("lies outside the list's own folder")
        if not found.is_file():
            raise NoSuchFile("does not exist")
        return found

    return find


def pairs_of(text: str, find: Callable[[str], File], *, is_csv: bool) -> list[Named[File]]:
    """The pairs of a list, each file as `find` has it, which raises `NoSuchFile`.

    CSV has a header; the columns are `reference`, `candidate` and, if wanted, `name`. JSONL has an object a line with
    the same members. Raises `ManifestWrong` with all faults.
    """
    faults: list[str] = []
    rows = rows_of(text, faults, is_csv=is_csv)
    pairs: dict[str, Named[File]] = {}
    for line, row in rows:
        if len(pairs) >= MOST_PAIRS:
            faults.append(f"line {line}: more than {MOST_PAIRS} pairs.")
            break
        pair = _pair(row, find, line, faults)
        if pair is None:
            continue
        if pair.name in pairs:
            faults.append(f"line {line}: the name {pair.name!r} stands twice.")
        pairs[pair.name] = pair
    if not pairs and not faults:
        faults.append("It names no pair.")
    if faults:
        raise ManifestWrong(faults)
    return list(pairs.values())


def rows_of(
    text: str,
    faults: list[str],
    *,
    is_csv: bool,
    needed: Sequence[str] = _NEEDED,
    wanted: Sequence[str] = _WANTED,
) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Number and members of each line that has any; what is wrong with the others is added to `faults`.

    `needed`, `wanted`: columns that must and that may be there.
    """
    return (_csv_rows if is_csv else _json_rows)(text, faults, needed, wanted)


def files_of(
    row: Mapping[str, object], find: Callable[[str], File], line: int, faults: list[str]
) -> tuple[File, File] | None:
    """Both files that a line names; None where that can't be, which is added to `faults`."""
    files = []
    for side in _NEEDED:
        said = row.get(side)
        if not isinstance(said, str) or not said.strip():
            faults.append(f"line {line}: it names no {side}.")
            continue
        try:
            files.append(find(said.strip()))
        except NoSuchFile as exc:
            faults.append(f"line {line}: the {side} {said.strip()!r} {exc}.")
    return (files[0], files[1]) if len(files) == 2 else None


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
        Named(
            name,
            references / name if name in ours else None,
            candidates / name if name in theirs else None,
        )
        for name in names
    ]


def can_be_kept(name: str) -> bool:
    """Whether files and databases take it: PostgreSQL has no NUL, and UTF-8 no half of a character."""
    return 0 < len(name) <= MOST_CHARACTERS and not _UNKEEPABLE.search(name)


def _pictures(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }


def _csv_rows(
    text: str, faults: list[str], needed: Sequence[str], wanted: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(text.splitlines())
    named = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = named
    wrong = [column for column in named if column not in (*needed, *wanted)]
    missing = [column for column in needed if column not in named]
    if wrong or missing:
        told = [f"there is no column {column}" for column in missing] + [f"{column!r} is no column" for column in wrong]
        there_are = f"{', '.join(needed)} and, if wanted, {', '.join(wanted)}"
        faults.append(f"line 1: {', '.join(told)}; the columns are {there_are}.")
    if missing:
        return  # each line would have the same fault once more
    for row in reader:
        if None in row or None in row.values():
            faults.append(f"line {reader.line_num}: it has not {len(named)} fields.")
            continue
        yield reader.line_num, row


def _json_rows(
    text: str, faults: list[str], needed: Sequence[str], wanted: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, object]]]:
    known = (*needed, *wanted)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            faults.append(f"line {number}: it is no JSON object.")
        elif wrong := [name for name in row if name not in known]:
            faults.append(f"line {number}: it has members other than {', '.join(known)}: {', '.join(wrong)}.")
        else:
            yield number, row


def _pair(row: Mapping[str, object], find: Callable[[str], File], line: int, faults: list[str]) -> Named[File] | None:
    files = files_of(row, find, line, faults)
    if files is None:
        return None
    given = row.get("name")
    name = given if isinstance(given, str) and given else str(row["candidate"]).strip()
    if not can_be_kept(name):
        faults.append(f"line {line}: a name has 1..{MOST_CHARACTERS} characters, none of them a control character.")
        return None
    return Named(name, *files)
