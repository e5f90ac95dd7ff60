"""`assert_images_match`: what a test sees, held against its baseline.
Knows no pytest: a test is a name and a file, and whoever runs it tells which one it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from serve_app.client.pictures import Picture, source
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError, ImageRejected
from serve_app.plugins import baselines, outcomes, pages, results
from serve_app.plugins.baselines import BaselineCorrupt
from serve_app.plugins.comparer import Comparer
from serve_app.plugins.outcomes import Outcome, Update
from serve_app.plugins.results import Results
from serve_app.schema import BoxField, ComparisonReport, ImageComparisonConfig

MOST_IGNORED: Final = 64  # of a request: the contract's
# Each says how much may differ.
_TOLERANCES: Final = frozenset({"similarity_threshold", "max_differences", "max_changed_ratio", "profile"})
_LEFT_OUT: Final = "No results were written: this run's are at their bound (ini pairlens_results_mib)."


class NotMatched(Exception):
    """A picture could not be held against its baseline: one sentence."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a picture is compared. `config`: the API's, under the others."""

    threshold: float | None = None
    strict: bool | None = None
    config: ImageComparisonConfig = field(default_factory=ImageComparisonConfig)

    def asked(self, ignored: Sequence[BoxField]) -> ImageComparisonConfig:
        """Strict where nothing says how much may differ: any visible difference is a mismatch. Raises `NotMatched`,
        and ValueError for a threshold that is none."""
        fields = self.config.model_dump(exclude_unset=True)
        if self.threshold is not None:
            fields["similarity_threshold"] = self.threshold
        if self.strict if self.strict is not None else not _TOLERANCES & fields.keys():
            fields["max_differences"] = 0
        boxes = tuple(dict.fromkeys((*self.config.ignore_regions, *ignored)))
        if len(boxes) > MOST_IGNORED:
            raise NotMatched(f"{len(boxes)} places are to be ignored, and at most {MOST_IGNORED} can be.")
        return ImageComparisonConfig.model_validate({**fields, "ignore_regions": boxes})


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture, before it is a file of any folder. `browser`: the name of the one that drew it."""

    content: bytes
    ignored: tuple[BoxField, ...]
    browser: str | None


class Matching:
    """One test's pictures. Not for several threads."""

    def __init__(
        self,
        test: str,
        file: Path,
        comparer: Comparer,
        kept: Results,
        *,
        update: Update = "none",
        keeps_all: bool = False,
        threshold: float | None = None,
        tell: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """`test`: its name in `file`; `threshold`: where a test gives none; `tell` hears of every outcome."""
        self._test, self._file = test, file
        self._comparer, self._kept = comparer, kept
        self._update, self._keeps_all, self._threshold = update, keeps_all, threshold
        self._tell = tell
        self._used: Counter[str] = Counter()

    def see(self, actual: object, ignore: Sequence[Any], *, full_page: bool) -> Seen:
        """Raises `NotMatched`, OSError for a path, TypeError for what can't be ignored, and what Playwright raises."""
        if pages.is_drawn(actual):
            if pages.is_awaited(actual):
                raise NotMatched(
                    "This page is of Playwright's asynchronous interface: await assert_images_match_async."
                )
            try:
                return _of_shot(pages.pumped(pages.shot(actual, ignore, full_page=full_page)))
            except pages.NeverStill as exc:
                raise NotMatched(self._unstill(exc)) from None
        boxes = tuple(map(pages.box_of, ignore))
        try:
            return Seen(source(cast(Picture, actual), "candidate").read(), boxes, None)
        except ImageRejected as exc:
            raise NotMatched(exc.detail) from exc
        except TypeError as exc:
            raise NotMatched(f"{exc} A page or a locator of Playwright is one too.") from exc

    async def see_async(self, actual: object, ignore: Sequence[Any], *, full_page: bool) -> Seen:
        """The same, for both of Playwright's interfaces."""
        if not (pages.is_drawn(actual) and pages.is_awaited(actual)):
            return self.see(actual, ignore, full_page=full_page)
        try:
            return _of_shot(await pages.awaited(pages.shot(actual, ignore, full_page=full_page)))
        except pages.NeverStill as exc:
            raise NotMatched(self._unstill(exc)) from None

    def _unstill(self, moved: pages.NeverStill) -> str:
        """Where: what to ignore, or to wait for."""
        report = self._comparer.compare(moved.before, moved.after, Wish().asked(()))
        return f"The page does not stand still: {moved}. What still changes: {outcomes.places(report)}"

    def hold(self, seen: Seen, name: str | None, wish: Wish) -> None:
        """Raises AssertionError where it doesn't match, and `NotMatched`."""
        __tracebackhide__ = True
        outcome = self._outcome(seen, self._name(name), wish)
        self._tell(outcome)
        if outcome.is_failure:
            raise AssertionError(outcomes.told(outcome, f"{self._file.name}::{self._test}"))

    def wish(self, threshold: float | None, strict: bool | None, config: ImageComparisonConfig | None) -> Wish:
        given = threshold if threshold is not None or strict else self._threshold
        return Wish(given, strict, config or ImageComparisonConfig())

    def _name(self, name: str | None) -> str:
        """A test's first unnamed picture has the test's name, the next a number too."""
        if name is None:
            own = baselines.file_name(self._test)
            self._used[own] += 1
            return own if self._used[own] == 1 else f"{own}-{self._used[own]}"
        if not baselines.is_file_name(name):
            raise NotMatched(
                f"{name!r} is no name of a baseline: letters, digits, '_', '-' and '.' are, at most "
                f"{baselines.LONGEST_NAME} of them, and no folders."
            )
        return name

    def _outcome(self, seen: Seen, name: str, wish: Wish) -> Outcome:
        path = baselines.path_of(self._file, name, seen.browser)
        try:
            baseline = path.read_bytes()
        except FileNotFoundError:
            return self._missing(seen, name, path)
        if baseline == seen.content and not self._keeps_all:
            return Outcome(name, "match", path)
        try:
            asked = wish.asked((*baselines.ignored_in(path, baseline), *seen.ignored))
            report = self._comparer.compare(baseline, seen.content, _quick(asked))
        except BaselineCorrupt as exc:
            return self._unusable(seen, name, path, str(exc), exc)
        except ComparisonError as exc:
            if exc.image == "reference":
                return self._unusable(seen, name, path, f"The baseline {path} can't be used: {exc.detail}", exc)
            raise NotMatched(f"{name}: {exc.detail}") from exc
        except ValidationError as exc:
            faults = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in exc.errors(include_input=False))
            raise NotMatched(f"{name}: {faults}.") from exc
        except CantCompare as exc:
            raise NotMatched(f"{name}: {exc}") from exc
        return self._judged(Outcome(name, report.verdict, path, report), baseline, seen, asked)

    def _missing(self, seen: Seen, name: str, path: Path) -> Outcome:
        png = _as_png(seen.content, name)
        if self._update != "none":
            baselines.write(path, png, seen.ignored)
            return Outcome(name, "written", path)
        folder = self._kept.write(self._folder(name, seen), {results.ACTUAL: png})
        return Outcome(name, "missing", path, results=folder, left_out="" if folder else _LEFT_OUT)

    def _unusable(self, seen: Seen, name: str, path: Path, told: str, why: Exception) -> Outcome:
        if self._update not in ("failed", "all"):
            raise NotMatched(f"{told} To write it anew: --pairlens-update=failed") from why
        return self._replaced(seen, name, path, None)

    def _judged(self, outcome: Outcome, baseline: bytes, seen: Seen, asked: ImageComparisonConfig) -> Outcome:
        assert outcome.report is not None
        differs = not outcome.report.measurement.identical
        if (self._update == "failed" and outcome.is_failure) or (self._update == "all" and differs):
            return self._replaced(seen, outcome.name, outcome.baseline, outcome.report)
        if not outcome.is_failure and not self._keeps_all:
            return outcome
        from serve_app.views import html_report

        # Asked again, with words and pictures: a test that passes needn't wait for them.
        report = self._comparer.compare(baseline, seen.content, html_report.wanted(asked))
        files = results.files_of(baseline, seen.content, report, asked.language, outcome.name)
        folder = self._kept.write(self._folder(outcome.name, seen), files)
        return Outcome(outcome.name, report.verdict, outcome.baseline, report, folder, "" if folder else _LEFT_OUT)

    def _replaced(self, seen: Seen, name: str, path: Path, report: ComparisonReport | None) -> Outcome:
        baselines.write(path, _as_png(seen.content, name), seen.ignored)
        return Outcome(name, "replaced", path, report)

    def _folder(self, name: str, seen: Seen) -> str:
        drawn_by = f"-{seen.browser}" if seen.browser else ""
        test = baselines.file_name(self._test)
        return f"{self._file.stem}--{name if name.startswith(test) else f'{test}--{name}'}{drawn_by}"


def _quick(asked: ImageComparisonConfig) -> ImageComparisonConfig:
    """Without the words in it, where they decide nothing: they take ten times as long as the rest."""
    return asked if asked.text_changes == "mismatch" else asked.model_copy(update={"read_text": False})


def _as_png(content: bytes, name: str) -> bytes:
    try:
        return baselines.as_png(content)
    except baselines.NotAPicture as exc:
        raise NotMatched(f"{name} can't be a baseline: {exc}.") from exc


def _of_shot(shot: pages.Shot) -> Seen:
    return Seen(shot.content, shot.ignored, shot.browser)
