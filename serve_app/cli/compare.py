"""`pairlens compare`: two files, here or on a server; a report and an exit code."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from serve_app.cli import picture as pictures
from serve_app.cli.asking import EXIT_CODES, config_of, opened, told
from serve_app.cli.files import CommandFailed, fail, read
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig, VisualKind

if TYPE_CHECKING:
    from rich.console import Console

    from serve_app.views.terminal_picture import Way

VISUALS: Final[tuple[VisualKind, ...]] = ("overlay", "heatmap", "side_by_side")


def compare(
    reference: Annotated[Path, typer.Argument(help="The image to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The image to judge.")],
    config: Annotated[str | None, typer.Option(help="The config of the API: JSON, or a file of it.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Thresholds: a file of calibrate, or a name at the server.")
    ] = None,
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
    picture: Annotated[
        str, typer.Option(help="The pair in the terminal: auto, never, kitty, iterm2, sixel or blocks.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")] = False,
    server: Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000.")] = None,
    model: Annotated[str | None, typer.Option(help="Assess with this checkpoint: a folder or hub id.")] = None,
) -> None:
    """Compare two image files. Exit code: 0 match, 22 mismatch, 23 uncertain, 1 error."""
    try:
        _check(picture, server, model)
        files = _visual_files(visual or [])
        options = _given(
            similarity_threshold=threshold,
            max_differences=0 if strict else None,
            comparison_aspects=aspect,
            focus_elements=focus,
            ignore_regions=[_region(text) for text in ignore] if ignore else None,
            language=language,
            frame=frame,
            read_text=read_text,
            text_changes=text_changes,
            visuals=list(files) or None,
        )
        asked = Asked(config_of(config, options, profile), None if as_json else Screen.of(picture), html)
        report = asyncio.run(_compared(read(reference), read(candidate), asked.with_pictures, server, model))
        _save_visuals(report, files)
        asked.answer(report, f"{reference.name} – {candidate.name}")
    except CommandFailed as exc:
        fail(str(exc))
    raise typer.Exit(EXIT_CODES[report.verdict])


def _check(picture: str, server: str | None, model: str | None) -> None:
    """What can be said before a file is read. Raises CommandFailed."""
    if server is not None and model is not None:
        raise CommandFailed("--model is for comparing here; with --server the server's own model is asked.")
    pictures.check(picture)


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


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


def _written(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise CommandFailed(f"{path} can't be written: {exc.strerror}.") from exc


@dataclass(frozen=True, slots=True)
class Screen:
    """Where people read. `way`: how the pair is shown there, None: not at all."""

    console: Console
    way: Way | None

    @classmethod
    def of(cls, picture: str) -> Screen:
        from rich.console import Console  # not needed by scripts, which read JSON

        console = Console()
        return cls(console, pictures.way(picture, os.environ, console))

    def show(self, report: ComparisonReport) -> None:
        from serve_app.views import terminal

        if self.way is not None:
            from serve_app.views import terminal_picture

            terminal_picture.show(report, self.console, self.way, pictures.place(self.console))
        terminal.show(report, self.console)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know, and where they read it: at a screen, as JSON where there is none, in a page too."""

    config: ImageComparisonConfig
    screen: Screen | None
    html: Path | None

    @property
    def with_pictures(self) -> ImageComparisonConfig:
        """With those visuals too that the page or the screen shows: templates and a decoder, for who wants them."""
        config = self.config
        if self.html is not None:
            from serve_app.views import html_report

            config = html_report.wanted(config)
        if self.screen is not None and self.screen.way is not None:
            from serve_app.views import terminal_picture

            config = terminal_picture.wanted(config)
        return config

    def answer(self, report: ComparisonReport, title: str) -> None:
        """Raises CommandFailed."""
        if self.html is not None:
            from serve_app.views import html_report

            _written(self.html, html_report.html_report(report, self.config.language, title=title).encode())
        if self.screen is not None:
            self.screen.show(report)
            return
        asked = tuple(each for each in report.visuals if each.kind in self.config.visuals)
        sys.stdout.write(report.model_copy(update={"visuals": asked}).model_dump_json(indent=2) + "\n")
