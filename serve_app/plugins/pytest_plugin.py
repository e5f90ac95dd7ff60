"""pytest's side of `assert_images_match`: options, the test that is running, results and what is said at the end.
Knows no pictures. Loaded by every run of pytest where PairLens is installed, so it imports what it needs when it does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from serve_app.plugins.comparer import Comparer
    from serve_app.plugins.matching import Matching
    from serve_app.plugins.outcomes import Outcome
    from serve_app.plugins.results import Results
    from serve_app.schema import ImageComparisonConfig

DEFAULT_RESULTS: Final = "test-results/pairlens"
DEFAULT_RESULTS_MIB: Final = 1024
PROPERTY: Final = "pairlens"  # of JUnit: a line a picture


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pairlens", "pictures held against baselines (PairLens)")
    group.addoption(
        "--pairlens-update",
        choices=("missing", "failed", "all"),
        help="Write baselines: that are missing; that are missing or don't match; all that differ in any pixel.",
    )
    group.addoption("--pairlens-keep", choices=("failed", "all"), default="failed", help="Whose results are written.")
    group.addoption("--pairlens-results", metavar="DIR", help=f"Where results are written ({DEFAULT_RESULTS}).")
    group.addoption("--pairlens-server", metavar="URL", help="Compare there, and not in this process.")
    parser.addini("pairlens_results", "Where results are written, from the root.", default=DEFAULT_RESULTS)
    parser.addini("pairlens_results_mib", "How much a run may write there, MiB.", default=str(DEFAULT_RESULTS_MIB))
    parser.addini("pairlens_server", "Compare there, and not in this process.", default="")
    parser.addini("pairlens_threshold", "Similarity from which it is a match; without, nothing may differ.", default="")


@dataclass
class _Run:
    """What one process of a run has for all of its tests."""

    results: Results
    comparer: Comparer
    threshold: float | None


_RUN: Final = pytest.StashKey[_Run]()
# The tests under way in this process, innermost last: a test of a plugin runs tests.
_running: list[pytest.Item] = []
_MATCHING: Final = pytest.StashKey["Matching"]()


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        from serve_app.plugins import results  # the process that others work for: before they begin

        results.emptied(_folder(config))


def _folder(config: pytest.Config) -> Path:
    given: str | None = config.getoption("--pairlens-results")
    kept: str = config.getini("pairlens_results")
    return Path.cwd() / given if given else config.rootpath / kept


def _run(config: pytest.Config) -> _Run:
    """Made when the first picture is held against something."""
    if _RUN not in config.stash:
        from serve_app.plugins.comparer import Comparer
        from serve_app.plugins.results import Results

        workers = getattr(config, "workerinput", {}).get("workercount", 1)
        most_bytes = _number(config, "pairlens_results_mib", 0, None) * 1024**2 / workers
        server = config.getoption("--pairlens-server") or config.getini("pairlens_server") or None
        threshold = _number(config, "pairlens_threshold", 0, 1) if config.getini("pairlens_threshold") else None
        config.stash[_RUN] = _Run(Results(_folder(config), int(most_bytes)), Comparer(server), threshold)
    return config.stash[_RUN]


def _number(config: pytest.Config, name: str, low: float, high: float | None) -> float:
    text = config.getini(name)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not (low <= number and (high is None or number <= high)):
        bounds = f"from {low:g}" if high is None else f"{low:g}..{high:g}"
        raise pytest.UsageError(f"{name} is a number {bounds}, not {text!r}.")
    return number


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    _running.append(item)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        _running.remove(item)
        if _MATCHING in item.stash:
            del item.stash[_MATCHING]  # a test that is run again counts its pictures anew


def _matching() -> Matching:
    """Of the test that is running. Raises RuntimeError where none is."""
    if not _running:
        raise RuntimeError("assert_images_match is for tests that pytest runs; elsewhere, pairlens.compare is.")
    item = _running[-1]
    if _MATCHING not in item.stash:
        from serve_app.plugins.matching import Matching

        run = _run(item.config)

        def tell(outcome: Outcome) -> None:
            from serve_app.plugins import outcomes

            item.user_properties.append((PROPERTY, outcomes.fact(outcome)))

        item.stash[_MATCHING] = Matching(
            item.nodeid.partition("::")[2],
            item.path,
            run.comparer,
            run.results,
            update=item.config.getoption("--pairlens-update") or "none",
            keeps_all=item.config.getoption("--pairlens-keep") == "all",
            threshold=run.threshold,
            tell=tell,
        )
    return item.stash[_MATCHING]


def assert_images_match(
    actual: object,
    name: str | None = None,
    *,
    threshold: float | None = None,
    strict: bool | None = None,
    ignore: Sequence[Any] = (),
    full_page: bool = False,
    config: ImageComparisonConfig | None = None,
) -> None:
    """Hold a picture against the baseline of this test: a page or locator of Playwright, a matplotlib figure, a PIL
    image, an array, the bytes of an image file or its path.

    `name`: of the baseline; without one, the test's name. `threshold`: similarity 0..1 from which it is a match;
    without one, or with `strict`, nothing visible may differ. `ignore`: boxes (x, y, width, height) and, for a page,
    locators or selectors. `full_page`: all of a page, not what its window shows. `config`: the API's, under these.

    Raises AssertionError where the picture doesn't match or has no baseline, `NotMatched` where it can't be compared.
    """
    __tracebackhide__ = True
    own = _matching()
    own.hold(own.see(actual, ignore, full_page=full_page), name, own.wish(threshold, strict, config))


async def assert_images_match_async(
    actual: object,
    name: str | None = None,
    *,
    threshold: float | None = None,
    strict: bool | None = None,
    ignore: Sequence[Any] = (),
    full_page: bool = False,
    config: ImageComparisonConfig | None = None,
) -> None:
    """The same for pages and locators of Playwright's asynchronous interface."""
    __tracebackhide__ = True
    own = _matching()
    seen = await own.see_async(actual, ignore, full_page=full_page)
    own.hold(seen, name, own.wish(threshold, strict, config))


@pytest.fixture(name="assert_images_match")
def _assert_images_match() -> Any:
    """`pairlens.assert_images_match`, for tests that would rather not import it."""
    return assert_images_match


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the process that others work for all of them have ended."""
    config = session.config
    if _RUN in config.stash:
        config.stash[_RUN].comparer.close()
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        from serve_app.plugins import results

        results.write_index(_folder(config))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = (report for group in terminalreporter.stats.values() for report in group)
    ended = (report for report in reports if getattr(report, "when", None) == "teardown")
    told = [text for report in ended for name, text in report.user_properties if name == PROPERTY]
    if not told:
        return
    from serve_app.plugins import outcomes, results

    index = _folder(config) / results.INDEX
    if lines := outcomes.summary(told, index if index.is_file() else None):
        terminalreporter.section("pictures (PairLens)")
        for line in lines:
            terminalreporter.write_line(line)
