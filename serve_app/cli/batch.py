"""`pairlens batch`: many pairs of files, or the pages of two PDFs, here or on a server; a row a pair on disk.
The same command goes on where it was ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from serve_app.cli.asking import EXIT_CODES, config_of, opened, pdf_options, refuse_both
from serve_app.cli.batch_pages import MOST_MIB, PairPages
from serve_app.cli.files import EXIT_ERROR, CommandFailed, fail, say
from serve_app.cli.progress import progress
from serve_app.cli.sources import SourcePair, files, is_pdf_file, pages
from serve_app.core.comparing import CantCompare, Comparing, patiently, side_by_side
from serve_app.errors import ComparisonError
from serve_app.schema import (
    ComparisonReport,
    ErrorReport,
    ImageComparisonConfig,
    PairOutcome,
    PairReport,
    PdfOptions,
)
from serve_app.settings import Settings
from serve_app.storage.manifest import ManifestWrong, NamedPair, listed, matched
from serve_app.storage.results import OtherBatch, Results

EXIT_STOPPED: Final = 130  # as shells have it for Ctrl-C


def batch(
    reference: Annotated[Path | None, typer.Argument(help="The folder to compare with, or a PDF.")] = None,
    candidate: Annotated[
        Path | None, typer.Argument(help="The folder to judge, files matched by name; or a PDF, pages by likeness.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Or: a .csv or .jsonl of reference, candidate, name.")] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept; the same again goes on.")] = Path("results"),
    config: Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Thresholds: a file of calibrate, or a name at the server.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Similarity from which it is a match, 0..1.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any visible difference is a mismatch.")] = False,
    server: Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000.")] = None,
    model: Annotated[str | None, typer.Option(help="Assess with this checkpoint: a folder or hub id.")] = None,
    dpi: Annotated[int | None, typer.Option(help="Of PDFs: at which pages are rendered, 18..600; 150.")] = None,
    page_regions: Annotated[
        str | None,
        typer.Option(help='Of PDFs: boxes to ignore, JSON or a file: {"2": [[x, y, width, height]]}.'),
    ] = None,
    html_for: Annotated[
        str, typer.Option(help="Which pairs get a page of their own: differing, all or none.")
    ] = "differing",
    html_mib: Annotated[int, typer.Option(min=1, help="Of all these pages together, in MiB.")] = MOST_MIB,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Pairs under way together.")] = 2,
) -> None:
    """Compare many pairs: two folders, two PDFs, or a list. Exit code as compare's, of the worst; 1 if one failed."""
    refuse_both(server, model)
    try:
        laid_over = {"similarity_threshold": threshold, "max_differences": 0 if strict else None}
        asked = config_of(config, {name: value for name, value in laid_over.items() if value is not None}, profile)
        options = pdf_options(dpi, page_regions)
        pdfs = _pdfs(reference, candidate, manifest, options)
        own = PairPages.open(out, html_for, html_mib)
        job = Job(asked, own, lambda: opened(server, model), at_once)
        question = _question(asked, server, model, (options or PdfOptions()) if pdfs is not None else None)
        with _sources(reference, candidate, manifest, pdfs, options, asked) as pairs, Results(out, question) as results:
            rows = _compared(pairs, results, job)
        own.pages.settle(row.name for row in rows)
        _write_views(rows, out, own, of_pages=pdfs is not None)
    except (CommandFailed, CantCompare, OtherBatch) as exc:
        fail(str(exc))
    except ComparisonError as exc:
        fail(f"{exc.image}: {exc.detail}" if exc.image else exc.detail)
    except OSError as exc:
        fail(f"{exc.filename or out} can't be used: {exc.strerror}.")
    say(_told(rows, out) + own.told())
    raise typer.Exit(_exit_code(rows))


@dataclass(frozen=True, slots=True)
class Job:
    """What is done with each pair, wherever it comes from."""

    config: ImageComparisonConfig
    pages: PairPages
    open: Callable[[], AbstractAsyncContextManager[Comparing]]
    at_once: int


@contextmanager
def _sources(
    reference: Path | None,
    candidate: Path | None,
    manifest: Path | None,
    pdfs: tuple[Path, Path] | None,
    options: PdfOptions | None,
    config: ImageComparisonConfig,
) -> Iterator[list[SourcePair]]:
    """The pairs, which can be read within the block. Raises `CommandFailed`, `ComparisonError`, OSError."""
    from serve_app.imaging.pdf.documents import Documents

    with closing(Documents(Settings().limits)) as documents:
        if pdfs is None:
            yield files(_pairs(reference, candidate, manifest))
        else:
            yield pages(documents, *pdfs, options or PdfOptions(), config)


def _pdfs(
    reference: Path | None, candidate: Path | None, manifest: Path | None, options: PdfOptions | None
) -> tuple[Path, Path] | None:
    """Both, where they are PDFs. Raises `CommandFailed`, OSError."""
    named = [path for path in (reference, candidate) if path is not None and is_pdf_file(path)]
    if len(named) == 2 and manifest is None:
        return named[0], named[1]
    if named:
        raise CommandFailed(f"{named[0]} is a PDF: name one other PDF beside it.")
    if options is not None:
        raise CommandFailed("--dpi and --page-regions are for two PDFs.")
    return None


