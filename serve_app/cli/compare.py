"""`pairlens compare`: two files, here or on a server; a report and an exit code."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from serve_app.cli.asking import EXIT_CODES, config_of, opened, told
from serve_app.cli.files import CommandFailed, fail, read
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig, VisualKind

VISUALS: Final[tuple[VisualKind, ...]] = ("overlay", "heatmap", "side_by_side")


def compare(
    reference: Annotated[Path, typer.Argument(help="The image to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The image to judge.")],
    config: Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Similarity from which it is a match, 0..1.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any visible difference is a mismatch.")] = False,
    aspect: Annotated[list[str] | None, typer.Option(help="A quality to compare, such as color. Repeatable.")] = None,
    focus: Annotated[list[str] | None, typer.Option(help="A thing to look at, such as logo. Repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="X,Y,WIDTH,HEIGHT to leave out. Repeatable.")] = None,
    language: Annotated[str | None, typer.Option(help="en or zh.")] = None,
    frame: Annotated[int | None, typer.Option(help="Which page or frame of both, counted from 0.")] = None,
    read_text: Annotated[
        bool | None, typer.Option("--read-text/--no-read-text", help="Say what text changed, where a reader is there.")
    ] = None,
    text_changes: Annotated[str | None, typer.Option(help="report, or mismatch: a sure change of text is one.")] = None,
    visual: Annotated[list[str] | None, typer.Option(help="KIND=FILE.png: overlay, heatmap or side_by_side.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file that opens offline.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")] = False,
    server: Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000.")] = None,
    model: Annotated[str | None, typer.Option(help="Assess with this checkpoint: a folder or hub id.")] = None,
) -> None:
    """Compare two image files. Exit code: 0 match, 22 mismatch, 23 uncertain, 1 error."""
    if server is not None and model is not None:
        fail("--model is for comparing here; with --server the server's own model is asked.")
    try:
        files = _visual_files(visual or [])
        options = {
            "similarity_threshold": threshold,
            "max_differences": 0 if strict else None,
            "comparison_aspects": aspect,
            "focus_elements": focus,
            "ignore_regions": [_region(text) for text in ignore] if ignore else None,
            "language": language,
            "frame": frame,
            "read_text": read_text,
            "text_changes": text_changes,
            "visuals": list(files) or None,
        }
        wanted = config_of(config, {name: value for name, value in options.items() if value is not None})
        pair = read(reference), read(candidate)
        report = asyncio.run(_compared(*pair, wanted if html is None else _with_pictures(wanted), server, model))
        _save_visuals(report, files)
        if html is not None:
            report = _save_html(report, wanted, html, f"{reference.name} – {candidate.name}")
    except CommandFailed as exc:
        fail(str(exc))
    _print(report, as_json=as_json)
    raise typer.Exit(EXIT_CODES[report.verdict])


async def _compared(
    reference: bytes, candidate: bytes, config: ImageComparisonConfig, server: str | None, model: str | None
) -> ComparisonReport:
    """Wherever it is done, the same is asked."""
    logging.getLogger("pairlens").setLevel(logging.CRITICAL)  # what failed is printed as one sentence
    try:
        async with opened(server, model) as comparing:
            return await comparing.compare(reference, candidate, config)
    except CantCompare as exc:
        raise CommandFailed(str(exc)) from exc
    except ComparisonError as exc:
        raise CommandFailed(told(exc)) from exc


def _region(text: str) -> list[int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise CommandFailed(f"--ignore takes X,Y,WIDTH,HEIGHT in pixels, not {text!r}.") from exc
    return [x, y, width, height]


def _visual_files(wanted: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for text in wanted:
        kind, _, name = text.partition("=")
        if kind not in VISUALS or not name:
            raise CommandFailed(f"--visual takes KIND=FILE.png with one of {', '.join(VISUALS)}, not {text!r}.")
        files[kind] = Path(name)
    return files


def _save_visuals(report: ComparisonReport, files: dict[str, Path]) -> None:
    for picture in report.visuals:
        path = files.get(picture.kind)
        if path is None:
            continue
        _written(path, base64.b64decode(picture.image.partition(",")[2]))


def _with_pictures(config: ImageComparisonConfig) -> ImageComparisonConfig:
    from serve_app.views import html_report  # templates and a decoder, for who wants a page

    return html_report.wanted(config)


def _save_html(report: ComparisonReport, config: ImageComparisonConfig, path: Path, title: str) -> ComparisonReport:
    """Write the page; the report with no more pictures than `config` asks for."""
    from serve_app.views import html_report

    _written(path, html_report.html_report(report, config.language, title=title).encode())
    asked = tuple(each for each in report.visuals if each.kind in config.visuals)
    return report.model_copy(update={"visuals": asked})


def _written(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise CommandFailed(f"{path} can't be written: {exc.strerror}.") from exc


def _print(report: ComparisonReport, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    # rich: not needed by scripts, which read JSON.
    from rich.console import Console

    from serve_app.views import terminal

    terminal.show(report, Console())
