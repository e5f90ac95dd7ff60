"""Modules of ours as one script: a service's proxy takes longer for ten files than a browser for all of them.
Knows our own way to write `import` and `export` (one a line, by name) and refuses any other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_IMPORT: Final = re.compile(r'^import (?:(\{[^}]*\}) from )?"\./(\w+)\.js";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:const|let|class|function\*?)) (\w+)", re.MULTILINE)
# Lines of nothing but a comment: they are for who reads the files.
_COMMENT: Final = re.compile(r"^[ \t]*(?://.*|/\*\*[^\n]*\*/)\n", re.MULTILINE)
_OTHER: Final = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def bundled(entry: str, source: Callable[[str], str]) -> str:
    """`entry` and all that it imports as one text; `source`: a module's own by its name. Every module but the entry is
    a function that gives what it exports, so that none sees another's names. Comments stay in the files.
    Raises `ValueError` where a module says it in another way."""
    *parts, last = ordered(entry, source)
    return "".join(_scoped(name, source(name)) for name in parts) + _without_imports(source(last))


def ordered(entry: str, source: Callable[[str], str]) -> list[str]:
    """The names of `entry` and of all that it imports, each before who needs it."""
    names: list[str] = []

    def visit(name: str) -> None:
        for found in _IMPORT.finditer(source(name)):
            if found[2] not in names:
                visit(found[2])
        names.append(name)

    visit(entry)
    return names


def _scoped(name: str, module: str) -> str:
    exported = ", ".join(found[2] for found in _EXPORT.finditer(module))
    body = _without_imports(_EXPORT.sub(r"\1 \2", module))
    return f"const module_{name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();\n"


def _without_imports(module: str) -> str:
    body = _IMPORT.sub(lambda found: f"const {found[1]} = module_{found[2]};" if found[1] else "", module)
    body = _COMMENT.sub("", body)
    if (other := _OTHER.search(body)) is not None:
        raise ValueError(f"not understood: {other[0]}")
    return body
