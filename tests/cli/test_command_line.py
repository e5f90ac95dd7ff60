"""The command line as a whole: its page names every command with an example that is right, and shells complete it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from serve_app.cli.main import app
from tests.rigs.markdown import Page

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; sys.argv[0] = 'pairlens'; from serve_app.cli.main import app; app()"


def examples() -> list[list[str]]:
    """The words after `pairlens` of each command on the page; `tests/operating/documented` runs them."""
    return [words[1:] for words in Page(ROOT / "docs/cli.md").commands if words[0] == "pairlens"]


def leaves(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command that does something, by its names."""
    below = getattr(command, "commands", None)
    if below is None:
        yield names
        return
    for name, each in below.items():
        yield from leaves(each, *names, name)


def test_the_page_has_an_example_of_every_command() -> None:
    shown = {tuple(words[:number]) for words in examples() for number in (1, 2)}
    assert set(leaves(typer.main.get_command(app))) <= shown


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pairlens do", ["doctor"]),
        ("pairlens jobs c", ["cancel"]),
        ("pairlens bench --ca", ["--candidate", "--callers"]),
    ],
)
def test_bash_completes_commands_and_options(typed: str, completed: list[str]) -> None:
    asked = {
        "_PAIRLENS_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == completed


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    # `; true`: bash would become the program that it ends with, and no longer be above it.
    command = ["bash", "-c", f'"{sys.executable}" -c "{PROGRAM}" --install-completion; true']
    subprocess.run(command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, check=True)
    assert ".bash_completions/pairlens.sh" in (tmp_path / ".bashrc").read_text()
    assert "_PAIRLENS_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "pairlens.sh").read_text()
