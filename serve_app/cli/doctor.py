"""`pairlens doctor`: what stands in the way of serving here, a line each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from serve_app.cli.files import EXIT_ERROR, say

if TYPE_CHECKING:
    from serve_app.operating.doctor import Finding

COLOURS: Final = {"ok": "green", "look": "yellow", "wrong": "bold red"}


def doctor(
    model: Annotated[Path | None, typer.Option(help="A folder with a checkpoint, to be looked at too.")] = None,
    jobs: Annotated[Path | None, typer.Option(help="Where jobs are kept, if not in the home folder.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the service would listen.")] = 8000,
    dashboard_port: Annotated[int, typer.Option(min=1, max=65535, help="Where Ray's dashboard would.")] = 8265,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look whether this machine can serve, and say what to do where it can't. Exit code 1 where something is wrong."""
    from serve_app.operating import doctor as core
    from serve_app.operating import facts

    findings = core.examine(facts.gather(model=model, jobs=jobs, port=port, dashboard_port=dashboard_port))
    if as_json:
        is_well = core.is_well(findings)
        say(json.dumps({"well": is_well, "findings": [dataclasses.asdict(each) for each in findings]}, indent=2))
    else:
        _show(findings)
    if not core.is_well(findings):
        raise typer.Exit(EXIT_ERROR)


def _show(findings: Sequence[Finding]) -> None:
    """A line each in a pipe; in a terminal as wide as that, continued below its own column."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from serve_app.views import terminal

    console = Console(highlight=False)
    if not console.is_terminal:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            line = f"{finding.verdict:<5}  {finding.name:<{width}}  {finding.sentence}"
            say(terminal.plain(" ".join(line.splitlines())))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        verdict = Text(finding.verdict, style=COLOURS[finding.verdict])
        table.add_row(verdict, Text(finding.name), Text(terminal.plain(finding.sentence)))
    console.print(table)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    told = "Nothing stands in the way: pairlens serve" if not wrong else f"{wrong} of it must be put right first."
    console.print(Text(f"\n{told}", style="bold"))
