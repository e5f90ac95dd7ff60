"""What a run leaves to be looked at: a folder a picture that failed, or each, and one page for all.
Knows no pytest and no browser. Bounded in bytes; never deletes what it didn't write.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from serve_app.schema import ComparisonReport, Language, PairReport

# In the folder of results: who finds it may empty the folder.
_MARK: Final = ".pairlens-results"
_REPORT: Final = "report.json"
INDEX: Final = "index.html"
PAGE: Final = "report.html"
BASELINE: Final = "baseline.png"
ACTUAL: Final = "actual.png"


class Results:
    """`most_bytes`: of what this process writes."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._left = most_bytes

    def write(self, name: str, files: dict[str, bytes]) -> Path | None:
        """A folder of this name with these files; None where they would be over the bound. Raises OSError."""
        size = sum(map(len, files.values()))
        if size > self._left:
            return None
        self._left -= size
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _MARK).touch()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return folder


def emptied(folder: Path) -> None:
    """Delete an earlier run's results; a folder that isn't ours stays. Raises OSError."""
    if (folder / _MARK).is_file():
        shutil.rmtree(folder)


def files_of(
    reference: bytes, actual: bytes, report: ComparisonReport, language: Language, title: str
) -> dict[str, bytes]:
    """`report` was asked for as `html_report.wanted` says."""
    from serve_app.views.html_report import html_report  # templates, for who has something to show

    bare = report.model_copy(update={"visuals": ()})
    return {
        BASELINE: reference,
        ACTUAL: actual,
        PAGE: html_report(report, language, title=title).encode(),
        _REPORT: bare.model_dump_json(indent=2).encode(),
    }


def write_index(folder: Path) -> Path | None:
    """One page of all that was written, worst first; None where nothing was. Raises OSError."""
    rows = [_row(each.parent) for each in sorted(folder.glob(f"*/{ACTUAL}"))]
    if not rows:
        return None
    from serve_app.views.batch_table import batch_html

    def page_of(name: str) -> Path | None:
        report = folder / name / PAGE
        return report if report.is_file() else None

    page = folder / INDEX
    page.write_text(batch_html(rows, folder, page_of), encoding="utf-8")
    return page


def _row(folder: Path) -> PairReport:
    """What has no report had no baseline to be held against."""
    from serve_app.schema import ComparisonReport, PairReport  # a run without pictures gets no further than `emptied`

    told = folder / _REPORT
    report = ComparisonReport.model_validate_json(told.read_bytes()) if told.is_file() else None
    return PairReport(
        name=folder.name,
        outcome=report.verdict if report is not None else "added",
        reference=str(folder / BASELINE) if report is not None else None,
        candidate=str(folder / ACTUAL),
        report=report,
    )
