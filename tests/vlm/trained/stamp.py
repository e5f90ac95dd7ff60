"""What the checkpoint was trained with, as hashes and versions: whether it is still the one that the code would make.
No tensors: it draws three pairs and puts the product's questions about them into words, in a tenth of a second.
"""

from __future__ import annotations

import ast
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from serve_app import measurement
from serve_app.comparison import anchors
from serve_app.schema import Language
from tests.vlm.trained import lessons, scenes

FOLDER: Final = Path(__file__).parent
CHECKPOINT: Final = FOLDER / "checkpoint"
COMMAND: Final = "python -m tests.vlm.trained.train"
_FILE: Final = CHECKPOINT / "stamp.json"


def stale() -> str:
    """A sentence for the developer; empty where the checkpoint is as new as what it was trained with."""
    then, now = json.loads(_FILE.read_text()), current()
    changed = [name for name in now if then.get(name) != now[name]]
    if not changed:
        return ""
    return (
        f"The checkpoint in tests/vlm/trained was trained with other {' and '.join(changed)} than these. "
        f"Train it anew, in a quarter of an hour on one core, and commit it: {COMMAND}"
    )


def write() -> None:
    _FILE.write_text(json.dumps(current(), indent=2) + "\n")


def current() -> dict[str, str]:
    """Hashes by what they are of."""
    shown = (anchors.page(), anchors.landscape(), *map(anchors.marked, anchors.MARKS))
    return {
        "scripts": _hash("\n".join(_code())),
        "prompts": _hash("\n".join(_texts())),
        "pictures of the calibration": _hash("".join(hashlib.sha256(one.data).hexdigest() for one in shown)),
        "measurement": measurement.VERSION,  # which places are listed, and so asked about
    }


def _code() -> Iterator[str]:
    for file in sorted(FOLDER.glob("*.py")):
        if file.name != Path(__file__).name:
            text = file.read_text("utf-8")
            untaught = _untaught(ast.parse(text))
            lines = (line for number, line in enumerate(text.splitlines(), 1) if number not in untaught)
            yield from (line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _untaught(module: ast.Module) -> set[int]:
    """Numbers of the lines that train nothing: where modules lie, and what docstrings say."""
    found: list[ast.stmt] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found += node.body[:1] if ast.get_docstring(node) else []
    return {line for node in found for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _texts() -> Iterator[str]:
    rng = random.Random(0)
    drawn = [scenes.a_scene(rng, equal_grounds=equal) for equal in (0, 1, 1)]
    seen = lessons.examined(drawn)
    for language in get_args(Language):
        taught = [lessons.of_mark(mark, language) for mark in anchors.MARKS]
        taught.append(lessons.of_anchors(rng, language))
        for scene, examination in zip(drawn, seen, strict=True):
            taught += [lessons.of_scene(scene, examination, language, is_exchanged=turn) for turn in (False, True)]
        for lesson in taught:
            yield repr([lesson.instructions, lesson.captions, lesson.asked])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
