"""A batch to look at: a CSV for spreadsheets, an HTML page for people."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serve_app.schema import PairReport
from serve_app.views.inlined import read, rendered

COLUMNS: Final = ("name", "outcome", "similarity", "differences", "summary", "reference", "candidate")
# What a person looks at first.
ORDER: Final = ("failed", "mismatch", "uncertain", "removed", "added", "match")
# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# What a browser can show of a file, by its name; all else is a link.
_SHOWN: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")


def batch_csv(rows: Sequence[PairReport]) -> str:
    """A line a pair, in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        similarity, found = _numbers(row)
        cells = (row.name, row.outcome, similarity, found, _said(row), row.reference or "", row.candidate or "")
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue()


def batch_html(
    rows: Sequence[PairReport],
    folder: Path,
    page_of: Callable[[str], Path | None] = lambda name: None,
    *,
    only_changed: bool = False,
    note: str = "",
) -> str:
    """One page, worst first, to be filtered, that opens without a network; its links lead from `folder` to the files,
    whose thumbnails are loaded once they are seen, and to the page of each pair, where `page_of` its name has one.

    `only_changed`: pairs that match are counted and not listed.
    """
    listed = [row for row in rows if row.outcome != "match"] if only_changed else rows
    left = f"; {len(rows) - len(listed)} that match are not listed" if len(listed) < len(rows) else ""
    counts = Counter(row.outcome for row in rows)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ORDER if counts[outcome])
    here = {row.outcome for row in listed}
    return rendered(
        "batch.html.jinja",
        style=read("report/batch.css"),
        script=read("report/batch.js"),
        pictures="'self' file:",  # beside the page; a page from a disk has no self
        num_pairs=len(rows),
        told=told + left,
        note=note,
        outcomes=[outcome for outcome in ORDER if outcome in here],
        rows=[_line(row, folder, page_of(row.name)) for row in sorted(listed, key=_rank)],
    )


def _rank(row: PairReport) -> tuple[int, float, str]:
    return ORDER.index(row.outcome), row.report.similarity if row.report else 0.0, row.name


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the page. `page`: the link to the pair's own, or nothing; `files`: a side, its link, and whether a
    browser can show it."""

    name: str
    page: str
    outcome: str
    similarity: str
    differences: str
    said: str
    files: tuple[tuple[str, str, bool], ...]


def _line(row: PairReport, folder: Path, page: Path | None) -> _Line:
    sides = (("reference", row.reference), ("candidate", row.candidate))
    files = tuple((side, _link(path, folder), path.lower().endswith(_SHOWN)) for side, path in sides if path)
    own = "" if page is None else _link(str(page), folder)
    return _Line(row.name, own, row.outcome, *_numbers(row), _said(row), files)


def _link(path: str, folder: Path) -> str:
    """Of a PDF to the page."""
    file, mark, page = path.rpartition("#page=")
    if mark and file.lower().endswith(".pdf") and page.isdecimal():
        return f"{quote(os.path.relpath(file, folder))}#page={page}"
    return quote(os.path.relpath(path, folder))


def _numbers(row: PairReport) -> tuple[str, str]:
    if row.report is None:
        return "", ""
    return f"{row.report.similarity:.4f}", str(len(row.report.differences) + row.report.measurement.further_differences)


def _said(row: PairReport) -> str:
    if row.report is not None:
        return row.report.summary
    return row.error.detail if row.error is not None else ""
