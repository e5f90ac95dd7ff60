"""`python -m tests.rigs.core_alone PROGRAM`: runs it where only what PairLens installs without extras can be imported.
Of what else is installed here nothing is found, as in an environment of its own."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def closure(wanted: Iterable[str]) -> set[str]:
    """Names of all distributions that are installed with these, as PyPI writes them."""
    found: set[tuple[str, str]] = set()
    ahead = [(Requirement(text), "") for text in wanted]
    while ahead:
        requirement, extra = ahead.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = normal(requirement.name)
        for asked in requirement.extras or {""}:
            if (name, asked) not in found:
                found.add((name, asked))
                try:
                    ahead += [(Requirement(text), asked) for text in requires(name) or ()]
                except PackageNotFoundError:
                    continue  # of another system
    return {name for name, _ in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class WhatIsThere(PathFinder):
    """Finds nothing of these names, as where they are not installed."""

    missing: ClassVar[set[str]] = set()

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if fullname.partition(".")[0] in cls.missing else super().find_spec(fullname, path, target)


def forbid() -> set[str]:
    """From here on what is not of the core can't be imported; says what that is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = closure(project["dependencies"]) | {"pairlens"}
    missing = {
        name for name, owners in packages_distributions().items() if not any(normal(owner) in core for owner in owners)
    }
    for name in list(sys.modules):
        if name.partition(".")[0] in missing:
            del sys.modules[name]
    WhatIsThere.missing = missing
    sys.meta_path[sys.meta_path.index(PathFinder)] = WhatIsThere
    return missing


if __name__ == "__main__":
    is_missing = sorted(forbid())
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], init_globals={"MISSING": is_missing}, run_name="__main__")
