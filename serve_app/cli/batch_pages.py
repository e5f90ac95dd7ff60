"""Which pairs of a batch get a page of their own, what is asked for it, and what is said of those left out.
Keeps nothing: `storage.pages` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serve_app.cli.files import CommandFailed
from serve_app.schema import ComparisonReport, ImageComparisonConfig, PairOutcome, PairReport
from serve_app.settings import MIB
from serve_app.storage.pages import Pages

CHOICES: Final = ("differing", "all", "none")
FOLDER: Final = "reports"  # in that of the results
# Of all together: some 800 pairs of phone screenshots, a page of which has 0.6 MB, or 170 of photographs (3 MB).
MOST_MIB: Final = 512


@dataclass(frozen=True, slots=True)
class PairPages:
    """`wanted`: one of `CHOICES`."""

    pages: Pages
    wanted: str

    @classmethod
    def open(cls, out: Path, wanted: str, most_mib: int) -> PairPages:
        """Raises CommandFailed, OSError."""
        if wanted not in CHOICES:
            raise CommandFailed(f"--html-for is one of {', '.join(CHOICES)}, not {wanted!r}.")
        return cls(Pages(out / FOLDER, most_mib * MIB), wanted)

    def lacks(self, row: PairReport) -> bool:
        """Whether the pair must be compared again for its page alone."""
        is_missing = self.pages.path(row.name) is None and not self.pages.is_full
        return is_missing and self._is_for(row.outcome)

    def asked(self, config: ImageComparisonConfig, *, are_equal: bool) -> ImageComparisonConfig:
        """With the pictures of a page, where there may be one. `are_equal`: byte for byte, as most files of a suite of
        tests are; pictures would double their time."""
        from serve_app.views import html_report

        is_out = self.wanted == "none" or (self.wanted == "differing" and are_equal) or self.pages.is_full
        return config if is_out else html_report.wanted(config)

    def page(self, name: str, report: ComparisonReport, config: ImageComparisonConfig) -> bytes | None:
        """Of one pair, some tenths of a second; None where none is wanted."""
        from serve_app.views import html_report

        if not self._is_for(report.verdict) or self.pages.is_full:
            return None
        return html_report.html_report(report, config.language, title=name).encode()

    def keep(self, name: str, page: bytes | None) -> None:
        if page is None:
            self.pages.drop(name)
        else:
            self.pages.put(name, page)

    def told(self) -> str:
        """What is left out, if anything: a sentence with a space before it."""
        if not self.pages.is_full:
            return ""
        used = self.pages.used_bytes / MIB
        return f" Not every pair has a page of its own: {used:.0f} MiB are used, and the next one is over --html-mib."

    def _is_for(self, outcome: PairOutcome) -> bool:
        return self.wanted == "all" or (self.wanted == "differing" and outcome != "match")
