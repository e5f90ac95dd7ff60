"""The code in README and docs: every block by its kind, every command line once, wherever it stands.
Runs nothing. A block of no known kind is an error, so that none is passed over."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from tests.rigs.markdown import Page

ROOT = Path(__file__).parents[3]
PAGES = tuple(
    Page(ROOT / path)
    for path in (
        "README.md",
        "README.zh-CN.md",
        "deployment/README.md",
        *sorted(str(each.relative_to(ROOT)) for each in (ROOT / "docs").glob("*.md")),
    )
)
PROGRAMS = frozenset(
    [
        "make",
        "curl",
        "pairlens",
        ".venv/bin/pairlens",
        "python",
        "pip",
        "pytest",
        "docker",
        "kubectl",
        "helm",
        "cp",
        "export",
        "printf",
        "serve",
        "nginx",
    ]
)
Kind = Literal["shell", "json", "yaml", "python", "output", "text"]
# In a sentence a command may be given as a pattern: NAME, KIND=FILE, submit|list, [--option].
_PATTERN = re.compile(r"…|\b[A-Z]{2,}\b|\w\|\w|\[-")


@dataclass(frozen=True)
class Block:
    """`page`: where it stands, from the root; `before`: the block above it on the page."""

    page: str
    text: str
    kind: Kind
    before: Block | None

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:70]}"


@dataclass(frozen=True)
class Line:
    """One command as a shell takes it, continued lines joined; `shown`: the output that stands below it, if any."""

    page: str
    text: str
    shown: str | None = None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:90]}"


def kind_of(text: str, before: Block | None) -> Kind:
    first = text.split(maxsplit=1)[0]
    if text.startswith(("{", "[")):
        json.loads(text)
        return "json"
    if first in PROGRAMS:
        return "shell"
    if _is_python(text):
        return "python"
    if _is_yaml(text):
        return "yaml"
    return "output" if before is not None and before.kind == "shell" else "text"


def blocks(pages: Iterable[Page] = PAGES) -> Iterator[Block]:
    for page in pages:
        before = None
        for text in page.blocks:
            name = str(page.path.relative_to(ROOT)) if page.path.is_relative_to(ROOT) else page.path.name
            before = Block(name, text, kind_of(text, before), before)
            yield before


def lines(found: Iterable[Block]) -> list[Line]:
    """Each command once, by what of it runs: two pages often have the same one."""
    out: dict[str, Line] = {}
    for block in found:
        if block.kind == "shell":
            for text in block.text.replace("\\\n", " ").splitlines():
                line = Line(block.page, text)
                out.setdefault(" ".join(line.words), line)
        elif block.kind == "output" and block.before is not None:
            above = Line(block.page, block.before.text.replace("\\\n", " ").splitlines()[-1], block.text)
            out[" ".join(above.words)] = above
    return list(out.values())


def lines_in_sentences(pages: Iterable[Page] = PAGES) -> list[Line]:
    """Whole commands between backticks: those that name a file or a URL and leave nothing open."""
    out: dict[str, Line] = {}
    for page in pages:
        for span in page.spans:
            is_whole = re.search(r"\.(png|pdf)\b|https?://", span) and not _PATTERN.search(span)
            if span.split(" ")[0] in ("curl", "pairlens") and is_whole:
                out.setdefault(span, Line(str(page.path.relative_to(ROOT)), span))
    return list(out.values())


def _is_python(text: str) -> bool:
    """What parses, and imports or calls something."""
    try:
        tree = compile(text, "block", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return False
    return any(isinstance(each, ast.Import | ast.ImportFrom | ast.Call) for each in ast.walk(tree))


def _is_yaml(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False


def holds(shown: Any, real: Any) -> bool:
    """Whether what is shown is there; `…` stands for anything, and of objects in a list some may be left out."""
    if isinstance(shown, dict):
        is_object = isinstance(real, dict)
        return is_object and all(name == "…" or (name in real and holds(shown[name], real[name])) for name in shown)
    if isinstance(shown, list) and shown and isinstance(shown[0], dict):
        return isinstance(real, list) and all(any(holds(each, one) for one in real) for each in shown)
    if isinstance(shown, list):
        same = isinstance(real, list) and len(shown) == len(real)
        return same and all(holds(*both) for both in zip(shown, real, strict=True))
    if isinstance(shown, float):
        return isinstance(real, float) and abs(real - shown) <= 0.001 * max(1.0, abs(shown))
    return bool(shown == real) or (isinstance(shown, str) and "…" in shown and real is not None)


def shows(shown: str, real: str) -> bool:
    """Whether the lines that a page shows are those that came, one after the other; `…` stands for anything."""
    wanted = "\n".join(" ".join(line.split()) for line in shown.strip().splitlines())
    came = "\n".join(" ".join(line.split()) for line in real.strip().splitlines())
    return re.search("^" + re.escape(wanted).replace("…", ".*") + "$", came, re.MULTILINE | re.DOTALL) is not None
