"""Pairs that a person has labelled: a list of them, or two folders, `match` and `mismatch`.
Opens no picture. All that is wrong is told at once, and then none of it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from serve_app.storage import manifest
from serve_app.storage.manifest import MOST_CHARACTERS, MOST_PAIRS, SUFFIXES, ManifestWrong

Label = Literal["match", "mismatch"]
LABELS: Final[Mapping[str, Label]] = {
    "match": "match",
    "same": "match",
    "1": "match",
    "mismatch": "mismatch",
    "different": "mismatch",
    "0": "mismatch",
}
_SIDE: Final = re.compile(r"(?P<name>.*?)[._-]?(?P<side>reference|candidate)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """`match`: a person calls them the same for the purpose at hand. `kind`: a group of its own in tables, or ""."""

    name: str
    reference: Path
    candidate: Path
    label: Label
    kind: str = ""


def read(path: Path) -> list[LabelledPair]:
    """The pairs of a `.csv` or `.jsonl` file, or of a folder. Raises `ManifestWrong` with all faults, and OSError.

    A list has the columns reference, candidate, label and, if wanted, kind and name; paths are relative to its folder.
    In a folder lie `match` and `mismatch`, in these NAME.reference.png and NAME.candidate.png, or NAME/reference.png
    and NAME/candidate.png, of any format; a folder between is their kind.
    """
    faults: list[str] = []
    pairs = _found(path, faults) if path.is_dir() else _listed(path, faults)
    if len(pairs) > MOST_PAIRS:
        faults.append(f"There are {len(pairs)} pairs; at most {MOST_PAIRS} are compared.")
    if not pairs and not faults:
        faults.append("It names no pair.")
    if faults:
        raise ManifestWrong(faults)
    return pairs


def _listed(path: Path, faults: list[str]) -> list[LabelledPair]:
    rows = manifest.rows_of(
        manifest.text_of(path),
        faults,
        is_csv=manifest.is_csv_file(path),
        needed=("reference", "candidate", "label"),
        wanted=("kind", "name"),
    )
    find = manifest.beside(path)
    pairs: list[LabelledPair] = []
    lines: dict[object, int] = {}
    for line, row in rows:
        pair = _pair(row, find, line, faults)
        if pair is None:
            continue
        for what, key in (("pair", (pair.reference, pair.candidate)), ("name", pair.name)):
            if (first := lines.setdefault(key, line)) != line:
                faults.append(f"line {line}: the same {what} stands in line {first}.")
                break
        pairs.append(pair)
    return pairs


def _pair(row: Mapping[str, object], find: Callable[[str], Path], line: int, faults: list[str]) -> LabelledPair | None:
    before = len(faults)
    files = manifest.files_of(row, find, line, faults)
    label = LABELS.get(_text(row, "label").lower())
    if label is None:
        faults.append(f"line {line}: the label is none of {', '.join(LABELS)}.")
    kind = _text(row, "kind")
    name = _text(row, "name") or f"{_text(row, 'reference')} | {_text(row, 'candidate')}"
    if not all(manifest.can_be_kept(each) for each in (name, kind or "-")):
        faults.append(f"line {line}: name and kind have at most {MOST_CHARACTERS} characters, none of them control.")
    if files is None or label is None or len(faults) > before:
        return None
    return LabelledPair(name, *files, label, kind)


def _text(row: Mapping[str, object], name: str) -> str:
    """Of JSON, numbers and truth values too: `"label": 1`."""
    said = row.get(name)
    if isinstance(said, bool):
        return str(int(said))
    return "" if said is None else str(said).strip()


def _found(folder: Path, faults: list[str]) -> list[LabelledPair]:
    labels: tuple[Label, ...] = get_args(Label)
    missing = [label for label in labels if not (folder / label).is_dir()]
    faults += [f"There is no folder {folder / label}." for label in missing]
    return [] if missing else [pair for label in labels for pair in _of_label(folder, label, faults)]


def _of_label(folder: Path, label: Label, faults: list[str]) -> Iterator[LabelledPair]:
    pairs: dict[Path, dict[str, Path]] = {}
    for path in sorted((folder / label).rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        within, said = path.relative_to(folder), _SIDE.fullmatch(path.stem)
        if said is None:
            faults.append(f"{within}: its name ends neither in reference nor in candidate.")
            continue
        sides = pairs.setdefault(within.parent / said["name"], {})
        side = said["side"].lower()
        if side in sides:
            faults.append(f"{within}: there is another {side} of this pair.")
        sides[side] = path
    for key, sides in pairs.items():
        faults += [f"{key}: there is no {side}." for side in ("reference", "candidate") if side not in sides]
        if len(sides) == 2:
            kind = "/".join(key.parts[1:-1])
            yield LabelledPair(key.as_posix(), sides["reference"], sides["candidate"], label, kind)