def _pairs(reference: Path | None, candidate: Path | None, manifest: Path | None) -> list[NamedPair]:
    if (manifest is None) == (reference is None and candidate is None) or (reference is None) != (candidate is None):
        raise CommandFailed("Name two folders, two PDFs, or --manifest with a list of pairs.")
    try:
        if manifest is not None:
            return listed(manifest)
        assert reference is not None
        assert candidate is not None
        for folder in (reference, candidate):
            if not folder.is_dir():
                raise CommandFailed(f"{folder} is no folder.")
        return matched(reference, candidate)
    except ManifestWrong as exc:
        about = manifest if manifest is not None else "These folders"
        raise CommandFailed(f"{about} can't be used, and nothing was compared:\n" + "\n".join(exc.faults)) from exc


def _question(
    config: ImageComparisonConfig, server: str | None, model: str | None, options: PdfOptions | None
) -> dict[str, object]:
    asked: dict[str, object] = {"config": config.model_dump(mode="json"), "server": server, "model": model}
    return asked if options is None else {**asked, "pdf": options.model_dump(mode="json")}


def _compared(pairs: Sequence[SourcePair], results: Results, job: Job) -> list[PairReport]:
    """The rows of all pairs, in their order; what Ctrl-C ends stays on disk."""
    logging.getLogger("pairlens").setLevel(logging.CRITICAL)
    with progress(len(pairs)) as step:
        try:
            asyncio.run(_work(pairs, results, job, step))
        except KeyboardInterrupt:
            say(f"Stopped; {len(results.rows)} of {len(pairs)} pairs are kept: the same command goes on from there.")
            raise typer.Exit(EXIT_STOPPED) from None
    return results.settle(pair.name for pair in pairs)


async def _work(pairs: Sequence[SourcePair], results: Results, job: Job, step: Callable[[], None]) -> None:
    async with job.open() as comparing:

        async def compare(pair: SourcePair) -> None:
            if not await asyncio.to_thread(_is_there, results, job.pages, pair):
                results.append(await _row(comparing, pair, job))
            step()

        await side_by_side(pairs, compare, job.at_once)  # raises what nothing can be done about: no server, no disk


def _is_there(results: Results, pages: PairPages, pair: SourcePair) -> bool:
    if pair.reference is None or pair.candidate is None:
        return False
    if not results.has(pair.name, pair.reference.digest, pair.candidate.digest):
        return False
    return not pages.lacks(results.rows[pair.name])


async def _row(comparing: Comparing, pair: SourcePair, job: Job) -> PairReport:
    """Its page is written before its row: a row that is there has what it leads to."""

    def row(outcome: PairOutcome, **more: object) -> PairReport:
        sides = {
            side: str(source) if source else None
            for side, source in (("reference", pair.reference), ("candidate", pair.candidate))
        }
        return PairReport.model_validate({"name": pair.name, "outcome": outcome, **sides, **more})

    if pair.reference is None:
        return row("added")
    if pair.candidate is None:
        return row("removed")
    try:
        both = [await asyncio.to_thread(source.read) for source in (pair.reference, pair.candidate)]
        report = await _reported(comparing, pair, both[0], both[1], job)
    except CommandFailed as exc:
        return row("failed", error=ErrorReport(type="unreadable_file", detail=str(exc)))
    except ComparisonError as exc:
        return row("failed", error=ErrorReport.of(exc))
    return row(report.verdict, report=report)


async def _reported(
    comparing: Comparing, pair: SourcePair, reference: bytes, candidate: bytes, job: Job
) -> ComparisonReport:
    """With no more pictures than the config asks for: those of the page are in it. Raises `ComparisonError`."""
    regions = (*job.config.ignore_regions, *pair.ignore_regions)
    mine = job.config.model_copy(update={"ignore_regions": regions})
    asked = job.pages.asked(mine, are_equal=reference == candidate)
    report = await patiently(comparing, reference, candidate, asked)
    page = await asyncio.to_thread(job.pages.page, pair.name, report, mine)
    job.pages.keep(pair.name, page)
    kept = tuple(each for each in report.visuals if each.kind in mine.visuals)
    return report.model_copy(update={"visuals": kept})


def _write_views(rows: Sequence[PairReport], out: Path, pages: PairPages, *, of_pages: bool) -> None:
    from serve_app.views.batch_table import batch_csv, batch_html
    from serve_app.views.junit_xml import junit_xml

    (out / "results.csv").write_text(batch_csv(rows), encoding="utf-8")
    (out / "junit.xml").write_text(junit_xml(rows), encoding="utf-8")
    (out / "index.html").write_text(
        batch_html(rows, out, pages.pages.path, only_changed=of_pages, note=pages.told()), encoding="utf-8"
    )


def _told(rows: Sequence[PairReport], out: Path) -> str:
    from serve_app.views.batch_table import ORDER

    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ORDER}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return f"{len(rows)} pairs: {told}. See {out / 'index.html'}, results.jsonl, results.csv, junit.xml."


def _exit_code(rows: Sequence[PairReport]) -> int:
    outcomes = {row.outcome for row in rows}
    if "failed" in outcomes:
        return EXIT_ERROR
    if outcomes & {"mismatch", "added", "removed"}:
        return EXIT_CODES["mismatch"]
    return EXIT_CODES["uncertain" if "uncertain" in outcomes else "match"]
