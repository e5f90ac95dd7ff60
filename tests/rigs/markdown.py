"""A page of the docs, cut into what a test can hold against the code: headings, blocks of code, commands, links, rows.
Knows nothing of PairLens. Code is indented by four spaces, as these pages have it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_HEADING = re.compile(r"^(#+) (.+)$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_FIRST_WORDS = ("make", "curl", "pairlens", ".venv/bin/pairlens")


@dataclass(frozen=True)
class Page:
    """One file of markdown."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[str]:
        """Code, without its indent."""
        found: list[list[str]] = [[]]
        for line in self.text.splitlines():
            if line.startswith("    "):
                found[-1].append(line[4:])
            elif found[-1]:
                found.append([])
        return ["\n".join(lines) for lines in found if lines]

    @cached_property
    def prose(self) -> str:
        """All but blocks of code."""
        return "\n".join(line for line in self.text.splitlines() if not line.startswith("    "))

    @cached_property
    def headings(self) -> list[int]:
        """The level of each."""
        return [len(found[1]) for line in self.prose.splitlines() if (found := _HEADING.match(line))]

    @cached_property
    def links(self) -> list[str]:
        """Where links and pictures lead."""
        return _LINK.findall(self.prose)

    @cached_property
    def linked(self) -> list[Path]:
        """The files among them."""
        files = [link for link in self.links if not link.startswith(("https://", "http://"))]
        return [(self.path.parent / link).resolve() for link in files]

    @cached_property
    def spans(self) -> list[str]:
        """What stands between backticks in the prose."""
        return _SPAN.findall(self.prose)

    @cached_property
    def commands(self) -> list[list[str]]:
        """Words of the commands in blocks that a test can judge, without comments and redirections."""
        lines = [line for block in self.blocks for line in block.replace("\\\n", " ").splitlines()]
        words = [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] in _FIRST_WORDS]
        return [[word for word in _before(line, ">") if word != "…"] for line in words]

    @cached_property
    def rows(self) -> list[list[str]]:
        """Cells of the rows of tables, heads and rulers too."""
        lines = [line for line in self.prose.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    def row(self, name: str) -> list[str]:
        """The one row whose first cell names it, alone or among others."""
        (found,) = [cells for cells in self.rows if f"`{name}`" in cells[0]]
        return found


def _before(words: list[str], mark: str) -> list[str]:
    return words[: words.index(mark)] if mark in words else words
