"""A batch to look at: a CSV for spreadsheets, an HTML page for people."""

from __future__ import annotations

import csv
import html
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serve_app.schema import PairReport

COLUMNS: Final = ("name", "outcome", "similarity", "differences", "summary", "reference", "candidate")
# What a person looks at first.
ORDER: Final = ("failed", "mismatch", "uncertain", "removed", "added", "match")
# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.35rem .8rem;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    ".match{color:#176f2c}.mismatch,.failed{color:#b3261e}.uncertain{color:#8a6100}.added,.removed{color:#5b3fa0}"
    "td.number{text-align:right;font-variant-numeric:tabular-nums}"
)


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


def batch_html(rows: Sequence[PairReport], folder: Path, *, only_changed: bool = False) -> str:
    """One page, worst first, that opens without a network; its links lead from `folder` to the files.

    `only_changed`: pairs that match are counted and not listed.
    """
    listed = [row for row in rows if row.outcome != "match"] if only_changed else rows
    left = f"; {len(rows) - len(listed)} that match are not listed" if len(listed) < len(rows) else ""
    counts = Counter(row.outcome for row in rows)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ORDER if counts[outcome])
    body = "".join(_line(row, folder) for row in sorted(listed, key=_rank))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>PairLens batch</title>'
        f"<style>{_STYLE}</style><h1>{len(rows)} pairs</h1><p>{told}{left}</p>"
        "<table><tr><th>pair<th>outcome<th>similarity"
        f"<th>differences<th>what was found<th>files</tr>{body}</table></html>\n"
    )


def _rank(row: PairReport) -> tuple[int, float, str]:
    return ORDER.index(row.outcome), row.report.similarity if row.report else 0.0, row.name


def _line(row: PairReport, folder: Path) -> str:
    similarity, found = _numbers(row)
    links = " ".join(
        f'<a href="{html.escape(_link(path, folder))}">{side}</a>'
        for side, path in (("reference", row.reference), ("candidate", row.candidate))
        if path
    )
    return (
        f'<tr><td>{html.escape(row.name)}<td class="{row.outcome}">{row.outcome}<td class="number">{similarity}'
        f'<td class="number">{found}<td>{html.escape(_said(row))}<td>{links}</tr>\n'
    )


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
