"""`pairlens bench`: a running service under load, as a table."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from serve_app.cli.files import EXIT_ERROR, CommandFailed, fail, read, say

if TYPE_CHECKING:
    from serve_app.operating.bench import Load, Pair, Result

INTERRUPTED: Final = 130  # as shells tell Ctrl-C
LIVE_S: Final = 0.5
FEW: Final = 100


def bench(
    server: Annotated[str, typer.Argument(metavar="URL", help="Of a running service: http://127.0.0.1:8000")],
    reference: Annotated[Path | None, typer.Option(help="Compare this picture, instead of drawn pairs,")] = None,
    candidate: Annotated[Path | None, typer.Option(help="with this one.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long.")] = 10.0,
    callers: Annotated[int, typer.Option(min=1, max=64, help="How many ask at once.")] = 4,
    key_file: Annotated[Path | None, typer.Option(help="File with the API key and nothing else.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write latency over time and a histogram to this PNG.")] = None,
    i_own_this: Annotated[bool, typer.Option("--i-own-this", help="Load another machine, which is yours.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Load a running service for some seconds: answers a second, latency by stage, refusals. Ctrl-C ends it early."""
    from serve_app.operating import bench as core

    if plot is not None and not plot.absolute().parent.is_dir():
        fail(f"{plot.parent} is no folder: the plot can't be written there.")  # said now, not after the load
    try:
        core.may_be_loaded(server, is_owned=i_own_this)
        pairs = _pairs(reference, candidate, callers)
        key = None if key_file is None else read(key_file).decode("utf-8", "replace").strip()
        load, interrupted = _loaded(server, key, pairs, seconds, callers)
    except (core.BenchRefused, CommandFailed) as exc:
        fail(str(exc))
    found = core.result(load.answers, seconds=load.elapsed_s, callers=callers)
    say(json.dumps(dataclasses.asdict(found), indent=2)) if as_json else _show(found)
    if plot is not None:
        _draw(load, server, plot)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if not found.answers:
        raise typer.Exit(EXIT_ERROR)


def _pairs(reference: Path | None, candidate: Path | None, callers: int) -> list[Pair]:
    from serve_app.operating import bench as core

    if (reference is None) != (candidate is None):
        raise CommandFailed("Name both --reference and --candidate, or neither.")
    if reference is not None and candidate is not None:
        return [(read(reference), read(candidate))]
    return core.drawn_pairs(2 * callers)  # no two callers ask the same at once: that would be computed once


def _loaded(server: str, key: str | None, pairs: list[Pair], seconds: float, callers: int) -> tuple[Load, bool]:
    """The load when it has ended, and whether by Ctrl-C."""
    from serve_app.operating import bench as core

    client = core.opened(server, key)
    load = core.Load(client, pairs, callers, seconds)

    async def run() -> None:
        live = asyncio.create_task(_tell(load))
        try:
            async with client:
                await load.run()
        finally:
            live.cancel()
            await asyncio.wait([live])

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return load, True
    return load, False


async def _tell(load: Load) -> None:
    """One line that is written over, where a person sees it; a pipe or a file is spared."""
    if not sys.stderr.isatty():
        return
    from serve_app.operating import bench as core

    try:
        while True:
            await asyncio.sleep(LIVE_S)
            line = core.line(load.answers, seconds=load.elapsed_s, callers=load.callers)
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _show(found: Result) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    say(f"{found.per_second:g} answers/s: {found.answers} in {found.seconds:.1f} s by {found.callers} callers")
    if found.latency_ms is not None:
        table = Table("ms", box=box.SIMPLE_HEAD, pad_edge=False)
        for share in ("p50", "p90", "p99"):
            table.add_column(share, justify="right")
        for name, spread in (("in all", found.latency_ms), *found.stages_ms.items()):
            table.add_row(name, *map(_ms, dataclasses.astuple(spread)))
        Console(highlight=False).print(table)
        if found.answers < FEW:
            say(f"Of {found.answers} answers p99 is hardly more than the slowest one: for more, --seconds.")
    if found.cached:
        say(f"{found.cached} of them were kept reports, computed before.")
    for kind, number in found.refusals.items():
        say(f"{number} refused: {kind}" if kind != "no answer" else f"{number} without an answer")


def _ms(value: float) -> str:
    """Tenths only where they say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _draw(load: Load, server: str, path: Path) -> None:
    from serve_app.operating import bench_plot

    title = f"{server}: {load.callers} callers, {load.elapsed_s:.1f} s"
    try:
        bench_plot.plot(load.answers, load.elapsed_s, title).save(path, "PNG")
    except OSError as exc:
        fail(f"{path} can't be written: {exc.strerror or exc}.")
    sys.stderr.write(f"Plot: {path}\n")
