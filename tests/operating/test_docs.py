"""What README and docs say is so: their JSON, configs, commands, options, links, tables, and the example of the README.
Each page is read as people get it; nothing of it is repeated here, and `tests/operating/documented` runs it."""

from __future__ import annotations

import inspect
import itertools
import json
import logging
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import pairlens
from serve_app import ocr
from serve_app.cli import asking, main
from serve_app.comparison.pipeline import Pipeline
from serve_app.errors import ComparisonError
from serve_app.imaging.pdf.documents import Documents
from serve_app.schema import AlignmentReport, ComparisonReport, ImageComparisonConfig, MeasurementReport
from serve_app.schema.config import PdfOptions
from serve_app.serving.api import stream
from serve_app.serving.api.app import create_app
from serve_app.serving.api.batches import BatchDesk
from serve_app.serving.api.jobs import JobDesk
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Settings
from serve_app.storage.database import Database
from tests.operating.documented.code import holds
from tests.rigs.markdown import Page
from tests.worlds.jobs import Desk

ROOT = Path(__file__).parents[2]
README, CHINESE = Page(ROOT / "README.md"), Page(ROOT / "README.zh-CN.md")
PAGES = [README, CHINESE, Page(ROOT / "deployment/README.md"), *map(Page, sorted((ROOT / "docs").glob("*.md")))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE))
PROGRAM: Any = typer.main.get_command(main.app)  # of click, which typer brings along under a name of its own
SOURCES = re.compile(r"(docs|benchmarks|tests|serve_app|deployment|examples)/[\w./-]+\.(md|py|yaml|conf|json)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))


def documents(page: Page) -> list[Any]:
    """The blocks that are JSON. Raises where one isn't."""
    return [json.loads(block) for block in page.blocks if block.startswith(("{", "["))]


def after(words: list[str], option: str) -> Iterator[str]:
    """What stands behind an option, each time it is there."""
    for first, second in itertools.pairwise(words):
        if first == option:
            yield second


def configs(page: Page) -> list[str]:
    """The configs in commands and in requests that are JSON."""
    parts = [part for words in page.commands if words[0] == "curl" for part in after(words, "-F")]
    found = [part.removeprefix("config=") for part in parts if part.startswith("config=")]
    found += [json.dumps(each["config"]) for each in documents(page) if "config" in each]
    return found + [text for words in page.commands for text in after(words, "--config") if text.startswith("{")]


def named(names: list[str]) -> Any:
    """The command of these names. Raises where there is none."""
    found = PROGRAM
    for name in names:
        found = found.commands[name]
    return found


def command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line gives, and the words that are left for it."""
    depth = 2 if words[1] == "jobs" else 1
    return named(words[1 : 1 + depth]), words[1 + depth :]


def options_of(found: Any) -> set[str]:
    """What it takes."""
    return {option for each in found.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}


def options(text: str) -> set[str]:
    """What a text names."""
    return {word for word in text.split() if word.startswith("--")}


def make_is_known(words: list[str]) -> bool:
    """`make TARGET NAME=value`: the target is there, and somewhere the variable is read."""
    names = [word.partition("=")[0] for word in words[2:]]
    return words[1] in TARGETS and all(re.search(rf"\$\({name}\)|\$\((if|or) \$\({name}\)", MAKEFILE) for name in names)


# What stands in blocks of code.


@each_page
def test_json_parses(page: Page) -> None:
    documents(page)


@each_page
def test_configs_are_valid(page: Page) -> None:
    for text in configs(page):
        ImageComparisonConfig.model_validate_json(text)
    for words in page.commands:
        for part in after(words, "-F"):
            if part.startswith("pdf="):
                PdfOptions.model_validate_json(part.removeprefix("pdf="))


@each_page
def test_commands_of_pairlens_can_be_given(page: Page) -> None:
    for words in page.commands:
        if words[0].endswith("pairlens"):
            found, rest = command(words)
            found.make_context(found.name, rest)


@each_page
def test_commands_of_make_are_there(page: Page) -> None:
    for words in page.commands:
        if words[0] == "make":
            assert make_is_known(words), words


def test_the_pages_have_what_is_looked_for() -> None:
    """So that no test above passes because nothing was found."""
    assert len([each for page in PAGES for each in documents(page)]) >= 7
    assert len([each for page in PAGES for each in configs(page)]) >= 7
    words = [each for page in PAGES for each in page.commands]
    assert len([each for each in words if each[0].endswith("pairlens")]) >= 15
    assert len([each for each in words if each[0] == "make"]) >= 10


# What stands in the prose.


@each_page
def test_commands_in_sentences_are_there(page: Page) -> None:
    for span in page.spans:
        first, *words = span.split() or [""]
        if first == "make":
            assert words[0] in TARGETS, span
        elif first == "pairlens" and words and not words[0].startswith("-"):
            names = [words[:1]]
            if words[0] == "jobs" and len(words) > 1:
                names = [["jobs", name] for name in words[1].split("|")]
            for name in names:
                assert options(span) <= options_of(named(name)), span


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    assert [path for path in page.linked if not path.exists()] == []


@each_page
def test_files_that_are_named_are_there(page: Page) -> None:
    for span in page.spans:
        if SOURCES.fullmatch(span):
            assert (ROOT / span).exists(), span


@each_page
def test_names_of_the_package_are_there(page: Page) -> None:
    for name in re.findall(r"\bpairlens\.(\w+)(?=\(|`)", page.text):
        assert name in pairlens.__all__, name


def test_every_page_is_reached_from_the_readme() -> None:
    seen, ahead = set(), [README.path]
    while ahead:
        path = ahead.pop()
        seen.add(path)
        ahead += [each for each in Page(path).linked if each.suffix == ".md" and each not in seen]
    assert [page.path.name for page in PAGES if page.path not in seen] == []


# Tables, held against the code.


@pytest.mark.parametrize("name", ImageComparisonConfig.model_fields)
def test_every_field_of_the_config_has_its_row(name: str) -> None:
    told = Page(ROOT / "docs/config.md").row(name)[-1].strip("`")
    default = json.loads(ImageComparisonConfig().model_dump_json())[name]
    assert told == default or json.loads(told) == default


def test_no_row_tells_of_a_field_that_is_not_there() -> None:
    rows = Page(ROOT / "docs/config.md").rows
    told = {cells[0].strip("`") for cells in rows if len(cells) == 3 and cells[0].startswith("`")}
    assert told == set(ImageComparisonConfig.model_fields)


def test_every_error_has_its_row() -> None:
    def kinds(of: type[ComparisonError]) -> Iterator[type[ComparisonError]]:
        yield of
        for each in of.__subclasses__():
            if each.__module__ == ComparisonError.__module__:
                yield from kinds(each)

    rows = [cells for cells in Page(ROOT / "docs/api.md").rows if re.match(r"\d{3}", cells[0])]
    for kind in kinds(ComparisonError):
        assert [cells for cells in rows if str(kind.status) in cells[0] and f"`{kind.type}`" in cells[1]], kind


def test_every_route_has_its_row(tmp_path: Path) -> None:
    settings = Settings()
    desk = Desk(Database(f"sqlite:///{tmp_path}/jobs.sqlite"), tmp_path)
    documents = Documents(settings.limits)
    app = create_app(
        Pipeline(None, None, settings),  # type: ignore[arg-type] # nothing is compared
        settings,
        readiness=AlwaysReady(),
        logger=logging.Logger("docs"),
        jobs=JobDesk(desk.store, desk.blobs, lambda *_: None, 1.0, takes_webhooks=True),
        batches=BatchDesk(desk.batches, desk.blobs, documents, lambda *_: None, 1.0),
    )
    told = " ".join(cells[0] for cells in Page(ROOT / "docs/api.md").rows)
    routes = {f"`{method.upper()} {path}`" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert len(routes) >= 17
    assert {route for route in routes if route not in told} == set()


def test_every_event_of_the_stream_has_its_row() -> None:
    page = Page(ROOT / "docs/api.md")
    names = set(re.findall(r'event="(\w+)"', inspect.getsource(stream)))
    assert len(names) >= 5
    told = {cells[0].strip("`") for cells in page.rows if len(cells) == 2}
    assert names <= told


def test_every_member_of_the_report_is_told() -> None:
    told = "".join(cells[0] for cells in Page(ROOT / "docs/api.md").rows)
    assert [name for name in ComparisonReport.model_fields if name != "report_id" and f"`{name}`" not in told] == []
    rows = Page(ROOT / "docs/measurement.md").rows
    fields = {cells[0].strip("`") for cells in rows if len(cells) == 2 and cells[0].startswith("`")}
    assert fields <= set(MeasurementReport.model_fields)
    assert len(fields) >= 6


def test_every_way_to_lie_is_told() -> None:
    described = AlignmentReport.model_fields["kind"].description or ""
    kinds = set(re.findall(r"[a-z]+", re.sub(r"\(.*?\)", "", described))) - {"or"}
    assert len(kinds) >= 9
    spans = Page(ROOT / "docs/measurement.md").spans
    assert [kind for kind in kinds if kind not in spans] == []


def test_exit_codes_are_told() -> None:
    rows = Page(ROOT / "docs/quick_start.md").rows
    told = {cells[1]: int(cells[0]) for cells in rows if cells[0].isdigit() and cells[0] != "1"}
    assert told == asking.EXIT_CODES


def test_figures_beside_others_are_those_of_the_results() -> None:
    told = [cells for cells in Page(ROOT / "docs/comparison.md").rows if re.match(r"\d+ MP", cells[0])]
    assert len(told) == 3
    results = Page(ROOT / "benchmarks/results/measurement.md").rows
    assert [cells for cells in told if cells not in results] == []


# Both READMEs, and the example.


def test_the_readmes_are_one_in_two_languages() -> None:
    def others(page: Page) -> list[str]:
        return [link for link in page.links if not link.startswith("README")]

    assert README.headings == CHINESE.headings
    assert README.commands == CHINESE.commands
    assert others(README) == others(CHINESE)
    assert documents(README) == documents(CHINESE)
    assert [len(cells) for cells in README.rows] == [len(cells) for cells in CHINESE.rows]
    folders = [[cells[0] for cells in page.rows if cells[0].endswith("/`")] for page in (README, CHINESE)]
    assert folders[0] == folders[1]
    assert "README.zh-CN.md" in README.links
    assert "README.md" in CHINESE.links


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `make examples` was run."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "examples/pairs").mkdir(parents=True)
    list(runpy.run_path(str(ROOT / "examples/draw_pairs.py"))["draw_all"](folder / "examples/pairs"))
    return folder


needs_reader = pytest.mark.skipif(ocr.installed() is None, reason="needs the extra [text]")


@needs_reader
def test_the_command_of_the_readme_says_what_changed(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (words,) = [words for words in README.commands if words[0] == ".venv/bin/pairlens"]
    monkeypatch.chdir(drawn)
    loggers = logging.getLogger("pairlens")
    monkeypatch.setattr(loggers, "level", loggers.level)  # the command quiets them for good, and others listen
    result = CliRunner().invoke(main.app, words[1:])
    assert result.exit_code == 0, result.output
    assert 'Text changed from "12.99" to "14.99".' in result.stdout
    assert 'Text changed from "12.99" to "14.99".' in documents(README)[0]["data"]["summary"]


@needs_reader
def test_the_answer_in_the_readme_is_what_its_request_gets(drawn: Path) -> None:
    (words,) = [words for words in README.commands if words[0] == "curl"]
    first, second = [drawn / part.removeprefix("files=@") for part in after(words, "-F") if part.startswith("files=@")]
    (config,) = configs(README)
    report = pairlens.compare(first, second, ImageComparisonConfig.model_validate_json(config))
    shown = documents(README)[0]["data"]
    assert holds(shown, json.loads(report.model_dump_json()))
    assert not holds({**shown, "verdict": "match"}, json.loads(report.model_dump_json()))
