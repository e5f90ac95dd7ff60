"""The notebook of examples/, cell by cell against a service, in an event loop that runs as a notebook's does."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pairlens import Report
from tests.rigs.whole_service import whole_service

NOTEBOOK = Path(__file__).parents[2] / "examples/notebook.ipynb"
SERVER = "http://127.0.0.1:8000"


def cells() -> list[str]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert (found["nbformat"], [cell["outputs"] for cell in code]) == (4, [[]] * len(code))  # kept as it was written
    return ["".join(cell["source"]) for cell in code]


def shown(cell: str, names: dict[str, Any]) -> Any:
    """What a notebook shows below a cell: the value of its last line, where that is one."""
    body = ast.parse(cell).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_every_cell_of_the_notebook_runs_and_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert SERVER in cells()[0]
    with whole_service(tmp_path) as address:

        async def run() -> list[Any]:
            return [shown(cell.replace(SERVER, address), names) for cell in cells()]

        told = [each for each in asyncio.run(run()) if each is not None]
        names["client"].close()
    report, summary, outcomes, page = told
    assert isinstance(report, Report)
    assert report._repr_html_().startswith("<iframe ")
    assert summary[0] in ("mismatch", "uncertain")
    assert len(summary[2]) == 1
    assert outcomes == {"gold": "match", "crimson": outcomes["crimson"], "teal": outcomes["teal"]}
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    printed = capsys.readouterr().out.split()
    assert printed[0] == "Progress"
    assert printed[-1] == "Report"
